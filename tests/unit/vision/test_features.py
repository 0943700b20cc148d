"""Features that lie in a file are those that memory would hold, and little is read at once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from synthlift.rows import PixelRows
from synthlift.testing.inputs import draw_images
from synthlift.types import Float32, UInt8
from synthlift.vision import features, neighbours
from synthlift.vision.encoders import CallableEncoder, RandomConvolutions
from synthlift.vision.features import FeatureFile, encode, kept_features, some_rows
from synthlift.vision.neighbours import nearest


def _noise(count: int, *, seed: int, width: int = 6) -> Float32:
    return np.random.default_rng(seed).normal(20, 1, (count, width)).astype(np.float32)


def _in_file(values: Float32, folder: Path, patch: pytest.MonkeyPatch) -> FeatureFile:
    """Rows of numbers, by way of images whose encoder looks them up."""
    numbers = np.arange(len(values), dtype=np.uint32).view(np.uint8).reshape(-1, 4, 1, 1)

    def look_up(pixels: UInt8) -> Float32:
        return values[np.ascontiguousarray(pixels).reshape(-1, 4).view(np.uint32)[:, 0]]

    patch.setattr(features, "IN_MEMORY_BYTES", 0)
    found = kept_features(CallableEncoder("look_up", look_up), numbers, folder=folder)
    assert isinstance(found, FeatureFile)
    return found


def test_features_are_the_same_in_memory_and_in_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels, _ = draw_images(150, seed=0, size=16, channels=3)
    encoder = RandomConvolutions()
    together = encoder(pixels)
    inside = kept_features(encoder, pixels, folder=None)
    assert isinstance(inside, np.ndarray)
    monkeypatch.setattr(features, "IN_MEMORY_BYTES", together.nbytes - 1)
    outside = kept_features(encoder, pixels, folder=tmp_path)
    assert isinstance(outside, FeatureFile)
    assert outside.shape == together.shape
    rows = np.random.default_rng(0).integers(0, 150, 400)
    for found in (inside, outside):
        np.testing.assert_array_equal(found[np.arange(150)], together)
        np.testing.assert_array_equal(found[rows], together[rows])
    assert outside[rows[:0]].shape == (0, together.shape[1])
    np.testing.assert_array_equal(encode(encoder, pixels, rows=rows), together[rows])


def test_the_file_is_gone_with_what_refers_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = _in_file(_noise(10, seed=0), tmp_path, monkeypatch)
    del found
    assert list(tmp_path.iterdir()) == []


def test_an_encoder_is_given_few_images_at_once_and_every_one_once() -> None:
    asked: list[int] = []

    class Counted:
        shape: tuple[int, ...] = (1000, 2, 2, 1)

        def __getitem__(self, rows: np.ndarray, /) -> UInt8:
            asked.append(len(rows))
            return np.zeros((len(rows), 2, 2, 1), np.uint8)

    pixels: PixelRows = Counted()
    flat = CallableEncoder("flat", lambda found: np.zeros((len(found), 4), np.float32))
    assert kept_features(flat, pixels, folder=None).shape == (1000, 4)
    assert encode(flat, pixels).shape == (1000, 4)
    assert sum(asked) == 2000
    assert max(asked) == features.TOGETHER


@pytest.mark.parametrize("k", [1, 3])
def test_neighbours_in_a_file_are_those_in_memory(
    k: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    queries, references = _noise(40, seed=1), _noise(305, seed=2)
    references[7] = references[250]  # a tie across parts
    queries[3] = references[250]
    monkeypatch.setattr(neighbours, "BLOCK_BYTES", 4 * 6 * 50)
    stored = _in_file(references, tmp_path, monkeypatch)
    expected = nearest(queries, references=references, k=k)
    found = nearest(queries, references=stored, k=k, block=16)
    np.testing.assert_array_equal(found.indices, expected.indices)
    np.testing.assert_array_equal(found.distances, expected.distances)
    assert found.indices[3, 0] == 7
    own = np.array([0, 7, 120, 304])
    every = nearest(references, references=references, k=k, same=True)
    apart = nearest(references[own], references=stored, k=k, own=own)
    np.testing.assert_array_equal(apart.indices, every.indices[own])
    np.testing.assert_array_equal(apart.distances, every.distances[own])


def test_fewer_references_in_the_last_part_than_neighbours_wanted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    references = _noise(11, seed=3)
    monkeypatch.setattr(neighbours, "BLOCK_BYTES", 4 * 6 * 5)
    stored = _in_file(references, tmp_path, monkeypatch)
    expected = nearest(references, references=references, k=10, same=True)
    found = nearest(references, references=stored, k=10, same=True)
    np.testing.assert_array_equal(found.indices, expected.indices)


def test_rows_are_drawn_by_seed_only_where_there_are_more() -> None:
    np.testing.assert_array_equal(some_rows(5, 5, "a"), np.arange(5))
    drawn = some_rows(1000, 50, "a")
    assert len(set(drawn.tolist())) == 50
    assert (np.diff(drawn) > 0).all()
    np.testing.assert_array_equal(some_rows(1000, 50, "a"), drawn)
    assert not np.array_equal(some_rows(1000, 50, "b"), drawn)
