"""Number formats, drawing primitives, gallery, CSV and the terminal's summary."""

from __future__ import annotations

import csv
import io
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from synthlift.reporting import Picture, plots, summary_text, svg, text, write_csv, write_gallery
from synthlift.reporting.gallery import SIDE, data_uri, thumbnail
from synthlift.reporting.pages import _asset, known_scripts, runs_known_scripts, script_digest
from synthlift.spec.targets import Target
from tests.unit.reporting.sample import ARMS, sample_results
from tests.unit.reporting.sample_parts import sample_gallery


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (text.points(0.031), "+3.1"),
        (text.points(-0.0042), "−0.4"),
        (text.points(-0.0004), "0.0"),
        (text.percent(0.7139), "71.4\u00a0%"),
        (text.interval(-0.004, 0.045), "−0.4 to 4.5"),
        (text.interval(None, 0.1), ""),
        (text.count(1234.0), "1,234"),
        (text.count(12.5), "12.5"),
        (text.metric_value("nll", 0.5512), "0.551"),
        (text.p_value(0.0004), "<\u00a00.001"),
        (text.p_value(0.0132), "0.01"),
        (text.p_value(None), "–"),
        (text.rate(2712.4), "2,712"),
        (text.rate(0.0347), "0.035"),
        (text.rate(0.00002), "0.000020"),
        (text.rate(None), "–"),
        (text.digits(1234.5, 3), "1,234"),
        (text.digits(12.34, 3), "12.3"),
        (text.digits(0.0999, 2), "0.10"),
        (text.duration(0.42), "0.4\u00a0s"),
        (text.duration(154), "2\u00a0min 34\u00a0s"),
        (text.duration(119.6), "2\u00a0min"),
        (text.duration(12_060), "3\u00a0h 21\u00a0min"),
        (text.memory(1434), "1.4\u00a0GiB"),
        (text.energy(0.00123), "1.2\u00a0Wh"),
        (text.energy(None), "–"),
        (text.energy(1e-6), "<\u00a00.01\u00a0Wh"),
        (text.memory(0.2), "<\u00a01\u00a0MiB"),
        (text.as_sentence("the study runs"), "The study runs."),
        (text.plural(1, "image"), "1\u00a0image"),
    ],
)
def test_numbers_are_written_one_way(written: str, expected: str) -> None:
    assert written == expected


def test_recipes_name_only_what_departs_from_plain() -> None:
    assert text.recipe_words({"augmentation": "none", "sampler": "uniform"}) == "plain"
    words = text.recipe_words({"recipe": {"loss": "logit_adjusted"}, "multiple": 2, "base": "x"})
    assert words == "logit adjusted loss, 2\u00a0× synthetic"


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("all", "all classes"),
        ("fill_to_largest", "targeted, filling classes to the largest"),
        ({"fill_to": 40}, "targeted, filling classes to 40 images"),
        ({"cells": ["label", "sex"]}, "all cells of class × sex"),
        (
            {"cells": ["label", "sex", "body_site"], "fill_to": "median"},
            "targeted, filling cells of class × body_site × sex to the median",
        ),
        ("hard_cases", "targeted by hard cases"),
        (
            {"by": "validation_error", "fill_to": "largest"},
            "targeted by the error of the model on real images (filling classes to the largest)",
        ),
        (
            {"by": "hard_cases", "cells": ["label", "sex"]},
            "targeted by hard cases (cells of class × sex)",
        ),
    ],
)
def test_targets_in_words(target: object, words: str) -> None:
    assert text.target_words(Target.model_validate(target).title) == words


def test_ticks_are_round_and_inside() -> None:
    assert svg.nice_ticks(0.63, 0.91) == (0.7, 0.8, 0.9)
    assert svg.nice_ticks(-0.02, 0.05, wanted=4) == (-0.02, 0.0, 0.02, 0.04)


def test_scales_map_onto_percentages_and_clamp() -> None:
    scale = svg.Scale(0, 10)
    assert (scale.at(2.5), scale.at(99), scale.at(-1)) == ("25.00%", "100.00%", "0.00%")
    assert svg.Scale(0, 10, flip=True).at(2.5) == "75.00%"


def test_drawings_are_well_formed_and_escape_text() -> None:
    scale = svg.Scale(0, 1, (0, 0.5, 1))
    strip = svg.strip(scale, series="rival", shape="circle", value=0.4, low=0.3, high=0.6)
    root = ET.fromstring(strip)
    line = next(e for e in root.iter("line") if e.get("class") == "ci")
    assert (line.get("x1"), line.get("x2")) == ("30.00%", "60.00%")
    label = svg.element("text", "<b>&", title='"')
    assert label == '<text title="&#34;">&lt;b&gt;&amp;</text>'


def test_a_confusion_matrix_normalises_rows_and_keeps_counts() -> None:
    counts = [[9, 1], [0, 0]]
    root = ET.fromstring(plots.confusion(counts, ["cat", "dog <x>"], description="d"))
    titles = [e.text for e in root.iter("title")]
    assert "cat taken for dog <x>: 1 of 10" in titles
    assert "dog <x> recognised: 0 of 0" in titles
    shares = [e.text for e in root.iter("text") if "screen-only" in e.get("class", "")]
    paper = [e.text for e in root.iter("text") if "print-only" in e.get("class", "")]
    assert shares == ["90", "10"]
    assert paper == ["9", "1"]


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((8, 8, 1), (96, 96, 1)),
        ((8, 6, 3), (96, 72, 3)),
        ((60, 70, 3), (60, 70, 3)),
        ((192, 96, 1), (96, 48, 1)),
        ((300, 400, 3), (72, 96, 3)),
    ],
)
def test_thumbnails_fit(shape: tuple[int, int, int], expected: tuple[int, int, int]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    small = thumbnail(pixels)
    assert small.shape == expected
    assert small.dtype == np.uint8
    if max(shape[:2]) <= SIDE:
        step = expected[0] // shape[0]
        np.testing.assert_array_equal(small[::step, ::step], pixels)


def test_the_gallery_is_deterministic_and_removes_only_its_own_stale_files(tmp_path: Path) -> None:
    first = sample_gallery(tmp_path, ("a/../b", "ä"))
    assert first == sample_gallery(tmp_path, ("a/../b", "ä"))
    files = sorted((tmp_path / "gallery").iterdir())
    assert len(files) == len(first) == len({item.file for item in first})
    (tmp_path / "gallery" / "mine.png").write_bytes(b"keep")
    pixels = np.full((8, 8, 3), 7, np.uint8)
    kept = write_gallery(tmp_path, [Picture(pixels, "kept", "a", "flow", score=0.5)])
    names = {p.name for p in (tmp_path / "gallery").iterdir()}
    assert names == {"mine.png", Path(kept[0].file).name}
    with Image.open(tmp_path / kept[0].file) as image:
        assert image.size == (96, 96)
        assert image.getpixel((50, 50)) == (7, 7, 7)


def test_only_png_files_of_the_gallery_are_embedded(tmp_path: Path) -> None:
    item = sample_gallery(tmp_path, ("a",))[0]
    (tmp_path / "secret.png").write_bytes((tmp_path / item.file).read_bytes())
    (tmp_path / "gallery" / "fake.png").write_text("no picture")
    (tmp_path / "gallery" / "link.png").symlink_to(tmp_path / "secret.png")
    uri = data_uri(tmp_path, item.file)
    assert uri is not None
    assert uri.startswith("data:image/png;base64,")
    for file in ("../secret.png", "secret.png", "gallery/../secret.png", "gallery/fake.png"):
        assert data_uri(tmp_path, file) is None
    assert data_uri(tmp_path, "gallery/link.png") is None
    assert data_uri(tmp_path, "gallery/absent.png") is None


def test_csv_holds_every_metric_of_every_arm_and_class(tmp_path: Path) -> None:
    results = sample_results()
    write_csv(results, tmp_path / "results.csv")
    rows = list(csv.DictReader(io.StringIO((tmp_path / "results.csv").read_text())))
    per_arm = sum(len(a.metrics) + len(a.validation) + len(a.per_class) for a in results.arms)
    assert len(rows) == per_arm
    row = next(r for r in rows if r["arm"] == "real" and r["metric"] == "balanced_accuracy")
    estimate = results.arms[0].metrics["balanced_accuracy"]
    assert float(row["value"]) == estimate.value
    assert float(row["low"]) == estimate.low
    assert (row["scope"], row["class"], row["n"]) == ("all", "", "363")
    recall = [r for r in rows if r["scope"] == "class" and r["arm"] == "real"]
    assert [r["class"] for r in recall] == list(results.study.classes)


def test_the_summary_names_verdict_arms_and_differences() -> None:
    results = sample_results()
    words = summary_text(results)
    assert results.verdict is not None
    assert words.startswith(results.verdict.sentence)
    assert all(name in words for name, *_ in ARMS)
    line = next(line for line in words.splitlines() if "targeted@1+rival  " in line)
    assert "89.2\u00a0% (87.8 to 90.6)" in line
    assert "+3.1 (1.5 to 4.8)" in line
    assert max(map(len, words.splitlines())) <= 90


def test_the_summary_marks_exploratory_and_live_figures() -> None:
    exploratory = summary_text(sample_results(exploratory=True))
    assert exploratory.startswith("EXPLORATORY, no verdict: 4 replicates")
    assert exploratory.count("(exploratory)") == len(ARMS)
    live = summary_text(sample_results(live=True))
    assert live.startswith("The test set has not been opened; validation figures only.")
    assert live.count("(validation)") == len(ARMS)
    assert "89.2" not in live


def test_the_summary_passes_no_terminal_codes_on() -> None:
    results = sample_results()
    results.notes.append("class \x1b[31mred\x1b[0m")
    assert "\x1b" not in summary_text(results)


def _luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _contrast(one: str, other: str) -> float:
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("theme", [0, 1, 2])
def test_colours_keep_their_contrast_in_light_dark_and_print(theme: int) -> None:
    """WCAG 2.2 AA: 4.5 for text, 3 for what a chart is read from."""
    folder = Path(svg.__file__).parent / "templates"
    css = "".join((folder / name).read_text() for name in ("tokens.css", "style.css"))
    blocks = re.findall(r":root \{(.*?)\}", css, re.S)
    assert len(blocks) == 3
    pairs = re.findall(r"--([\w-]+): (#[0-9a-f]{6}|#[0-9a-f]{3});", blocks[theme])
    colours = {n: c if len(c) == 7 else "#" + "".join(2 * x for x in c[1:]) for n, c in pairs}
    for ground in ("page", "sheet", "quiet"):
        for ink in ("ink", "soft", "link"):
            assert _contrast(colours[ink], colours[ground]) >= 4.5, (ink, ground)
    for ground in ("page", "sheet"):
        for mark in ("rival", "generative", "control", "gone", "a", "b", "c", "d"):
            assert _contrast(colours[mark], colours[ground]) >= 3, (mark, ground)
    assert _contrast(colours["mark"], colours["mark-ground"]) >= 4.5
    assert _contrast(colours["ink"], colours["caution-ground"]) >= 4.5


def test_importing_the_package_loads_nothing_heavy() -> None:
    heavy = "{'torch', 'matplotlib', 'pandas', 'sklearn', 'PIL', 'jinja2'}"
    code = f"import sys, synthlift.reporting; print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


# ── scripts ───────────────────────────────────────────────────────────────────────────────────


def test_the_script_of_every_version_is_known_and_no_other() -> None:
    own = script_digest()
    assert known_scripts()[0] == own, f"script.js has changed: put {own} on top of scripts.txt"
    assert len(set(known_scripts())) == len(known_scripts())
    ours = f"<p>1 &lt; 2</p><script>{_asset('script.js')}</script>".encode()
    assert runs_known_scripts(ours)
    assert runs_known_scripts(b"<p>none</p>")
    assert not runs_known_scripts(ours + b"<SCRIPT type='module'>1</SCRIPT >")
