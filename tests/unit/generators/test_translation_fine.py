"""Translation of images that are not tiny: pixel by pixel, judged by patches."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from synthlift.generators.translation.config import TranslationConfig, settle
from synthlift.generators.translation.networks import build_judge, build_translator, plan_network
from synthlift.types import ImageSet, UInt8
from tests.unit.generators.one_pass import inputs_of
from tests.unit.generators.translating import fit, requests_of

SIDE = 24


def lines(count: int, *, seed: int) -> UInt8:
    """White images with a few black lines, one pixel wide."""
    rng = np.random.default_rng(seed)
    pixels = np.full((count, SIDE, SIDE, 1), 255, np.uint8)
    for image in pixels:
        for place in rng.integers(2, SIDE - 2, 2):
            image[place, 2:-2] = 0
        image[2:-2, rng.integers(2, SIDE - 2)] = 0
    return pixels


def image_set(pixels: UInt8, first: int) -> ImageSet:
    ids = [f"{first + row}.png" for row in range(len(pixels))]
    return ImageSet.from_arrays(pixels, np.zeros(len(pixels), np.int64), ("line",), ids=ids)


def test_lines_of_one_pixel_are_kept(tmp_path: Path) -> None:
    """Negatives of held-out drawings become drawings again, line by line."""
    drawn, held_out = lines(48, seed=1), lines(8, seed=2)
    train = image_set(drawn, 0)
    both = np.concatenate([drawn, held_out])
    source = image_set(np.asarray(255 - both, np.uint8), 0)
    inputs = replace(
        inputs_of(train), validation=image_set(held_out, len(drawn)), sources={"source": source}
    )
    settings = {"steps": 80, "batch_size": 8, "width": 16, "readings": 0, "micro_batch": 8}
    fitted = fit(tmp_path, inputs, source="./x", pairing="name", **settings)
    pairs = fitted.facts()["pairs"]
    assert pairs["ssim"] > 0.8
    assert pairs["ssim"] > pairs["ssim_untranslated"] + 0.5
    together = np.concatenate([batch.pixels for batch in fitted.sample(requests_of(0, 12))])
    (alone,) = fitted.sample(requests_of(0, 12)[9:10])
    assert np.array_equal(alone.pixels[0], together[9])


@pytest.mark.parametrize(("shape", "patches"), [((32, 32, 3), 16), ((40, 64, 1), 40)])
def test_each_patch_is_judged_by_what_lies_around_it(
    shape: tuple[int, int, int], patches: int
) -> None:
    config = settle(TranslationConfig(source="./x"), examples=100, image_shape=shape)
    plan = plan_network(config, image_shape=shape, conditions=[2])
    judge = build_judge(plan, beside=False, seed=0)
    height, width, channels = shape
    x, wanted = torch.zeros(1, channels, height, width), torch.zeros(1, 1, dtype=torch.int64)
    with torch.inference_mode():
        before = judge(x, wanted)
        x[:, :, 0, 0] = 1
        changed = (judge(x, wanted) != before)[0]
    assert before.shape == (1, patches)
    assert changed[0]
    assert not changed[-1]


def test_normalised_features_forget_the_light_of_a_source() -> None:
    """Half the light and contrast of a source changes little, but for images of masks."""
    config = settle(TranslationConfig(source="./x"), examples=100, image_shape=(32, 32, 1))
    plan = plan_network(config, image_shape=(32, 32, 1), conditions=[1])
    assert not plan["noise_channels"]
    network = build_translator(plan, seed=0)
    x = torch.randn(2, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    wanted = torch.zeros(2, 1, dtype=torch.int64)
    with torch.inference_mode():
        first, second = network(x, wanted), network(0.5 * x + 0.2, wanted)
        inside = (slice(None), slice(None), slice(4, -4), slice(4, -4))
        assert (first - second)[inside].abs().mean() < 0.1 * first.std()
