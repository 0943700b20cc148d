"""Which of the three designs answers the question for this data (METHOD §2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from synthlift.data.given import (
    Fixed,
    Images,
    Published,
    draws_of,
    fix_parts,
    left_out,
    refuse_mixing,
)
from synthlift.data.sources import MINIMUM_PER_CLASS, require_three
from synthlift.data.wording import listed
from synthlift.errors import InputError
from synthlift.spec.data import Split
from synthlift.types import Strings

Kind = Literal["fixed", "redrawn", "cross_validated"]
LETTERS: dict[Kind, str] = {"fixed": "A", "redrawn": "B", "cross_validated": "C"}
_WORDS: dict[Kind, str] = {
    "fixed": "fixed",
    "redrawn": "redrawn",
    "cross_validated": "cross-validated",
}
FEW_IMAGES = 3000
FEW_TEST_GROUPS = 30


@dataclass(frozen=True)
class Design:
    """A resolved design: everything that decides the split besides data and seed.

    Attributes:
        kind: fixed (A), redrawn (B) or cross_validated (C).
        test: share of each class's groups that is locked away (A and B); of all images where the
            test set is not drawn.
        validation: share of the remaining groups (A, C); of a draw's groups (B).
        folds, repeats: design C, else 1.
        draws: training sets in all: 1 in A, folds · repeats in C.
        long_tail: (largest, smallest) training groups per class, design B; largest None = as
            many as every class's pool allows.
        per_class: training groups per class, design B.
        reason: why this design, in words.
        long_tail_ratio: (largest, largest / smallest), design B.
        fraction: share of each class's pool that a draw takes, validation included, design B.
        labels_per_class: as ``per_class``, while the rest of the pool becomes unlabelled.
        stratify: attributes that are spread evenly besides the class.
        given: the parts that the data bring are followed.
        test_where: attribute → values; the test set is where all of them apply.
        leave_one_out: ``group`` or an attribute; each fold tests one of its values.
        file: digest of the published split that is followed.
        test_groups: groups by class in a test set that is not drawn (A and B).
        learnt_from: groups that a class keeps in training when validation is drawn.
    """

    kind: Kind
    test: float
    validation: float
    folds: int
    repeats: int
    draws: int
    long_tail: tuple[int | None, int] | None = None
    per_class: int | None = None
    reason: str = ""
    long_tail_ratio: tuple[int | None, float] | None = None
    fraction: float | None = None
    labels_per_class: int | None = None
    stratify: tuple[str, ...] = ()
    given: bool = False
    test_where: Mapping[str, tuple[str, ...]] | None = None
    leave_one_out: str | None = None
    file: str | None = None
    test_groups: Mapping[str, int] | None = None
    learnt_from: int = 1

    @property
    def letter(self) -> str:
        """The design's letter in METHOD §2."""
        return LETTERS[self.kind]

    def config(self) -> dict[str, Any]:
        """JSON form for a stage's request; the reason changes no split and stays out."""
        values = asdict(self)
        del values["reason"]
        # What is not asked for stays out too, so that a further key leaves the others' keys alone.
        for name in _FURTHER:
            if values[name] == getattr(Design, name):
                del values[name]
        return values

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Design:
        """Read back what :meth:`config` gave, possibly through JSON."""
        values = dict(config)
        for name in ("long_tail", "long_tail_ratio", "stratify"):
            if values.get(name) is not None:
                values[name] = tuple(values[name])
        if values.get("test_where") is not None:
            values["test_where"] = {k: tuple(found) for k, found in values["test_where"].items()}
        return cls(**values)


_FURTHER = (
    "long_tail_ratio",
    "fraction",
    "labels_per_class",
    "stratify",
    "given",
    "test_where",
    "leave_one_out",
    "file",
    "test_groups",
    "learnt_from",
)


def choose_design(
    split: Split,
    *,
    labels: Sequence[str] | Strings,
    groups: Sequence[str] | Strings,
    ids: Sequence[str] | Strings | None = None,
    parts: Sequence[str] | Strings | None = None,
    attributes: Mapping[str, Sequence[str] | Strings] | None = None,
    published: Published | None = None,
) -> Design:
    """Resolve the study's split section for this data.

    ``auto`` is cross-validated (C) below 3,000 usable images or when any class would have fewer
    than 30 test groups, redrawn (B) where draws are subsampled, else fixed (A). Folds are never
    more than the smallest class has groups. Where the test set is not drawn – the data bring it,
    an attribute names it, a published split says it – ``auto`` is fixed, or redrawn where draws
    are subsampled.

    Args:
        split: the section ``data.split`` of the study file.
        labels, groups: of the usable images [N].
        ids: their ids; needed with ``published``.
        parts: train, validation, test or "" as the data bring them.
        attributes: further columns by name, each [N].
        published: what ``split.file`` says, from :func:`~synthlift.data.published.open_split`.

    Raises:
        InputError: a class has fewer than 3 groups, subsampling is asked for outside design B,
            the parts cannot be followed, or a key names an unknown attribute.
    """
    images = Images.of(labels=labels, groups=groups, ids=ids, parts=parts, attributes=attributes)
    assert (published is not None) == (split.file is not None)
    assert published is None or ids is not None
    stratify = tuple(dict.fromkeys(split.stratify))
    for name in stratify:
        images.column(name, key="data.split.stratify")
    fixed = fix_parts(split, images, published=published)
    if split.leave_one_out is not None:
        design = _leaving_one_out(split, images, split.leave_one_out)
    elif fixed is None:
        design = _drawn(split, images)
    elif len(fixed.parts) > 1:
        design = _following(split, images, fixed)
    else:
        design = _with_parts(split, images, fixed)
    return replace(design, stratify=stratify)


def fitting_design(
    split: Split,
    *,
    labels: Sequence[str] | Strings,
    groups: Sequence[str] | Strings,
    ids: Sequence[str] | Strings,
    parts: Sequence[str] | Strings,
    attributes: Mapping[str, Sequence[str] | Strings],
    published: Published | None = None,
) -> Design:
    """The design for a generator that is fitted by itself, outside a study.

    Test images that a study would not draw – the data bring them, ``split.file`` names them (in its
    first draw), ``split.test_where`` describes them – are locked away here too, and given
    validation images stay validation. Nothing else is tested: one group a class is locked, the
    least there is, and a tenth of the rest is validation. Where a class has only one or two groups,
    every class keeps two in training, so that such a class is there whole.

    Args:
        split, labels, groups, ids, parts, attributes, published: as for :func:`choose_design`.

    Raises:
        InputError: the parts cannot be followed, or a key names an unknown attribute.
    """
    images = Images.of(labels=labels, groups=groups, ids=ids, parts=parts, attributes=attributes)
    fixed = fix_parts(split, images, published=published)
    design = Design("fixed", test=1e-9, validation=0.1, folds=1, repeats=1, draws=1)
    if fixed is not None:
        return replace(design, reason=fixed.reason, **fixed.keys)
    small = min(groups_per_class(images.labels, images.groups).values()) < MINIMUM_PER_CLASS
    return replace(design, learnt_from=MINIMUM_PER_CLASS - 1) if small else design


def _drawn(split: Split, images: Images) -> Design:
    """Every part is drawn."""
    counts = groups_per_class(images.labels, images.groups)
    require_three(counts, unit="groups")
    kind, reason = _choose_kind(split, images=len(images.labels), counts=counts)
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
        draws=split.draws if kind == "redrawn" else folds * repeats,
        reason=reason,
        **(_subsampling(split) if kind == "redrawn" else {}),
    )


def _leaving_one_out(split: Split, images: Images, name: str) -> Design:
    _require_kind(split, "cross_validated", key="data.split.leave_one_out")
    require_three(groups_per_class(images.labels, images.groups), unit="groups")
    values, _ = left_out(images, name)
    return Design(
        kind="cross_validated",
        test=1 / len(values),
        validation=split.validation,
        folds=len(values),
        repeats=1,
        draws=len(values),
        reason=f"cross-validated, leaving out one {name} at a time ({len(values)} folds)",
        leave_one_out=name,
    )


def _with_parts(split: Split, images: Images, fixed: Fixed) -> Design:
    """One assignment: the test set stands, or is drawn from what is no validation."""
    asked = subsampling_keys(split)
    kind: Kind = split.design if split.design != "auto" else "redrawn" if asked else "fixed"
    if kind == "cross_validated":
        raise refuse_mixing(asked="data.split.design cross_validated", fixed=fixed.by)
    if asked and kind == "fixed":
        raise _needs_redrawn(kind, asked)
    parts = fixed.parts[0]
    tested, free = parts == "test", parts == "train"
    if tested.any():
        counts = groups_per_class(images.labels[tested], images.groups[tested])
    else:
        rest = groups_per_class(images.labels[free], images.groups[free])
        require_three(rest, unit="groups to split anew")
        counts = {name: test_quota(split.test, n) for name, n in rest.items()}
    counts = {name: counts.get(name, 0) for name in _names(images.labels)}
    untested = [name for name, n in counts.items() if not n]
    reason = f"{_WORDS[kind]}, since {fixed.reason}"
    if untested:
        reason += f"; nothing is tested of {listed(untested)}"
    return Design(
        kind=kind,
        test=round(float(tested.mean()), 6) if tested.any() else split.test,
        validation=split.validation,
        folds=1,
        repeats=1,
        draws=split.draws if kind == "redrawn" else 1,
        reason=reason,
        **(_subsampling(split) if kind == "redrawn" else {}),
        **fixed.keys,
        test_groups=counts,
    )


def _following(split: Split, images: Images, fixed: Fixed) -> Design:
    """Several assignments of a published split: draws with one test set, or folds."""
    kind, folds = draws_of(fixed.parts)
    _require_kind(split, kind, key="data.split.file")
    draws, tested = len(fixed.parts), fixed.parts[0] == "test"
    counts = groups_per_class(images.labels[tested], images.groups[tested])
    return Design(
        kind=kind,
        test=1 / folds if folds > 1 else round(float(tested.mean()), 6),
        validation=split.validation,
        folds=folds,
        repeats=draws // folds if folds > 1 else 1,
        draws=draws,
        reason=f"{_WORDS[kind]}, as the {draws} draws of the published split say",
        **fixed.keys,
        test_groups=None if folds > 1 else {k: counts.get(k, 0) for k in _names(images.labels)},
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
    """Groups by class in one locked test set; in design C of the smallest fold that tests any.

    Args:
        design: a resolved design.
        counts: all groups by class, each of one class only.
    """
    if design.test_groups is not None:
        return dict(design.test_groups)
    if design.kind == "cross_validated":
        return {name: max(1, n // design.folds) for name, n in counts.items()}
    return {name: test_quota(design.test, n) for name, n in counts.items()}


def test_quota(share: float, groups: int) -> int:
    """Groups of a class to lock away: its share, at least 1, leaving 2 to train and choose with."""
    return max(1, min(round(share * groups), groups - 2))


def _choose_kind(split: Split, *, images: int, counts: dict[str, int]) -> tuple[Kind, str]:
    subsampled = subsampling_keys(split)
    if split.design in ("fixed", "cross_validated") and subsampled:
        raise _needs_redrawn(split.design, subsampled)
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


def _subsampling(split: Split) -> dict[str, Any]:
    """The fields of a redrawn design that say how its draws are subsampled."""
    tail = split.long_tail
    return {
        "long_tail": None
        if tail is None or tail.smallest is None
        else (tail.largest, tail.smallest),
        "long_tail_ratio": None
        if tail is None or tail.ratio is None
        else (tail.largest, tail.ratio),
        "per_class": split.per_class,
        "fraction": split.fraction,
        "labels_per_class": split.labels_per_class,
    }


def _needs_redrawn(kind: Kind, keys: str) -> InputError:
    return InputError(
        f"data.split subsamples its draws, but its design is {kind}",
        rule=f"{keys} belong to the redrawn design, which draws training sets from a pool",
        remedy=f"set data.split.design to redrawn, or remove {keys}",
    )


def _require_kind(split: Split, kind: Kind, *, key: str) -> None:
    """Refuse what contradicts a key that decides the design."""
    keys = subsampling_keys(split)
    if split.design not in ("auto", kind) or keys:
        other = keys or f"data.split.design {split.design}"
        raise InputError(
            f"{key} makes the study {_WORDS[kind]}, which contradicts {other}",
            rule=f"{key} decides what is trained on and tested in every draw",
            remedy=f"set data.split.design to auto and remove what subsamples, or remove {key}",
        )


def subsampling_keys(split: Split) -> str:
    """The keys of which one is given, in words; "" where draws are not subsampled."""
    if split.long_tail is not None or split.per_class is not None:
        return "long_tail and per_class"
    if split.fraction is not None or split.labels_per_class is not None:
        return "fraction and labels_per_class"
    return ""


def _names(labels: Strings) -> list[str]:
    return sorted(set(labels.tolist()))
