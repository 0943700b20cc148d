"""Copying: are generated images closer to the training images than new real images are?

METHOD §5. All distances are Euclidean between an encoder's features, from a query to its nearest
training image of any class. *Held-out* images are real ones that were not trained on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from synthlift.seeds import generator_for
from synthlift.types import (
    Encoder,
    Float32,
    Float64,
    ImageBatch,
    ImageSet,
    Int64,
    MonitorReading,
    Strings,
    UInt8,
)
from synthlift.vision.neighbours import nearest

Bools = NDArray[np.bool_]

SMALL_CLASS = 20
"""Classes with fewer held-out images than this are pooled."""
COPY_QUANTILE = 0.01
RATIO_CEILING = 1 / 3
"""A copy is at least three times nearer to one training image than to the next (Yoon 2023)."""
NOISE_LEVELS = 8.0


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


@dataclass(frozen=True)
class CopyingReference:
    """What every copying measure is read against; build it by :func:`copying_reference`.

    Attributes:
        encoder: the features in which distances are taken.
        features: of the training images [N, D].
        ids: of the training images [N].
        spacing: distance of each training image to its nearest other one [N].
        held_out: approach of the held-out images.
        labels: classes of the held-out images.
        controls: approach of blurred and of noised held-out images, by name.
        distance_cut: 1st percentile of the held-out distances.
        relative_cut: 1st percentile of the held-out d1/d2, at most 1/3.
        seed: of the sub-samples that make query counts equal.
    """

    encoder: Encoder = field(repr=False)
    features: Float32 = field(repr=False)
    ids: Strings = field(repr=False)
    spacing: Float64 = field(repr=False)
    held_out: Approach = field(repr=False)
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


def copying_reference(
    train: ImageSet, *, held_out: ImageSet, encoder: Encoder, seed: int = 0
) -> CopyingReference:
    """Measure how near new real images come to the training images.

    Args:
        train: at least 3 images.
        held_out: at least 1 labelled real image that was not trained on, of the same size.
        encoder: shared by all measures.
        seed: of the noise control and of sub-samples.
    """
    assert len(train) >= 3, "copying needs at least 3 training images"
    assert len(held_out) >= 1, "copying needs held-out images"
    features, pixels = encoder(train.pixels()), held_out.pixels()
    noise = generator_for(seed, "noise_control").normal(0, NOISE_LEVELS, pixels.shape)
    noised = np.clip(np.rint(pixels + noise), 0, 255).astype(np.uint8)
    real = _approach(encoder(pixels), features)
    distance_cut, relative_cut = copy_cuts(real)
    return CopyingReference(
        encoder=encoder,
        features=features,
        ids=train.ids,
        spacing=nearest(features, references=features, same=True).distances[:, 0],
        held_out=real,
        labels=held_out.labels,
        controls={
            "blurred": _approach(encoder(blur(pixels)), features),
            "noised": _approach(encoder(noised), features),
        },
        distance_cut=distance_cut,
        relative_cut=relative_cut,
        seed=seed,
    )


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


def approach(reference: CopyingReference, *, pixels: UInt8) -> Approach:
    """How near images [n, H, W, C] come to the training images."""
    return _approach(reference.encoder(pixels), reference.features)


def is_copy(reference: CopyingReference, *, near: Approach) -> Bools:
    """Which images are copies: nearer than 99 % of held-out ones, or clearly of one image [n]."""
    close: Bools = near.first < reference.distance_cut
    return close | (near.relative < reference.relative_cut)


def measure_copying(
    reference: CopyingReference, *, generated: ImageBatch, classes: tuple[str, ...]
) -> CopyingResult:
    """All copying measures of METHOD §5 for one set of generated images.

    Args:
        reference: see :func:`copying_reference`.
        generated: labelled as requested.
        classes: class names.
    """
    near, real = approach(reference, pixels=generated.pixels), reference.held_out
    cells = matched_cells(generated.labels, held_out=reference.labels, seed=reference.seed)
    mine, theirs = (_joined([pair[i] for pair in cells.values()]) for i in (0, 1))
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
    )


def matched_cells(
    generated: Int64, *, held_out: Int64, seed: int
) -> dict[int, tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Rows of generated and held-out images that are compared, equally many of each class.

    Args:
        generated: labels [n].
        held_out: labels [m].
        seed: of the sub-samples.

    Returns:
        By class index: rows of both sides. Classes with fewer than 20 held-out images share the
        cell −1, in which each class still appears equally often on both sides.
    """
    pooled: list[tuple[NDArray[np.intp], NDArray[np.intp]]] = []
    cells = {}
    for label in sorted(set(generated.tolist()) & set(held_out.tolist())):
        mine, theirs = np.flatnonzero(generated == label), np.flatnonzero(held_out == label)
        small, count = len(theirs) < SMALL_CLASS, min(len(mine), len(theirs))
        rng = generator_for(seed, "matched_queries", label)
        pair = tuple(np.sort(rng.permutation(rows)[:count]) for rows in (mine, theirs))
        if small:
            pooled.append((pair[0], pair[1]))
        else:
            cells[label] = (pair[0], pair[1])
    if pooled:
        cells[-1] = (_joined([p[0] for p in pooled]), _joined([p[1] for p in pooled]))
    return cells


def median_ratio(distances: Float64, reference: Float64) -> float:
    """median(distances) / median(reference); NaN without queries, infinite over a zero median."""
    if not len(distances) or not len(reference):
        return float("nan")
    over, under = float(np.median(distances)), float(np.median(reference))
    if under == 0:
        return float("inf") if over > 0 else 1.0
    return over / under


def c_t(cells: list[tuple[Float64, Float64]]) -> float:
    """The data-copying statistic C_T (Meehan 2020), with classes as cells.

    Args:
        cells: per cell, distances to train of generated and of held-out images.

    Returns:
        Mean over cells, weighted by held-out images, of the z-scored Mann–Whitney U;
        negative = generated images lie closer. NaN without any pair.
    """
    scores = [(mann_whitney_z(mine, theirs), len(theirs)) for mine, theirs in cells]
    weight = sum(n for _, n in scores)
    return sum(z * n for z, n in scores) / weight if weight else float("nan")


def mann_whitney_z(mine: Float64, theirs: Float64) -> float:
    """(U − mn/2) / √(mn(m + n + 1)/12), U = pairs in which ``mine`` is larger, ties one half."""
    ordered = np.sort(theirs)
    below = np.searchsorted(ordered, mine, side="left")
    up_to = np.searchsorted(ordered, mine, side="right")
    m, n = len(mine), len(theirs)
    return float(((below + up_to).sum() / 2 - m * n / 2) / np.sqrt(m * n * (m + n + 1) / 12))


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


def _approach(features: Float32, train: Float32) -> Approach:
    found = nearest(features, references=train, k=2)
    first, second = found.distances.T
    relative = np.divide(first, second, out=np.ones_like(first), where=second > 0)
    return Approach(first=first, relative=relative, rows=found.indices[:, 0])


def _authenticity(reference: CopyingReference, near: Approach) -> float:
    """Share farther from its nearest training image than that one's own neighbour (Alaa 2022)."""
    return float((near.first > reference.spacing[near.rows]).mean())


def _joined(rows: list[NDArray[np.intp]]) -> NDArray[np.intp]:
    return np.concatenate([np.zeros(0, dtype=np.intp), *rows])
