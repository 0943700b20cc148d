"""Data that need no file: scikit-learn's handwritten digits, and what is drawn from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from synthlift.data.contract import Item, Source, Where
from synthlift.data.decode import WHITE_16_BIT, Decoded
from synthlift.data.readers.drawn import COLOURED, DRAWINGS, OTHER_HALF, DrawnSource
from synthlift.data.readers.leaves import LEAVES, LeavesSource
from synthlift.drawings.strokes import digits_table
from synthlift.errors import InputError, nearest_name
from synthlift.registry import ComponentConfig
from synthlift.store import digest
from synthlift.types import UInt8

DIGITS = "sklearn:digits"
NAMES = (DIGITS, LEAVES, DRAWINGS, COLOURED, OTHER_HALF)


class EmbeddedReader:
    """Opens ``sklearn:digits`` and the collections that are drawn."""

    def __init__(self, config: ComponentConfig) -> None:
        del config

    def open(self, where: Where) -> Source:
        """See :class:`~synthlift.data.contract.Reader`."""
        if where.source not in NAMES:
            raise InputError(
                f"unknown source '{where.source}'{nearest_name(where.source, NAMES)}",
                rule=f"the embedded data sets are called {', '.join(NAMES)}",
                remedy=f"write {DIGITS}, or give a folder with one sub-folder a class",
            )
        if where.source == LEAVES:
            return LeavesSource(where)
        return _Digits(where) if where.source == DIGITS else DrawnSource(where)


class _Digits:
    """scikit-learn's 1,797 handwritten digits: 8 × 8, grey, 0..16 scaled to 0..255."""

    def __init__(self, where: Where) -> None:
        self.where = where
        # Bumped if the embedded data or their scaling ever change; loading to hash takes seconds.
        self.fingerprint = digest([where.source, "1"])
        self.ignored: Mapping[str, int] = {}
        self.notes: Sequence[str] = ()

    @cached_property
    def _data(self) -> tuple[np.ndarray, np.ndarray]:
        table = digits_table()
        images = table[:, :-1].reshape(-1, 8, 8)
        return np.rint(images * (255 / 16)).astype(np.uint8), table[:, -1].astype(np.int64)

    @cached_property
    def items(self) -> Sequence[Item]:
        names = [f"digits/{row:04d}" for row in range(len(self._data[1]))]
        labels = [str(label) for label in self._data[1]]
        return [Item(n, label, n, n) for n, label in zip(names, labels, strict=True)]

    def load(self, path: str, *, max_pixels: int, white: int = WHITE_16_BIT) -> Decoded:
        del max_pixels, white
        pixels = self._data[0][int(path.removeprefix("digits/"))]
        return Decoded(pixels=pixels[:, :, None], mode="L", bits=8)

    def file(self, path: str) -> Path | None:
        del path
        return None

    def load_mask(self, mask: str) -> UInt8:
        raise AssertionError(f"no digit has a mask: {mask}")
