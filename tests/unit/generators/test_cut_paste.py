"""Cut-and-paste: blending against its equations, places that hold, images that are looked at."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from synthlift.errors import InputError
from synthlift.generators.cut_paste.blending import blend, poisson, soft
from synthlift.generators.cut_paste.composing import compose, cut, vary
from synthlift.generators.cut_paste.config import CutPasteConfig
from synthlift.generators.cut_paste.generator import CutPasteGenerator
from synthlift.testing.inputs import drawn_inputs
from synthlift.types import FittedGenerator, RunContext, SampleRequest

STILL = {
    "scale": (1.0, 1.0),
    "rotation": (0.0, 0.0),
    "flip": False,
    "gain": (1.0, 1.0),
    "offset": (0.0, 0.0),
    "blur": (0.0, 0.0),
    "noise": (0.0, 0.0),
}


def still(**changes: object) -> CutPasteConfig:
    return CutPasteConfig.model_validate({**STILL, **changes})


def square(side: int = 12, *, start: int = 4, end: int = 8) -> np.ndarray:
    mask = np.zeros((side, side), np.bool_)
    mask[start:end, start:end] = True
    return mask


def fitted(tmp_path: object, **changes: object) -> FittedGenerator:
    config = CutPasteConfig.model_validate(changes)
    run = RunContext(folder=tmp_path, seed=1)  # type: ignore[arg-type]
    return CutPasteGenerator(config).fit(drawn_inputs(), run=run)


def test_a_flat_object_takes_on_a_smooth_background() -> None:
    """Without gradients of its own, the object is the harmonic continuation of what is around."""
    down, right = np.mgrid[:12, :12].astype(np.float64)
    ramp = (3 * down + 7 * right)[:, :, None]
    flat = np.full_like(ramp, 200.0)
    np.testing.assert_allclose(poisson(ramp, flat, square(), mixed=False), ramp, atol=1e-9)


def test_poisson_agrees_with_a_dense_solution() -> None:
    rng = np.random.default_rng(0)
    ground, layer = rng.uniform(0, 255, (2, 7, 7, 1))
    mask = square(7, start=0, end=4)  # touches two borders
    inside = [tuple(p) for p in np.argwhere(mask)]
    matrix, right = np.zeros((len(inside), len(inside))), np.zeros(len(inside))
    for i, (r, c) in enumerate(inside):
        for other in ((r + 1, c), (r - 1, c), (r, c + 1), (r, c - 1)):
            if not (0 <= other[0] < 7 and 0 <= other[1] < 7):
                continue
            matrix[i, i] += 1
            right[i] += layer[r, c, 0] - layer[(*other, 0)]
            if other in inside:
                matrix[i, inside.index(other)] -= 1
            else:
                right[i] += ground[(*other, 0)]
    expected = ground.copy()
    for value, place in zip(np.linalg.solve(matrix, right), inside, strict=True):
        expected[(*place, 0)] = value
    np.testing.assert_allclose(poisson(ground, layer, mask, mixed=False), expected, atol=1e-8)


def test_a_mask_of_the_whole_image_is_the_layer() -> None:
    layer = np.random.default_rng(0).uniform(0, 255, (5, 5, 3))
    ground = np.zeros_like(layer)
    whole = np.ones((5, 5), np.bool_)
    np.testing.assert_allclose(poisson(ground, layer, whole, mixed=False), layer)


def test_mixed_gradients_keep_the_background_under_a_flat_object() -> None:
    ground = np.random.default_rng(0).integers(0, 255, (12, 12, 1), dtype=np.uint8)
    flat = np.full((12, 12, 1), 90.0)
    out = blend(ground, flat, square(), how="mixed", feather=0)
    assert np.array_equal(out, ground)


@pytest.mark.parametrize("how", ["alpha", "poisson", "mixed"])
def test_nothing_outside_the_mask_changes(how: str) -> None:
    rng = np.random.default_rng(1)
    ground = rng.integers(0, 256, (12, 12, 3), dtype=np.uint8)
    layer = rng.uniform(0, 255, (12, 12, 3))
    out = blend(ground, layer, square(), how=how, feather=1.0)  # type: ignore[arg-type]
    assert np.array_equal(out[~square()], ground[~square()])
    assert not np.array_equal(out[square()], ground[square()])


def test_a_soft_edge_lies_within_the_mask() -> None:
    weights = soft(square(12, start=2, end=10), width=2.0)
    assert not weights[~square(12, start=2, end=10)].any()
    assert weights[5, 5] == 1.0
    assert 0 < weights[2, 5] < weights[3, 5] < 1


def test_an_object_that_does_not_vary_arrives_unchanged() -> None:
    rng = np.random.default_rng(2)
    image = rng.integers(0, 256, (12, 12, 1), dtype=np.uint8)
    mask = square()
    pixels, there = vary(cut(image, mask), still(), np.random.default_rng(0))
    assert there.sum() == mask.sum()
    np.testing.assert_allclose(pixels[there], image[mask], atol=1e-6)


def test_a_hairline_survives_being_made_small() -> None:
    mask = np.zeros((32, 32), np.bool_)
    mask[10, 4:28] = True
    image = np.zeros((32, 32, 1), np.uint8)
    config = still(scale=(0.3, 0.3), rotation=(30.0, 30.0))
    _, there = vary(cut(image, mask), config, np.random.default_rng(0))
    assert there.any()


def test_objects_keep_clear_of_what_is_there() -> None:
    image = np.zeros((12, 12, 1), np.uint8)
    occupied = np.zeros((12, 12), np.bool_)
    occupied[:, :6] = True
    cutout = cut(image, square())
    rng = np.random.default_rng(0)
    for _ in range(20):
        made = compose(image, occupied, [cutout], still(tries=200), rng)
        assert made is not None
        assert not (made.mask[occupied] > 0).any()
        assert (made.mask > 0).sum() == 16
    assert compose(image, ~(occupied & ~occupied), [cutout], still(), rng) is None


def test_as_seen_stays_near_where_the_object_was() -> None:
    image = np.zeros((40, 40, 1), np.uint8)
    cutout = cut(image, square(40, start=4, end=8))
    rng = np.random.default_rng(0)
    config = still(place="as_seen", shift=0.05)
    for _ in range(20):
        made = compose(image, np.zeros((40, 40), np.bool_), [cutout], config, rng)
        assert made is not None
        assert abs(np.argwhere(made.mask).mean(axis=0) - 5.5).max() <= 2.5


def test_masks_tell_where_the_image_changed(tmp_path: object) -> None:
    made = fitted(tmp_path, objects=(1, 2))
    (batch,) = made.sample([SampleRequest(index=i, label=1, seed=i) for i in range(8)])
    assert batch.masks is not None
    assert batch.origins is not None
    pictures = {name: row for row, name in enumerate(drawn_inputs().train.ids.tolist())}
    grounds = [pictures[origin.partition(" on ")[2]] for origin in batch.origins]
    before = drawn_inputs().train.pixels(np.array(grounds))
    changed = (batch.pixels != before).any(axis=3)
    assert not changed[batch.masks == 0].any()
    assert changed.any(axis=(1, 2)).all()


def test_a_class_without_objects_gets_none(tmp_path: object) -> None:
    inputs = drawn_inputs()
    assert inputs.masks is not None
    first = np.flatnonzero(inputs.train.labels == 0)
    cleared = inputs.masks.read(np.arange(len(inputs.train)))
    cleared[first] = 0
    inputs = replace(inputs, masks=type(inputs.masks)(cleared, np.arange(len(cleared))))
    run = RunContext(folder=tmp_path, seed=1)  # type: ignore[arg-type]
    made = CutPasteGenerator(CutPasteConfig()).fit(inputs, run=run)
    assert not list(made.sample([SampleRequest(index=0, label=0, seed=1)]))
    assert list(made.sample([SampleRequest(index=0, label=1, seed=1)]))


def test_images_whose_masks_are_lost_are_no_backgrounds(tmp_path: Path) -> None:
    inputs = drawn_inputs()
    assert inputs.masks is not None
    run = RunContext(folder=tmp_path, seed=1)
    # Every second image of each class has no mask, as if it had vanished.
    every = CutPasteGenerator(CutPasteConfig()).fit(inputs, run=run)
    (warning,) = every.facts()["warnings"]
    assert "pasted onto all 24 images whose masks mark nothing" in warning
    kept = inputs.masks.read(np.arange(len(inputs.train)))
    kept[inputs.train.labels == 0] = 0
    free = replace(inputs, masks=type(inputs.masks)(kept, np.arange(len(kept))))
    made = CutPasteGenerator(CutPasteConfig()).fit(free, run=run)
    assert "warnings" not in made.facts()
    grounds = {
        origin.partition(" on ")[2]
        for batch in made.sample([SampleRequest(index=i, label=1, seed=i) for i in range(40)])
        for origin in batch.origins or ()
    }
    assert len(grounds) > 5
    assert grounds <= {*inputs.train.ids[inputs.train.labels == 0].tolist()}


def test_an_object_as_large_as_the_image_keeps_its_size_and_place(tmp_path: object) -> None:
    inputs = drawn_inputs()
    assert inputs.masks is not None
    masks = inputs.masks.read(np.arange(len(inputs.train)))
    masks[inputs.train.labels == 0] = 255
    inputs = replace(inputs, masks=type(inputs.masks)(masks, np.arange(len(masks))))
    run = RunContext(folder=tmp_path, seed=1)  # type: ignore[arg-type]
    requests = [SampleRequest(index=i, label=0, seed=i) for i in range(5)]
    config = CutPasteConfig(backgrounds=("disc",), apart=False, scale=(1.0, 1.25))
    (batch,) = CutPasteGenerator(config).fit(inputs, run=run).sample(requests)
    assert batch.masks is not None
    assert (batch.masks == 255).all()
    larger = CutPasteConfig(backgrounds=("disc",), apart=False, scale=(1.1, 1.25))
    with pytest.raises(InputError, match="find no place"):
        list(CutPasteGenerator(larger).fit(inputs, run=run).sample(requests))


def test_what_fits_nowhere_is_told(tmp_path: object) -> None:
    made = fitted(tmp_path, scale=(9.0, 9.0))
    with pytest.raises(InputError, match="find no place"):
        list(made.sample([SampleRequest(index=0, label=0, seed=1)]))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"backgrounds": ("dsic",)}, "disc"),
        ({"backgrounds": ("never_seen",)}, "paste onto"),
    ],
)
def test_backgrounds_that_are_not_there(
    tmp_path: object, changes: dict[str, object], says: str
) -> None:
    with pytest.raises(InputError, match=says):
        fitted(tmp_path, **changes)


def test_no_masks_and_no_objects(tmp_path: object) -> None:
    run = RunContext(folder=tmp_path, seed=1)  # type: ignore[arg-type]
    inputs = drawn_inputs()
    with pytest.raises(InputError, match="no masks"):
        CutPasteGenerator(CutPasteConfig()).fit(replace(inputs, masks=None), run=run)
    assert inputs.masks is not None
    empty = type(inputs.masks)(np.zeros((48, 8, 8, 1), np.uint8), np.arange(48))
    with pytest.raises(InputError, match="shows an object"):
        CutPasteGenerator(CutPasteConfig()).fit(replace(inputs, masks=empty), run=run)
