from __future__ import annotations

import numpy as np
import pytest

from synthlift.testing.inputs import draw_images
from synthlift.types import Float32, UInt8
from synthlift.vision import encoders, features
from synthlift.vision.encoders import CallableEncoder, RandomConvolutions, joined_features
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


def test_few_images_at_a_time_change_last_bits_alone() -> None:
    pixels = draw_images(9, seed=1)[0]
    few = RandomConvolutions(chunk=2)
    np.testing.assert_array_equal(few(pixels)[4:5], few(pixels[4:5]))
    np.testing.assert_allclose(few(pixels), RandomConvolutions()(pixels), rtol=1e-4, atol=1e-6)


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
    joined, known = joined_features([RandomConvolutions(), small], pixels=pixels)
    np.testing.assert_array_equal(known[np.arange(40)], joined(pixels))
    width = known.shape[1] - 64
    for columns in (slice(width), slice(width, None)):
        part = np.ascontiguousarray(joined(pixels)[:, columns])
        gaps = nearest(part, references=part, same=True).distances
        assert np.median(gaps) == pytest.approx(1, rel=1e-4)
    assert joined.name.endswith("+small")


def test_features_in_a_file_are_scaled_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels, _ = draw_images(70, seed=3)
    parts = [RandomConvolutions(seed=1), RandomConvolutions(seed=2, channels=8)]
    inside = joined_features(parts, pixels=pixels)
    monkeypatch.setattr(features, "IN_MEMORY_BYTES", 0)
    outside = joined_features(parts, pixels=pixels)
    assert outside[0].scales == inside[0].scales
    assert not isinstance(outside[1], np.ndarray)
    np.testing.assert_array_equal(outside[1][np.arange(70)], inside[1][np.arange(70)])


def test_parts_are_scaled_by_some_of_many_images(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels, _ = draw_images(90, seed=3)
    monkeypatch.setattr(encoders, "MOST_COMPARED", 60)
    rows = some_rows(90, 60, "encoder_scales")
    joined, known = joined_features([RandomConvolutions()], pixels=pixels)
    assert joined.scales == joined_features([RandomConvolutions()], pixels=pixels[rows])[0].scales
    assert known.shape[0] == 90
    monkeypatch.setattr(encoders, "MOST_COMPARED", 90)
    assert joined_features([RandomConvolutions()], pixels=pixels)[0].scales != joined.scales
