"""Parts that are not drawn: given by the data, by a published split, or by an attribute's values.

An *assignment* says for each image where it must be: "test", "validation", "pool", "unlabelled",
or "train", which is what a design may still draw from.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from synthlift.data.wording import counted, listed
from synthlift.errors import InputError, nearest_name
from synthlift.spec.data import Split
from synthlift.spec.values import named
from synthlift.store import digest
from synthlift.types import Strings

Published = Sequence[Mapping[str, str]]
"""A published split: part by image, for each draw."""

MOST_VALUES = 50
DATA_BRING = "the data bring"
_IGNORE = "split the data anew (--set data.split.given=ignore)"


@dataclass(frozen=True)
class Images:
    """What a split may depend on, of the usable images [N].

    Attributes:
        ids, labels, groups: as in the inventory.
        parts: train, validation, test or "" as the data bring them.
        attributes: further columns by name; "" where a value is missing.
    """

    ids: Strings
    labels: Strings
    groups: Strings
    parts: Strings
    attributes: Mapping[str, Strings] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        *,
        labels: Sequence[str] | Strings,
        groups: Sequence[str] | Strings,
        ids: Sequence[str] | Strings | None = None,
        parts: Sequence[str] | Strings | None = None,
        attributes: Mapping[str, Sequence[str] | Strings] | None = None,
    ) -> Images:
        """Gather columns of equal length; no part and no attribute where none are given."""
        columns = {name: np.asarray(values, str) for name, values in (attributes or {}).items()}
        none = np.full(len(labels), "")
        found = cls(
            ids=none if ids is None else np.asarray(ids, str),
            labels=np.asarray(labels, str),
            groups=np.asarray(groups, str),
            parts=none if parts is None else np.asarray(parts, str),
            attributes=columns,
        )
        lengths = {len(found.ids), len(found.groups), len(found.parts), *map(len, columns.values())}
        assert lengths == {len(found.labels)}, lengths
        return found

    def take(self, rows: NDArray[np.intp]) -> Images:
        """The same columns at some rows, in that order."""
        columns = {name: values[rows] for name, values in self.attributes.items()}
        return Images(
            self.ids[rows], self.labels[rows], self.groups[rows], self.parts[rows], columns
        )

    def column(self, name: str, *, key: str) -> Strings:
        """An attribute that the study file names under ``key``.

        Raises:
            InputError: the images have no such attribute.
        """
        if name not in self.attributes:
            known = sorted(self.attributes)
            raise InputError(
                f"{key} names the attribute '{name}', which the images do not have"
                f"{nearest_name(name, known)}",
                rule=f"known attributes: {', '.join(known) or 'none'}",
                remedy="name one of them, or list the column under data.attributes",
            )
        return self.attributes[name]


def brings_parts(parts: Strings) -> bool:
    """Whether the data bring a split: all in "train" is none."""
    return bool(np.isin(parts, ("validation", "test")).any())


def split_digest(published: Published) -> str:
    """Names a published split by what it says."""
    return digest([sorted(parts.items()) for parts in published])


# ── assignments ───────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Fixed:
    """Assignments that a study asks for.

    Attributes:
        parts: one assignment a draw, each [N].
        by: what fixes them, as the object of "the parts that".
        reason: why the test set is what it is, in words.
        keys: fields of the resolved design that say the same.
    """

    parts: list[Strings]
    by: str
    reason: str
    keys: Mapping[str, Any]


def fix_parts(split: Split, images: Images, *, published: Published | None) -> Fixed | None:
    """The parts that the study file fixes; None where all are drawn.

    A published split goes before the parts that the data bring.

    Raises:
        InputError: see :func:`assignments`; or another key would mix the parts of the data.
    """
    keys: dict[str, Any]
    given = split.given == "honour" and brings_parts(images.parts)
    if published is not None:
        keys, by = {"file": split_digest(published)}, "data.split.file fixes"
    elif given:
        for key in ("test_where", "leave_one_out"):
            if getattr(split, key):
                raise refuse_mixing(asked=f"data.split.{key}", fixed=DATA_BRING)
        keys, by = {"given": True}, DATA_BRING
    elif split.test_where:
        keys, by = {"test_where": dict(split.test_where)}, "data.split.test_where fixes"
    else:
        return None
    parts = assignments(
        images, given=given, test_where=split.test_where or None, published=published
    )
    assert parts is not None
    return Fixed(parts, by, _reason(parts[0], keys), keys)


def _reason(parts: Strings, keys: Mapping[str, Any]) -> str:
    tested, validated = int((parts == "test").sum()), int((parts == "validation").sum())
    if "test_where" in keys:
        return f"the test set is where {describe_where(keys['test_where'])} ({tested:,} images)"
    who = "the published split names its own" if "file" in keys else "the data bring their own"
    named = [f"{n:,} {part}" for part, n in (("test", tested), ("validation", validated)) if n]
    drawn = [part for part, n in (("test", tested), ("validation", validated)) if not n]
    text = f"{who} {' and '.join(named)} images" if named else f"{who} training images"
    return text + (f"; {' and '.join(drawn)} images are drawn from the rest" if drawn else "")


def draws_of(
    draws: Sequence[Strings],
) -> tuple[Literal["redrawn", "cross_validated"], int]:
    """What several draws of a published split are, and the folds of one repeat (1 = redrawn).

    Draws with one test set are training sets redrawn. Else they are folds: the fewest consecutive
    draws whose test sets are disjoint and hold the same images as every further such block.

    Raises:
        InputError: they are neither, or one has no test image.
    """
    tests = np.array([parts == "test" for parts in draws])
    if not tests.any(axis=1).all():
        raise InputError(
            f"draw {int(np.argmin(tests.any(axis=1)))} of the published split has no test image",
            rule="where a published split has several draws, each names its test images",
            remedy="name them with part test, or give one draw only and let the rest be drawn",
        )
    if (tests == tests[0]).all():
        return "redrawn", 1
    for folds in range(2, len(draws) + 1):
        if len(draws) % folds == 0:
            blocks = tests.reshape(-1, folds, tests.shape[1]).sum(axis=1)
            if blocks.max() == 1 and (blocks == blocks[0]).all():
                return "cross_validated", folds
    raise InputError(
        f"the {len(draws)} draws of the published split have different test sets that overlap",
        rule="draws share one test set (redrawn), or are folds whose test sets are disjoint "
        "(cross-validated), repeats one after the other",
        remedy="give the draws of one of the two designs, all folds of every repeat included",
    )


def assignments(
    images: Images,
    *,
    given: bool,
    test_where: Mapping[str, Sequence[str]] | None,
    published: Published | None,
) -> list[Strings] | None:
    """The parts that are fixed beforehand, for each draw [N]; None where all are drawn.

    Args:
        images: the usable images.
        given: follow ``images.parts``; images without a part are for training.
        test_where: attribute → values; the test set is where all of them apply.
        published: follow this, one assignment a draw.

    Raises:
        InputError: a group lies in two parts, or a class is left without training images.
    """
    if published is not None:
        found = [np.array([parts[name] for name in images.ids.tolist()]) for parts in published]
        origin = "the published split"
        remedy = "move each group into one part, or leave data.split.file away to split anew"
    elif given:
        found = [np.where(images.parts == "", "train", images.parts)]
        origin = "the split that the data bring"
        remedy = f"move each group into one part, or {_IGNORE}"
    elif test_where:
        found = [_where(images, test_where)]
        origin = "data.split.test_where"
        remedy = "choose an attribute that has one value in each group"
    else:
        return None
    for parts in found:
        _require_whole(images, parts, fault=f"in two parts of {origin}", remedy=remedy)
        _require_training(images, parts, origin)
    return found


def _where(images: Images, wanted: Mapping[str, Sequence[str]]) -> Strings:
    chosen = np.ones(len(images.labels), dtype=bool)
    for name, values in wanted.items():
        column = _named(images.column(name, key="data.split.test_where"))
        wanted_here = list(map(named, values))
        known = sorted(set(column.tolist()))
        for value in wanted_here:
            if value not in known:
                raise InputError(
                    f"data.split.test_where asks for {name} '{value}', which no usable image has"
                    f"{nearest_name(value, known)}",
                    rule=f"known values of {name}: {listed(known, quoted=False)}",
                    remedy="name some of them",
                )
        chosen &= np.isin(column, wanted_here)
    if not chosen.any():
        raise InputError(
            f"no usable image is where {describe_where(wanted)}",
            rule="with several attributes, the test set is where all of them apply",
            remedy="name values that occur together, or one attribute only",
        )
    return np.where(chosen, "test", "train")


def describe_where(wanted: Mapping[str, Sequence[str]]) -> str:
    """A condition in words: ``domain is sketch or photo and sex is male``."""
    said = {name: " or ".join(map(named, values)) for name, values in wanted.items()}
    return " and ".join(f"{name} is {values}" for name, values in said.items())


def _named(column: Strings) -> Strings:
    return np.array(list(map(named, column.tolist())), dtype=str)


def _require_whole(images: Images, parts: Strings, *, fault: str, remedy: str) -> None:
    crossing = _several(images.groups, parts)
    if crossing:
        shown = [f"'{group}' in {' and '.join(found)}" for group, found in crossing.items()]
        lie = "lies" if len(crossing) == 1 else "lie"
        raise InputError(
            f"{counted(len(crossing), 'declared group')} {lie} {fault}: "
            f"{listed(shown, quoted=False)}",
            rule="images of one group (one patient, one lesion) are alike, so that a group never "
            "lies in two parts",
            remedy=remedy,
        )


def _require_training(images: Images, parts: Strings, origin: str) -> None:
    trained = set(images.labels[parts == "train"].tolist())
    missing = sorted(set(images.labels.tolist()) - trained)
    if missing:
        held = [
            f"'{name}' (only in {', '.join(sorted(set(parts[images.labels == name].tolist())))})"
            for name in missing
        ]
        raise InputError(
            f"classes without a training image in {origin}: {listed(held, quoted=False)}",
            rule="a class that is tested must be trained on",
            remedy="add training images of the class, or leave its images out",
        )


# ── leaving one value out ─────────────────────────────────────────────────────────────────────


def left_out(images: Images, name: str) -> tuple[list[str], NDArray[np.intp]]:
    """The values that are left out one at a time, and the index of each image's value [N].

    Args:
        images: the usable images.
        name: ``group``, or an attribute.

    Raises:
        InputError: fewer than 2 values or more than 50, a group with two values, or a class that
            one value holds alone.
    """
    by_group = name == "group"
    key = "data.split.leave_one_out"
    column = images.groups if by_group else _named(images.column(name, key=key))
    values, index = np.unique(column, return_inverse=True)
    if not 2 <= len(values) <= MOST_VALUES:
        only = f" ('{values[0]}')" if len(values) == 1 else ""
        raise InputError(
            f"{key} is '{name}', which has {counted(len(values), 'value')}{only}",
            rule=f"one value is left out at a time: 2 to {MOST_VALUES} values are possible",
            remedy="name an attribute with fewer values, or use design cross_validated with "
            "data.split.folds, which keeps groups whole too"
            if len(values) > 1
            else "name an attribute with several values, or leave leave_one_out away",
        )
    if not by_group:
        _require_whole(
            images,
            column,
            fault=f"under two values of '{name}', which {key} leaves out one at a time",
            remedy="choose an attribute that has one value in each group",
        )
    alone = [
        (label, str(column[images.labels == label][0]))
        for label in sorted(set(images.labels.tolist()))
        if len(set(column[images.labels == label].tolist())) == 1
    ]
    if alone:
        shown = [f"'{label}' (only where {name} is '{value}')" for label, value in alone]
        raise InputError(
            f"classes without a training image when one {name} is left out: "
            f"{listed(shown, quoted=False)}",
            rule="every class must remain in the training set of every fold",
            remedy="leave these classes out, add images of them elsewhere, or leave "
            "leave_one_out away",
        )
    return [str(value) for value in values], index.astype(np.intp)


# ── words ─────────────────────────────────────────────────────────────────────────────────────


def refuse_mixing(*, asked: str, fixed: str) -> InputError:
    """What to say where a design would mix parts that are fixed beforehand.

    Args:
        asked: what would mix them, such as ``data.split.leave_one_out``.
        fixed: what fixes them.
    """
    return InputError(
        f"{asked} would mix the parts that {fixed}",
        rule="a given test set stays what it is: folds and other test sets would train on it",
        remedy=_IGNORE
        if fixed == DATA_BRING
        else "use design fixed or redrawn, or leave the other key away",
    )


def _several(groups: Strings, parts: Strings) -> dict[str, list[str]]:
    """Groups that lie in more than one part, with the parts in order."""
    pairs = sorted(set(zip(groups.tolist(), parts.tolist(), strict=True)))
    times = Counter(group for group, _ in pairs)
    found: dict[str, list[str]] = {}
    for group, part in pairs:
        if times[group] > 1:
            found.setdefault(group, []).append(part)
    return found
