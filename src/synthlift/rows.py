"""Images that are read by position, wherever they lie: in memory, in one file or in many."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

BLOCK_BYTES = 2**20  # what a core keeps close by


class PixelRows(Protocol):
    """Images uint8 [N, H, W, C]; an array is one."""

    @property
    def shape(self) -> tuple[int, ...]:
        """N, H, W, C."""
        ...

    def __getitem__(self, rows: NDArray[np.intp], /) -> NDArray[np.uint8]:
        """Copy the images at positions ``rows``, uint8 [n, H, W, C]."""
        ...


def as_positions(rows: NDArray[Any] | Sequence[int], *, length: int) -> NDArray[np.intp]:
    """Row positions, whether given as positions or as a mask of ``length`` booleans."""
    given = np.asarray(rows)
    if given.dtype == np.bool_:
        assert given.shape == (length,), f"a mask of {given.shape} for {length} rows"
        return np.flatnonzero(given)
    assert given.size == 0 or given.dtype.kind in "iu", f"rows are {given.dtype}, not whole numbers"
    return given.astype(np.intp)


def in_blocks(pixels: PixelRows) -> Iterator[NDArray[np.uint8]]:
    """All images in order, at most :data:`BLOCK_BYTES` at a time (but one image at least)."""
    count = pixels.shape[0]
    size = max(1, BLOCK_BYTES // max(1, math.prod(pixels.shape[1:])))
    for start in range(0, count, size):
        yield pixels[np.arange(start, min(start + size, count))]


class JoinedPixels:
    """Images of several places, one after the other; nothing is read before it is asked for.

    Args:
        bases: one at least, all of one image shape.
    """

    def __init__(self, bases: Sequence[PixelRows]) -> None:
        shapes = {tuple(base.shape[1:]) for base in bases}
        assert len(shapes) == 1, f"images of different shapes: {sorted(shapes)}"
        self._bases = list(bases)
        self._starts = np.cumsum([0, *(base.shape[0] for base in bases)])
        self.shape: tuple[int, ...] = (int(self._starts[-1]), *next(iter(shapes)))

    def __getitem__(self, rows: NDArray[np.intp], /) -> NDArray[np.uint8]:
        """See :class:`PixelRows`."""
        found = np.empty((len(rows), *self.shape[1:]), dtype=np.uint8)
        places = np.searchsorted(self._starts, rows, side="right") - 1
        for place in np.unique(places).tolist():
            mine = places == place
            found[mine] = self._bases[place][rows[mine] - self._starts[place]]
        return found
