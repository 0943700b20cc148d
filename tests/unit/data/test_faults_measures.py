from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthlift.data.faults.outliers import class_outliers, oddities, robust_z
from synthlift.data.faults.shortcuts import find_shortcuts, nuisances
from synthlift.data.faults.spread import (
    Measures,
    bin_words,
    colour_word,
    derive,
    lab,
    measure,
    skin_tone,
    skin_tone_angle,
)
from synthlift.types import UInt8


def plain(colour: tuple[int, ...], *, height: int = 20, width: int = 30) -> UInt8:
    return np.full((height, width, len(colour)), colour, dtype=np.uint8)


# ── spread ────────────────────────────────────────────────────────────────────────────────────


def test_measures_of_drawn_images() -> None:
    assert measure(plain((100,))) == Measures(100, 0, 0)
    assert measure(plain((255, 0, 0))).brightness == pytest.approx(0.299 * 255, abs=1e-3)
    checks = (np.indices((20, 20)).sum(axis=0) % 2 * 200).astype(np.uint8)[..., None]
    found = measure(checks)
    assert (found.brightness, found.contrast) == (100, 100)
    assert found.sharpness == pytest.approx(800)
    half = np.kron(checks[:10, :10, 0], np.ones((2, 2))).astype(np.uint8)[..., None]
    assert measure(half).sharpness < found.sharpness
    assert measure(plain((7,), height=2, width=1)).sharpness == 0


def test_lab_agrees_with_known_colours() -> None:
    # Lindbloom's calculator, sRGB and D65.
    found = lab(np.array([[255, 255, 255], [0, 0, 0], [255, 0, 0], [0, 0, 255]]))
    assert found == pytest.approx(
        np.array([[100, 0, 0], [0, 0, 0], [53.24, 80.09, 67.20], [32.30, 79.19, -107.86]]),
        abs=0.02,
    )


@pytest.mark.parametrize(
    ("angle", "word"),
    [
        (90, "very light"),
        (55.1, "very light"),
        (55, "light"),
        (41, "intermediate"),
        (28, "tan"),
        (10, "brown"),
        (-30, "dark"),
        (-80, "dark"),
    ],
)
def test_skin_tones_have_the_published_borders(angle: float, word: str) -> None:
    assert skin_tone(angle) == word


def test_skin_is_taken_around_the_lesion() -> None:
    skin, lesion = (224, 190, 170), (90, 50, 40)
    image = plain(skin, height=40, width=40)
    image[10:30, 10:30] = lesion
    image[:4] = 0
    lightness, _, yellow = lab(np.array(skin))
    expected = math.degrees(math.atan2(lightness - 50, yellow))
    assert skin_tone_angle(image) == pytest.approx(expected)
    assert derive(image, "skin_tone") == "very light"
    mask = np.ones((40, 40), np.uint8)
    mask[15:25, 15:25] = 0
    assert derive(image, "skin_tone", mask=mask) == "dark"
    assert derive(plain((120,)), "skin_tone") == ""
    assert derive(plain((120, 120, 120)), "skin_tone") == ""
    assert derive(plain((20, 10, 10)), "skin_tone") == ""


@pytest.mark.parametrize(
    ("colour", "word"),
    [
        ((250, 250, 250), "white"),
        ((10,), "black"),
        ((120,), "grey"),
        ((220, 30, 30), "red"),
        ((30, 120, 40), "green"),
        ((40, 90, 210), "blue"),
        ((100, 60, 30), "brown"),
    ],
)
def test_backgrounds_have_names(colour: tuple[int, ...], word: str) -> None:
    image = plain(colour)
    image[5:15, 5:25] = 255 - np.array(colour)
    assert derive(image, "background") == word == colour_word(np.array(colour, np.uint8))


def test_sizes_and_unknown_names() -> None:
    assert derive(plain((1,), height=20, width=30), "size") == 20
    assert derive(plain((1,)), "brightness") == 1
    with pytest.raises(AssertionError, match="sharpnes"):
        derive(plain((1,)), "sharpnes")


@given(st.lists(st.floats(0, 255), min_size=1, max_size=60))
def test_bins_are_ordered_thirds(values: list[float]) -> None:
    words = bin_words(values, "brightness")
    places = [("dark", "medium", "bright").index(word) for word in words]
    order = np.argsort(values, kind="stable")
    assert np.all(np.diff(np.array(places)[order]) >= 0)
    if len(set(values)) == 1:
        assert set(words) == {"medium"}
    if len(set(values)) == len(values) >= 9:
        assert min(words.count(word) for word in ("dark", "medium", "bright")) >= len(values) // 4


def test_equal_values_are_in_the_third_of_their_middle() -> None:
    words = bin_words([256] * 2 + [512] * 6 + [1024] * 2, "size")
    assert words == ["small"] * 2 + ["medium"] * 6 + ["large"] * 2
    assert bin_words([28] * 5 + [32] * 5, "size") == ["small"] * 5 + ["large"] * 5
    assert bin_words([28] * 9 + [32], "size") == ["medium"] * 9 + ["large"]


def test_words_stay_words() -> None:
    assert bin_words(["tan", "", "dark"], "skin_tone") == ["tan", "", "dark"]
    assert bin_words([], "size") == []
    assert bin_words([1, 2, 3], "sharpness") == ["blurred", "medium", "sharp"]


# ── outliers ──────────────────────────────────────────────────────────────────────────────────


def test_an_image_far_from_its_class_is_found() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(200, 5)).astype(np.float32)
    labels = np.repeat([0, 1], 100)
    features[labels == 1] += 30
    features[3] += 30
    features[150, 0] += 25
    found = class_outliers(features, labels=labels)
    assert {outlier.row for outlier in found} == {3, 150}
    assert found[0].row == 3
    assert class_outliers(features[:9], labels=labels[:9]) == []


def test_same_images_are_no_outliers() -> None:
    assert class_outliers(np.ones((30, 4), np.float32), labels=np.zeros(30, np.int64)) == []
    assert robust_z(np.array([1.0, 1.0, 1.0, 5.0])).tolist() == [0, 0, 0, 0]


def test_blank_dark_bright_and_blurred_images_are_named() -> None:
    rng = np.random.default_rng(0)
    usual = [Measures(120 + rng.normal(), 40 + rng.normal(), 60 + rng.normal()) for _ in range(60)]
    odd = [
        Measures(90, 0.5, 0.3),
        Measures(5, 6, 9),
        Measures(250, 8, 12),
        Measures(120, 40, 6),
    ]
    found = oddities(usual + odd)
    assert [(o.row, o.kind) for o in found] == [
        (60, "blank"),
        (61, "very dark"),
        (62, "very bright"),
        (63, "blurred"),
    ]
    assert found[0].detail == "one grey level, 90 of 255"
    assert oddities([]) == []


# ── shortcuts ─────────────────────────────────────────────────────────────────────────────────


def test_a_shortcut_is_told_from_an_honest_nuisance() -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(300) % 3
    table = {
        "file_size": rng.normal(size=300),
        "border_colour": np.stack([labels + rng.normal(0, 0.2, 300), rng.normal(size=300)], axis=1),
        "resolution": np.full(300, 32.0),
    }
    found = find_shortcuts(table, labels=labels, groups=[str(i) for i in range(300)])
    assert [shortcut.name for shortcut in found] == ["border_colour", "file_size"]
    border, size = found
    assert border.p_value == 1 / 200
    assert border.balanced_accuracy > 0.85
    assert border.words == (
        "the class can be told from the border colour alone in "
        f"{100 * border.balanced_accuracy:.0f} % of images (chance 33 %)"
    )
    assert size.p_value > 0.05
    assert size.words.startswith("the class cannot be told from the size of the file (")


def test_a_group_is_not_asked_about_itself() -> None:
    rng = np.random.default_rng(0)
    label = rng.integers(0, 2, 60)
    groups = np.repeat(np.arange(60), 20)
    camera = np.repeat(rng.normal(size=60), 20) + rng.normal(0, 1e-3, 1200)
    (found,) = find_shortcuts(
        {"mean_colour": camera}, labels=label[groups], groups=groups.astype(str).tolist()
    )
    assert found.groups == 60
    assert found.p_value > 0.05


def test_p_values_are_uniform_without_any_shortcut() -> None:
    rng = np.random.default_rng(1)
    p = [
        find_shortcuts(
            {"aspect": rng.normal(size=80)},
            labels=rng.integers(0, 2, 80),
            groups=[str(i) for i in range(80)],
            seed=trial,
            permutations=39,
        )[0].p_value
        for trial in range(150)
    ]
    assert np.mean(np.array(p) <= 0.1) == pytest.approx(0.1, abs=0.06)
    assert np.mean(p) == pytest.approx(0.5, abs=0.08)


def test_ties_do_not_leak_the_order_of_rows() -> None:
    labels = np.repeat([0, 1], 100)
    table = {"resolution": np.tile([32.0, 64.0], 100)}
    (found,) = find_shortcuts(table, labels=labels, groups=[str(i) for i in range(200)])
    assert found.p_value > 0.05


def test_too_little_to_tell() -> None:
    values = {"aspect": np.arange(10.0)}
    names = [str(i) for i in range(10)]
    assert find_shortcuts(values, labels=np.arange(10) % 2, groups=names) == []
    many = {"aspect": np.arange(40.0)}
    names = [str(i) for i in range(40)]
    assert find_shortcuts(many, labels=np.zeros(40, np.int64), groups=names) == []


def test_nuisances_of_an_image() -> None:
    image = plain((10, 20, 30), height=10, width=20)
    image[1:-1, 1:-1] = 110
    found = nuisances(image, file_size=123)
    assert found["file_size"] == (123.0,)
    assert found["resolution"] == (20.0, 10.0)
    assert found["aspect"] == (2.0,)
    assert found["border_colour"] == (10.0, 20.0, 30.0)
    assert found["mean_colour"][0] == pytest.approx((10 * 56 + 110 * 144) / 200)
    assert "file_size" not in nuisances(plain((5,)))
    assert nuisances(plain((5,)))["mean_colour"] == (5.0, 5.0, 5.0)
