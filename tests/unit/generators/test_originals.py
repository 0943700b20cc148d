"""Images as a pipeline drew them, beside those at a study's size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from synthlift.generators.image_to_image.config import ImageToImageConfig
from synthlift.generators.pipelines.wishes import brought_to, together
from synthlift.generators.text_to_image.config import TextToImageConfig
from synthlift.types import ImageSet
from tests.unit.generators.test_text_to_image import CLASSES, draw, fitted_on


@pytest.mark.parametrize("channels", [1, 3])
def test_originals_have_the_channels_of_the_study(
    tiny_pipeline: Path, tmp_path: Path, channels: int
) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (6, 8, 8, channels), np.uint8)
    train = ImageSet.from_arrays(pixels, np.array([0, 0, 0, 1, 1, 1]), CLASSES)
    found = draw(fitted_on(train, tiny_pipeline, tmp_path))
    assert found.pixels.shape == (4, 8, 8, channels)
    assert found.originals is not None
    assert found.originals.shape == (4, 16, 16, channels)
    brought = [brought_to((8, 8, channels), one) for one in found.originals]
    assert np.array_equal(np.stack(brought), found.pixels)
    spared = draw(fitted_on(train, tiny_pipeline, tmp_path / "spared", keep_originals=False))
    assert spared.originals is None
    assert np.array_equal(spared.pixels, found.pixels)


def test_large_originals_are_handed_on_before_there_are_many() -> None:
    assert together(4, sides=(0, 0)) == together(4, sides=(64, 64)) == 128
    assert together(4, sides=(1024, 1024)) == 40
    assert together(4, sides=(8192, 8192)) == 4


def test_what_is_kept_of_an_image_as_it_was_drawn_is_forecast(tiny_pipeline: Path) -> None:
    own = TextToImageConfig(model=str(tiny_pipeline))  # which draws 16 pixels
    assert own.original_bytes(image_shape=(8, 8, 1)) == 16**2
    assert own.original_bytes(image_shape=(16, 16, 1)) == 0
    told = TextToImageConfig(model=str(tiny_pipeline), size=64)
    assert told.original_bytes(image_shape=(16, 16, 3)) == 3 * 64**2
    without = TextToImageConfig(model=str(tiny_pipeline), keep_originals=False)
    assert without.original_bytes(image_shape=(8, 8, 1)) == 0
    patched = ImageToImageConfig(model=str(tiny_pipeline), size=64, method="inpainting")
    assert patched.original_bytes(image_shape=(16, 16, 3)) == 0
