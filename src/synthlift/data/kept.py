"""Small images kept decoded beside the inventory, so that they are decoded once.

The file holds uint8 [H, W, C] of one image after the other, by id, with nothing between: where one
lies follows from the sizes in the table. Large images stay compressed, as do all for which there is
no more room, and are decoded again when they are brought to their size.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

import numpy as np

from synthlift.store import Artefact
from synthlift.store.images import INVENTORY, read_table
from synthlift.types import UInt8

KEPT = "decoded.bin"
LARGEST_IMAGE = 2**18
"""Values of the largest image that is kept; 295 × 295 pixels in colour."""
MOST_BYTES = 2**29
_WRITTEN_AT_ONCE = 2**20


class Keeper:
    """Writes the file while images are read; without a small image there is none.

    Args:
        folder: receives the file.
    """

    def __init__(self, folder: Path) -> None:
        self._path, self._end = folder / KEPT, 0
        self._stream: BinaryIO | None = None

    def add(self, pixels: UInt8 | None) -> None:
        """The next image by id; None where it could not be decoded."""
        if pixels is None or pixels.size > LARGEST_IMAGE:
            return
        self._end += pixels.size
        if self._end <= MOST_BYTES:
            if self._stream is None:
                self._stream = self._path.open("wb", buffering=_WRITTEN_AT_ONCE)
            self._stream.write(np.ascontiguousarray(pixels).data)

    def __enter__(self) -> Keeper:
        return self

    def __exit__(self, *_: object) -> None:
        if self._stream is not None:
            self._stream.close()

    def discard(self) -> None:
        """Delete what was written."""
        self._path.unlink(missing_ok=True)


def kept_images(read: Artefact) -> Mapping[str, UInt8]:
    """The images of a reading that were kept, by id, uint8 [H, W, C]; they are mapped."""
    if KEPT not in read.record["files"]:
        return {}
    table = read_table(read.path(INVENTORY), ("id", "width", "height", "channels"))
    ids, *sides = (table.column(name).to_pylist() for name in table.column_names)
    sizes = np.prod(np.array(sides, np.int64), axis=0)
    small = (sizes > 0) & (sizes <= LARGEST_IMAGE)
    ends = np.cumsum(np.where(small, sizes, 0))
    starts = ends - sizes
    data: UInt8 = np.asarray(np.memmap(read.path(KEPT), np.uint8, mode="r"))
    rows = np.flatnonzero(small & (ends <= MOST_BYTES))
    if not len(rows) or len(data) != ends[rows[-1]]:
        return {}  # written by a version with other limits
    widths, heights, channels = sides
    return {
        ids[row]: data[start:end].reshape(heights[row], widths[row], channels[row])
        for row, start, end in zip(
            rows.tolist(), starts[rows].tolist(), ends[rows].tolist(), strict=True
        )
    }
