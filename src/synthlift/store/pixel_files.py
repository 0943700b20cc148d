"""Rows of image files that may be larger than memory.

Pages of a memory map count as the process's own memory while they stay resident, and nothing makes
them leave before memory is short. So large files are not mapped: their rows are read.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from synthlift.errors import StageError
from synthlift.rows import PixelRows, runs
from synthlift.types import UInt8

LARGE_BYTES = 512 * 2**20
"""Files of more bytes than this are read instead of mapped."""


def open_rows(path: Path) -> PixelRows:
    """The images of a ``.npy`` file, uint8 [N, …]; the same bits however large it is."""
    if path.stat().st_size > LARGE_BYTES:
        return FileRows(path)
    mapped: UInt8 = np.load(path, mmap_mode="r")
    return mapped


class WithChannel:
    """Masks uint8 [N, H, W] as images [N, H, W, 1]."""

    def __init__(self, base: PixelRows) -> None:
        self._base, self.shape = base, (*base.shape, 1)

    def __getitem__(self, rows: NDArray[np.intp], /) -> UInt8:
        """The masks at ``rows``, uint8 [n, H, W, 1]."""
        return self._base[rows][..., None]


class FileRows:
    """Images of one ``.npy`` file, uint8 [N, …] in C order; holds no image and no handle."""

    def __init__(self, path: Path) -> None:
        header = np.load(path, mmap_mode="r")  # maps addresses, reads the header alone
        assert header.dtype == np.uint8, header.dtype
        assert header.flags.c_contiguous, "rows that are scattered in their file"
        self.shape: tuple[int, ...] = header.shape
        self._path, self._offset = path, int(header.offset)

    def __getitem__(self, rows: NDArray[np.intp], /) -> UInt8:
        """Read the images at ``rows``, uint8 [n, H, W, C].

        Raises:
            IndexError: there is no such row.
            StageError: the file was cut short.
        """
        if len(rows) and (rows.min() < 0 or rows.max() >= self.shape[0]):
            raise IndexError(f"a row outside the {self.shape[0]} of '{self._path.name}'")
        images = np.empty((len(rows), *self.shape[1:]), np.uint8)
        flat = images.reshape(-1)
        size = len(flat) // max(1, len(rows))
        # Opened anew each time: threads and processes share no position in it.
        with self._path.open("rb", buffering=0) as stream:
            for start, end in runs(rows):
                stream.seek(self._offset + int(rows[start]) * size)
                wanted = flat[start * size : end * size].data
                while wanted:
                    got = stream.readinto(wanted)
                    if not got:
                        raise StageError(f"'{self._path}' ends before its last image does")
                    wanted = wanted[got:]
        return images
