"""What is computed of distances to the training images (METHOD §5)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from synthlift.seeds import generator_for
from synthlift.types import Float64, Int64

SMALL_CLASS = 20
"""Classes with fewer held-out images than this are pooled."""


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
        cells[-1] = (joined([p[0] for p in pooled]), joined([p[1] for p in pooled]))
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


def joined(rows: list[NDArray[np.intp]]) -> NDArray[np.intp]:
    """Rows one after the other, none where there are none."""
    return np.concatenate([np.zeros(0, dtype=np.intp), *rows])
