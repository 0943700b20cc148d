"""Which of the three designs answers the question for this data (METHOD §2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from synthlift.data.sources import require_three
from synthlift.errors import InputError
from synthlift.spec.data import Split
from synthlift.types import Strings

Kind = Literal["fixed", "redrawn", "cross_validated"]
LETTERS: dict[Kind, str] = {"fixed": "A", "redrawn": "B", "cross_validated": "C"}
FEW_IMAGES = 3000
FEW_TEST_GROUPS = 30


@dataclass(frozen=True)
class Design:
    """A resolved design: everything that decides the split besides data and seed.

    Attributes:
        kind: fixed (A), redrawn (B) or cross_validated (C).
        test: share of each class's groups that is locked away (A and B).
        validation: share of the remaining groups (A, C); of a draw's groups (B).
        folds, repeats: design C, else 1.
        draws: training sets in all: 1 in A, folds · repeats in C.
        long_tail: (largest, smallest) training groups per class, design B.
        per_class: training groups per class, design B.
        reason: why this design, in words.
    """

    kind: Kind
    test: float
    validation: float
    folds: int
    repeats: int
    draws: int
    long_tail: tuple[int, int] | None = None
    per_class: int | None = None
    reason: str = ""

    @property
    def letter(self) -> str:
        """The design's letter in METHOD §2."""
        return LETTERS[self.kind]

    def config(self) -> dict[str, Any]:
        """JSON form for a stage's request; the reason changes no split and stays out."""
        values = asdict(self)
        del values["reason"]
        return values

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Design:
        """Read back what :meth:`config` gave, possibly through JSON."""
        tail = config["long_tail"]
        return cls(**{**config, "long_tail": None if tail is None else (tail[0], tail[1])})


def choose_design(
    split: Split, *, labels: Sequence[str] | Strings, groups: Sequence[str] | Strings
) -> Design:
    """Resolve the study's split section for this data.

    ``auto`` is cross-validated (C) below 3,000 usable images or when any class would have fewer
    than 30 test groups, redrawn (B) where draws are subsampled, else fixed (A). Folds are never
    more than the smallest class has groups.

    Args:
        split: the section ``data.split`` of the study file.
        labels, groups: of the usable images [N].

    Raises:
        InputError: a class has fewer than 3 groups, or subsampling is asked for outside design B.
    """
    counts = groups_per_class(labels, groups)
    require_three(counts, unit="groups")
    kind, reason = _choose_kind(split, images=len(labels), counts=counts)
    redrawn = kind == "redrawn"
    folds, repeats = 1, 1
    if kind == "cross_validated":
        smallest = min(counts, key=lambda name: (counts[name], name))
        folds, repeats = min(split.folds, counts[smallest]), split.repeats
        if folds < split.folds:
            reason += (
                f"; {folds} folds instead of {split.folds}, since class '{smallest}' has only "
                f"{folds} groups"
            )
    return Design(
        kind=kind,
        test=1 / folds if folds > 1 else split.test,
        validation=split.validation,
        folds=folds,
        repeats=repeats,
        draws=split.draws if redrawn else folds * repeats,
        long_tail=_tail(split) if redrawn else None,
        per_class=split.per_class if redrawn else None,
        reason=reason,
    )


def groups_per_class(
    labels: Sequence[str] | Strings, groups: Sequence[str] | Strings
) -> dict[str, int]:
    """Distinct groups by class, sorted by class name."""
    pairs = set(zip(map(str, labels), map(str, groups), strict=True))
    counts: dict[str, int] = {}
    for label, _ in sorted(pairs):
        counts[label] = counts.get(label, 0) + 1
    return counts


def test_groups_per_class(design: Design, counts: Mapping[str, int]) -> dict[str, int]:
    """Groups by class in one locked test set; in design C of the smallest fold.

    Args:
        design: a resolved design.
        counts: all groups by class, each of one class only.
    """
    if design.kind == "cross_validated":
        return {name: n // design.folds for name, n in counts.items()}
    return {name: test_quota(design.test, n) for name, n in counts.items()}


def test_quota(share: float, groups: int) -> int:
    """Groups of a class to lock away: its share, at least 1, leaving 2 to train and choose with."""
    return max(1, min(round(share * groups), groups - 2))


def _choose_kind(split: Split, *, images: int, counts: dict[str, int]) -> tuple[Kind, str]:
    subsampled = split.long_tail is not None or split.per_class is not None
    if split.design in ("fixed", "cross_validated") and subsampled:
        raise InputError(
            f"data.split subsamples its draws, but its design is {split.design}",
            rule="long_tail and per_class belong to the redrawn design, which draws training "
            "sets from a pool",
            remedy="set data.split.design to redrawn, or remove long_tail and per_class",
        )
    if split.design != "auto":
        return split.design, "as asked for"
    if subsampled:
        return "redrawn", "redrawn, since each training set is subsampled from the pool"
    if images < FEW_IMAGES:
        return "cross_validated", f"cross-validated, since {images:,} images are below 3,000"
    small = {name: test_quota(split.test, n) for name, n in counts.items()}
    name = min(small, key=lambda key: (small[key], key))
    if small[name] < FEW_TEST_GROUPS:
        return "cross_validated", (
            f"cross-validated, since class '{name}' would have only {small[name]} test groups, "
            f"below {FEW_TEST_GROUPS}"
        )
    return "fixed", (
        f"fixed, since there are {images:,} images and at least {small[name]} test groups in "
        "every class"
    )


def _tail(split: Split) -> tuple[int, int] | None:
    if split.long_tail is None:
        return None
    tail = split.long_tail
    assert tail.largest is not None
    assert tail.smallest is not None
    return tail.largest, tail.smallest
