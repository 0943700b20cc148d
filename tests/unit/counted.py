"""Images that remember how they were read."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from synthlift.types import GuardedPixels, ImageSet, UInt8


class CountedRows:
    """Rows of an array; ``asked`` holds how many were read at once, each time."""

    def __init__(self, base: UInt8) -> None:
        self._base, self.shape = base, base.shape
        self.asked: list[int] = []

    def __getitem__(self, rows: np.ndarray, /) -> UInt8:
        self.asked.append(len(rows))
        found: UInt8 = self._base[rows]
        return found


def counted(images: ImageSet) -> tuple[ImageSet, CountedRows]:
    """The same images, and what remembers how they are read."""
    rows = CountedRows(images.pixels())
    return replace(images, source=GuardedPixels(rows, np.arange(len(images)))), rows
