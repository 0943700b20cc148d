"""How many groups of each class a draw of design B trains on and validates with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from synthlift.data.designs import Design, groups_per_class, test_groups_per_class
from synthlift.data.given import Images, Published, assignments
from synthlift.errors import InputError
from synthlift.types import Int64


def draw_sizes(
    design: Design, pool: Int64, classes: Sequence[str], *, validate: bool
) -> tuple[Int64, Int64]:
    """Training and validation groups per class of one draw, int64 [K] each.

    Args:
        design: of kind "redrawn".
        pool: groups per class that a draw may be taken from [K].
        classes: class names [K], sorted.
        validate: whether validation is drawn too, not brought by the data.

    Raises:
        InputError: the pool cannot give that many.
    """
    if design.fraction is not None:
        return _fraction(design, pool, validate=validate)
    train = _train(design, pool, classes, validate=validate)
    validation = _beside(train, design, validate=validate)
    short = np.flatnonzero(train + validation > pool)
    if len(short):
        k = int(short[0])
        raise InputError(
            f"class '{classes[k]}' has {pool[k]} groups outside the test set, but a draw needs "
            f"{train[k]} to train on and {validation[k]} to validate with",
            rule="every draw of the redrawn design is taken without replacement from what the "
            "test set leaves",
            remedy="lower data.split.labels_per_class or data.split.test"
            if design.labels_per_class is not None
            else "lower data.split.long_tail, data.split.per_class or data.split.test",
        )
    return train, validation


@dataclass(frozen=True)
class Beforehand:
    """What is fixed before anything is drawn.

    Attributes:
        draws: how many draws are.
        groups: by part and class in the first of them; empty where a part is not fixed.
    """

    draws: int
    groups: Mapping[str, Mapping[str, int]]


def fixed_groups(design: Design, images: Images, *, published: Published | None) -> Beforehand:
    """Count what the data, an attribute or a published split fix for a resolved design."""
    found = assignments(
        images, given=design.given, test_where=design.test_where, published=published
    )
    if found is None:
        return Beforehand(0, {})
    groups = {}
    for part in ("train", "validation", "test"):
        rows = found[0] == part
        groups[part] = groups_per_class(images.labels[rows], images.groups[rows])
    return Beforehand(len(found), groups)


def expected_groups(
    design: Design, groups: Mapping[str, int], *, fixed: Beforehand | None = None
) -> tuple[dict[str, int], dict[str, int]]:
    """Training and validation groups per class that a draw will have, before anything is split.

    Args:
        design: a resolved design.
        groups: all groups by class, each of one class only.
        fixed: from :func:`fixed_groups`; None = nothing is.
    """
    given = {} if fixed is None else fixed.groups
    free, held = given.get("train", groups), given.get("validation", {})
    tested = {} if given.get("test") else test_groups_per_class(design, groups)
    pool = np.array([max(1, free.get(name, 0) - tested.get(name, 0)) for name in groups])
    if design.kind == "redrawn" and (fixed is None or fixed.draws <= 1):
        train, validation = draw_sizes(design, pool, list(groups), validate=not held)
    elif held:
        train = pool
    else:
        validation = np.clip(np.rint(design.validation * pool), 1, None).astype(np.int64)
        train = np.clip(pool - validation, 1, None)
    if held:
        validation = np.array([held.get(name, 0) for name in groups])
    return (
        dict(zip(groups, train.tolist(), strict=True)),
        dict(zip(groups, validation.tolist(), strict=True)),
    )


def long_tail_counts(classes: int, largest: int, smallest: float) -> Int64:
    """Groups per class, int64 [K]: largest · (smallest / largest)^(k / (K − 1)), rounded.

    Cui et al. 2019, "Class-balanced loss based on effective number of samples", section 5.1: an
    exponential profile with imbalance ratio largest / smallest.
    """
    k = np.arange(classes) / max(1, classes - 1)
    return np.rint(largest * (smallest / largest) ** k).astype(np.int64)


def _train(design: Design, pool: Int64, classes: Sequence[str], *, validate: bool) -> Int64:
    tail = design.long_tail or design.long_tail_ratio
    if tail is not None:
        largest = tail[0] or _largest(design, pool, validate=validate)
        counts = _tail(design, len(classes), largest)
        if not counts.min():
            raise InputError(
                f"a long tail with ratio {tail[1]:g} from {largest} training groups of class "
                f"'{classes[0]}' leaves class '{classes[-1]}' with none",
                rule="every class keeps a training group at least; the first class is as large as "
                "every class's pool allows",
                remedy="lower data.split.long_tail.ratio, or bring more images",
            )
        return counts
    asked = design.per_class or design.labels_per_class
    if asked is not None:
        return np.full(len(classes), asked, dtype=np.int64)
    share = 1 - design.validation if validate else 1
    half: Int64 = np.clip((pool // 2) * share, 1, None).astype(np.int64)
    return half


def _beside(train: Int64, design: Design, *, validate: bool) -> Int64:
    """Validation groups that go with so many training groups: the design's share of both."""
    if not validate:
        return 0 * train
    wanted = np.rint(train * design.validation / (1 - design.validation))
    validation: Int64 = np.clip(wanted, 1, None).astype(np.int64)
    return validation


def _tail(design: Design, classes: int, largest: int) -> Int64:
    if design.long_tail is not None:
        return long_tail_counts(classes, largest, design.long_tail[1])
    assert design.long_tail_ratio is not None
    return long_tail_counts(classes, largest, largest / design.long_tail_ratio[1])


def _largest(design: Design, pool: Int64, *, validate: bool) -> int:
    """The largest first class whose tail, with its validation, every class's pool can give."""
    low, high = (design.long_tail or (None, 1))[1], int(pool.max()) + 1
    while high - low > 1:
        middle = (low + high) // 2
        train = _tail(design, len(pool), middle)
        if (train + _beside(train, design, validate=validate) <= pool).all():
            low = middle
        else:
            high = middle
    return low


def _fraction(design: Design, pool: Int64, *, validate: bool) -> tuple[Int64, Int64]:
    """A share of each class's pool, of which a share is for validation."""
    assert design.fraction is not None
    taken = np.rint(design.fraction * pool)
    if not validate:
        taken = np.clip(taken, 1, None).astype(np.int64)
        return taken, 0 * taken
    # Two at least, one to train on and one to choose with; a given split may leave one only.
    taken = np.minimum(np.clip(taken, 2, None).astype(np.int64), pool)
    validation = np.clip(np.rint(design.validation * taken), 1, None).astype(np.int64)
    validation = np.minimum(validation, np.maximum(taken - 1, 0))
    return taken - validation, validation
