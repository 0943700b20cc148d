"""Discovered near-duplicates join one group, so that no picture is trained on and tested."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from synthlift.data.designs import groups_per_class
from synthlift.data.faults.near_duplicates import (
    LARGEST_SHARE,
    NearDuplicates,
    Pair,
    near_duplicates,
    tightened,
)
from synthlift.data.grouping import FEW_IMAGES, drop_training_copies, joined_groups
from synthlift.data.inventory import EXCLUDED, OK, Row
from synthlift.data.parting import Parting
from synthlift.data.sources import MINIMUM_PER_CLASS
from synthlift.data.wording import counted
from synthlift.types import UInt8

CALIBRATED_FROM = 100
FEW_THRESHOLD = 0.1
"""With few images nothing tells how alike unrelated ones are: only the surest pairs count."""
SURE = 0.15
"""Beyond this distance similar pictures of different things are taken for one, as dark round
lesions are; up to it, 3.0 % of CIFAR-10's test images have a near-duplicate in train."""
LIMITS = (0.05, 0.02, -1.0)
STRICTER = (
    "near-duplicates were found by a stricter rule than usual, or not at all: joining them would "
    "have left a class with fewer than 3 groups"
)
REASON = "near-duplicate across given parts"


def join_alike(
    rows: Sequence[Row], thumbnails: Sequence[UInt8 | None], parting: Parting
) -> tuple[list[Row], list[str]]:
    """Group the usable images that show the same picture: :func:`join` of :func:`alike`."""
    pairs, notes = alike(rows, thumbnails)
    result, found = join(rows, pairs, parting)
    return result, notes + found


def alike(rows: Sequence[Row], thumbnails: Sequence[UInt8 | None]) -> tuple[list[Pair], list[str]]:
    """Find usable images that show the same picture (METHOD §2).

    Args:
        rows: all images; exact copies are excluded already.
        thumbnails: uint8 [32, 32, 1] of each, None where it is too small or cannot be read.

    Returns:
        Pairs of rows, and what else is to be said of them.
    """
    places = [
        place
        for place, (row, small) in enumerate(zip(rows, thumbnails, strict=True))
        if row.status == OK and small is not None
    ]
    if len(places) < 2:
        return [], []
    pixels = np.stack([small for place in places if (small := thumbnails[place]) is not None])
    used = [rows[place] for place in places]
    few = len(used) < CALIBRATED_FROM
    hashes = [row.sha256 for row in used]
    found = near_duplicates(pixels, hashes=hashes, threshold=FEW_THRESHOLD if few else None)
    sure = tuple(pair for pair in found.pairs if pair.distance <= SURE)
    found = NearDuplicates(sure, found.threshold)
    share = max(LARGEST_SHARE, FEW_IMAGES / len(used))
    found = tightened(found, count=len(used), share=share)
    pairs = [
        pair._replace(first=places[pair.first], second=places[pair.second]) for pair in found.pairs
    ]
    left = _leaving_three(pairs, rows)
    return left, [STRICTER] if len(left) < len(pairs) else []


def join(
    rows: Sequence[Row], found: Sequence[Pair], parting: Parting
) -> tuple[list[Row], list[str]]:
    """Put what is alike into one group.

    Where parts are fixed, a training copy of what is validated or tested on is left out.

    Args:
        rows: all images.
        found: what :func:`alike` gave.
        parting: what fixes parts.

    Returns:
        The rows with joined groups, and what was found in words.
    """
    pairs = [(pair.first, pair.second) for pair in found]
    result = list(rows)
    notes = []
    dropped = set(drop_training_copies(parting.draws(rows), pairs))
    # A kept picture is named before one that goes too.
    for first, second in sorted(pairs, key=lambda pair: dropped.issuperset(pair)):
        for own, other in ((first, second), (second, first)):
            if own in dropped and result[own].status == OK:
                reason = f"{REASON}: of {rows[other].id}"
                result[own] = replace(rows[own], status=EXCLUDED, reason=reason)
    if dropped:
        notes.append(
            f"{counted(len(dropped), 'near-duplicate')} across given parts: the training copy is "
            "left out"
        )
    kept = [(a, b) for a, b in pairs if a not in dropped and b not in dropped]
    joined = joined_groups([row.group for row in result], kept)
    for place, group in enumerate(joined.groups):
        if result[place].status == OK:
            result[place] = replace(result[place], group=group)
    if joined.joined:
        notes.append(
            f"{counted(len(kept), 'pair')} of near-duplicates found: "
            f"{counted(joined.joined, 'group')} joined others, so that no picture is trained on "
            "and tested"
        )
    return result, notes


def _leaving_three(found: list[Pair], rows: Sequence[Row]) -> list[Pair]:
    """Fewer pairs where joining all would leave a class with fewer than 3 groups."""
    used = [place for place, row in enumerate(rows) if row.status == OK]
    labels = [rows[place].label for place in used]
    before = groups_per_class(labels, [rows[place].group for place in used])
    needed = {label: min(MINIMUM_PER_CLASS, count) for label, count in before.items()}

    def enough(pairs: Sequence[Pair]) -> bool:
        joined = joined_groups([row.group for row in rows], [(p.first, p.second) for p in pairs])
        after = groups_per_class(labels, [joined.groups[place] for place in used])
        return all(after[label] >= count for label, count in needed.items())

    tries = [found, *([p for p in found if p.distance <= limit] for limit in LIMITS)]
    return next((pairs for pairs in tries if enough(pairs)), [])
