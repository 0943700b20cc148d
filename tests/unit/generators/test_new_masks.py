"""Chained translation: masks are drawn by another generator, then translated."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from synthlift.generators.translation.config import TranslationConfig
from synthlift.generators.translation.fitted import TranslationFitted
from synthlift.registry import descriptor
from synthlift.types import FitInputs, GuardedPixels, ImageBatch, ImageSet, InputsGenerator, UInt8
from tests.unit.generators.one_pass import inputs_of
from tests.unit.generators.translating import TINY, fit, origins_of, requests_of

CLASSES = ("disc", "bar", "plain")
SIDE = 16
VAE = {"kind": "vae", "steps": 40, "batch_size": 16, "readings": 0}


def drawn(count: int, *, seed: int = 0) -> tuple[ImageSet, UInt8]:
    """Dark flaws on light grounds with their masks; images of class 'plain' have none."""
    rng = np.random.default_rng(seed)
    down, right = np.mgrid[:SIDE, :SIDE]
    pixels, masks = [], []
    for row in range(count):
        y, x, size = rng.integers(5, SIDE - 5), rng.integers(5, SIDE - 5), rng.uniform(2, 4)
        inside = {
            0: (down - y) ** 2 + (right - x) ** 2 < size**2,
            1: abs(down - y) < size / 2,
            2: np.zeros((SIDE, SIDE), np.bool_),
        }[row % 3]
        ground = rng.normal(200, 8, (SIDE, SIDE))
        pixels.append(np.where(inside, ground - 140, ground).clip(0, 255)[..., None])
        masks.append(inside[..., None])
    images = ImageSet.from_arrays(
        np.array(pixels, np.uint8),
        np.arange(count) % 3,
        CLASSES,
        ids=[f"{row:03}.png" for row in range(count)],
    )
    return images, np.array(masks, np.uint8)


def inputs(count: int = 96) -> tuple[FitInputs, UInt8]:
    images, masks = drawn(count)
    kept = GuardedPixels(masks, np.arange(count))
    return replace(inputs_of(images), masks=kept), masks


@pytest.fixture(scope="module")
def chained(tmp_path_factory: pytest.TempPathFactory) -> TranslationFitted:
    settings = {"steps": 80, "batch_size": 16, "readings": 0, "masks": VAE}
    folder = tmp_path_factory.mktemp("fit")
    return fit(folder, inputs()[0], source="masks", **settings)


def of(fitted: TranslationFitted, label: int, count: int) -> tuple[UInt8, UInt8]:
    batches: list[ImageBatch] = list(fitted.sample(requests_of(label, count)))
    masks = [batch.masks for batch in batches if batch.masks is not None]
    return np.concatenate([batch.pixels for batch in batches])[..., 0], np.concatenate(masks)


def test_masks_are_new_and_like_those_of_their_class(chained: TranslationFitted) -> None:
    _, real = inputs()
    labels = np.arange(len(real)) % 3
    known = {(mask[..., 0] * 255).tobytes() for mask in real}
    for label in (0, 1):
        _, masks = of(chained, label, 24)
        assert set(np.unique(masks)) == {0, 255}
        assert len({mask.tobytes() for mask in masks} - known) >= 12
        areas = (masks > 0).sum(axis=(1, 2))
        theirs = real[labels == label].sum(axis=(1, 2, 3))
        assert areas.min() >= theirs.min()
        assert areas.max() <= theirs.max()
    # A bar reaches from side to side, a disc does not.
    width = [(of(chained, label, 24)[1] > 0).any(axis=1).mean() for label in (0, 1)]
    assert width[1] > width[0] + 0.2


def test_the_flaw_is_where_the_new_mask_says(chained: TranslationFitted) -> None:
    overlaps = []
    for label in (0, 1):
        pixels, masks = of(chained, label, 24)
        dark, marked = pixels < 130, masks > 0
        union = (dark | marked).sum(axis=(1, 2))
        overlaps.append((dark & marked).sum(axis=(1, 2)) / np.maximum(union, 1))
    assert np.mean(overlaps) > 0.6


def test_provenance_says_both_and_new_masks_do_not_run_out(chained: TranslationFitted) -> None:
    assert origins_of(chained, requests_of(0, 3)) == ["new mask drawn by vae"] * 3
    assert chained.stock()["bar"] < 400
    assert sum(len(b) for b in chained.sample(requests_of(1, 400)[-5:])) == 5
    assert not list(chained.sample(requests_of(2, 4)))
    masks = chained.facts()["config"]["masks"]
    assert masks["steps"] == 40
    assert masks["identity"] == descriptor("generators", "vae").identity()


def test_where_memory_is_short_masks_are_drawn_in_smaller_chunks_too(
    chained: TranslationFitted, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two at a time is all that this memory holds, of either network."""
    run = nn.Module.__call__

    def small(module: nn.Module, *given: Any, **named: Any) -> Any:
        if any(isinstance(one, Tensor) and one.ndim > 1 and len(one) > 2 for one in given):
            raise torch.OutOfMemoryError("CUDA out of memory")
        return run(module, *given, **named)

    monkeypatch.setattr(nn.Module, "__call__", small)
    with pytest.raises(torch.OutOfMemoryError):
        list(chained.sample(requests_of(0, 4)))
    batches = list(chained.with_micro_batch(2).sample(requests_of(0, 4)))
    assert [len(batch) for batch in batches] == [2, 2]


def test_a_request_gives_the_same_image_and_mask_in_any_batch(
    chained: TranslationFitted, tmp_path: Path
) -> None:
    given, _ = inputs()
    pixels, masks = of(chained, 0, 12)
    (alone,) = chained.sample(requests_of(0, 12)[7:8])
    assert alone.masks is not None
    assert np.array_equal(alone.pixels[0, :, :, 0], pixels[7])
    assert np.array_equal(alone.masks[0], masks[7])
    chained.save(tmp_path)
    found = descriptor("generators", "translation")
    generator = found.build(TranslationConfig(source="masks"))
    assert isinstance(generator, InputsGenerator)
    again = generator.reload(tmp_path, inputs=given)
    assert isinstance(again, TranslationFitted)
    assert np.array_equal(of(again, 0, 12)[0], pixels)
    assert np.array_equal(of(again, 0, 12)[1], masks)


def test_a_drawing_that_marks_nothing_is_marked_where_it_is_lightest(tmp_path: Path) -> None:
    """An untrained generator draws grey; its masks still have an area that masks may have."""
    given, real = inputs(24)
    settings = {**TINY, "readings": 0, "masks": {**VAE, "steps": 1}}
    _, masks = of(fit(tmp_path, given, source="masks", **settings), 0, 8)
    areas, theirs = (masks > 0).sum(axis=(1, 2)), real[::3].sum(axis=(1, 2, 3))
    assert theirs.min() <= areas.min()
    assert areas.max() <= theirs.max()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"source": "./x", "masks": {"kind": "vae"}}, "needs source: masks"),
        ({"source": "masks", "masks": {"steps": 5}}, "without a kind"),
        ({"source": "masks", "masks": {"kind": "cut_paste"}}, "'masks' of kind 'cut_paste'"),
        ({"source": "masks", "masks": {"kind": "vaee"}}, "vae"),
        ({"source": "masks", "masks": {"kind": "vae", "stepps": 5}}, "'stepps' under 'masks'"),
    ],
)
def test_what_cannot_draw_masks_is_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        TranslationConfig.model_validate(settings)
