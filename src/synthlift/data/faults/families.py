"""Families: images that resemble each other clearly more than they resemble anything else.

Versions of one picture – crops, frames of one film – may differ more than unrelated images of
another data set do, and unrelated small digits less than versions do elsewhere. What tells them
apart is the step from the least alike member to the nearest stranger: look-alikes by chance come
one after the other without such a step.
"""

from __future__ import annotations

import numpy as np

from synthlift.data.faults.perceptual import Rows
from synthlift.types import Float32, Float64, Int64

STEP = 0.35
"""Least gap, on Fisher's z scale, between a family's weakest link and its nearest stranger: half
the distance for near ones, 0.28 against 0.49 for far ones."""
ALONE = -1


def fisher(agreement: Float32 | Float64) -> Float64:
    """Correlations on the scale where their spread is the same everywhere."""
    z: Float64 = np.arctanh(np.clip(agreement.astype(np.float64), -0.999, 0.999))
    return z


def families(
    first: Rows, second: Rows, agreement: Float32, *, count: int, least: float, largest: int
) -> Int64:
    """The largest family that each image belongs to, int64 [count]; -1 where there is none.

    Pairs are joined from the most alike on (single linkage). A set becomes a family where the next
    pair to be joined to it agrees less by :data:`STEP` than its own weakest.

    Args:
        first, second, agreement: of the pairs that were compared well [n].
        count: N.
        least: agreement of the weakest pair that may hold a family together.
        largest: images of a family.
    """
    strength = fisher(agreement)
    weakest = float(fisher(np.array([least]))[0])
    root, top = list(range(count)), list(range(count))
    above: list[int] = [ALONE] * count
    own: list[float] = [np.inf] * count
    size = [1] * count

    def found(row: int) -> int:
        while root[row] != row:
            root[row] = root[root[row]]
            row = root[row]
        return row

    for place in np.argsort(-strength, kind="stable").tolist():
        one, other = found(int(first[place])), found(int(second[place]))
        if one == other:
            continue
        above[top[one]] = above[top[other]] = len(above)
        size.append(size[top[one]] + size[top[other]])
        root[max(one, other)] = min(one, other)
        top[min(one, other)] = len(above)
        above.append(ALONE)
        own.append(float(strength[place]))
    family = [ALONE] * len(above)
    for node in reversed(range(len(above))):
        parent = above[node]
        if parent != ALONE and family[parent] != ALONE:
            family[node] = family[parent]
        elif node >= count and own[node] >= weakest and size[node] <= largest:
            # What is linked to nothing else is far from all, unless it is everything there is.
            stranger = own[parent] if parent != ALONE else 0.0
            if own[node] - stranger >= STEP:
                family[node] = node
    labels: Int64 = np.array(family[:count], dtype=np.int64)
    return labels
