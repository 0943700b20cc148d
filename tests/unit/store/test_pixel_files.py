"""Rows of files: the same bits as the array that was written, in bounded memory."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthlift.errors import LeakageError, StageError
from synthlift.rows import in_blocks
from synthlift.store import pixel_files
from synthlift.store.pixel_files import FileRows, WithChannel, open_rows
from synthlift.types import GuardedPixels, UInt8

COUNT = 40


def _pixels(count: int = COUNT, side: int = 6, seed: int = 0) -> UInt8:
    random = np.random.default_rng(seed)
    return random.integers(0, 256, (count, side, side, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pixels") / "pixels.npy"
    np.save(path, _pixels())
    return path


@given(rows=st.lists(st.integers(0, COUNT - 1), max_size=60))
def test_rows_are_those_of_the_array_in_any_order(file: Path, rows: list[int]) -> None:
    wanted = np.array(rows, np.intp)
    found = FileRows(file)[wanted]
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, _pixels()[wanted])


@pytest.mark.parametrize("large", [0, 2**40])
def test_masks_have_one_channel_wherever_they_lie(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, large: int
) -> None:
    masks, rows = _pixels()[..., 0], np.array([7, 2, 2])
    np.save(tmp_path / "masks.npy", masks)
    monkeypatch.setattr(pixel_files, "LARGE_BYTES", large)
    found = WithChannel(open_rows(tmp_path / "masks.npy"))
    assert found.shape == (COUNT, 6, 6, 1)
    np.testing.assert_array_equal(found[rows], masks[rows][..., None])


@pytest.mark.parametrize("row", [-1, COUNT])
def test_there_is_no_row_before_the_first_or_after_the_last(file: Path, row: int) -> None:
    with pytest.raises(IndexError):
        FileRows(file)[np.array([0, row])]


def test_a_file_that_was_cut_short_is_named(tmp_path: Path) -> None:
    path = tmp_path / "pixels.npy"
    np.save(path, _pixels())
    rows = FileRows(path)
    with path.open("rb+") as stream:
        stream.truncate(path.stat().st_size - 1)
    assert len(rows[np.arange(COUNT - 1)]) == COUNT - 1
    with pytest.raises(StageError, match="ends before its last image"):
        rows[np.array([COUNT - 1])]


def test_large_files_are_read_and_small_ones_mapped(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert isinstance(open_rows(file), np.memmap)
    monkeypatch.setattr(pixel_files, "LARGE_BYTES", file.stat().st_size - 1)
    assert isinstance(open_rows(file), FileRows)


def test_the_guard_holds_over_a_file_as_over_an_array(file: Path) -> None:
    guarded = GuardedPixels(FileRows(file), np.array([7, 2, 30]))
    np.testing.assert_array_equal(guarded.read(np.array([2, 0])), _pixels()[[30, 7]])
    assert not any(isinstance(value, FileRows) for value in vars(guarded).values())
    for row in (3, -1):
        with pytest.raises(LeakageError):
            guarded.read(np.array([row]))
    narrowed = guarded.narrowed(np.array([1]))
    np.testing.assert_array_equal(narrowed.read(np.array([0])), _pixels()[[2]])
    with pytest.raises(LeakageError):
        narrowed.read(np.array([1]))
    with pytest.raises(LeakageError):
        guarded.narrowed(np.array([3]))


def test_blocks_hold_every_image_once(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = _pixels()
    for size in (1, 7 * 108, 10**9):
        monkeypatch.setattr("synthlift.rows.BLOCK_BYTES", size)
        blocks = list(in_blocks(pixels))
        np.testing.assert_array_equal(np.concatenate(blocks), pixels)
        assert max(map(len, blocks)) == min(COUNT, max(1, size // 108))


_READ = """
import json, sys
from pathlib import Path
import numpy as np
from synthlift.store import pixel_files

def resident(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) * 1024

path = Path(sys.argv[1])
pixel_files.LARGE_BYTES = int(sys.argv[2])
rows = pixel_files.open_rows(path)
order = np.random.default_rng(0).permutation(rows.shape[0])
before = resident("VmRSS")
total = sum(int(rows[order[i : i + 50]].sum()) for i in range(0, len(order), 50))
print(json.dumps({"grown": resident("VmHWM") - before, "total": total}))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc")
def test_reading_a_large_file_does_not_make_the_process_larger(tmp_path: Path) -> None:
    path = tmp_path / "pixels.npy"
    np.save(path, _pixels(2000, 64))
    size = path.stat().st_size
    found = {}
    for name, limit in (("read", 0), ("mapped", 2 * size)):
        command = [sys.executable, "-c", _READ, str(path), str(limit)]
        output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        found[name] = json.loads(output)
    assert found["read"]["total"] == found["mapped"]["total"]
    # The map shows that the measure sees what it should.
    assert found["mapped"]["grown"] > 0.9 * size
    assert found["read"]["grown"] < 0.2 * size
