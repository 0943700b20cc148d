"""Sets of images, and the lock on those that are tested. Nothing here imports torch.

Letters in array shapes: N images, H height, W width, C channels (1 or 3), K classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from synthlift.errors import LeakageError
from synthlift.rows import JoinedPixels, PixelRows, as_positions, is_mapped

UInt8 = NDArray[np.uint8]
Int64 = NDArray[np.int64]
Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Strings = NDArray[np.str_]

UNLABELLED = -1


class GuardedPixels:
    """Pixels of which only the allowed rows can be read; any other row raises ``LeakageError``.

    Args:
        base: uint8 images [N, H, W, C], often a file that holds the whole data set.
        allowed: the rows of ``base`` that may be read, as positions or as a mask [N].
    """

    def __init__(self, base: PixelRows, allowed: NDArray[np.intp] | NDArray[np.bool_]) -> None:
        count, height, width, channels = base.shape
        rows = as_positions(allowed, length=count).copy()
        rows.setflags(write=False)

        # The array lives in a closure: no attribute, public or private, leads to the other rows.
        def read(index: NDArray[np.intp]) -> UInt8:
            _require_within(index, len(rows))
            pixels: UInt8 = np.ascontiguousarray(base[rows[index]])
            return pixels

        self._read = read
        self.shape: tuple[int, int, int, int] = (len(rows), height, width, channels)
        self.mapped = is_mapped(base)

    def read(self, index: NDArray[np.intp] | NDArray[np.bool_]) -> UInt8:
        """Copy the images at ``index`` (positions among the allowed rows), uint8 [n, H, W, C]."""
        return self._read(as_positions(index, length=self.shape[0]))

    __getitem__ = read

    def narrowed(self, index: NDArray[np.intp] | NDArray[np.bool_]) -> GuardedPixels:
        """The same pixels with only the rows ``index`` allowed; nothing is read."""
        rows = as_positions(index, length=self.shape[0])
        _require_within(rows, self.shape[0])
        return GuardedPixels(self, rows)


def _require_within(index: NDArray[np.intp], count: int) -> None:
    if len(index) and (index.min() < 0 or index.max() >= count):
        raise LeakageError("a row outside the permitted part of the data was requested")


@dataclass(frozen=True)
class ImageSet:
    """An immutable set of images with labels, groups and attributes.

    Attributes:
        ids: unique image identifiers [N].
        labels: class indices into ``classes`` [N]; ``UNLABELLED`` (-1) where there is none.
        groups: the unit that never crosses a split (patient, lesion …) [N].
        classes: class names in index order.
        source: where the pixels are read from; exactly N rows are reachable through it.
        attributes: further columns by name, each [N] of str ("" where missing).
    """

    ids: Strings
    labels: Int64
    groups: Strings
    classes: tuple[str, ...]
    source: GuardedPixels = field(repr=False)
    attributes: Mapping[str, Strings] = field(default_factory=dict)

    def __post_init__(self) -> None:
        assert len(self.ids) == len(self.labels) == len(self.groups) == self.source.shape[0]

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width, channels."""
        return self.source.shape[1:]

    def pixels(self, rows: NDArray[np.intp] | NDArray[np.bool_] | None = None) -> UInt8:
        """Copy pixels, uint8 [n, H, W, C] in [0, 255]; all rows when ``rows`` is None."""
        return self.source.read(np.arange(len(self)) if rows is None else rows)

    def subset(self, rows: NDArray[np.intp] | NDArray[np.bool_]) -> ImageSet:
        """The same set restricted to ``rows`` (positions, in that order, or a mask)."""
        source = self.source.narrowed(rows)  # first: a row out of reach is leakage
        rows = as_positions(rows, length=len(self))
        return ImageSet(
            ids=self.ids[rows],
            labels=self.labels[rows],
            groups=self.groups[rows],
            classes=self.classes,
            source=source,
            attributes={name: column[rows] for name, column in self.attributes.items()},
        )

    def counts(self) -> Int64:
        """Labelled images per class, int64 [K]."""
        known = self.labels[self.labels >= 0]
        return np.bincount(known, minlength=len(self.classes)).astype(np.int64)

    def without_labels(self) -> ImageSet:
        """The same images, nothing said of their classes."""
        return replace(self, labels=np.full(len(self), UNLABELLED, dtype=np.int64))

    @classmethod
    def joined(cls, sets: Sequence[ImageSet]) -> ImageSet:
        """One set after the other (one at least, of one image shape).

        Classes are those of the first; an attribute that a set does not have is "" there.
        """
        names = list(dict.fromkeys(name for one in sets for name in one.attributes))
        source = JoinedPixels([one.source for one in sets])

        def column(one: ImageSet, name: str) -> Strings:
            return one.attributes.get(name, np.full(len(one), "", dtype=np.str_))

        return cls(
            ids=np.concatenate([one.ids for one in sets]),
            labels=np.concatenate([one.labels for one in sets]),
            groups=np.concatenate([one.groups for one in sets]),
            classes=sets[0].classes,
            source=GuardedPixels(source, np.arange(source.shape[0])),
            attributes={n: np.concatenate([column(one, n) for one in sets]) for n in names},
        )

    @classmethod
    def from_arrays(
        cls,
        pixels: UInt8,
        labels: Sequence[int] | Int64,
        classes: Sequence[str],
        *,
        ids: Sequence[str] | None = None,
        groups: Sequence[str] | None = None,
    ) -> ImageSet:
        """Build a set in memory from uint8 [N, H, W, C] pixels; ids default to row numbers."""
        names = np.array([str(i) for i in range(len(pixels))] if ids is None else list(ids), str)
        return cls(
            ids=names,
            labels=np.asarray(labels, dtype=np.int64),
            groups=names if groups is None else np.array(list(groups), str),
            classes=tuple(classes),
            source=GuardedPixels(pixels, np.arange(len(pixels))),
        )


class LockedTest:
    """The test set as every stage but one sees it: identifiers, groups and content hashes.

    Reaching for anything else (``pixels``, ``labels``, ``source``, ``subset`` …) raises
    ``LeakageError``. Only ``study.open_test`` holds the real thing.
    """

    __slots__ = ("groups", "hashes", "ids")

    def __init__(self, *, ids: Strings, groups: Strings, hashes: Strings) -> None:
        assert len(ids) == len(groups) == len(hashes)
        for name, column in (("ids", ids), ("groups", groups), ("hashes", hashes)):
            own = column.copy()
            own.setflags(write=False)
            object.__setattr__(self, name, own)

    ids: Strings
    groups: Strings
    hashes: Strings

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild_lock, (self.ids, self.groups, self.hashes))

    def __len__(self) -> int:
        return len(self.ids)

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):
            raise AttributeError(name)
        raise LeakageError(
            f"'{name}' of the locked test set was requested before the test was opened: "
            "a stage sees its ids, groups and hashes only"
        )

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise LeakageError(f"the locked test set cannot be changed ('{name}')")

    def __delattr__(self, name: str) -> NoReturn:
        raise LeakageError(f"the locked test set cannot be changed ('{name}')")

    def __getitem__(self, key: object) -> NoReturn:
        raise LeakageError("the locked test set cannot be indexed before the test is opened")


def _rebuild_lock(ids: Strings, groups: Strings, hashes: Strings) -> LockedTest:
    return LockedTest(ids=ids, groups=groups, hashes=hashes)
