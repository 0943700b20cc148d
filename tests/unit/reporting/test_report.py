"""The report as a reader, a screen reader and an attacker meet it."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from synthlift.reporting import render, write_report
from synthlift.spec.facts import Estimate, Openings
from synthlift.spec.results import Results, SubgroupGap, SubgroupVerdict
from tests.unit.reporting.sample import ARM, DIGITS, RIVAL, difference, sample_results

HOSTILE = "<script>alert(1)</script>"
VOID = {"meta", "img", "br", "link", "input", "hr"}


class Outline(HTMLParser):
    """Collects what the tests ask for and checks that every tag is closed in order."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.headings: list[int] = []
        self.scripts = 0
        self.tables: list[dict[str, int]] = []
        self.images: list[dict[str, str]] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.metas: list[dict[str, str]] = []
        self.handlers: list[str] = []
        self.drawings_without_words = 0
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {key: value or "" for key, value in attrs}
        self.handlers += [key for key in found if key.startswith("on")]
        self.ids += [found["id"]] if "id" in found else []
        if tag not in VOID:
            self.open.append(tag)
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))
        elif tag == "script":
            self.scripts += 1
        elif tag == "table":
            self.tables.append({"caption": 0, "heads": 0, "scopes": 0})
        elif tag == "caption":
            self.tables[-1]["caption"] += 1
        elif tag == "th":
            self.tables[-1]["heads"] += 1
            self.tables[-1]["scopes"] += "scope" in found
        elif tag == "img":
            self.images.append(found)
        elif tag == "a":
            self.links.append(found["href"])
        elif tag == "meta":
            self.metas.append(found)
        elif tag == "svg" and self.open.count("svg") == 1:
            hidden = found.get("aria-hidden") == "true" or found.get("role") == "img"
            inside = "div" in self.open[-3:] or "div" in self.open
            self.drawings_without_words += not (hidden or inside)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes nothing"

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] not in ("script", "style"):
            self.text.append(data)

    @property
    def words(self) -> str:
        """All visible text."""
        return " ".join(" ".join(self.text).split())


def outline(html: str) -> Outline:
    parser = Outline()
    parser.feed(html)
    parser.close()
    assert parser.open == []
    return parser


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Results, Path]:
    folder = tmp_path_factory.mktemp("run")
    results = sample_results(folder)
    write_report(results, folder)
    return results, folder


@pytest.fixture(scope="module")
def html(run: tuple[Results, Path]) -> str:
    return (run[1] / "report.html").read_text(encoding="utf-8")


def test_it_is_one_small_file_that_asks_nothing_of_the_network(html: str) -> None:
    assert len(html.encode()) < 2_000_000
    page = outline(html)
    assert page.scripts == 1
    assert all(link.startswith("#") for link in page.links)
    assert all(image["src"].startswith("data:image/") for image in page.images)
    assert not re.search(r"url\(|@import|https?://|<link", html)
    assert {link[1:] for link in page.links} <= set(page.ids)


def test_the_answer_and_what_to_do_come_first(run: tuple[Results, Path], html: str) -> None:
    verdict = run[0].verdict
    assert verdict is not None
    words = outline(html).words
    order = [verdict.sentence, verdict.detail, verdict.scope, *verdict.warnings]
    order += ["What to do now", run[0].actions[0].command, "All arms compared"]
    places = [words.index(part) for part in order]
    assert places == sorted(places)


def test_every_section_of_a_finished_study_is_there(html: str) -> None:
    ids = set(outline(html).ids)
    assert ids >= {
        *("arms", "curve", "classes", "confusions", "images", "pairs", "crossings"),
        *("calibration", "generators", "limitations", "funnel", "cost", "method", "repeat"),
        "glossary",
    }


def test_figures_decisions_and_provenance_are_shown(html: str) -> None:
    words = outline(html).words
    for shown in (
        *("89.2 % 87.8 to 90.6", "+3.1 1.5 to 4.8", "−22.0 −23.6 to −20.3"),
        *("1,797", "rejected: copy of a training image", "excluded: truncated file", "655 MiB"),
        *("estimated: CPU seconds × 15 W per core", "predeclared: some classes are rare"),
        *(
            "160 models of this study, and in all 160 models of 1 study.",
            "synthlift demo --seed 0 --out runs/digits",
        ),
        *("packages: torch", "2.15.0", "distance 0.31", "Under-trained", "1.07 1.01 to 1.12"),
        *("−2.7 −4.7 to −0.7", "control: blurred held-out images", "nine (12 missing)"),
        *("thick line: equivalence interval", "A 92 % interval, narrower than the 95 % one"),
    ):
        assert shown in words, shown


def test_it_is_accessible(html: str) -> None:
    page = outline(html)
    assert page.headings[0] == 1
    assert page.headings.count(1) == 1
    assert all(b - a <= 1 for a, b in zip(page.headings, page.headings[1:], strict=False))
    assert len(page.tables) >= 10
    for table in page.tables:
        assert table["caption"] == 1
        assert table["heads"] == table["scopes"] > 0
    assert all(image["alt"] for image in page.images)
    assert page.drawings_without_words == 0
    assert len(page.ids) == len(set(page.ids))


def test_a_term_is_explained_where_it_first_occurs(html: str) -> None:
    assert html.count('href="#term-95---interval"') == 1
    assert html.index('href="#term-95---interval"') < html.index('id="arms"')
    assert outline(html).ids.count("term-95---interval") == 1


def test_too_small_classes_show_counts_and_no_difference(html: str) -> None:
    row = next(r for r in re.findall(r"<tr class=\"small\">.*?</tr>", html, re.S) if "nine" in r)
    words = outline(f"<table>{row}</table>").words
    assert "Too small to judge" in words
    assert "5 of 7 41.4 to 86.4 %" in words
    assert "<circle" not in row
    assert "M0-6.6" not in row


def test_bin_borders_are_not_drawn_as_intervals(html: str) -> None:
    start = html.index('<section id="calibration"')
    diagram = html[start : html.index("</figure>", start)]
    assert diagram.count("M0-6.6") >= 13
    assert 'class="ci"' not in diagram


def test_every_estimate_says_how_it_was_made(html: str) -> None:
    assert html.count('title="n = 363, crossed components, t"') > 50
    assert "Ratio: mean and range, 5 fits (n = 5)." in outline(html).words


def test_only_our_script_may_run(html: str) -> None:
    script = re.search(r"<script>(.*?)</script>", html, re.S)
    assert script is not None
    digest = base64.b64encode(hashlib.sha256(script.group(1).encode()).digest()).decode()
    policy = next(m for m in outline(html).metas if m.get("http-equiv", "").startswith("Content"))
    assert f"script-src 'sha256-{digest}'" in policy["content"]
    assert "default-src 'none'" in policy["content"]


def test_names_from_users_are_escaped_everywhere(tmp_path: Path) -> None:
    classes = [HOSTILE, '"><img src=x onerror=alert(1)>', "a&b", "' onload='x", *DIGITS[4:]]
    results = sample_results(tmp_path, classes=classes)
    results.study.source = HOSTILE
    results.study.command = f"synthlift run {HOSTILE}"
    results.study.class_names = {"a&b": f"</title>{HOSTILE}"}
    results.counts.excluded = {HOSTILE: 6}
    results.limitations.append(HOSTILE)
    results.environment = {HOSTILE: {HOSTILE: HOSTILE}}
    results.gallery[0].reason = HOSTILE
    page = outline(render(results, folder=tmp_path))
    assert page.scripts == 1
    assert page.handlers == []
    assert all(image["src"].startswith("data:image/") for image in page.images)
    assert HOSTILE in page.words


def test_thirty_seven_classes_and_twenty_four_arms(tmp_path: Path) -> None:
    classes = [f"kind {i:02d} of a long-winded name" for i in range(37)]
    html = render(sample_results(tmp_path, classes=classes, more_arms=8), folder=tmp_path)
    assert len(html.encode()) < 2_000_000
    page = outline(html)
    assert all(name in page.words for name in classes)
    assert "sd:mixed@8+rival" in page.words
    assert "25 more classes" in page.words
    assert all(f"image, class {name}" in html for name in classes)
    cell = re.search(r"kind 00[^<]*recognised: ([\d,]+) of 360", html)
    assert cell is not None


def test_live_shows_validation_only_and_refreshes(tmp_path: Path) -> None:
    results = sample_results(tmp_path, live=True)
    page = outline(render(results, folder=tmp_path))
    refresh = [m["content"] for m in page.metas if m.get("http-equiv") == "refresh"]
    assert refresh == ["20"]
    assert "The test set has not been opened; validation figures only." in page.words
    assert "refreshes itself every 20 seconds" in page.words
    assert "31 of 160 models are trained." in page.words
    assert "77.6 % val." in page.words
    assert "not opened" in page.words
    assert not {"classes", "confusions", "calibration"} & set(page.ids)


def test_a_finished_report_does_not_refresh(html: str) -> None:
    assert not [m for m in outline(html).metas if m.get("http-equiv") == "refresh"]


def test_without_a_verdict_after_the_opening_test_figures_are_shown() -> None:
    results = sample_results()
    results.verdict, results.verdict_missing_because = None, "There is no generative arm."
    results.openings = Openings(test_hash="00", this_study=1, studies=1, models=10)
    page = outline(render(results, folder=None))
    assert "This study gives no verdict. There is no generative arm." in page.words
    assert "89.2 % 87.8 to 90.6" in page.words
    assert not [m for m in page.metas if m.get("http-equiv") == "refresh"]


def test_where_nothing_was_compared_validation_figures_stand_in_marked() -> None:
    results = sample_results(live=True)
    results.openings = Openings(test_hash="00", this_study=10, studies=1, models=10)
    results.verdict_missing_because = "the study has no arm with synthetic images"
    page = outline(render(results, folder=None))
    assert "no verdict. The study has no arm with synthetic images." in page.words
    assert "77.6 % val." in page.words
    assert "tested on the same images" not in page.words
    assert not [m for m in page.metas if m.get("http-equiv") == "refresh"]


def test_exploratory_marks_every_number() -> None:
    html = render(sample_results(exploratory=True), folder=None)
    words = outline(html).words
    assert "Exploratory – not a verdict. 4 replicates, a verdict needs 10" in words
    estimates = [part.split("</td>")[0] for part in html.split('<span class="est"')[1:]]
    assert len(estimates) > 150
    for shown in estimates:
        number = re.match(
            r"[^>]*><b>[^<]*</b>( <span class=\"interval\">[^<]*</span>)?(.*)", shown, re.S
        )
        assert number is not None
        assert number.group(2).startswith(' <abbr class="mark" title="exploratory: 4 replicates')
    assert html.count('<strong class="mark full">exploratory</strong>') >= 8


@pytest.mark.parametrize("effect", [0.031, 0.0, -0.031])
def test_the_verdict_box_looks_alike_whatever_the_answer(effect: float) -> None:
    html = render(sample_results(effect=effect), folder=None)
    box = re.search(r'<section class="([^"]*)" aria-labelledby="answer-title">', html)
    assert box is not None
    assert box.group(1) == "answer"
    colours = re.findall(r'class="strip (s-\w+)"', html)
    assert colours[0] == "s-verdict"


def test_counts_that_do_not_add_up_are_said_aloud() -> None:
    results = sample_results()
    results.counts.kept -= 5
    words = outline(render(results, folder=None)).words
    assert "5 generated images are not accounted for above" in words
    whole = outline(render(sample_results(), folder=None)).words
    assert "not accounted for" not in whole


def test_an_almost_empty_study_still_renders() -> None:
    results = sample_results(live=True)
    for name in ("arms", "curve", "generators", "cost", "decisions", "limitations", "gallery"):
        setattr(results, name, [])
    results.counts.generated = results.counts.kept = 0
    results.counts.rejected = {}
    page = outline(render(results, folder=None))
    assert "arms" not in page.ids
    assert "funnel" in page.ids


def test_writing_replaces_the_file_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    results = sample_results()
    first = write_report(results, tmp_path).read_bytes()
    assert write_report(results, tmp_path).read_bytes() == first
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]


def test_arms_of_the_contrast_are_named_as_such(html: str) -> None:
    rows = re.findall(r"<tr class=\"\w+ primary\">.*?</tr>", html, re.S)
    assert [(RIVAL in row, "its rival" in row) for row in rows] == [(True, True), (False, False)]
    assert ARM in rows[1]
    assert "primary arm" in rows[1]


def test_the_primary_arm_is_set_against_every_other_rival() -> None:
    results = sample_results()
    results.contrasts.append(
        difference(ARM, "real", 0.043).model_copy(
            update={"family": "generative_against_other_rivals"}
        )
    )
    page = render(results, folder=None)
    table = re.search(r"against every other rival</summary>(.*?)</details>", page, re.S)
    assert table
    assert re.search(r'<th scope="row">real</th><td>.*?4\.3', table[1], re.S)


def test_rivals_generative_and_controls_differ_by_colour_and_marker(html: str) -> None:
    for role, shape in (("rival", "<circle"), ("generative", "M0-6.6"), ("control", "M0-6 5.8")):
        strips = re.findall(rf'<svg class="strip s-{role}".*?</svg></svg>', html, re.S)
        assert strips
        assert all(shape in strip for strip in strips)


def test_the_primary_pair_is_set_against_its_cost() -> None:
    results = sample_results()
    for arm in results.arms:
        arm.seconds, arm.generation_seconds = 90.0, 135.0 if arm.name == ARM else 0.0
    words = outline(render(results, folder=None)).words
    assert f"'{RIVAL}' took 90" in words
    assert "for its synthetic images: 2.5 times as much" in words


def test_subgroups_are_shown_with_their_gap() -> None:
    results = sample_results()
    estimate = Estimate(value=0.8, low=0.7, high=0.9, n=40, method="t")
    assert results.verdict is not None
    arm = SubgroupVerdict(
        attribute="site",
        value="<b>arm</b>",
        test_images=40,
        test_groups=38,
        rival=estimate,
        generative=estimate,
        contrast=results.verdict.contrast.model_copy(update={"p_holm": 0.01}),
        word="helps",
    )
    face = arm.model_copy(update={"value": "face", "contrast": None, "word": "too_small"})
    results.subgroups = [arm, face]
    results.gaps = [
        SubgroupGap(
            attribute="site",
            worst_with_rival="face",
            worst_with_generative="arm",
            worst_accuracy_rival=0.6,
            worst_accuracy_generative=0.7,
            gap_rival=0.2,
            gap_generative=0.1,
        )
    ]
    html = render(results, folder=None)
    words = outline(html).words
    assert "Subgroup by subgroup" in words
    assert "with the rival 20.0 points, worst for 'face'" in words
    assert "<b>arm</b>" in words
    assert "<b>arm</b>" not in html
