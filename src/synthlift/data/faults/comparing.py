"""Which candidates show how much of the same: roughly for all, well for those that matter.

Single linkage over each image's best two candidates would tear a picture that occurs in many
versions: the best two of each are other versions of its own corner. So whatever is linked is
compared once more with its best candidates *outside* what it is linked to, until nothing new is
linked: Borůvka's way to the minimum spanning tree (Borůvka 1926). It also tells how far the
nearest *other* picture is, which families and the threshold are judged by.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from synthlift.data.faults.alignment import align, edge_correlation, halved, inverted
from synthlift.data.faults.perceptual import (
    Candidates,
    Rows,
    best_of_each,
    look_alikes,
    look_alikes_apart,
    turn,
)
from synthlift.types import Float32, Int64, UInt8

BEST = 2
"""So many candidates of each image are compared well in each round."""

_BATCH = 1024
_FIRST_STEPS, _LAST_STEPS = 3, 4
_HOPELESS = 0.25
_ROUNDS = 6
_ASKING = 4


class Comparisons:
    """Candidate pairs of images and how well they agree after alignment.

    Attributes:
        first, second: rows first < second [n].
        agreement: correlation of their edges [n]: at half the size, until they are compared well.
        settled: whether they were among the best of an image in a round [n].
    """

    def __init__(self, grey: UInt8) -> None:
        self._grey = grey
        self.first = self.second = self._variant = np.zeros(0, dtype=np.intp)
        self.agreement = np.zeros(0, dtype=np.float32)
        self.settled = np.zeros(0, dtype=np.bool_)
        self._found = np.zeros((0, 4), dtype=np.float32)

    def add(self, candidates: Candidates) -> None:
        """Compare candidates roughly; those that are known already are passed over."""
        side = len(self._grey)
        known = self.first * side + self.second
        fresh = ~np.isin(candidates.first * side + candidates.second, known)
        start = len(self.first)
        self.first, self.second, self._variant = (
            np.concatenate([old, new[fresh]])
            for old, new in zip((self.first, self.second, self._variant), candidates, strict=True)
        )
        count = len(self.first)
        more = count - start
        self.agreement = np.concatenate([self.agreement, np.zeros(more, dtype=np.float32)])
        self.settled = np.concatenate([self.settled, np.zeros(more, dtype=np.bool_)])
        self._found = np.concatenate([self._found, np.zeros((more, 4), dtype=np.float32)])
        for part, template, image in self._batches(np.arange(start, count)):
            small, large = halved(template), halved(image)
            self._found[part] = align(small, large, steps=_FIRST_STEPS)
            self.agreement[part] = edge_correlation(small, large, self._found[part])

    def settle(self, chosen: Rows) -> Rows:
        """Compare the best two of each image among these places well; places that are new."""
        best = chosen[
            best_of_each(
                self.first[chosen], self.second[chosen], self.agreement[chosen], count=BEST
            )
        ]
        fresh = best[~self.settled[best]]
        self.settled[fresh] = True
        for part, template, image in self._batches(fresh[self.agreement[fresh] > _HOPELESS]):
            self.agreement[part] = _both_ways(template, image, self._found[part])
        return fresh

    def linked(self, least: float) -> Int64:
        """The lowest row that each image is linked to by agreements of at least so much."""
        strong = self.settled & (self.agreement >= least)
        return linked(self.first[strong], self.second[strong], count=len(self._grey))

    def _batches(self, chosen: Rows) -> Iterator[tuple[Rows, Float32, Float32]]:
        for start in range(0, len(chosen), _BATCH):
            part = chosen[start : start + _BATCH]
            own = self._grey[self.first[part]].astype(np.float32)
            other = turn(self._grey[self.second[part]].astype(np.float32), self._variant[part])
            # The smoother one is more likely an enlarged crop; the order of files plays no part.
            swap = (_energy(own) > _energy(other))[:, None, None]
            yield part, np.where(swap, other, own), np.where(swap, own, other)


def compare(grey: UInt8, *, least: float, sides: Int64 | None = None) -> Comparisons:
    """Compare every image with those that look most alike.

    Args:
        grey: thumbnails uint8 [N, 32, 32].
        least: agreement from which on two images are linked.
        sides: 0 or 1 an image [N]; each of side 1 is compared with its look-alikes of side 0
            besides, however many of its own side look more alike. None = one side.
    """
    found = Comparisons(grey)
    found.add(look_alikes(grey))
    found.settle(np.arange(len(found.first)))
    if sides is not None and len(grey):
        found.add(look_alikes_apart(grey, rows=np.flatnonzero(sides == 1), apart=sides))
        found.settle(np.flatnonzero(sides[found.first] != sides[found.second]))
    for _ in range(_ROUNDS):
        groups = found.linked(least)
        asking = _without_neighbours(found, groups)
        if len(asking):
            found.add(look_alikes_apart(grey, rows=asking, apart=groups))
        fresh = found.settle(_leading_out(found, groups))
        if not (found.agreement[fresh] >= least).any():
            break
    return found


def linked(first: Rows, second: Rows, *, count: int) -> Int64:
    """The lowest row that each is linked to, directly or through others; int64 [count]."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    graph = coo_array((np.ones(len(first)), (first, second)), shape=(count, count))
    _, label = connected_components(graph, directed=False)
    _, lowest = np.unique(label, return_index=True)
    joined: Int64 = lowest[label].astype(np.int64)
    return joined


def _leading_out(found: Comparisons, groups: Int64) -> Rows:
    """Candidates that lead from linked images to others."""
    several = (np.bincount(groups, minlength=len(groups)) > 1)[groups]
    out = groups[found.first] != groups[found.second]
    return np.flatnonzero(out & (several[found.first] | several[found.second]))


def _without_neighbours(found: Comparisons, groups: Int64) -> Rows:
    """A few images of each linked set whose candidates all lie inside it."""
    out = _leading_out(found, groups)
    size = np.bincount(groups, minlength=len(groups))
    alone = (size > 1) & (size < len(groups))
    alone[groups[found.first[out]]] = alone[groups[found.second[out]]] = False
    order = np.argsort(groups, kind="stable")
    starts = np.cumsum(size) - size
    places = np.linspace(0, 1, _ASKING)[:, None] * (size[alone] - 1)
    return np.unique(order[starts[alone] + places.astype(np.intp)])


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
