"""Groups as what moves: choosing some of them, and dealing all of them to folds.

A *stratum* is what is spread evenly besides the class: a class, or a class where an attribute has
one value. Letters in shapes: N images, G groups, K classes, S strata.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from synthlift.data.balancing import balance
from synthlift.types import Int64, Strings

Mask = NDArray[np.bool_]
FEW_GROUPS = 3
"""A class under an attribute's value that has fewer groups is spread as its class is."""


@dataclass(frozen=True)
class Units:
    """Groups in sorted order.

    Attributes:
        of_image: group index per image [N].
        present: whether group g holds an image of class k [G, K].
        images: images per group [G].
        classes: class names, sorted [K].
        strata: whether group g holds an image of stratum s [G, S]; None = the classes.
        class_of: class index of each stratum [S].
    """

    of_image: NDArray[np.intp]
    present: Mask
    images: Int64
    classes: tuple[str, ...]
    strata: Mask | None
    class_of: NDArray[np.intp]

    def __len__(self) -> int:
        return len(self.images)

    @property
    def mixed(self) -> bool:
        """Whether there are strata and a group that lies in several of them."""
        return self.strata is not None and bool((self.strata.sum(axis=1) > 1).any())

    @property
    def weights(self) -> Int64:
        """What an uneven stratum costs, and an uneven class, which outweighs them [S + K]."""
        strata = 0 if self.strata is None else self.strata.shape[1]
        return np.repeat([1, strata], [strata, len(self.classes)]).astype(np.int64)

    def per_class(self, chosen: Mask) -> Int64:
        """Chosen groups per class [K]."""
        counts: Int64 = self.present[chosen].sum(axis=0).astype(np.int64)
        return counts


def make_units(labels: Strings, groups: Strings, *, values: Sequence[Strings] = ()) -> Units:
    """Gather images into groups.

    Args:
        labels, groups: of the images [N].
        values: attributes to stratify by besides the class, each [N]. With several, a stratum is
            a class where all of them have one value each; where fewer than 3 groups have that,
            it is the class's rest.
    """
    names, of_image = np.unique(groups, return_inverse=True)
    classes, of_class = np.unique(labels, return_inverse=True)
    images = np.bincount(of_image, minlength=len(names)).astype(np.int64)
    present = _presence(of_image, of_class, (len(names), len(classes)))
    strata, class_of = None, np.arange(len(classes))
    if values:
        cell = of_class
        for column in values:
            codes = np.unique(column, return_inverse=True)[1]
            cell = np.unique(cell * (codes.max() + 1) + codes, return_inverse=True)[1]
        cells = _presence(of_image, cell, (len(names), int(cell.max()) + 1))
        few = cells.sum(axis=0)[cell] < FEW_GROUPS
        # Classes without such a rest keep their number free; np.unique closes the gap.
        cell = np.unique(np.where(few, of_class, len(classes) + cell), return_inverse=True)[1]
        strata = _presence(of_image, cell, (len(names), int(cell.max()) + 1))
        class_of = of_class[np.unique(cell, return_index=True)[1]]
    return Units(of_image, present, images, tuple(map(str, classes)), strata, class_of)


def _presence(
    rows: NDArray[np.intp], columns: NDArray[np.intp], shape: tuple[int, int]
) -> NDArray[np.bool_]:
    found = np.zeros(shape, dtype=bool)
    found[rows, columns] = True
    return found


def take(units: Units, among: Mask, *, quota: Int64, keep: Int64, rng: np.random.Generator) -> Mask:
    """Choose groups at random so that class k gets ``quota[k]`` of them.

    Classes are served from the rarest on, as in iterative stratification (Sechidis et al. 2011,
    "On the stratification of multi-label data", algorithm 1). A group that holds several classes
    counts for all of them and is first passed over where one of them has enough already. Strata
    share their class's quota in proportion to their groups, and yield to it where groups of
    several strata make both impossible; such groups are exchanged afterwards while that helps.

    Args:
        units: the groups.
        among: groups that may be chosen [G].
        quota: wanted groups per class [K]; missed only where ``keep`` or mixed groups force it.
        keep: groups per class that must remain among the others [K].
        rng: decides which.
    """
    columns, soft = units.present, 0
    priority = rng.permutation(len(among))
    if units.strata is not None:
        soft = units.strata.shape[1]
        columns = np.hstack([units.strata, units.present])
        counts = units.strata[among].sum(axis=0).astype(np.int64)
        shares = apportion(quota, counts, units.class_of, units.per_class(among), rng)
        quota = np.concatenate([shares, quota])
        keep = np.concatenate([np.zeros(soft, dtype=np.int64), keep])
    available: Int64 = columns[among].sum(axis=0).astype(np.int64)
    taken = np.zeros(len(quota), dtype=np.int64)
    chosen = np.zeros(len(among), dtype=bool)
    for k in np.argsort(available, kind="stable"):
        waiting = np.flatnonzero(among & columns[:, k])
        waiting = waiting[np.argsort(priority[waiting])]
        for limit in _limits(quota, available, soft=soft, stratum=k < soft):
            for group in waiting:
                if taken[k] >= quota[k]:
                    break
                has = columns[group]
                fits = (taken < np.minimum(limit, available - keep))[has].all()
                if not chosen[group] and fits:
                    chosen[group] = True
                    taken += has
    if units.mixed:
        part_of = balance(
            np.where(among, chosen, -1).astype(np.intp),
            columns.astype(np.int64),
            targets=np.array([available - quota, quota]),
            scale=1,
            weights=units.weights,
            least=np.array([keep, np.minimum(quota, 1)]),
            rank=priority,
        )
        chosen = np.equal(part_of, 1)
    return chosen


def _limits(quota: Int64, available: Int64, *, soft: int, stratum: bool) -> Iterator[Int64]:
    """What may be taken, ever more loosely: as wanted; beyond strata; beyond classes too."""
    yield quota
    if not stratum:
        if soft:
            yield np.concatenate([available[:soft], quota[soft:]])
        yield available


def apportion(
    total: Int64,
    counts: Int64,
    class_of: NDArray[np.intp],
    whole: Int64,
    rng: np.random.Generator,
) -> Int64:
    """Share each class's total among its strata by largest remainders, int64 [S].

    Args:
        total: to share, per class [K].
        counts: groups per stratum [S].
        class_of: class of each stratum [S].
        whole: groups per class [K]; fewer than its strata have in all where groups have several.
        rng: decides between equal remainders, so that no value of an attribute is favoured.
    """
    size = np.maximum(whole, 1)[class_of]
    parts = total[class_of] * counts
    shares: Int64 = parts // size
    remainders = parts % size
    left = np.bincount(class_of, weights=remainders, minlength=len(total))
    left = np.rint(left / np.maximum(whole, 1))
    chance = rng.permutation(len(counts))
    # Remainders of one class have one denominator, so that whole numbers compare.
    for s in np.lexsort((chance, -remainders)):
        if left[class_of[s]] > 0 and remainders[s]:
            shares[s] += 1
            left[class_of[s]] -= 1
    return shares


def deal(units: Units, folds: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """Deal all groups to ``folds`` folds, each stratum as evenly as its groups allow.

    Rarest stratum first, each group to the fold that has fewest groups of that stratum; ties go
    to the fold with fewer groups of its class, then fewer groups, then fewer images, then by
    chance. Groups of several strata are exchanged afterwards while that helps.
    """
    strata = units.present if units.strata is None else units.strata
    fold_of = np.full(len(units), -1, dtype=np.intp)
    per_stratum = np.zeros((folds, strata.shape[1]), dtype=np.int64)
    per_class = np.zeros((folds, len(units.classes)), dtype=np.int64)
    groups, images = np.zeros(folds, dtype=np.int64), np.zeros(folds, dtype=np.int64)
    priority = rng.permutation(len(units))
    chance = rng.permutation(folds)
    for s in np.argsort(strata.sum(axis=0), kind="stable"):
        k = units.class_of[s]
        waiting = np.flatnonzero((fold_of < 0) & strata[:, s])
        for group in waiting[np.argsort(priority[waiting])]:
            ranked = np.lexsort((chance, images, groups, per_class[:, k], per_stratum[:, s]))
            best = ranked[0]
            fold_of[group] = best
            per_stratum[best] += strata[group]
            per_class[best] += units.present[group]
            groups[best] += 1
            images[best] += units.images[group]
    if units.mixed:
        # Folds stay equally large, too.
        columns = np.hstack([strata, units.present, np.ones((len(units), 1), dtype=bool)])
        columns = columns.astype(np.int64)
        least = np.zeros((folds, columns.shape[1]), dtype=np.int64)
        least[:, strata.shape[1] :] = 1
        fold_of = balance(
            fold_of,
            columns,
            targets=np.tile(columns.sum(axis=0), (folds, 1)),
            scale=folds,
            weights=np.append(units.weights, 1),
            least=least,
            rank=priority,
        )
    return fold_of
