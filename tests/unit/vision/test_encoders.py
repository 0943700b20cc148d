from __future__ import annotations

import numpy as np
import pytest

from synthlift.testing.inputs import draw_images
from synthlift.types import Float32, UInt8
from synthlift.vision import encoders
from synthlift.vision.encoders import CallableEncoder, RandomConvolutions, join_encoders
from synthlift.vision.features import some_rows
from synthlift.vision.neighbours import nearest


@pytest.mark.parametrize(
    ("size", "channels"), [(8, 1), (9, 3), (28, 1), (32, 3), (100, 3), (256, 3)]
)
def test_any_size_and_colour_gives_finite_features(size: int, channels: int) -> None:
    pixels, _ = draw_images(3, seed=0, size=size, channels=channels)
    features = RandomConvolutions()(pixels)
    assert features.dtype == np.float32
    assert features.shape[0] == 3
    assert np.isfinite(features).all()
    assert features.std(axis=0).max() > 0


def test_oblong_images_are_taken() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2, 12, 90, 3)).astype(np.uint8)
    assert RandomConvolutions()(pixels).shape[0] == 2


def test_the_same_seed_gives_the_same_encoder_and_another_seed_another() -> None:
    pixels, _ = draw_images(4, seed=0)
    first = RandomConvolutions(seed=3)
    np.testing.assert_array_equal(first(pixels), RandomConvolutions(seed=3)(pixels))
    other = RandomConvolutions(seed=4)
    assert other.name != first.name
    assert not np.array_equal(other(pixels), first(pixels))


def test_features_do_not_depend_on_the_batch() -> None:
    pixels, _ = draw_images(70, seed=1, size=28)
    encoder = RandomConvolutions()
    together = encoder(pixels)
    np.testing.assert_array_equal(encoder(pixels[::-1])[::-1], together)
    np.testing.assert_array_equal(encoder(pixels[33:34])[0], together[33])


@pytest.mark.parametrize("size", [8, 32, 64])
def test_a_disturbed_image_is_nearest_to_its_original(size: int) -> None:
    pixels, _ = draw_images(60, seed=2, size=size)
    noise = np.random.default_rng(0).normal(0, 6, pixels.shape)
    disturbed = np.clip(pixels + noise, 0, 255).astype(np.uint8)
    encoder = RandomConvolutions()
    found = nearest(encoder(disturbed), references=encoder(pixels))
    assert (found.indices[:, 0] == np.arange(60)).mean() > 0.95


def test_joined_parts_count_alike_whatever_their_scale() -> None:
    pixels, _ = draw_images(40, seed=3)

    def flat(images: UInt8) -> Float32:
        return images.reshape(len(images), -1).astype(np.float32)

    small = CallableEncoder("small", lambda images: flat(images) / np.float32(1e4))
    joined = join_encoders([RandomConvolutions(), small], pixels=pixels)
    features = joined(pixels)
    width = features.shape[1] - 64
    for part in (features[:, :width], features[:, width:]):
        gaps = nearest(part, references=part, same=True).distances
        assert np.median(gaps) == pytest.approx(1, rel=1e-4)
    assert joined.name.endswith("+small")


def test_parts_are_scaled_by_some_of_many_images(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels, _ = draw_images(90, seed=3)
    monkeypatch.setattr(encoders, "MOST_COMPARED", 60)
    rows = some_rows(90, 60, "encoder_scales")
    joined = join_encoders([RandomConvolutions()], pixels=pixels)
    assert joined.scales == join_encoders([RandomConvolutions()], pixels=pixels[rows]).scales
    monkeypatch.setattr(encoders, "MOST_COMPARED", 90)
    assert join_encoders([RandomConvolutions()], pixels=pixels).scales != joined.scales
