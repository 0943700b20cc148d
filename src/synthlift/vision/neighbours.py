"""Exact nearest neighbours in blocks: memory O(N · block), never N × N. NumPy only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from synthlift.types import Float32, Float64

SPARE = 8
"""Candidates kept beyond k, so that rounding in the fast pass cannot lose a true neighbour."""


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
    references: Float32,
    k: int = 1,
    block: int = 1024,
    same: bool = False,
) -> Neighbours:
    """Find the k nearest references of each query.

    Candidates come from single-precision products of centred features; their distances are then
    computed from the differences in double precision, so that equal rows are at distance 0.

    Args:
        queries: features [n, D].
        references: features [N, D].
        k: at most N, or N − 1 with ``same``.
        block: queries at a time.
        same: queries and references are the same rows; a row is no neighbour of itself.

    Returns:
        Ties go to the lower row.
    """
    count = len(references) - int(same)
    assert 1 <= k <= count, f"{k} neighbours wanted among {count} references"
    centre = references.mean(axis=0, dtype=np.float64).astype(np.float32)
    centred = np.asarray(references, np.float32) - centre
    squares = np.einsum("nd,nd->n", centred, centred)
    distances = np.empty((len(queries), k))
    indices = np.empty((len(queries), k), dtype=np.intp)
    for start in range(0, len(queries), block):
        rows = slice(start, min(start + block, len(queries)))
        rough = squares - 2 * ((np.asarray(queries[rows], np.float32) - centre) @ centred.T)
        if same:
            inside = np.arange(rows.start, rows.stop)
            rough[inside - rows.start, inside] = np.inf
        candidates = _lowest(rough, min(k + SPARE, count))
        exact = _distances(queries[rows], references, candidates)
        order = np.lexsort((candidates, exact), axis=1)[:, :k]
        distances[rows] = np.take_along_axis(exact, order, axis=1)
        indices[rows] = np.take_along_axis(candidates, order, axis=1)
    return Neighbours(distances, indices)


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
