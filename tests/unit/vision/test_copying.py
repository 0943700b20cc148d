from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from scipy.stats import mannwhitneyu
from sklearn.datasets import load_digits

from synthlift.types import Encoder, Float32, ImageBatch, ImageSet, UInt8
from synthlift.vision import copying, features, neighbours
from synthlift.vision.copying import (
    CopyingMonitor,
    CopyingReference,
    StoredImages,
    approach,
    blur,
    copying_reference,
    is_copy,
    measure_copying,
)
from synthlift.vision.copying_statistics import c_t, mann_whitney_z, matched_cells, median_ratio
from synthlift.vision.encoders import CallableEncoder, RandomConvolutions
from synthlift.vision.features import some_rows
from tests.unit.counted import counted

CLASSES = tuple("0123456789")


def _flat(pixels: UInt8) -> Float32:
    return pixels.reshape(len(pixels), -1).astype(np.float32)


PIXELS = CallableEncoder("pixels", _flat)


def _points(values: list[int], labels: list[int]) -> ImageSet:
    pixels = np.array(values, dtype=np.uint8).reshape(-1, 1, 1, 1)
    return ImageSet.from_arrays(pixels, labels, CLASSES, ids=[f"t{v}" for v in values])


@pytest.fixture(scope="module")
def digits() -> tuple[ImageSet, ImageSet, ImageSet]:
    found = load_digits()
    pixels = (found.images * 15).astype(np.uint8)[..., np.newaxis]
    every = ImageSet.from_arrays(pixels, found.target, CLASSES)
    order = np.random.default_rng(0).permutation(len(every))
    return every.subset(order[:500]), every.subset(order[500:1000]), every.subset(order[1000:])


def _reference(digits: tuple[ImageSet, ImageSet, ImageSet], encoder: Encoder) -> CopyingReference:
    return copying_reference(digits[0], held_out=digits[1], encoder=encoder)


def _batch(images: ImageSet) -> ImageBatch:
    return ImageBatch(images.pixels(), images.labels)


def test_ratio_of_a_case_done_by_hand() -> None:
    train = _points([0, 100, 200], [0, 0, 1])
    # Nearest distances: held out 10, 20, 30 → median 20; generated 5, 5, 40 → median 5.
    held_out = _points([10, 120, 230], [0, 0, 1])
    generated = ImageBatch(_points([5, 105, 240], [0, 0, 1]).pixels(), np.array([0, 0, 1]))
    reference = copying_reference(train, held_out=held_out, encoder=PIXELS)
    result = measure_copying(reference, generated=generated, classes=CLASSES)
    assert result.ratio == 5 / 20
    assert result.cells == {"": (0.25, 3)}
    assert result.queries == 3
    # Spacing within train is 100 throughout: 40 away or less is never authentic.
    assert result.authenticity == 0
    assert result.held_out_authenticity == 0


def test_approach_and_spacing_agree_with_all_pairs(
    digits: tuple[ImageSet, ImageSet, ImageSet],
) -> None:
    train, _, fresh = digits
    reference = _reference(digits, PIXELS)
    near = approach(reference, pixels=fresh.pixels())
    every = np.sort(cdist(_flat(fresh.pixels()), _flat(train.pixels())), axis=1)
    np.testing.assert_allclose(near.first, every[:, 0], rtol=1e-6)
    np.testing.assert_allclose(near.relative, every[:, 0] / every[:, 1], rtol=1e-6)
    inside = np.sort(cdist(_flat(train.pixels()), _flat(train.pixels())), axis=1)[:, 1]
    spacing = reference.spacing[np.arange(len(train))]
    np.testing.assert_allclose(spacing, inside, rtol=1e-6)
    rows = cdist(_flat(fresh.pixels()), _flat(train.pixels())).argmin(axis=1)
    result = measure_copying(reference, generated=_batch(fresh), classes=CLASSES)
    assert result.authenticity == pytest.approx((every[:, 0] > inside[rows]).mean())


def test_rank_statistic_agrees_with_scipy_ties_included() -> None:
    rng = np.random.default_rng(3)
    mine, theirs = rng.integers(0, 20, 30).astype(float), rng.integers(3, 25, 44).astype(float)
    u = mannwhitneyu(mine, theirs).statistic
    expected = (u - 30 * 44 / 2) / np.sqrt(30 * 44 * 75 / 12)
    assert mann_whitney_z(mine, theirs) == pytest.approx(expected)
    assert c_t([(mine, theirs), (mine, theirs[:4])]) == pytest.approx(
        (44 * expected + 4 * mann_whitney_z(mine, theirs[:4])) / 48
    )
    assert np.isnan(c_t([]))


def test_median_ratio_without_a_scale() -> None:
    zero, one = np.zeros(3), np.ones(3)
    assert median_ratio(one, zero) == float("inf")
    assert median_ratio(zero, zero) == 1
    assert np.isnan(median_ratio(one, zero[:0]))


def test_cells_are_matched_and_small_classes_pooled() -> None:
    held_out = np.repeat([0, 1, 2], [30, 5, 2])
    generated = np.repeat([0, 1, 2, 3], [25, 9, 1, 8])
    cells = matched_cells(generated, held_out=held_out, seed=0)
    assert sorted(cells) == [-1, 0]
    for mine, theirs in cells.values():
        np.testing.assert_array_equal(generated[mine], held_out[theirs])
    assert [len(cells[0][0]), len(cells[-1][0])] == [25, 6]


@pytest.mark.parametrize("encoder", [PIXELS, RandomConvolutions()], ids=lambda e: e.name)
def test_new_real_images_raise_no_alarm(
    encoder: Encoder, digits: tuple[ImageSet, ImageSet, ImageSet]
) -> None:
    reference, fresh = _reference(digits, encoder), _batch(digits[2])
    result = measure_copying(reference, generated=fresh, classes=CLASSES)
    assert result.ratio == pytest.approx(1, abs=0.08)
    assert abs(result.c_t) < 3
    assert result.copies <= 0.03
    assert result.authenticity == pytest.approx(result.held_out_authenticity, abs=0.06)
    assert CopyingMonitor(reference, classes=CLASSES, at_least=0.9)(1, fresh).acceptable


@pytest.mark.parametrize("encoder", [PIXELS, RandomConvolutions()], ids=lambda e: e.name)
def test_planted_copies_are_found(
    encoder: Encoder, digits: tuple[ImageSet, ImageSet, ImageSet]
) -> None:
    train = digits[0]
    reference = _reference(digits, encoder)
    noise = np.random.default_rng(0).normal(0, 5, train.pixels().shape)
    copies = np.clip(train.pixels() + noise, 0, 255).astype(np.uint8)
    near = approach(reference, pixels=copies)
    assert is_copy(reference, near=near).mean() > 0.97
    assert (near.rows == np.arange(len(train))).mean() > 0.99
    batch = ImageBatch(copies, train.labels)
    result = measure_copying(reference, generated=batch, classes=CLASSES)
    assert result.ratio < 0.5
    assert result.c_t < -3
    assert result.authenticity < 0.05
    assert not CopyingMonitor(reference, classes=CLASSES)(1, batch).acceptable


def test_some_copies_among_fresh_images_are_refused_though_the_median_is_not_low(
    digits: tuple[ImageSet, ImageSet, ImageSet],
) -> None:
    reference, fresh = _reference(digits, PIXELS), _batch(digits[2])
    pixels = np.concatenate([fresh.pixels[:400], digits[0].pixels(np.arange(60))])
    labels = np.concatenate([fresh.labels[:400], digits[0].labels[:60]])
    reading = CopyingMonitor(reference, classes=CLASSES, at_least=0.0)(
        1, ImageBatch(pixels, labels)
    )
    assert reading.value > 0.8
    assert reading.detail["copies"] > 0.1
    assert not reading.acceptable


def test_controls_show_what_blur_and_noise_do_alone(
    digits: tuple[ImageSet, ImageSet, ImageSet],
) -> None:
    reference = _reference(digits, PIXELS)
    result = measure_copying(reference, generated=_batch(digits[2]), classes=CLASSES)
    assert set(result.controls) == {"blurred", "noised"}
    assert result.controls["noised"] > 1


def test_blur_keeps_flat_images_and_spreads_a_point() -> None:
    flat = np.full((1, 4, 5, 3), 77, dtype=np.uint8)
    np.testing.assert_array_equal(blur(flat), flat)
    point = np.zeros((1, 3, 3, 1), dtype=np.uint8)
    point[0, 1, 1] = 160
    expected = [[10, 20, 10], [20, 40, 20], [10, 20, 10]]
    np.testing.assert_array_equal(blur(point)[0, :, :, 0], expected)


def test_classes_without_held_out_images_are_counted_and_do_not_break() -> None:
    train, held_out = _points([0, 100, 200], [0, 0, 1]), _points([10], [0])
    generated = ImageBatch(_points([50], [1]).pixels(), np.array([1]))
    reference = copying_reference(train, held_out=held_out, encoder=PIXELS)
    result = measure_copying(reference, generated=generated, classes=CLASSES)
    assert result.unmatched == 1
    assert np.isnan(result.ratio)
    assert CopyingMonitor(reference, classes=CLASSES)(0, generated).acceptable


def _few(
    digits: tuple[ImageSet, ImageSet, ImageSet], most: int, patch: pytest.MonkeyPatch
) -> CopyingReference:
    patch.setattr(copying, "MOST_HELD_OUT", most)
    return copying_reference(digits[0], held_out=digits[1], encoder=PIXELS, seed=4)


def test_of_many_held_out_images_some_are_drawn_by_seed_and_results_say_so(
    digits: tuple[ImageSet, ImageSet, ImageSet], monkeypatch: pytest.MonkeyPatch
) -> None:
    fresh = _batch(digits[2])
    first, again = _few(digits, 200, monkeypatch), _few(digits, 200, monkeypatch)
    np.testing.assert_array_equal(first.held_out.first, again.held_out.first)
    assert {len(control.first) for control in first.controls.values()} == {200}
    every = _few(digits, 500, monkeypatch)
    rows = some_rows(500, 200, 4, "held_out")
    np.testing.assert_array_equal(first.held_out.first, every.held_out.first[rows])
    np.testing.assert_array_equal(first.labels, every.labels[rows])
    some = measure_copying(first, generated=fresh, classes=CLASSES)
    assert (some.training, some.held_out, some.held_out_given) == (500, 200, 500)
    whole = measure_copying(every, generated=fresh, classes=CLASSES)
    assert (whole.training, whole.held_out, whole.held_out_given) == (500, 500, 500)
    assert some.ratio == pytest.approx(whole.ratio, abs=0.1)


def test_a_copy_is_found_though_most_held_out_images_are_left_out(
    digits: tuple[ImageSet, ImageSet, ImageSet], monkeypatch: pytest.MonkeyPatch
) -> None:
    train = digits[0]
    near = approach(_few(digits, 20, monkeypatch), pixels=train.pixels())
    np.testing.assert_array_equal(near.first, 0)


def test_images_are_read_little_by_little_and_measured_alike(
    digits: tuple[ImageSet, ImageSet, ImageSet],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    encoder = RandomConvolutions()
    train, held_out, fresh = digits
    reference = copying_reference(train, held_out=held_out, encoder=encoder)
    expected = measure_copying(reference, generated=_batch(fresh), classes=CLASSES)
    monkeypatch.setattr(features, "IN_MEMORY_BYTES", 0)
    monkeypatch.setattr(neighbours, "BLOCK_BYTES", 2**20)
    monkeypatch.setattr(copying, "QUERIES", 128)
    (train, trained), (held_out, held), (fresh, made) = map(counted, digits)
    reference = copying_reference(train, held_out=held_out, encoder=encoder, folder=tmp_path)
    stored = StoredImages(fresh.source, fresh.labels)
    assert measure_copying(reference, generated=stored, classes=CLASSES) == expected
    assert max(trained.asked + held.asked + made.asked) == features.TOGETHER
    assert (sum(trained.asked), sum(held.asked), sum(made.asked)) == (500, 1500, len(fresh))
