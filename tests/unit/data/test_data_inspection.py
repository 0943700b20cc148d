from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from synthlift.data import stages
from synthlift.data.contract import Where
from synthlift.data.inspection import (
    inspect_inventory,
    minimal_detectable_effect,
    render_inspection,
    wilson_width,
)
from synthlift.data.inventory import Asked, read_rows
from synthlift.data.sources import open_source
from synthlift.spec.data import Data
from synthlift.store import Store


def inspect(tmp_path: Path, source: str, data: Data | None = None) -> dict[str, Any]:
    store = Store(tmp_path / "store")
    opened = open_source(Where(source, str(tmp_path)), strict=False)
    request = stages.read_request(opened, Asked(50_000_000))
    store.compute(request)
    read = store.open(request.key)
    rows = read_rows(read.path("inventory.parquet"))
    return inspect_inventory(rows, summary=read.summary, data=data or Data())


def draw_classes(root: Path, counts: Mapping[str, int]) -> None:
    rng = np.random.default_rng(0)
    for name, n in counts.items():
        (root / name).mkdir(parents=True)
        for i in range(n):
            pixels = rng.integers(0, 256, (30, 40, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / name / f"{i:03d}.png")


def test_a_small_folder_is_told_the_truth(tmp_path: Path) -> None:
    draw_classes(tmp_path / "pets", {"cat": 40, "dog": 8})
    (tmp_path / "pets" / "dog" / "x.jpg").write_text("?")
    (tmp_path / "pets" / "dog" / "x.txt").write_text("?")
    facts = inspect(tmp_path, "pets")
    assert json.loads(json.dumps(facts)) == facts
    assert facts["imbalance_ratio"] == 5.0
    assert facts["classes"][1] == {
        "name": "dog",
        "images": 8,
        "groups": 8,
        "test_groups": 8,
        "wilson_width": pytest.approx(0.5696, abs=1e-4),
        "too_small_to_evaluate": True,
    }
    assert facts["image_size"]["value"] == 28
    assert facts["design"]["letter"] == "C"
    text = render_inspection(facts)
    assert "49 images read, 48 usable\n  left out: 1 – unreadable\n    dog/x.jpg (" in text
    assert "other files, not read: 1 × .txt" in text
    assert "dog         8       8       8  too few to judge alone: interval up to 57 points" in text
    assert "design C: cross-validated, since 48 images are below 3,000" in text
    value = facts["minimal_detectable_effect"]["value"]
    assert f"would find: {100 * value:.1f} points of balanced accuracy, assuming 10 %" in text


def test_a_class_without_a_test_image_allows_no_difference(tmp_path: Path) -> None:
    trained = {f"train/{name}": 9 for name in ("cat", "dog", "eel")}
    draw_classes(tmp_path / "pets", {**trained, "test/cat": 9, "test/dog": 9})
    facts = inspect(tmp_path, "pets")
    assert facts["minimal_detectable_effect"]["value"] is None
    assert "Infinity" not in json.dumps(facts)
    text = render_inspection(facts)
    assert "nothing is tested of 'eel'" in text
    assert "would find: none, since a class has no test image" in text


def test_a_hopeless_folder_is_reported_not_refused(tmp_path: Path) -> None:
    draw_classes(tmp_path / "pets", {"cat": 4, "dog": 2, "eel": 3})
    for path in (tmp_path / "pets" / "eel").iterdir():
        path.write_bytes(b"damaged")
    facts = inspect(tmp_path, "pets")
    assert (facts["design"], facts["minimal_detectable_effect"]) == (None, None)
    assert facts["problem"] == "no usable image in eel"
    assert "cannot be studied: no usable image in eel" in render_inspection(facts)
    for path in (tmp_path / "pets" / "eel").iterdir():
        path.unlink()
    (tmp_path / "pets" / "eel").rmdir()
    assert inspect(tmp_path, "pets")["problem"] == "too few usable groups: 'dog' has 2"


def test_everything_damaged(tmp_path: Path) -> None:
    draw_classes(tmp_path / "pets", {"cat": 3, "dog": 3})
    for path in (tmp_path / "pets").rglob("*.png"):
        path.write_bytes(b"")
    facts = inspect(tmp_path, "pets")
    assert facts["problem"] == "no usable image in cat, dog"
    assert "6 images read, 0 usable" in render_inspection(facts)


def test_expected_effect_agrees_with_the_formula() -> None:
    counts = [150, 210, 160]
    se = math.sqrt(sum(0.1 / (9 * n) for n in counts))
    t = stats.t(sum(counts) - 3)
    assert minimal_detectable_effect(counts) == pytest.approx((t.ppf(0.975) + t.ppf(0.8)) * se)
    t = stats.t(9)
    corrected = minimal_detectable_effect(counts, models=10, cross_validated=True, ratio=0.25)
    factor = math.sqrt(0.1 + 0.25) * (t.ppf(0.975) + t.ppf(0.8))
    assert corrected == pytest.approx(factor * se)
    assert minimal_detectable_effect([5, 0]) == math.inf


def test_expected_effect_is_found_in_four_of_five_studies() -> None:
    rng = np.random.default_rng(0)
    n, studies = 400, 4000
    effect = minimal_detectable_effect([n], discordant=0.1)
    better = (0.1 + effect) / 2
    differences = rng.choice([1, -1, 0], size=(studies, n), p=[better, 0.1 - better, 0.9])
    p = stats.ttest_1samp(differences, 0, axis=1).pvalue
    assert np.mean(p < 0.05) == pytest.approx(0.8, abs=0.03)


@pytest.mark.parametrize(("n", "right"), [(8, 4), (30, 15), (50, 41)])
def test_wilson_width(n: int, right: int) -> None:
    low, high = proportion_confint(right, n, method="wilson")
    assert wilson_width(n, share=right / n) == pytest.approx(high - low)


def test_flowers_hold_known_repeats(tmp_path: Path) -> None:
    default = Path(__file__).parents[3] / ".." / "shared" / "data"
    archive = Path(os.environ.get("SYNTHLIFT_TEST_DATA", default)) / "flowers.tar.gz"
    if not archive.is_file():
        pytest.skip(f"the real images are not here: {archive.name} (see SYNTHLIFT_TEST_DATA)")
    shutil.unpack_archive(archive, tmp_path)
    facts = inspect(tmp_path, "flowers")
    assert (facts["read"], facts["usable"]) == (4317, 4307)
    assert (facts["duplicates"], facts["conflicting_labels"]) == (2, 8)
    assert (facts["design"]["letter"], facts["image_size"]["value"]) == ("A", 128)
