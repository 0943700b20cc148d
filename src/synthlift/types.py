"""The contracts that stages share. Nothing here imports torch.

Letters in array shapes: N images, H height, W width, C channels (1 or 3), K classes, D features.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from synthlift.errors import LeakageError
from synthlift.rows import PixelRows, as_positions

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


# ── generators ────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class SampleRequest:
    """One image wanted.

    Attributes:
        index: position in its sampling stream (one stream per fit and cell), from 0.
        label: class index wanted.
        seed: this image's own seed; the same request gives the same pixels in any batch.
        attributes: wanted attribute values by name.
        params: generator-specific settings of this request.
    """

    index: int
    label: int
    seed: int
    attributes: Mapping[str, str] = field(default_factory=dict)
    params: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ImageBatch:
    """Generated images in request order.

    Attributes:
        pixels: uint8 [n, H, W, C] at the generator's native size.
        labels: class indices [n].
        soft_labels: class probabilities [n, K], where the generator mixes classes.
        masks: uint8 [n, H, W], where the generator knows what it drew.
    """

    pixels: UInt8
    labels: Int64
    soft_labels: Float32 | None = None
    masks: UInt8 | None = None

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class FitInputs:
    """What a generator may learn from. The test set is present as a lock only."""

    train: ImageSet
    validation: ImageSet
    test: LockedTest
    unlabelled: ImageSet | None = None


@dataclass(frozen=True)
class MonitorReading:
    """One reading of a training monitor.

    Attributes:
        value: the monitored quantity (for copying: the ratio of METHOD §5; below 1 = too close).
        acceptable: whether a check-point taken now may be kept.
        detail: further numbers for the log.
    """

    value: float
    acceptable: bool
    detail: Mapping[str, float] = field(default_factory=dict)


class Monitor(Protocol):
    """Watches a generator while it trains, e.g. its copying ratio against held-out images."""

    def __call__(self, step: int, samples: ImageBatch) -> MonitorReading:
        """Judge ``samples`` drawn at training step ``step``."""
        ...


class Scorer(Protocol):
    """Gives class probabilities; the agreement filter's view of a trained classifier."""

    def __call__(self, pixels: UInt8) -> Float32:
        """Map uint8 [n, H, W, C] to probabilities float32 [n, K]."""
        ...


class Encoder(Protocol):
    """Maps images to features in which distances mean something."""

    @property
    def name(self) -> str:
        """For keys and reports."""
        ...

    def __call__(self, pixels: UInt8) -> Float32:
        """Map uint8 [n, H, W, C] to features float32 [n, D]."""
        ...


@runtime_checkable
class ExposesLoss(Protocol):
    """A fitted generator that can say how well it explains given images (membership attack)."""

    def loss(self, images: ImageSet, *, seed: int) -> Float32:
        """Per-image loss, float32 [N]; lower = better explained."""
        ...


def _silent(_done: int, _total: int, _note: str) -> None:
    return None


@dataclass(frozen=True)
class RunContext:
    """What a running component may use besides its inputs.

    Attributes:
        folder: private work folder that survives kills; check-points go here.
        seed: the seed of this unit.
        device: torch device string ("cpu", "cuda:0", "mps").
        progress: call as ``progress(done, total, note)``; cheap, any rate.
        log: call as ``log(event, **fields)``; lands in the run's JSON-lines log.
        monitor: optional training monitor.
    """

    folder: Path
    seed: int
    device: str = "cpu"
    progress: Callable[[int, int, str], None] = _silent
    log: Callable[..., None] = lambda *_args, **_fields: None
    monitor: Monitor | None = None


class FittedGenerator(ABC):
    """A generator that has learnt; immutable, saved as a folder."""

    @property
    @abstractmethod
    def image_shape(self) -> tuple[int, int, int]:
        """Native height, width and channels of what :meth:`sample` yields."""

    @abstractmethod
    def sample(self, requests: Sequence[SampleRequest]) -> Iterator[ImageBatch]:
        """Yield the requested images in order; a request's pixels depend on that request only."""

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write everything needed to sample again; weights as safetensors, never pickle."""


class Generator(ABC):
    """A recipe that can be fitted. Built by its Config: ``config.build()`` or the descriptor."""

    @abstractmethod
    def fit(self, inputs: FitInputs, *, run: RunContext) -> FittedGenerator:
        """Learn from ``inputs.train``; ``inputs.validation`` may be watched, never learnt from."""

    @abstractmethod
    def load(self, folder: Path, *, device: str = "cpu") -> FittedGenerator:
        """Read back what :meth:`FittedGenerator.save` wrote."""


# ── curation ──────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Verdict:
    """A filter's judgement of one image.

    Attributes:
        score: in [0, 1]; 1 = certainly fine.
        flagged: True = reject.
        reason: short words for the user, e.g. "copy of training image 12_3"; "" when kept.
    """

    score: float
    flagged: bool
    reason: str = ""


@dataclass(frozen=True)
class FilterInputs:
    """What a filter may calibrate on; the test set is present as a lock only.

    Attributes:
        train: the training images of this fit.
        validation: held-out images for thresholds.
        test: the lock.
        reference: the first chunk of generated images, labelled as requested.
        encoder: features shared by all filters.
        scorer: a classifier trained by a training stage on ``train`` out of fold, or None.
    """

    train: ImageSet
    validation: ImageSet
    test: LockedTest
    encoder: Encoder
    reference: ImageBatch | None = None
    scorer: Scorer | None = None


class Filter(ABC):
    """Scores images one at a time; its threshold is calibrated once and saved."""

    @abstractmethod
    def calibrate(self, inputs: FilterInputs) -> None:
        """Fix thresholds. Called once before :meth:`judge`."""

    @abstractmethod
    def judge(self, batch: ImageBatch) -> list[Verdict]:
        """One verdict per image, each depending on that image alone."""
