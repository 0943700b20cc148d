"""Discovered near-duplicates join one group, so that no picture is trained on and tested."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from synthlift.data.designs import groups_per_class
from synthlift.data.faults.near_duplicates import (
    NearDuplicates,
    Pair,
    near_duplicates,
    tightened,
)
from synthlift.data.grouping import drop_training_copies, joined_groups
from synthlift.data.inventory import EXCLUDED, OK, Row
from synthlift.data.sources import MINIMUM_PER_CLASS
from synthlift.types import UInt8

CALIBRATED_FROM = 100
FEW_THRESHOLD = 0.1
"""With few images nothing tells how alike unrelated ones are: only the surest pairs count."""
LIMITS = (0.05, 0.02, -1.0)
LOOSENED = (
    "near-duplicates were found by a stricter rule than usual, or not at all: joining them would "
    "have left a class with fewer than 3 groups"
)
REASON = "near-duplicate across given parts"


def join_alike(
    rows: Sequence[Row], thumbnails: Sequence[UInt8 | None]
) -> tuple[list[Row], list[str]]:
    """Group the usable images that show the same picture (METHOD §2).

    Where the data bring a split, a training copy of what is validated or tested on is left out.

    Args:
        rows: all images; exact copies are excluded already.
        thumbnails: uint8 [32, 32, 1] of each, None where it is too small or cannot be read.

    Returns:
        The rows with joined groups, and what was found in words.
    """
    places = [
        place
        for place, (row, small) in enumerate(zip(rows, thumbnails, strict=True))
        if row.status == OK and small is not None
    ]
    if len(places) < 2:
        return list(rows), []
    pixels = np.stack([small for place in places if (small := thumbnails[place]) is not None])
    used = [rows[place] for place in places]
    few = len(used) < CALIBRATED_FROM
    hashes = [row.sha256 for row in used]
    found = near_duplicates(pixels, hashes=hashes, threshold=FEW_THRESHOLD if few else None)
    found, loosened = _leaving_three(tightened(found, count=len(used)), used)
    pairs = [(pair.first, pair.second) for pair in found.pairs]
    result = list(rows)
    notes = [LOOSENED] if loosened else []
    dropped = set(drop_training_copies([row.part for row in used], pairs))
    for first, second in pairs:
        for own, other in ((first, second), (second, first)):
            if own in dropped and result[places[own]].status == OK:
                reason = f"{REASON}: of {used[other].id}"
                result[places[own]] = replace(used[own], status=EXCLUDED, reason=reason)
    if dropped:
        notes.append(
            f"{len(dropped):,} near-duplicates across given parts: their training copy is left out"
        )
    kept = [(a, b) for a, b in pairs if a not in dropped and b not in dropped]
    joined = joined_groups([row.group for row in used], kept)
    for place, group in zip(places, joined.groups, strict=True):
        if result[place].status == OK:
            result[place] = replace(result[place], group=group)
    if joined.joined:
        notes.append(
            f"{len(kept):,} pairs of near-duplicates found: {joined.joined:,} groups joined "
            "others, so that no picture is trained on and tested"
        )
    return result, notes


def _leaving_three(found: NearDuplicates, used: Sequence[Row]) -> tuple[NearDuplicates, bool]:
    """Fewer pairs where joining all would leave a class with fewer than 3 groups."""
    before = groups_per_class([row.label for row in used], [row.group for row in used])
    needed = {label: min(MINIMUM_PER_CLASS, count) for label, count in before.items()}

    def enough(pairs: Sequence[Pair]) -> bool:
        joined = joined_groups([row.group for row in used], [(p.first, p.second) for p in pairs])
        after = groups_per_class([row.label for row in used], joined.groups)
        return all(after[label] >= count for label, count in needed.items())

    if enough(found.pairs):
        return found, False
    tries = (tuple(p for p in found.pairs if p.distance <= limit) for limit in LIMITS)
    pairs = next((pairs for pairs in tries if enough(pairs)), ())
    return NearDuplicates(pairs, found.threshold), True
