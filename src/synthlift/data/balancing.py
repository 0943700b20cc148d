"""Exchanging groups between parts until classes and strata are as even as whole groups allow.

Dealing groups one at a time is enough where each belongs to one stratum. Where a patient has
images of several classes, or lesions at several sites, exchanges afterwards do better. Letters in
shapes: G groups, P parts, C columns (classes and strata), M kinds of groups with equal columns.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from synthlift.types import Int64

MOST_KINDS = 300
"""Only the commonest kinds are exchanged beyond that, so that time stays bounded."""


def balance(
    part_of: NDArray[np.intp],
    columns: Int64,
    *,
    targets: Int64,
    scale: int,
    weights: Int64,
    least: Int64,
    rank: NDArray[np.intp],
) -> NDArray[np.intp]:
    """Exchange groups while that lowers Σ weight · (scale · groups − target)².

    The sum runs over parts and columns. In whole numbers, so that no machine rounds differently.

    Args:
        part_of: part of each group, −1 where it takes no part [G].
        columns: what each group counts for, 0 or 1 [G, C].
        targets: wanted groups times ``scale`` [P, C].
        scale: makes the targets whole.
        weights: of the columns [C].
        least: groups that no exchange may take a part below [P, C].
        rank: decides between groups of one kind [G].

    Returns:
        The new part of each group [G].
    """
    found = part_of.copy()
    groups = np.flatnonzero(found >= 0)
    kinds, kind_of, counts = np.unique(
        columns[groups], axis=0, return_inverse=True, return_counts=True
    )
    commonest = np.sort(np.argsort(-counts, kind="stable")[:MOST_KINDS])
    place = {int(kind): i for i, kind in enumerate(commonest)}
    stock: list[list[list[int]]] = [[[] for _ in commonest] for _ in targets]
    for i in np.argsort(rank[groups]):
        kind = place.get(int(kind_of[i]))
        if kind is not None:
            stock[found[groups[i]]][kind].append(int(groups[i]))
    # The last kind is no group at all: then a group moves and none comes back.
    kinds = np.vstack([kinds[commonest], np.zeros((1, columns.shape[1]), dtype=columns.dtype)])
    inner = (kinds * weights) @ kinds.T
    size = np.diag(inner)
    distance = size[:, None] + size[None, :] - 2 * inner
    now = np.array([columns[found == part].sum(axis=0) for part in range(len(targets))])
    improved = True
    while improved:
        improved = False
        for i, j in combinations(range(len(targets)), 2):
            while True:
                has_i = np.array([*map(bool, stock[i]), True])
                has_j = np.array([*map(bool, stock[j]), True])
                ahead = scale * (now[i] - now[j]) - targets[i] + targets[j]
                pull = (kinds * weights) @ ahead
                # A half of the sum's change, over scale.
                change = pull[None, :] - pull[:, None] + scale * distance
                change[~has_i, :] = 0
                change[:, ~has_j] = 0
                move = _first_allowed(change, kinds, now[i], now[j], least[i], least[j])
                if move is None:
                    break
                p, q = move
                now[i] += kinds[q] - kinds[p]
                now[j] += kinds[p] - kinds[q]
                for kind, source, sink in ((p, i, j), (q, j, i)):
                    if kind < len(commonest):
                        group = stock[source][kind].pop(0)
                        stock[sink][kind].append(group)
                        found[group] = sink
                improved = True
    return found


def _first_allowed(
    change: Int64, kinds: Int64, now_i: Int64, now_j: Int64, least_i: Int64, least_j: Int64
) -> tuple[int, int] | None:
    """The exchange that gains most: kind p of part i against kind q of part j."""
    p, q = np.nonzero(change < 0)
    for k in np.argsort(change[p, q], kind="stable"):
        step = kinds[q[k]] - kinds[p[k]]
        after_i, after_j = now_i + step, now_j - step
        if (after_i >= np.minimum(least_i, now_i)).all() and (
            after_j >= np.minimum(least_j, now_j)
        ).all():
            return int(p[k]), int(q[k])
    return None
