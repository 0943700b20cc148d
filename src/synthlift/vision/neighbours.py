"""Exact nearest neighbours in blocks: memory O(N · block), never N × N. NumPy only."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from synthlift.rows import FeatureRows
from synthlift.types import Float32, Float64

SPARE = 8
"""Candidates kept beyond k, so that rounding in the fast pass cannot lose a true neighbour."""
BLOCK_BYTES = 64 * 2**20
"""Of references that are not in memory, so much is read at a time."""


@dataclass(frozen=True)
class Neighbours:
    """Nearest references of each query, nearest first.

    Attributes:
        distances: Euclidean, float64 [n, k].
        indices: rows of the references [n, k].
    """

    distances: Float64
    indices: NDArray[np.intp]


def nearest(
    queries: Float32,
    *,
    references: FeatureRows,
    k: int = 1,
    block: int = 1024,
    same: bool = False,
    own: NDArray[np.intp] | None = None,
) -> Neighbours:
    """Find the k nearest references of each query.

    Candidates come from single-precision products of centred features; their distances are then
    computed from the differences in double precision, so that equal rows are at distance 0.

    Args:
        queries: features [n, D].
        references: features [N, D], in memory or where they lie.
        k: at most N, or N − 1 with ``same`` or ``own``.
        block: queries at a time.
        same: queries and references are the same rows; a row is no neighbour of itself.
        own: the row of each query among the references, which is no neighbour of it [n].

    Returns:
        Ties go to the lower row.
    """
    own = np.arange(len(queries)) if same else own
    total = references.shape[0]
    count = total - int(own is not None)
    assert 1 <= k <= count, f"{k} neighbours wanted among {count} references"
    distances = np.full((len(queries), k), np.inf)
    indices = np.full((len(queries), k), total, dtype=np.intp)
    centre = None
    for offset, part in _parts(references):
        if centre is None:
            centre = part.mean(axis=0, dtype=np.float64).astype(np.float32)
        centred = np.asarray(part, np.float32) - centre
        squares = np.einsum("nd,nd->n", centred, centred)
        for start in range(0, len(queries), block):
            rows = slice(start, min(start + block, len(queries)))
            rough = squares - 2 * ((np.asarray(queries[rows], np.float32) - centre) @ centred.T)
            candidates = _lowest(rough, min(k + SPARE + int(own is not None), len(part)))
            exact = _distances(queries[rows], part, candidates)
            candidates = candidates + offset
            if own is not None:
                exact[candidates == own[rows, None]] = np.inf
            near = np.concatenate([distances[rows], exact], axis=1)
            which = np.concatenate([indices[rows], candidates], axis=1)
            order = np.lexsort((which, near), axis=1)[:, :k]
            distances[rows] = np.take_along_axis(near, order, axis=1)
            indices[rows] = np.take_along_axis(which, order, axis=1)
    return Neighbours(distances, indices)


def _parts(references: FeatureRows) -> Iterator[tuple[int, Float32]]:
    """The first row of each part, and the part: an array is one."""
    if isinstance(references, np.ndarray):
        yield 0, references
        return
    count, width = references.shape
    size = max(1, BLOCK_BYTES // (4 * width))
    for start in range(0, count, size):
        yield start, references[np.arange(start, min(start + size, count))]


def _lowest(values: Float32, count: int) -> NDArray[np.intp]:
    if count == values.shape[1]:
        return np.broadcast_to(np.arange(count), values.shape)
    return np.argpartition(values, count - 1, axis=1)[:, :count]


def _distances(queries: Float32, references: Float32, candidates: NDArray[np.intp]) -> Float64:
    out = np.empty(candidates.shape)
    for column in range(candidates.shape[1]):
        gap = references[candidates[:, column]].astype(np.float64) - queries
        out[:, column] = np.sqrt(np.einsum("nd,nd->n", gap, gap))
    return out
