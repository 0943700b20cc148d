"""What leaves the report before it is shared, and what stays."""

from __future__ import annotations

import base64
import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthlift.errors import SynthliftError
from synthlift.reporting.shareable import (
    Secrets,
    looks_like_identifier,
    names_in,
    render_shareable,
    without_secrets,
)
from synthlift.spec.facts import Decision, Estimate
from synthlift.spec.places import without_places
from synthlift.spec.results import ExternalResult, Results, SubgroupGap, SubgroupVerdict
from tests.unit.reporting.sample import DIGITS, sample_results
from tests.unit.reporting.sample_parts import sample_gallery

IDS = ["eight/ward-7/PAT0412_left.png", "zero/café 3.png"]
PLACE = "/srv/klinik/scans 2024"


def secrets(*names: str, key: bytes = b"k", showable: tuple[str, ...] = ("flow",)) -> Secrets:
    found = names_in(IDS, groups=["PAT0412", "lesion_77"])
    return Secrets(key=key, names={*found, PLACE, *names}, showable=showable)


def subgroup(value: str, *, groups: int = 38) -> SubgroupVerdict:
    estimate = Estimate(value=0.8, low=0.7, high=0.9, n=40, method="t")
    return SubgroupVerdict(
        attribute="site",
        value=value,
        test_images=40,
        test_groups=groups,
        rival=estimate,
        generative=estimate,
        word="too_small",
    )


def telling_results() -> Results:
    """A study that names images, groups and places wherever words can stand."""
    results = sample_results()
    assert results.verdict is not None
    results.study.source = PLACE
    results.study.command = f"synthlift run '{PLACE}'"
    results.study.initialisation = "from /home/ann/weights/net.safetensors"
    results.verdict.warnings.append("Worst for 'PAT0412', seen in eight/ward-7/PAT0412_left.png.")
    results.limitations.append(f"Nothing outside {PLACE} was tested; lesion_77 is odd; café 3.png.")
    results.decisions.append(
        Decision(
            name="left_out", value={"PAT0412": ["lesion_77", 3]}, reason="see C:\\scans\\a.csv"
        )
    )
    results.notes.append("the images lie in 'ward-7/'")
    results.generators[0].config["weights"] = "/home/ann/weights/net.safetensors"
    results.subgroups = [subgroup("female"), subgroup("PAT0412"), subgroup("2021-03-04")]
    results.subgroups += [subgroup("Anna", groups=1), subgroup("40 to 60")]
    results.gaps = [
        SubgroupGap(
            attribute="site",
            worst_with_rival="PAT0412",
            worst_with_generative="female",
            worst_accuracy_rival=0.5,
            worst_accuracy_generative=0.6,
            gap_rival=0.2,
            gap_generative=0.1,
        )
    ]
    return results


def test_no_name_and_no_place_is_left() -> None:
    html = render_shareable(telling_results(), folder=None, secrets=secrets())
    for name in (
        *(*IDS, "PAT0412", "lesion_77", "ward-7", "PAT0412_left", "café 3", PLACE, "/srv"),
        *("/home", "ann/", "net.safetensors", "scans", "a.csv", "2021-03-04", "Anna"),
        "synthlift run",
    ):
        assert name not in html, name
    for name in ("female", "40 to 60", "site", "eight", "flow", "targeted@1+rival"):
        assert name in html, name
    assert "A copy to share" in html
    assert "results.json" not in html


def test_one_name_has_one_stand_in() -> None:
    told = secrets()
    found = without_secrets(telling_results(), told)
    token = told.token("PAT0412")
    assert found.subgroups[1].value == token
    assert found.gaps[0].worst_with_rival == token
    assert found.gaps[0].worst_with_generative == "female"
    assert found.decisions[-1].value == {token: [told.token("lesion_77"), 3]}
    assert found.verdict is not None
    assert f"'{token}'" in found.verdict.warnings[-1]
    assert secrets(key=b"other").token("PAT0412") != token


def test_numbers_and_verdict_stay() -> None:
    before = telling_results()
    after = without_secrets(before, secrets())
    for part in ("contrasts", "classes", "arms", "counts", "curve", "cost", "table_3x3"):
        assert getattr(after, part) == getattr(before, part)
    assert before.study.source == PLACE, "the run's own results must not change"
    Results.model_validate(after.model_dump())


def test_only_kept_images_of_generators_that_passed(tmp_path: Path) -> None:
    results = sample_results()
    results.gallery = sample_gallery(tmp_path, DIGITS)
    html = render_shareable(results, folder=tmp_path, secrets=secrets())
    shown = set(re.findall(r"base64,([^\"]+)", html))
    kinds = {
        kind: {
            base64.b64encode((tmp_path / item.file).read_bytes()).decode()
            for item in results.gallery
            if item.kind == kind
        }
        for kind in ("real", "kept", "rejected", "copy_query", "copy_neighbour")
    }
    assert shown <= kinds.pop("kept")
    assert shown
    assert not shown & set().union(*kinds.values())
    assert "nearest neighbour" not in html
    stopped = render_shareable(results, folder=tmp_path, secrets=secrets(showable=()))
    assert "base64," not in stopped


def test_a_study_named_after_its_folder_is_renamed() -> None:
    results = sample_results()
    results.study.name = "Klinik-Ost"
    html = render_shareable(results, folder=None, secrets=secrets("Klinik Ost"))
    assert "Klinik-Ost" not in html
    assert "Klinik-Ost" in render_shareable(results, folder=None, secrets=secrets())


def test_a_leak_stops_the_report() -> None:
    results = sample_results()
    results.counts.excluded["broken: scan_0412.png"] = 1
    with pytest.raises(SynthliftError, match=r"scan_0412\.png"):
        render_shareable(results, folder=None, secrets=secrets("scan_0412.png"))


@pytest.mark.parametrize(
    "value",
    [
        "P012",
        "pat-17",
        "ann@x.org",
        "1987-02-11",
        "11.02.1987",
        "4711042",
        "a/b",
        "x.png",
        "bed 04",
    ],
)
def test_identifiers_are_known(value: str) -> None:
    assert looks_like_identifier(value)


@pytest.mark.parametrize(
    "value",
    [
        "female",
        "left",
        "site 3",
        "40 to 60",
        "below 100",
        "100 or more",
        "10000 to 20000",
        "0.1234567",
        "(40, 60]",
        "0.25",
        "224 px",
        "65 years",
        "T2",
        "",
        "A",
    ],
)
def test_properties_are_no_identifiers(value: str) -> None:
    assert not looks_like_identifier(value)


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("synthlift run /home/ann/data --out ../runs/x", "synthlift run data --out x"),
        ("run '/home/a b/c d' --set data.source=/tmp/q", "run 'c d' --set data.source=q"),
        (r"C:\Users\ann\x.png and ~/y/z", "x.png and z"),
        ("https://a.org/b and hf:owner/name", "https://a.org/b and hf:owner/name"),
        ("8 / 9, and/or, a/b.png", "8 / 9, and/or, a/b.png"),
    ],
)
def test_places_are_cut_to_their_last_part(text: str, left: str) -> None:
    assert without_places(text) == left


@given(st.lists(st.text("abcXYZ019_-é", min_size=1, max_size=9), min_size=2, max_size=5))
def test_no_absolute_path_survives(parts: list[str]) -> None:
    found = without_places("see /" + "/".join(parts) + " for more")
    assert found == f"see {parts[-1]} for more"


def test_cells_and_sets_from_elsewhere_keep_their_secrets() -> None:
    results = telling_results()
    results.counts.per_cell = {
        "eight, bed bed-07, sex f": {"train": 4.0},
        "eight, bed 12, sex f": {"train": 1.0},
        "eight, bed shared, sex f": {"train": 9.0},
    }
    results.counts.fell_short = {"eight, bed bed-07, sex f": 2, "zero": 1}
    results.external = [
        ExternalResult.model_validate(
            {
                "name": name,
                "metric": "accuracy",
                "images": 3,
                "groups": 3,
                "missing_classes": [],
                "arms": [],
                "contrast": results.contrasts[0].model_dump(),
            }
        )
        for name in ("ward-7", "another site")
    ]
    told = secrets()
    values = {("bed", "bed-07"): 5, ("bed", "12"): 1, ("bed", "shared"): 9, ("sex", "f"): 14}
    shared = without_secrets(results, replace(told, values=values))
    seven, twelve = told.token("bed-07"), told.token("12")
    assert list(shared.counts.per_cell) == [
        f"eight, bed {seven}, sex f",
        f"eight, bed {twelve}, sex f",
        "eight, bed shared, sex f",
    ]
    assert shared.counts.fell_short == {f"eight, bed {seven}, sex f": 2, "zero": 1}
    assert [one.name for one in shared.external] == [told.token("ward-7"), "another site"]


@pytest.mark.parametrize("attribute", [r"$\mu$", r"\1 \g<x>", "a|b"])
def test_names_of_attributes_are_no_patterns(attribute: str) -> None:
    results = sample_results()
    results.counts.per_cell = {f"eight, {attribute} bed-07": {"train": 4.0}}
    told = replace(secrets(), values={(attribute, "bed-07"): 1})
    shared = without_secrets(results, told)
    assert list(shared.counts.per_cell) == [f"eight, {attribute} {told.token('bed-07')}"]


@pytest.mark.parametrize("name", ["Ann's/x.png", 'a"b/x.png', "a<b>&c/x.png"])
def test_a_leak_is_seen_as_the_report_writes_it(name: str) -> None:
    results = sample_results()
    results.counts.excluded[name] = 1
    with pytest.raises(SynthliftError, match="would still hold"):
        render_shareable(results, folder=None, secrets=secrets(name))
