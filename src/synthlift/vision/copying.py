"""Copying: are generated images closer to the training images than new real images are?

METHOD §5. All distances are Euclidean between an encoder's features, from a query to its nearest
training image of any class. *Held-out* images are real ones that were not trained on.

No set of images need be in memory. Every training image is a reference, however many there are,
since a copy of one that was left out would look new. What held-out images give are medians and
quantiles: of more than :data:`MOST_HELD_OUT` so many are drawn by seed, and results say so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from synthlift.rows import FeatureRows, PixelRows
from synthlift.seeds import generator_for
from synthlift.types import (
    Encoder,
    Float64,
    ImageBatch,
    ImageSet,
    Int64,
    MonitorReading,
    Strings,
    UInt8,
)
from synthlift.vision.copying_statistics import c_t, joined, matched_cells, median_ratio
from synthlift.vision.features import encode, kept_features, some_rows
from synthlift.vision.neighbours import nearest

Bools = NDArray[np.bool_]

COPY_QUANTILE = 0.01
RATIO_CEILING = 1 / 3
"""A copy is at least three times nearer to one training image than to the next (Yoon 2023)."""
NOISE_LEVELS = 8.0
MOST_HELD_OUT = 5000
"""Held-out images compared with at most; the 1st percentile then rests on 50 of them."""
QUERIES = 1024
"""Images whose features are in memory together."""


class LabelledImages(Protocol):
    """Images with labels, in memory or where they lie; an ``ImageBatch`` is one."""

    @property
    def pixels(self) -> PixelRows:
        """uint8 [n, H, W, C]."""
        ...

    @property
    def labels(self) -> Int64:
        """Class indices [n]."""
        ...


@dataclass(frozen=True)
class StoredImages:
    """Labelled images that are read when they are needed."""

    pixels: PixelRows = field(repr=False)
    labels: Int64 = field(repr=False)


@dataclass(frozen=True)
class Approach:
    """How near queries come to the training images.

    Attributes:
        first: distance to the nearest training image, float64 [n].
        relative: first / distance to the second nearest, in [0, 1], float64 [n].
        rows: row of the nearest training image [n].
    """

    first: Float64
    relative: Float64
    rows: NDArray[np.intp]


class Spacing:
    """Distance of each training image to its nearest other one, found out when it is asked for.

    Args:
        features: of the training images [N, D].
    """

    def __init__(self, features: FeatureRows) -> None:
        self._features = features
        self._known: Float64 = np.full(features.shape[0], np.nan)

    def __getitem__(self, rows: NDArray[np.intp]) -> Float64:
        """The distances at ``rows``, float64 [n]."""
        wanted = np.unique(rows[np.isnan(self._known[rows])])
        for start in range(0, len(wanted), QUERIES):
            own = wanted[start : start + QUERIES]
            found = nearest(self._features[own], references=self._features, own=own)
            self._known[own] = found.distances[:, 0]
        return self._known[rows]


@dataclass(frozen=True)
class CopyingReference:
    """What every copying measure is read against; build it by :func:`copying_reference`.

    Attributes:
        encoder: the features in which distances are taken.
        features: of the training images [N, D], in memory or in a file.
        ids: of the training images [N].
        spacing: distance of each training image to its nearest other one.
        held_out: approach of the held-out images.
        held_out_given: how many there were to draw them from.
        labels: classes of the held-out images.
        controls: approach of blurred and of noised held-out images, by name.
        distance_cut: 1st percentile of the held-out distances.
        relative_cut: 1st percentile of the held-out d1/d2, at most 1/3.
        seed: of the sub-samples that make query counts equal.
    """

    encoder: Encoder = field(repr=False)
    features: FeatureRows = field(repr=False)
    ids: Strings = field(repr=False)
    spacing: Spacing = field(repr=False)
    held_out: Approach = field(repr=False)
    held_out_given: int
    labels: Int64 = field(repr=False)
    controls: Mapping[str, Approach] = field(repr=False)
    distance_cut: float
    relative_cut: float
    seed: int


@dataclass(frozen=True)
class CopyingResult:
    """The copying measures of one set of generated images.

    Attributes:
        ratio: median distance of the generated over that of the held-out images, same classes
            and counts; below 1 = closer to the training images than new real images are.
        cells: the same by class ("" pools the classes with few held-out images), with the count.
        controls: ratio of blurred and noised held-out images: what blur or noise alone does.
        c_t: Meehan 2020; below −3 flags copying.
        authenticity, held_out_authenticity: Alaa 2022, shares in [0, 1].
        copies, held_out_copies: shares flagged image by image.
        queries: matched generated images behind ``ratio``.
        unmatched: generated images of classes without any held-out image.
        training: images compared with: all that were trained on.
        held_out: real images that they were measured against.
        held_out_given: how many there were; where more than ``held_out``, that many were drawn.
    """

    ratio: float
    cells: Mapping[str, tuple[float, int]]
    controls: Mapping[str, float]
    c_t: float
    authenticity: float
    held_out_authenticity: float
    copies: float
    held_out_copies: float
    queries: int
    unmatched: int
    training: int
    held_out: int
    held_out_given: int


def copying_reference(
    train: ImageSet,
    *,
    held_out: ImageSet,
    encoder: Encoder,
    features: FeatureRows | None = None,
    seed: int = 0,
    controls: bool = True,
    folder: Path | None = None,
) -> CopyingReference:
    """Measure how near new real images come to the training images.

    Args:
        train: at least 3 images; all of them are references.
        held_out: at least 1 labelled real image that was not trained on, of the same size. Of more
            than :data:`MOST_HELD_OUT`, so many are drawn by ``seed``.
        encoder: shared by all measures.
        features: what it gives for ``train`` [N, D], where that is known already.
        seed: of the noise control and of sub-samples.
        controls: whether blurred and noised held-out images are measured too.
        folder: for a temporary file, where unknown features would take much memory.
    """
    assert len(train) >= 3, "copying needs at least 3 training images"
    assert len(held_out) >= 1, "copying needs held-out images"
    if features is None:
        features = kept_features(encoder, train.source, folder=folder)
    assert features.shape[0] == len(train), "features of other images"
    drawn = held_out.subset(some_rows(len(held_out), MOST_HELD_OUT, seed, "held_out"))
    changes: dict[str, Callable[[UInt8], UInt8]] = {}
    if controls:
        noise = generator_for(seed, "noise_control")
        changes = {"blurred": _blurred, "noised": lambda block: _noised(block, noise)}
    real = _approach(encoder, drawn.source, features)
    distance_cut, relative_cut = copy_cuts(real)
    return CopyingReference(
        encoder=encoder,
        features=features,
        ids=train.ids,
        spacing=Spacing(features),
        held_out=real,
        held_out_given=len(held_out),
        labels=drawn.labels,
        controls={
            name: _approach(encoder, drawn.source, features, change=change)
            for name, change in changes.items()
        },
        distance_cut=distance_cut,
        relative_cut=relative_cut,
        seed=seed,
    )


# Image by image, since floats take eight times the memory of pixels.
def _blurred(block: UInt8) -> UInt8:
    return np.concatenate([blur(image[None]) for image in block])


def _noised(block: UInt8, noise: np.random.Generator) -> UInt8:
    noised = [np.rint(image + noise.normal(0, NOISE_LEVELS, image.shape)) for image in block]
    return np.stack([np.clip(image, 0, 255).astype(np.uint8) for image in noised])


def copy_cuts(
    held_out: Approach, *, quantile: float = COPY_QUANTILE, ceiling: float = RATIO_CEILING
) -> tuple[float, float]:
    """Thresholds of the image-by-image test, on the distance and on d1/d2.

    Args:
        held_out: approach of real images that were not trained on.
        quantile: share of them below either threshold; 0 switches the distance test off.
        ceiling: the threshold on d1/d2 is never higher; 0 switches that test off.
    """
    distance = float(np.quantile(held_out.first, quantile)) if quantile > 0 else 0.0
    return distance, min(ceiling, float(np.quantile(held_out.relative, quantile)))


def blur(pixels: UInt8) -> UInt8:
    """Blur by the binomial kernel (1, 2, 1)/4 along both axes, edges repeated."""
    out = pixels.astype(np.float64)
    for axis in (1, 2):
        edges = [(1, 1) if a == axis else (0, 0) for a in range(4)]
        padded = np.pad(out, edges, mode="edge")
        size = out.shape[axis]
        left, right = (np.take(padded, np.arange(s, s + size), axis=axis) for s in (0, 2))
        out = (left + 2 * out + right) / 4
    return np.rint(out).astype(np.uint8)


def approach(reference: CopyingReference, *, pixels: PixelRows) -> Approach:
    """How near images [n, H, W, C] come to the training images."""
    return _approach(reference.encoder, pixels, reference.features)


def is_copy(reference: CopyingReference, *, near: Approach) -> Bools:
    """Which images are copies: nearer than 99 % of held-out ones, or clearly of one image [n]."""
    close: Bools = near.first < reference.distance_cut
    return close | (near.relative < reference.relative_cut)


def measure_copying(
    reference: CopyingReference, *, generated: LabelledImages, classes: tuple[str, ...]
) -> CopyingResult:
    """All copying measures of METHOD §5 for one set of generated images.

    Args:
        reference: see :func:`copying_reference`.
        generated: labelled as requested.
        classes: class names.
    """
    near, real = approach(reference, pixels=generated.pixels), reference.held_out
    cells = matched_cells(generated.labels, held_out=reference.labels, seed=reference.seed)
    mine, theirs = (joined([pair[i] for pair in cells.values()]) for i in (0, 1))
    return CopyingResult(
        ratio=median_ratio(near.first[mine], real.first[theirs]),
        cells={
            classes[label] if label >= 0 else "": (
                median_ratio(near.first[a], real.first[b]),
                len(a),
            )
            for label, (a, b) in cells.items()
        },
        controls={
            name: median_ratio(control.first[theirs], real.first[theirs])
            for name, control in reference.controls.items()
        },
        c_t=c_t([(near.first[a], real.first[b]) for a, b in cells.values()]),
        authenticity=_authenticity(reference, near),
        held_out_authenticity=_authenticity(reference, real),
        copies=float(is_copy(reference, near=near).mean()),
        held_out_copies=float(is_copy(reference, near=real).mean()),
        queries=len(mine),
        unmatched=int((~np.isin(generated.labels, reference.labels)).sum()),
        training=reference.features.shape[0],
        held_out=len(reference.labels),
        held_out_given=reference.held_out_given,
    )


class CopyingMonitor:
    """Watches a generator while it trains (the ``Monitor`` protocol).

    Args:
        reference: see :func:`copying_reference`.
        classes: class names.
        at_least: a check-point is acceptable while the ratio is no lower.
        copies_at_most: … and while no larger share of the samples is a copy.
    """

    def __init__(
        self,
        reference: CopyingReference,
        *,
        classes: tuple[str, ...],
        at_least: float = 1.0,
        copies_at_most: float = 0.1,
    ) -> None:
        self._reference, self._classes = reference, classes
        self._at_least, self._copies_at_most = at_least, copies_at_most

    def __call__(self, step: int, samples: ImageBatch) -> MonitorReading:
        """Judge samples; ``step`` plays no part."""
        del step
        result = measure_copying(self._reference, generated=samples, classes=self._classes)
        # Without any comparable class (NaN) only the image-by-image test can speak.
        close = result.ratio < self._at_least
        return MonitorReading(
            value=result.ratio,
            acceptable=not close and result.copies <= self._copies_at_most,
            detail={
                "copies": result.copies,
                "c_t": result.c_t,
                "authenticity": result.authenticity,
                "queries": float(result.queries),
                **result.controls,
            },
        )


def _approach(
    encoder: Encoder,
    pixels: PixelRows,
    train: FeatureRows,
    *,
    change: Callable[[UInt8], UInt8] | None = None,
) -> Approach:
    count, parts = pixels.shape[0], []
    for start in range(0, count, QUERIES):
        rows = np.arange(start, min(start + QUERIES, count))
        features = encode(encoder, pixels, rows=rows, change=change)
        parts.append(nearest(features, references=train, k=2))
    first, second = np.concatenate([part.distances for part in parts]).T
    relative = np.divide(first, second, out=np.ones_like(first), where=second > 0)
    nearest_rows = np.concatenate([part.indices[:, 0] for part in parts])
    return Approach(first=first, relative=relative, rows=nearest_rows)


def _authenticity(reference: CopyingReference, near: Approach) -> float:
    """Share farther from its nearest training image than that one's own neighbour (Alaa 2022)."""
    return float((near.first > reference.spacing[near.rows]).mean())
