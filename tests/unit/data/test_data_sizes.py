from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from synthlift.data.sizes import (
    CANDIDATES,
    Fit,
    border_colour,
    choose_channels,
    choose_size,
    resize,
)

RNG = np.random.default_rng(1)


@pytest.mark.parametrize(
    ("widths", "heights", "ceiling", "size", "words"),
    [
        ([8] * 3, [8] * 3, None, 8, "8 pixels, the largest size that enlarges no typical image"),
        ([200] * 3, [150] * 3, None, 128, "128 pixels, the largest size chosen unasked"),
        ([60, 70, 500], [99, 99, 99], None, 64, "enlarges no typical image; originals are 70 × 99"),
        ([128] * 3, [128] * 3, 50, 48, "48 pixels, the largest size that the budget allows"),
        ([128] * 3, [128] * 3, 300, 128, "enlarges no typical image"),
        ([5] * 3, [90] * 3, None, 8, "8 pixels, the smallest size there is"),
    ],
)
def test_size_and_reason(
    widths: list[int], heights: list[int], ceiling: int | None, size: int, words: str
) -> None:
    chosen, reason = choose_size(widths, heights, ceiling=ceiling)
    assert chosen == size
    assert words in reason


@given(
    st.lists(st.tuples(st.integers(8, 400), st.integers(8, 400)), min_size=1, max_size=30),
    st.none() | st.integers(8, 200),
)
def test_size_never_enlarges_most_images(sizes: list[tuple[int, int]], ceiling: int | None) -> None:
    widths, heights = zip(*sizes, strict=True)
    size, _ = choose_size(widths, heights, ceiling=ceiling)
    assert size in CANDIDATES
    assert size <= np.median(np.minimum(widths, heights))
    assert ceiling is None or size <= ceiling


def test_channels() -> None:
    assert choose_channels([True, True], wanted="auto") == (1, "grey: every image is")
    assert choose_channels([True, False], wanted="auto") == (
        3,
        "colour: 1 of 2 images are in colour",
    )
    assert choose_channels([True], wanted="rgb")[0] == 3
    assert choose_channels([False], wanted="grey")[0] == 1


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 90),
    st.integers(1, 90),
    st.sampled_from([1, 3]),
    st.sampled_from([1, 3]),
    st.sampled_from(get_args(Fit)),
    st.sampled_from([8, 28, 64]),
)
def test_shape_and_flat_colour_survive(
    height: int, width: int, channels: int, wanted: int, fit: Fit, size: int
) -> None:
    image = np.full((height, width, channels), 77, np.uint8)
    out = resize(image, size=size, fit=fit, channels=wanted)
    assert out.shape == (size, size, wanted)
    assert out.dtype == np.uint8
    assert (out == 77).all()


@pytest.mark.parametrize("fit", get_args(Fit))
def test_right_size_is_left_alone(fit: Fit) -> None:
    image = RNG.integers(0, 256, (16, 16, 3), dtype=np.uint8)
    assert np.array_equal(resize(image, size=16, fit=fit, channels=3), image)


def test_pad_keeps_the_whole_picture_on_its_border_colour() -> None:
    image = np.full((16, 32, 1), 200, np.uint8)
    image[4:12, 8:24] = 20
    out = resize(image, size=16, fit="pad", channels=1)[:, :, 0]
    assert (out[:4] == 200).all()
    assert (out[12:] == 200).all()
    inner = np.asarray(Image.fromarray(image[:, :, 0]).resize((16, 8), Image.Resampling.LANCZOS))
    assert np.array_equal(out[4:12], inner)


def test_border_colour_is_the_median_of_the_edge() -> None:
    image = np.zeros((5, 5, 3), np.uint8)
    image[0], image[-1], image[:, 0], image[:, -1] = (9, 8, 7), (9, 8, 7), (9, 8, 7), (1, 2, 3)
    assert border_colour(image).tolist() == [9, 8, 7]


def test_crop_takes_the_centre() -> None:
    image = np.zeros((10, 30, 1), np.uint8)
    image[:, 10:20] = 255
    assert (resize(image, size=10, fit="crop", channels=1) == 255).all()


def test_shrinking_averages_and_does_not_alias() -> None:
    stripes = np.zeros((256, 256, 1), np.uint8)
    stripes[:, ::2] = 255
    out = resize(stripes, size=32, fit="stretch", channels=1)
    assert np.abs(out.astype(int) - 127.5).max() <= 4


def test_grey_is_luma_and_colour_repeats() -> None:
    red = np.zeros((8, 8, 3), np.uint8)
    red[:, :, 0] = 255
    assert (resize(red, size=8, fit="pad", channels=1) == round(0.299 * 255)).all()
    grey = RNG.integers(0, 256, (8, 8, 1), dtype=np.uint8)
    assert np.array_equal(resize(grey, size=8, fit="pad", channels=3), np.repeat(grey, 3, axis=2))
