"""Images that show the same picture: copied, cropped, brightened, compressed, flipped or turned."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from synthlift.data.faults.alignment import align, edge_correlation, halved, inverted
from synthlift.data.faults.perceptual import (
    Candidates,
    Rows,
    best_of_each,
    look_alikes,
    thumbnails,
    turn,
)
from synthlift.data.integrity import pixel_hash
from synthlift.types import Float32, Int64, UInt8

LOOSEST, STRICTEST = 0.28, 0.02
"""Between these two the threshold is calibrated on the data."""
LARGEST_SHARE = 0.02
"""A component of more than this share of the images makes the threshold tighter (METHOD §2)."""

_BATCH = 1024
_FIRST_STEPS, _LAST_STEPS = 3, 4
_HOPELESS, _FINALISTS = 0.25, 2
_SPREADS = 3.0
_CALIBRATE_FROM = 30


class Pair(NamedTuple):
    """Two images, rows first < second, that show the same picture.

    ``distance`` is 1 − correlation of the aligned images' edges: 0 = the same.
    """

    first: int
    second: int
    distance: float
    kind: Literal["exact", "near"]


@dataclass(frozen=True)
class NearDuplicates:
    """All pairs by rows, and the largest distance at which two images counted as one picture."""

    pairs: tuple[Pair, ...]
    threshold: float


def near_duplicates(
    pixels: UInt8, *, hashes: Sequence[str] | None = None, threshold: float | None = None
) -> NearDuplicates:
    """Find images that show the same picture.

    Candidates share a perceptual hash (:mod:`~synthlift.data.faults.perceptual`). They are laid
    over each other – flips, quarter turns, shift, scale, brightness and contrast are free – and
    compared by their edges. Memory is bounded; 60,000 images of 32 px take about a minute.

    Args:
        pixels: uint8 [N, H, W, C] of any size; 32 px are enough and fastest.
        hashes: one a content [N]; None = taken from ``pixels``. Equal hashes are exact copies.
        threshold: largest distance of a near-duplicate, in [0, 1]; None = calibrated: 0.28, or
            less where unrelated images of this data set come near that anyway (small digits).

    Returns:
        Of several exact copies, each is paired with the first only, and the first alone stands
        for them among the near-duplicates.
    """
    contents = [pixel_hash(image) for image in pixels] if hashes is None else list(hashes)
    assert len(contents) == len(pixels), f"{len(contents)} hashes for {len(pixels)} images"
    firsts: dict[str, int] = {}
    exact = []
    for row, content in enumerate(contents):
        first = firsts.setdefault(content, row)
        if first != row:
            exact.append(Pair(first, row, 0.0, "exact"))
    rows = np.array(list(firsts.values()), dtype=np.intp)
    grey = thumbnails(pixels if len(rows) == len(pixels) else pixels[rows])
    candidates = look_alikes(grey)
    chosen, agreement = _finalists(grey, candidates)
    limit = _calibrated(agreement) if threshold is None else threshold
    distance = np.maximum(1 - agreement.astype(np.float64), 0)
    near = [
        Pair(int(first), int(second), round(float(d), 4), "near")
        for first, second, d in zip(
            rows[candidates.first[chosen]], rows[candidates.second[chosen]], distance, strict=True
        )
        if d <= limit
    ]
    return NearDuplicates(tuple(sorted(exact + near)), float(limit))


def _finalists(grey: UInt8, candidates: Candidates) -> tuple[Rows, Float32]:
    """Each image's best two candidate pairs, and their edge correlation after alignment.

    All are looked at roughly, at half the size; the best are then aligned well, both ways.
    """
    rough = np.empty(len(candidates.first), dtype=np.float32)
    found = np.empty((len(rough), 4), dtype=np.float32)
    for part, template, image in _batches(grey, candidates, np.arange(len(rough))):
        small, large = halved(template), halved(image)
        found[part] = align(small, large, steps=_FIRST_STEPS)
        rough[part] = edge_correlation(small, large, found[part])
    best = best_of_each(candidates.first, candidates.second, rough, count=_FINALISTS)
    for part, template, image in _batches(grey, candidates, best[rough[best] > _HOPELESS]):
        rough[part] = _both_ways(template, image, found[part])
    return best, rough[best]


def _batches(
    grey: UInt8, candidates: Candidates, chosen: Rows
) -> Iterator[tuple[Rows, Float32, Float32]]:
    for start in range(0, len(chosen), _BATCH):
        part = chosen[start : start + _BATCH]
        own = grey[candidates.first[part]].astype(np.float32)
        other = turn(grey[candidates.second[part]].astype(np.float32), candidates.variant[part])
        # The smoother one is more likely an enlarged crop; the order of files plays no part.
        swap = (_energy(own) > _energy(other))[:, None, None]
        yield part, np.where(swap, other, own), np.where(swap, own, other)


def _both_ways(template: Float32, image: Float32, found: Float32) -> Float32:
    small, large = halved(template), halved(image)
    there = align(small, large, steps=_LAST_STEPS, start=found)
    back = align(large, small, steps=_LAST_STEPS, start=inverted(there))
    return np.maximum(
        edge_correlation(template, image, there), edge_correlation(image, template, back)
    )


def _energy(images: Float32) -> Float32:
    """Mean square of the steps between neighbouring pixels [n]."""
    steps = [np.diff(images, axis=axis).reshape(len(images), -1) for axis in (1, 2)]
    energy: Float32 = sum(np.einsum("np,np->n", s, s) for s in steps)
    return energy


def _calibrated(agreement: Float32) -> float:
    """Three robust standard deviations beyond the typical look-alike, on Fisher's z scale."""
    if len(agreement) < _CALIBRATE_FROM:
        return LOOSEST
    z = np.arctanh(np.clip(agreement.astype(np.float64), -0.999, 0.999))
    centre = np.median(z)
    spread = 1.4826 * np.median(np.abs(z - centre))
    return float(np.clip(1 - np.tanh(centre + _SPREADS * spread), STRICTEST, LOOSEST))


def components(pairs: Sequence[Pair], *, count: int) -> Int64:
    """The lowest row that each image is joined to, directly or through others; int64 [count]."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    first, second = ([p.first for p in pairs], [p.second for p in pairs])
    graph = coo_array((np.ones(len(pairs)), (first, second)), shape=(count, count))
    _, label = connected_components(graph, directed=False)
    _, lowest = np.unique(label, return_index=True)
    joined: Int64 = lowest[label].astype(np.int64)
    return joined


def tightened(found: NearDuplicates, *, count: int, share: float = LARGEST_SHARE) -> NearDuplicates:
    """Drop the least certain pairs until no component exceeds a share of the images (METHOD §2).

    Exact copies always stay, so a component may be as large as they make it.

    Args:
        found: pairs over ``count`` images.
        count: N.
        share: largest component as a share of N; two images may always be joined.
    """
    distances = sorted({pair.distance for pair in found.pairs if pair.kind == "near"})
    allowed = max(2.0, share * count, _largest(_up_to(found, -1.0), count))
    low, high = 0, len(distances)
    while low < high:
        middle = (low + high + 1) // 2
        fits = _largest(_up_to(found, distances[middle - 1]), count) <= allowed
        low, high = (middle, high) if fits else (low, middle - 1)
    if low == len(distances):
        return found
    limit = distances[low - 1] if low else 0.0
    return NearDuplicates(_up_to(found, limit if low else -1.0), limit)


def _up_to(found: NearDuplicates, limit: float) -> tuple[Pair, ...]:
    return tuple(p for p in found.pairs if p.kind == "exact" or p.distance <= limit)


def _largest(pairs: Sequence[Pair], count: int) -> float:
    return float(np.bincount(components(pairs, count=count)).max()) if pairs else 1.0
