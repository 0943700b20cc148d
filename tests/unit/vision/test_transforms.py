from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import Tensor

from synthlift.spec.arms import Augmentation
from synthlift.types import ImageSet, UInt8
from synthlift.vision.transforms import COLUMNS, Draws, augment, flip_keeps_class, mix
from tests.unit.counted import counted

STRENGTHS: tuple[Augmentation, ...] = ("light", "medium", "strong")


def _digits() -> tuple[UInt8, np.ndarray]:
    images, labels = load_digits(return_X_y=True)
    return np.clip(images.reshape(-1, 8, 8, 1) * 16, 0, 255).astype(np.uint8), labels


def _images(count: int = 6, channels: int = 3, side: int = 20) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.rand(count, channels, side, side, generator=generator)


def _neutral(count: int) -> Tensor:
    """Draws that change nothing: no shift, turn, scaling, cut-out or mixing."""
    draws = torch.full((count, COLUMNS), 0.5)
    draws[:, 8] = 0.999
    draws[:, 11] = 0.999
    return draws


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("strength", STRENGTHS)
def test_keeps_shape_and_range(strength: Augmentation, channels: int) -> None:
    images = _images(40, channels)
    changed = augment(images, Draws(3).take(0, 40), strength=strength, flip=True)
    assert changed.shape == images.shape
    assert changed.min() >= 0
    assert changed.max() <= 1
    assert not torch.equal(changed, images)


def test_none_and_neutral_draws_change_nothing() -> None:
    images = _images()
    assert augment(images, Draws(3).take(0, 6), strength="none") is images
    for strength in STRENGTHS:
        torch.testing.assert_close(augment(images, _neutral(6), strength=strength), images)


def test_an_images_augmentation_depends_on_its_own_draws_alone() -> None:
    images, draws = _images(8), Draws(7).take(100, 8)
    for strength in STRENGTHS:
        together = augment(images, draws, strength=strength, flip=True)
        alone = augment(images[3:4], draws[3:4], strength=strength, flip=True)
        torch.testing.assert_close(alone, together[3:4])


def test_draws_are_a_table_that_can_be_read_anywhere() -> None:
    whole = Draws(5).take(0, 9000)
    assert torch.equal(Draws(5).take(4090, 20), whole[4090:4110])
    assert not torch.equal(Draws(6).take(0, 10), whole[:10])
    assert whole.min() >= 0
    assert whole.max() < 1
    assert whole.mean().item() == pytest.approx(0.5, abs=0.01)


def test_light_shifts_whole_pixels_and_repeats_the_edge() -> None:
    images, draws = _images(1, 1, 8), _neutral(1)
    draws[:, 0] = 0.99
    shifted = augment(images, draws, strength="light")
    torch.testing.assert_close(shifted[..., :-1], images[..., 1:])
    torch.testing.assert_close(shifted[..., -1], images[..., -1])


def test_flip_mirrors_exactly_where_the_draw_says_so() -> None:
    images, draws = _images(2), _neutral(2)
    draws[0, 4] = 0.1
    flipped = augment(images, draws, strength="medium", flip=True)
    torch.testing.assert_close(flipped[0], images[0].flip(-1))
    torch.testing.assert_close(flipped[1], images[1])


def test_cut_out_replaces_a_square_of_the_stated_size() -> None:
    images, draws = _images(1), _neutral(1)
    draws[:, 8] = 0.1
    cut = augment(images, draws, strength="medium")
    changed = ((cut - images).abs() > 1e-4).any(dim=1)[0]
    assert changed.sum() == 4**2 or changed.sum() == 5**2
    assert changed[10, 10]
    filling = images.mean().expand(3, int(changed.sum()))
    torch.testing.assert_close(cut[0][:, changed], filling)


@pytest.mark.parametrize(("column", "weight"), [(0.1, 0.3), (0.4, 0.3)])
def test_mixing_weighs_targets_by_what_is_visible(column: float, weight: float) -> None:
    black_white = torch.stack([torch.zeros(1, 20, 20), torch.ones(1, 20, 20)])
    targets, draws = torch.eye(2), _neutral(2)
    draws[:, 11], draws[:, 12] = column, weight
    images, mixed = mix(black_white, targets, draws, strength="strong")
    visible = images.mean(dim=(1, 2, 3))
    torch.testing.assert_close(visible, mixed[:, 1])
    torch.testing.assert_close(mixed.sum(dim=1), torch.ones(2))
    # A pasted square has whole pixels: its area meets λ up to about a row.
    assert mixed[0, 0].item() == pytest.approx(weight, abs=0.08)
    same, labels = mix(black_white, targets, draws, strength="medium")
    assert same is black_white
    assert labels is targets


def _arrows(count: int) -> ImageSet:
    """Arrows to the left and to the right: only the flip tells them apart."""
    random, pixels, labels = np.random.default_rng(0), [], []
    for index in range(count):
        image = random.integers(0, 40, (16, 16)).astype(np.uint8)
        row = int(random.integers(5, 11))
        image[row, 3:13] = 220
        tip = 12 if index % 2 else 3
        for step in range(1, 4):
            column = tip - step if index % 2 else tip + step
            image[row - step, column] = image[row + step, column] = 220
        pixels.append(image[..., None])
        labels.append(index % 2)
    return ImageSet.from_arrays(np.stack(pixels), labels, ("left", "right"))


def _blobs(count: int) -> ImageSet:
    """Discs and rings anywhere: a flip keeps both."""
    random, pixels = np.random.default_rng(0), []
    rows, columns = np.mgrid[:16, :16]
    for index in range(count):
        centre = random.uniform(6, 10, 2)
        distance = np.hypot(rows - centre[0], columns - centre[1])
        inside = distance < 5 if index % 2 else (distance < 5) & (distance > 3)
        noise = random.integers(0, 40, (16, 16))
        pixels.append((noise + 200 * inside).astype(np.uint8)[..., None])
    return ImageSet.from_arrays(np.stack(pixels), np.arange(count) % 2, ("ring", "disc"))


def test_flips_are_judged_alike_however_few_images_are_read_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    images, rows = counted(_blobs(80))
    expected = flip_keeps_class(images)
    rows.asked.clear()
    monkeypatch.setattr("synthlift.rows.BLOCK_BYTES", 7 * 16 * 16)
    assert flip_keeps_class(images) == expected
    assert max(rows.asked) == 7


def test_flips_change_digits_and_arrows() -> None:
    pixels, labels = _digits()
    digits = ImageSet.from_arrays(pixels[:400], labels[:400], [str(k) for k in range(10)])
    keeps, reason = flip_keeps_class(digits)
    assert not keeps
    assert reason.startswith("flips change the class of")
    keeps, reason = flip_keeps_class(_arrows(80))
    assert not keeps
    assert "left, right" in reason


def test_flips_keep_discs_and_rings() -> None:
    keeps, reason = flip_keeps_class(_blobs(400))
    assert keeps, reason


def test_flips_are_not_allowed_where_nothing_can_be_told() -> None:
    random = np.random.default_rng(0)
    noise = random.integers(0, 256, (60, 8, 8, 1)).astype(np.uint8)
    keeps, reason = flip_keeps_class(ImageSet.from_arrays(noise, np.arange(60) % 3, list("abc")))
    assert (keeps, reason[:17]) == (False, "nearest neighbour")
    few = ImageSet.from_arrays(noise[:4], [0, 0, 1, 1], list("ab"))
    assert flip_keeps_class(few) == (False, "too few training images to test flips")
