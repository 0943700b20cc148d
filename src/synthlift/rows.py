"""Images that are read by position, wherever they lie: in memory, in one file or in many."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

BLOCK_BYTES = 16 * 2**20
IN_MEMORY_BYTES = 2**30
"""Images of more bytes than this together stay where they lie, and are read as they are needed."""

A = TypeVar("A")
B = TypeVar("B")
D = TypeVar("D", bound=np.generic)
D_co = TypeVar("D_co", bound=np.generic, covariant=True)


class Rows(Protocol[D_co]):
    """Numbers [N, H, W, C] of one kind that are read by position; an array is one."""

    @property
    def shape(self) -> tuple[int, ...]:
        """N, H, W, C."""
        ...

    def __getitem__(self, rows: NDArray[np.intp], /) -> NDArray[D_co]:
        """Copy what lies at positions ``rows``, [n, H, W, C]."""
        ...


class PixelRows(Rows[np.uint8], Protocol):
    """Images uint8 [N, H, W, C]; an array is one."""


class FeatureRows(Protocol):
    """Features float32 [N, D] that are read by position; an array is one."""

    @property
    def shape(self) -> tuple[int, ...]:
        """N, D."""
        ...

    def __getitem__(self, rows: NDArray[np.intp], /) -> NDArray[np.float32]:
        """Copy the features at positions ``rows``, float32 [n, D]."""
        ...


def is_mapped(rows: PixelRows) -> bool:
    """Whether reading costs one copy of what is read: an array in memory or mapped from a file."""
    return isinstance(rows, np.ndarray) or bool(getattr(rows, "mapped", False))


def as_positions(rows: NDArray[Any] | Sequence[int], *, length: int) -> NDArray[np.intp]:
    """Row positions, whether given as positions or as a mask of ``length`` booleans."""
    given = np.asarray(rows)
    if given.dtype == np.bool_:
        assert given.shape == (length,), f"a mask of {given.shape} for {length} rows"
        return np.flatnonzero(given)
    assert given.size == 0 or given.dtype.kind in "iu", f"rows are {given.dtype}, not whole numbers"
    return given.astype(np.intp)


def in_blocks(pixels: Rows[D]) -> Iterator[NDArray[D]]:
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


def runs(rows: NDArray[np.intp]) -> Iterator[tuple[int, int]]:
    """Start and end of every stretch in which each row follows the one before it."""
    if len(rows):
        breaks = (np.flatnonzero(np.diff(rows) != 1) + 1).tolist()
        yield from zip([0, *breaks], [*breaks, len(rows)], strict=True)


def ahead(read: Callable[[A], B], items: Iterator[A]) -> Generator[tuple[A, B], None, None]:
    """Each item with what ``read`` makes of it, the next one being read in a thread meanwhile.

    At most two results are held. The items are taken in the caller's thread, since their iterator
    may keep state; close the generator to end the thread.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="ahead") as pool:
        waiting: deque[tuple[A, Future[B]]] = deque()
        for item in items:
            waiting.append((item, pool.submit(read, item)))
            if len(waiting) > 1:
                earlier, reading = waiting.popleft()
                yield earlier, reading.result()
        for earlier, reading in waiting:
            yield earlier, reading.result()
