"""Images that are changed in few steps, and objects that are thin: what is said of both is so."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.ndimage import binary_dilation

from synthlift.generators.image_to_image.areas import repainted, shown
from synthlift.generators.image_to_image.config import ImageToImageConfig
from synthlift.generators.image_to_image.generator import ImageToImageFitted, ImageToImageGenerator
from synthlift.generators.pipelines.wishes import in_whole_steps
from synthlift.types import GuardedPixels, RunContext, UInt8
from tests.pipelines import tiny_flux, tiny_stable_diffusion
from tests.unit.generators.test_image_to_image import SIDE, draw, fitted, inputs

Build = Callable[[Path], Path]


def test_whole_steps_are_near_the_strength_that_was_asked_for() -> None:
    for strength in np.arange(1, 101) / 100:
        for wanted in (1, 2, 3, 4, 8, 20, 50):
            steps, share = in_whole_steps(wanted, strength=strength)
            assert steps >= wanted
            assert abs(share - strength) <= min(0.05, strength / 4) + 1e-9
            taken = round(share * steps)
            assert 1 <= taken <= steps
            assert (taken == steps) == (strength == 1), "else nothing of the image is left"
            # As diffusers computes it: some round down, others up.
            assert int(steps * share) == taken == steps - int(steps - steps * share)
            assert in_whole_steps(steps, strength=strength) == (steps, share)
    assert in_whole_steps(4, strength=0.5) == (4, 0.5)
    assert in_whole_steps(4, strength=0.9) == (7, 6 / 7)
    assert in_whole_steps(4, strength=0.1) == (8, 1 / 8)
    assert in_whole_steps(4, strength=0.0001) == in_whole_steps(4, strength=0.01) == (80, 1 / 80)


@pytest.mark.parametrize("build", [tiny_stable_diffusion, tiny_flux])
def test_labels_and_provenance_say_the_share_that_is_taken(build: Build, tmp_path: Path) -> None:
    generator = fitted(
        build(tmp_path / "model"), tmp_path, method="between_classes", size=16, strength=[0.7, 0.9]
    )
    scheduler, taken = generator._pipeline.scheduler, list[float]()
    stepping = scheduler.step

    def step(*given: Any, **told: Any) -> Any:
        taken.append(float(given[1]))
        return stepping(*given, **told)

    scheduler.step = step
    told: dict[str, int] = {}
    shares: dict[str, float] = {}
    for strength in (0.7, 0.9):
        found = draw(generator, [0], strength=strength)
        assert found.origins is not None
        assert found.soft_labels is not None
        words = found.origins[0].rsplit(" ", 1)[-1]
        told[words] = len(taken)
        shares[words] = float(found.soft_labels[0, 0])
        taken.clear()
    assert told == {"0.75": 3, "0.857": 6}, "of 4 steps and of 7"
    assert shares == pytest.approx({"0.75": 0.75**0.5, "0.857": (6 / 7) ** 0.5})


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"repaint": "background"}, "repaint has no effect with method: variation"),
        ({"margin": 4}, "it goes with method: inpainting"),
        ({"control_scale": 0.5}, "it goes with method: control"),
        ({"soft_labels": False}, "it goes with method: between_classes"),
        (
            {"method": "between_classes", "soft_labels": False, "label_exponent": 1},
            "no effect with soft_labels: false",
        ),
    ],
)
def test_settings_of_another_method_are_refused(
    tiny_pipeline: Path, settings: dict[str, Any], says: str
) -> None:
    with pytest.raises(ValueError, match=says):
        ImageToImageConfig.model_validate({"model": str(tiny_pipeline), **settings})


def lined(model: Path, folder: Path, row: int, *, thick: int, **settings: Any) -> Any:
    """Starts from images with a mask of one line."""
    masks = np.zeros((6, SIDE, SIDE, 1), np.uint8)
    masks[:, row : row + thick, 2:14] = 255
    asked = {"sampler_steps": 2, "micro_batch": 4, "method": "inpainting", **settings}
    config = ImageToImageConfig.model_validate({"model": str(model), **asked})
    given = replace(inputs(), masks=GuardedPixels(masks, np.arange(6)))
    return ImageToImageGenerator(config).fit(given, run=RunContext(folder=folder, seed=3))


@pytest.mark.parametrize("row", [5, 6])
def test_a_line_between_latents_is_repainted(tiny_pipeline: Path, tmp_path: Path, row: int) -> None:
    generator: ImageToImageFitted = lined(tiny_pipeline, tmp_path, row, thick=1, margin=0)
    one, other = (draw(generator, [0], prompt=words).pixels for words in ("a gull", "snow, fog"))
    assert (one[0, row, 2:14] != other[0, row, 2:14]).any()


def test_a_thin_object_stays_where_its_background_is_repainted(
    tiny_pipeline: Path, tmp_path: Path
) -> None:
    settings: dict[str, Any] = {"repaint": "background", "margin": 3}
    generator: ImageToImageFitted = lined(tiny_pipeline, tmp_path, 5, thick=2, **settings)
    found = draw(generator, [0])
    name = (found.origins or ("",))[0].split(",")[0]
    before = inputs().train.pixels(np.array(["abcdef".index(name)]))[0]
    assert found.masks is not None
    inside = found.masks[0] > 0
    assert np.array_equal(found.pixels[0][inside], before[inside])
    assert (found.pixels[0][~inside] != before[~inside]).any()


def test_a_margin_reaches_as_far_as_half_of_the_object_stays() -> None:
    mask: UInt8 = np.zeros((40, 40), np.uint8)
    mask[10:30, 10:30] = 255
    within = repainted(mask, repaint="background", margin=2)
    assert np.array_equal(~within, np.pad(np.ones((16, 16), np.bool_), 12))
    most = ~repainted(mask, repaint="background", margin=30)
    assert np.array_equal(most, np.pad(np.ones((16, 16), np.bool_), 12)), "14 × 14 is below half"
    around = repainted(mask, repaint="object", margin=30)
    assert np.array_equal(around, binary_dilation(mask > 0, iterations=30))


@pytest.mark.parametrize("size", [(64, 64), (40, 24), (10, 12)])
def test_an_area_keeps_all_of_itself_at_the_size_of_a_pipeline(size: tuple[int, int]) -> None:
    area = np.random.default_rng(0).random((20, 20)) < 0.01
    picture = np.asarray(shown(area, size, cell=8))
    assert picture.shape == size[::-1]
    rows, columns = np.nonzero(area)
    scale_y, scale_x = size[1] / 20, size[0] / 20
    assert (picture[(rows * scale_y).astype(int), (columns * scale_x).astype(int)] == 255).all()
    assert (picture == 0).any()
