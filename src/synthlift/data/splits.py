"""Which images train, choose and test: grouped and stratified splits for designs A, B and C.

Whole groups move, always. Shares are shares of *groups* per class, since the group is what a
result is tested on. Nothing depends on the order of the rows: groups and classes are sorted by
name before anything is drawn.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from synthlift.data.designs import Design, test_quota
from synthlift.data.drawing import Mask, Units, deal, make_units, take
from synthlift.data.given import Images, Published, assignments, left_out
from synthlift.data.subsampling import draw_sizes
from synthlift.errors import InputError
from synthlift.seeds import generator_for
from synthlift.types import Int64, Strings

PARTS = ("train", "validation", "test", "pool", "unlabelled")
TRAIN, VALIDATION, TEST, POOL, UNLABELLED = range(len(PARTS))
Codes = NDArray[np.int8]


@dataclass(frozen=True)
class SplitTable:
    """One row an image and draw, sorted by draw, then id.

    Attributes:
        draw: int64; draw of design B, or repeat · folds + fold of design C; 0 in design A.
        id: image.
        part: "train", "validation", "test"; in design B also "pool" (left over) or "unlabelled"
            (left over, and its labels are not to be used).
    """

    draw: Int64
    id: Strings
    part: Strings


def make_split(
    design: Design,
    *,
    ids: Sequence[str] | Strings,
    labels: Sequence[str] | Strings,
    groups: Sequence[str] | Strings,
    seed: int,
    parts: Sequence[str] | Strings | None = None,
    attributes: Mapping[str, Sequence[str] | Strings] | None = None,
    published: Published | None = None,
) -> SplitTable:
    """Split images as ``design`` says.

    Args:
        design: from :func:`~synthlift.data.designs.choose_design`.
        ids, labels, groups: of the usable images [N], in any order.
        seed: equal seeds give equal splits of equal data.
        parts, attributes, published: as given to ``choose_design``.

    Raises:
        InputError: design B asks for more groups than a class has, or no group is left to
            validate with.
    """
    images = Images.of(ids=ids, labels=labels, groups=groups, parts=parts, attributes=attributes)
    images = images.take(np.argsort(images.ids))
    values = [images.column(name, key="data.split.stratify") for name in design.stratify]
    units = make_units(images.labels, images.groups, values=values)
    assert (published is None) == (design.file is None)
    fixed = assignments(
        images, given=design.given, test_where=design.test_where, published=published
    )
    starts = [_codes(units, found) for found in fixed or [np.full(len(images.ids), "train")]]
    if design.kind == "cross_validated":
        folds = _folds(units, design, images, starts, seed)
        drawn = [_with_validation(units, design, seed, fold, name) for name, fold in folds]
    elif len(starts) > 1:
        named = [(f"draw {i}", start) for i, start in enumerate(starts)]
        drawn = [_with_validation(units, design, seed, start, name) for name, start in named]
    elif design.kind == "redrawn":
        drawn = _redrawn(units, design, seed, starts[0])
    else:
        start = _with_test(units, design, seed, starts[0])
        drawn = [_with_validation(units, design, seed, start, "fixed")]
    if fixed is not None or design.leave_one_out is not None:
        _require_validation(drawn)
    words = np.array(PARTS)
    return SplitTable(
        draw=np.repeat(np.arange(len(drawn), dtype=np.int64), len(images.ids)),
        id=np.tile(images.ids, len(drawn)),
        part=np.concatenate([words[part[units.of_image]] for part in drawn]),
    )


def content_hash(hashes: Sequence[str] | Strings) -> str:
    """SHA-256 (hex) over sorted image hashes: names a test set by what it shows."""
    return hashlib.sha256("\n".join(sorted(map(str, hashes))).encode()).hexdigest()


def _codes(units: Units, parts: Strings) -> Codes:
    """Part of each group, as an index into ``PARTS``; a group lies in one part."""
    start = np.zeros(len(units), dtype=np.int8)
    for code, part in enumerate(PARTS):
        start[units.of_image[parts == part]] = code
    return start


def _require_validation(drawn: Sequence[Codes]) -> None:
    for part in drawn:
        if not (part == VALIDATION).any():
            raise InputError(
                "no group is left to validate with beside the test set",
                rule="validation takes whole groups of training images, and every class keeps one "
                "to train on",
                remedy="bring more groups, name validation images too, or split in another way",
            )


# ── the three designs: part per group, as an index into PARTS ─────────────────────────────────


def _with_test(units: Units, design: Design, seed: int, start: Codes) -> Codes:
    """Draw the test set where none is fixed."""
    part = start.copy()
    if not (part == TEST).any():
        part[_test_groups(units, part == TRAIN, design, seed)] = TEST
    return part


def _with_validation(units: Units, design: Design, seed: int, start: Codes, name: str) -> Codes:
    """Draw validation where none is fixed."""
    part = start.copy()
    if not (part == VALIDATION).any():
        part[_validation(units, part == TRAIN, design, seed, name)] = VALIDATION
    return part


def _redrawn(units: Units, design: Design, seed: int, start: Codes) -> list[Codes]:
    start = _with_test(units, design, seed, start)
    pool = start == TRAIN
    left_over = POOL if design.labels_per_class is None else UNLABELLED
    train, validation = draw_sizes(
        design,
        units.per_class(pool),
        units.classes,
        validate=not (start == VALIDATION).any(),
    )
    parts = []
    for draw in range(design.draws):
        rng = generator_for(seed, "split", "draw", draw)
        chosen = take(units, pool, quota=train, keep=validation, rng=rng)
        held = take(units, pool & ~chosen, quota=validation, keep=0 * validation, rng=rng)
        part = start.copy()
        part[pool & ~chosen] = left_over
        part[held] = VALIDATION
        parts.append(part)
    return parts


def _folds(
    units: Units, design: Design, images: Images, starts: Sequence[Codes], seed: int
) -> Iterator[tuple[str, Codes]]:
    """Name of each fold and what is fixed in it, repeat by repeat."""
    values = None
    if design.leave_one_out is not None:
        values = np.zeros(len(units), dtype=np.intp)
        values[units.of_image] = left_out(images, design.leave_one_out)[1]
    for repeat in range(design.repeats):
        fold_of = values
        if fold_of is None and design.file is None:
            rng = generator_for(seed, "split", "repeat", repeat)
            fold_of = deal(units, design.folds, rng)
        for fold in range(design.folds):
            name = f"repeat {repeat} fold {fold}"
            if fold_of is None:
                # A study with more repeats than were published begins again with the first.
                yield name, starts[(repeat * design.folds + fold) % len(starts)]
            else:
                yield name, np.where(fold_of == fold, TEST, TRAIN).astype(np.int8)


def _test_groups(units: Units, among: Mask, design: Design, seed: int) -> Mask:
    counts = units.per_class(among)
    quota = np.array([test_quota(design.test, int(n)) for n in counts], dtype=np.int64)
    rng = generator_for(seed, "split", "test")
    return take(units, among, quota=quota, keep=0 * quota + 2, rng=rng)


def _validation(units: Units, among: Mask, design: Design, seed: int, name: str) -> Mask:
    counts = units.per_class(among)
    quota = np.clip(np.rint(design.validation * counts), 1, None).astype(np.int64)
    rng = generator_for(seed, "split", "validation", name)
    return take(units, among, quota=quota, keep=0 * quota + design.learnt_from, rng=rng)


# ── counting ──────────────────────────────────────────────────────────────────────────────────


def count_parts(
    table: SplitTable, *, label_of: Mapping[str, str], group_of: Mapping[str, str]
) -> dict[str, list[dict[str, dict[str, int]]]]:
    """Images and groups per draw, part and class: ``result["images"][draw][part][class]``.

    "unlabelled" is named only where some image is.
    """
    parts = [part for part in PARTS if part != "unlabelled" or part in table.part]
    classes = sorted(set(label_of.values()))
    images: list[dict[str, dict[str, int]]] = []
    groups: list[dict[str, dict[str, int]]] = []
    for draw in range(int(table.draw.max()) + 1):
        rows = table.draw == draw
        seen: dict[str, dict[str, set[str]]] = {p: {c: set() for c in classes} for p in parts}
        count = {part: dict.fromkeys(classes, 0) for part in parts}
        for name, part in zip(table.id[rows], table.part[rows], strict=True):
            count[part][label_of[name]] += 1
            seen[part][label_of[name]].add(group_of[name])
        images.append(count)
        groups.append({p: {c: len(found) for c, found in seen[p].items()} for p in parts})
    return {"images": images, "groups": groups}
