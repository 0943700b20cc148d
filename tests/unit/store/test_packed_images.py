"""Generated images on disk: the same pixels, whichever way they are written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthlift.store.packed import (
    LARGE_IMAGE,
    PACKED,
    PLAIN,
    JoinedRows,
    PackedRows,
    Packing,
    open_images,
    write_images,
)
from synthlift.types import UInt8

COUNT = 5


def photographs(count: int, side: int, channels: int, *, seed: int = 0) -> UInt8:
    """Smooth pictures with a little noise, as cameras and generators make them."""
    rng = np.random.default_rng(seed)
    down, right = np.mgrid[:side, :side, :1][:2] / side
    waves = np.stack([np.sin(5 * right + i) + np.cos(4 * down - i) for i in range(count)])
    levels = 128 + 50 * waves + rng.normal(0, 2, (count, side, side, channels))
    return np.clip(levels, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("side", [32, 256])
def test_images_come_back_bit_by_bit(tmp_path: Path, side: int, channels: int) -> None:
    pixels = photographs(COUNT, side, channels)
    written = write_images(tmp_path, pixels)
    large = pixels[0].nbytes > LARGE_IMAGE
    assert written.name == (PACKED if large else PLAIN)
    found = open_images(tmp_path)
    assert found.shape == pixels.shape
    rows = np.array([4, 0, 0, 2])
    assert np.array_equal(found[rows], pixels[rows])
    if large:
        assert written.stat().st_size < 0.7 * pixels.nbytes
    with pytest.raises(IndexError):
        found[np.array([COUNT])]


@pytest.mark.parametrize("side", [32, 256])
def test_what_is_packed_as_it_comes_is_the_same_file(tmp_path: Path, side: int) -> None:
    pixels = photographs(COUNT, side, 3)
    with Packing() as packing:
        for part in (pixels[:2], pixels[:0], pixels[2:]):
            packing.add(part)
    files = []
    for name, streams in (("at once", []), ("as it comes", packing.streams())):
        (tmp_path / name).mkdir()
        files.append(write_images(tmp_path / name, pixels, streams=streams))
    assert files[0].name == files[1].name
    assert files[0].read_bytes() == files[1].read_bytes()
    assert bool(packing.streams()) == (pixels[0].nbytes > LARGE_IMAGE)


def test_no_images_are_none(tmp_path: Path) -> None:
    write_images(tmp_path, np.zeros((0, 512, 512, 3), np.uint8))
    assert open_images(tmp_path).shape == (0, 512, 512, 3)


def test_another_file_is_no_packed_one(tmp_path: Path) -> None:
    (tmp_path / PACKED).write_bytes(b"something else entirely, and longer")
    with pytest.raises(AssertionError, match="holds no packed images"):
        PackedRows(tmp_path / PACKED)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Path, UInt8]]:
    """One folder of plain and one of packed images of the same shape."""
    found = []
    for seed in range(2):
        folder, pixels = tmp_path_factory.mktemp("images"), photographs(COUNT, 136, 3, seed=seed)
        if seed:
            np.save(folder / PLAIN, pixels)
        else:
            write_images(folder, pixels)
        found.append((folder, pixels))
    return found


@given(rows=st.lists(st.integers(0, COUNT - 1), max_size=12), cut=st.integers(0, 12))
def test_joined_rows_are_the_choices_one_after_the_other(
    folders: list[tuple[Path, UInt8]], rows: list[int], cut: int
) -> None:
    (packed, first), (plain, second) = folders
    chosen = rows or [0]
    joined = JoinedRows([(packed, chosen[:cut]), (plain, [3, 3, 1]), (packed, chosen[cut:])])
    whole = np.concatenate([first[chosen[:cut]], second[[3, 3, 1]], first[chosen[cut:]]])
    assert joined.shape == whole.shape
    some = np.random.default_rng(len(rows)).integers(0, len(whole), 8)
    assert np.array_equal(joined[some], whole[some])
