"""Which images train, choose and test: grouped and stratified splits for designs A, B and C.

Whole groups move, always. Shares are shares of *groups* per class, since the group is what a
result is tested on. Nothing depends on the order of the rows: groups and classes are sorted by
name before anything is drawn.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from synthlift.data.designs import Design, test_quota
from synthlift.errors import InputError
from synthlift.seeds import generator_for
from synthlift.types import Int64, Strings

Mask = NDArray[np.bool_]
PARTS = ("train", "validation", "test", "pool")


@dataclass(frozen=True)
class SplitTable:
    """One row an image and draw, sorted by draw, then id.

    Attributes:
        draw: int64; draw of design B, or repeat · folds + fold of design C; 0 in design A.
        id: image.
        part: "train", "validation", "test" or "pool" (left over in design B).
    """

    draw: Int64
    id: Strings
    part: Strings


@dataclass(frozen=True)
class _Groups:
    """Groups in sorted order.

    Attributes:
        of_image: group index per image [N].
        present: whether group g holds an image of class k [G, K].
        images: images per group [G].
        classes: class names, sorted [K].
    """

    of_image: NDArray[np.intp]
    present: Mask
    images: Int64
    classes: tuple[str, ...]

    def per_class(self, chosen: Mask) -> Int64:
        """Chosen groups per class [K]."""
        counts: Int64 = self.present[chosen].sum(axis=0).astype(np.int64)
        return counts


def make_split(
    design: Design,
    *,
    ids: Sequence[str] | Strings,
    labels: Sequence[str] | Strings,
    groups: Sequence[str] | Strings,
    seed: int,
) -> SplitTable:
    """Split images as ``design`` says.

    Args:
        design: from :func:`~synthlift.data.designs.choose_design`.
        ids, labels, groups: of the usable images [N], in any order.
        seed: equal seeds give equal splits of equal data.

    Raises:
        InputError: design B asks for more groups than a class has.
    """
    order = np.argsort(np.asarray(ids, str))
    names = np.asarray(ids, str)[order]
    units = _group(np.asarray(labels, str)[order], np.asarray(groups, str)[order])
    if design.kind == "fixed":
        parts = [_fixed(units, design, seed)]
    elif design.kind == "redrawn":
        parts = _redrawn(units, design, seed)
    else:
        parts = _cross_validated(units, design, seed)
    words = np.array(PARTS)
    return SplitTable(
        draw=np.repeat(np.arange(len(parts), dtype=np.int64), len(names)),
        id=np.tile(names, len(parts)),
        part=np.concatenate([words[part[units.of_image]] for part in parts]),
    )


def content_hash(hashes: Sequence[str] | Strings) -> str:
    """SHA-256 (hex) over sorted image hashes: names a test set by what it shows."""
    return hashlib.sha256("\n".join(sorted(map(str, hashes))).encode()).hexdigest()


def _group(labels: Strings, groups: Strings) -> _Groups:
    names, of_image = np.unique(groups, return_inverse=True)
    classes, of_class = np.unique(labels, return_inverse=True)
    present = np.zeros((len(names), len(classes)), dtype=bool)
    present[of_image, of_class] = True
    images = np.bincount(of_image, minlength=len(names)).astype(np.int64)
    return _Groups(of_image, present, images, tuple(map(str, classes)))


# ── the three designs: part per group, as an index into PARTS ─────────────────────────────────


def _fixed(units: _Groups, design: Design, seed: int) -> NDArray[np.int8]:
    everything = np.ones(len(units.images), dtype=bool)
    test = _test_groups(units, design, seed)
    chosen = _validation(units, everything & ~test, design.validation, seed, "fixed")
    return _label(units, test=test, validation=chosen)


def _redrawn(units: _Groups, design: Design, seed: int) -> list[NDArray[np.int8]]:
    test = _test_groups(units, design, seed)
    train, validation = _draw_sizes(design, units.per_class(~test), units.classes)
    parts = []
    for draw in range(design.draws):
        rng = generator_for(seed, "split", "draw", draw)
        chosen = _take(units, ~test, quota=train, keep=validation, rng=rng)
        held = _take(units, ~test & ~chosen, quota=validation, keep=0 * validation, rng=rng)
        part = _label(units, test=test, validation=held)
        part[~test & ~chosen & ~held] = PARTS.index("pool")
        parts.append(part)
    return parts


def _cross_validated(units: _Groups, design: Design, seed: int) -> list[NDArray[np.int8]]:
    parts = []
    for repeat in range(design.repeats):
        fold_of = _folds(units, design.folds, generator_for(seed, "split", "repeat", repeat))
        for fold in range(design.folds):
            test = fold_of == fold
            name = f"repeat {repeat} fold {fold}"
            held = _validation(units, ~test, design.validation, seed, name)
            parts.append(_label(units, test=test, validation=held))
    return parts


def _label(units: _Groups, *, test: Mask, validation: Mask) -> NDArray[np.int8]:
    part = np.full(len(units.images), PARTS.index("train"), dtype=np.int8)
    part[validation] = PARTS.index("validation")
    part[test] = PARTS.index("test")
    return part


def _test_groups(units: _Groups, design: Design, seed: int) -> Mask:
    everything = np.ones(len(units.images), dtype=bool)
    counts = units.per_class(everything)
    quota = np.array([test_quota(design.test, int(n)) for n in counts], dtype=np.int64)
    rng = generator_for(seed, "split", "test")
    return _take(units, everything, quota=quota, keep=0 * quota + 2, rng=rng)


def _validation(units: _Groups, among: Mask, share: float, seed: int, name: str) -> Mask:
    counts = units.per_class(among)
    quota = np.clip(np.rint(share * counts), 1, None).astype(np.int64)
    rng = generator_for(seed, "split", "validation", name)
    return _take(units, among, quota=quota, keep=0 * quota + 1, rng=rng)


def _draw_sizes(design: Design, pool: Int64, classes: Sequence[str]) -> tuple[Int64, Int64]:
    """Training and validation groups per class of one draw of design B."""
    if design.long_tail is not None:
        train = long_tail_counts(len(classes), *design.long_tail)
    elif design.per_class is not None:
        train = np.full(len(classes), design.per_class, dtype=np.int64)
    else:
        train = np.clip((pool // 2) * (1 - design.validation), 1, None).astype(np.int64)
    validation = np.rint(train * design.validation / (1 - design.validation))
    validation = np.clip(validation, 1, None).astype(np.int64)
    short = np.flatnonzero(train + validation > pool)
    if len(short):
        k = int(short[0])
        raise InputError(
            f"class '{classes[k]}' has {pool[k]} groups outside the test set, but a draw needs "
            f"{train[k]} to train on and {validation[k]} to validate with",
            rule="every draw of the redrawn design is taken without replacement from what the "
            "test set leaves",
            remedy="lower data.split.long_tail, data.split.per_class or data.split.test",
        )
    return train, validation


def long_tail_counts(classes: int, largest: int, smallest: int) -> Int64:
    """Groups per class, int64 [K]: largest · (smallest / largest)^(k / (K − 1)), rounded.

    Cui et al. 2019, "Class-balanced loss based on effective number of samples", section 5.1: an
    exponential profile with imbalance ratio largest / smallest.
    """
    k = np.arange(classes) / max(1, classes - 1)
    return np.rint(largest * (smallest / largest) ** k).astype(np.int64)


# ── drawing groups ────────────────────────────────────────────────────────────────────────────


def _take(
    units: _Groups, among: Mask, *, quota: Int64, keep: Int64, rng: np.random.Generator
) -> Mask:
    """Choose groups at random so that class k gets ``quota[k]`` of them.

    Classes are served from the rarest on, as in iterative stratification (Sechidis et al. 2011,
    "On the stratification of multi-label data", algorithm 1). A group that holds several classes
    counts for all of them and is first passed over where one of them has enough already.

    Args:
        units: the groups.
        among: groups that may be chosen [G].
        quota: wanted groups per class [K]; missed only where ``keep`` or mixed groups force it.
        keep: groups per class that must remain among the others [K].
        rng: decides which.
    """
    available = units.per_class(among)
    taken = np.zeros(len(quota), dtype=np.int64)
    chosen = np.zeros(len(among), dtype=bool)
    priority = rng.permutation(len(among))
    for k in np.argsort(available, kind="stable"):
        waiting = np.flatnonzero(among & units.present[:, k])
        waiting = waiting[np.argsort(priority[waiting])]
        for limit in (quota, available):
            for group in waiting:
                if taken[k] >= quota[k]:
                    break
                has = units.present[group]
                fits = (taken < np.minimum(limit, available - keep))[has].all()
                if not chosen[group] and fits:
                    chosen[group] = True
                    taken += has
    return chosen


def _folds(units: _Groups, folds: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """Deal all groups to ``folds`` folds, each class as evenly as its groups allow.

    Rarest class first, each group to the fold that has fewest groups of that class; ties go to
    the fold with fewer groups, then fewer images, then by chance.
    """
    fold_of = np.full(len(units.images), -1, dtype=np.intp)
    per_class = np.zeros((folds, units.present.shape[1]), dtype=np.int64)
    groups, images = np.zeros(folds, dtype=np.int64), np.zeros(folds, dtype=np.int64)
    priority = rng.permutation(len(units.images))
    chance = rng.permutation(folds)
    for k in np.argsort(units.present.sum(axis=0), kind="stable"):
        waiting = np.flatnonzero((fold_of < 0) & units.present[:, k])
        for group in waiting[np.argsort(priority[waiting])]:
            best = np.lexsort((chance, images, groups, per_class[:, k]))[0]
            fold_of[group] = best
            per_class[best] += units.present[group]
            groups[best] += 1
            images[best] += units.images[group]
    return fold_of


# ── counting ──────────────────────────────────────────────────────────────────────────────────


def count_parts(
    table: SplitTable, *, label_of: Mapping[str, str], group_of: Mapping[str, str]
) -> dict[str, list[dict[str, dict[str, int]]]]:
    """Images and groups per draw, part and class: ``result["images"][draw][part][class]``."""
    classes = sorted(set(label_of.values()))
    images: list[dict[str, dict[str, int]]] = []
    groups: list[dict[str, dict[str, int]]] = []
    for draw in range(int(table.draw.max()) + 1):
        rows = table.draw == draw
        seen: dict[str, dict[str, set[str]]] = {p: {c: set() for c in classes} for p in PARTS}
        count = {part: dict.fromkeys(classes, 0) for part in PARTS}
        for name, part in zip(table.id[rows], table.part[rows], strict=True):
            count[part][label_of[name]] += 1
            seen[part][label_of[name]].add(group_of[name])
        images.append(count)
        groups.append({p: {c: len(found) for c, found in seen[p].items()} for p in PARTS})
    return {"images": images, "groups": groups}
