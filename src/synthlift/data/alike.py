"""Discovered near-duplicates join one group, so that no picture is trained on and tested."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from synthlift.data.designs import groups_per_class
from synthlift.data.faults.near_duplicates import (
    LARGEST_SHARE,
    Pair,
    components,
    near_duplicates,
    tightened,
)
from synthlift.data.grouping import FEW_IMAGES, drop_training_copies, joined_groups
from synthlift.data.inventory import EXCLUDED, OK, Row
from synthlift.data.parting import Parting
from synthlift.data.sources import MINIMUM_PER_CLASS
from synthlift.data.wording import counted, listed
from synthlift.types import Int64, UInt8

CALIBRATED_FROM = 100
FEW_THRESHOLD = 0.1
"""With few images nothing tells how alike unrelated ones are: only the surest pairs count."""
SURE = 0.15
"""Beyond this distance similar pictures of different things are taken for one, as dark round
lesions are, unless all else is far off; up to it, 3.0 % of CIFAR-10's test images have a
near-duplicate in train."""
LIMITS = (0.05, 0.02, -1.0)
GROUP = "if they show one picture, say so with data.group"
REASON = "near-duplicate across given parts"


@dataclass(frozen=True)
class Alike:
    """Images that show the same picture.

    Attributes:
        pairs: of rows.
        apart: what looks alike and was left apart all the same, and why, in words with counts.
    """

    pairs: tuple[Pair, ...] = ()
    apart: tuple[str, ...] = ()


def join_alike(
    rows: Sequence[Row], thumbnails: Sequence[UInt8 | None], parting: Parting
) -> tuple[list[Row], list[str]]:
    """Group the usable images that show the same picture: :func:`join` of :func:`alike`."""
    found = alike(rows, thumbnails)
    result, notes = join(rows, found.pairs, parting)
    return result, [*found.apart, *notes]


def alike(rows: Sequence[Row], thumbnails: Sequence[UInt8 | None]) -> Alike:
    """Find usable images that show the same picture (METHOD §2).

    Args:
        rows: all images; exact copies are excluded already.
        thumbnails: uint8 [32, 32, 1] of each, None where it is too small or cannot be read.
    """
    places = [
        place
        for place, (row, small) in enumerate(zip(rows, thumbnails, strict=True))
        if row.status == OK and small is not None
    ]
    if len(places) < 2:
        return Alike()
    pixels = np.stack([small for place in places if (small := thumbnails[place]) is not None])
    found = same_pictures(pixels, hashes=[rows[place].sha256 for place in places])
    pairs = [
        pair._replace(first=places[pair.first], second=places[pair.second]) for pair in found.pairs
    ]
    apart = [*_beyond(found, count=len(places)), *_chained(found, count=len(places))]
    return Alike(*_leaving_three(pairs, rows, apart))


@dataclass(frozen=True)
class SamePictures:
    """Pairs that may be joined, and pairs up to :data:`SURE` that nothing joins.

    Attributes:
        pairs: they show one picture.
        beyond: as near as that elsewhere, but not among images that all resemble each other.
        chained: near enough, but together they would join too many.
    """

    pairs: tuple[Pair, ...]
    beyond: tuple[Pair, ...]
    chained: tuple[Pair, ...]


def same_pictures(
    pixels: UInt8, *, hashes: Sequence[str], few: float = FEW_THRESHOLD, sides: Int64 | None = None
) -> SamePictures:
    """Find what shows the same picture, as surely as this data set allows.

    Args:
        pixels: uint8 [N, 32, 32, 1].
        hashes: one a content [N].
        few: largest distance where there are too few images to calibrate one.
        sides: as for :func:`~synthlift.data.faults.near_duplicates.near_duplicates`.
    """
    count = len(pixels)
    threshold = few if count < CALIBRATED_FROM else None
    found = near_duplicates(pixels, hashes=hashes, threshold=threshold, sides=sides)
    if threshold is not None:  # among so few, a kind of picture is not told from one picture
        at_most = tuple(pair for pair in found.pairs if pair.distance <= threshold)
        found = replace(found, pairs=at_most, families=())
    sure = tuple(pair for pair in found.pairs if pair.distance <= SURE or found.certain(pair))
    share = max(LARGEST_SHARE, FEW_IMAGES / count)
    pairs = tightened(replace(found, pairs=sure), count=count, share=share).pairs
    joined = components(pairs, count=count)

    def apart(others: Iterable[Pair]) -> tuple[Pair, ...]:
        return tuple(sorted(p for p in others if joined[p.first] != joined[p.second]))

    beyond = apart(pair for pair in found.beyond if pair.distance <= SURE)
    return SamePictures(pairs, beyond, apart(set(sure) - set(pairs)))


def _beyond(found: SamePictures, *, count: int) -> list[str]:
    """What lies between the threshold of this data set and that of others."""
    left = [pair.distance for pair in found.beyond]
    if not left:
        return []
    why = (
        "there are too few images to tell how alike unrelated ones are"
        if count < CALIBRATED_FROM
        else "unrelated images of this data set resemble each other as much"
    )
    said = (
        f"{counted(len(left), 'pair')} that look alike (distance {min(left):.3f} to "
        f"{max(left):.3f}) {_were(len(left))} not joined, since {why}; {GROUP}"
    )
    return [said]


def _chained(found: SamePictures, *, count: int) -> list[str]:
    """What was given up inside components that were too large."""
    lost = found.chained
    if not lost:
        return []
    before = components([*found.pairs, *lost], count=count)
    sizes = np.bincount(before)
    chained = sorted(int(sizes[root]) for root in {before[pair.first] for pair in lost})[::-1]
    images = listed([f"{n:,}" for n in chained], quoted=False)
    said = (
        f"{counted(len(lost), 'pair')} that look alike {_were(len(lost))} not joined, since pair "
        f"by pair they chain {images} images; {GROUP}"
    )
    return [said]


def _were(count: int) -> str:
    return "was" if count == 1 else "were"


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


def _leaving_three(
    found: list[Pair], rows: Sequence[Row], apart: list[str]
) -> tuple[tuple[Pair, ...], tuple[str, ...]]:
    """Fewer pairs in classes that joining all would leave with fewer than 3 groups."""
    used = [place for place, row in enumerate(rows) if row.status == OK]
    labels = [rows[place].label for place in used]
    before = groups_per_class(labels, [rows[place].group for place in used])
    step = dict.fromkeys(before, 0)
    tries = (np.inf, *LIMITS)

    def kept() -> list[Pair]:
        limit = {label: tries[number] for label, number in step.items()}
        return [p for p in found if p.distance <= min(limit[rows[i].label] for i in p[:2])]

    def short(pairs: Sequence[Pair]) -> set[str]:
        joined = joined_groups([row.group for row in rows], [(p.first, p.second) for p in pairs])
        after = groups_per_class(labels, [joined.groups[place] for place in used])
        return {name for name, n in before.items() if after[name] < min(MINIMUM_PER_CLASS, n)}

    while lacking := short(pairs := kept()):
        # Groups of a class can be joined by images of another one that belong to them.
        able = {name for name in lacking if step[name] < len(LIMITS)}
        for name in able or {name for name in step if step[name] < len(LIMITS)}:
            step[name] += 1
    lost = len(found) - len(pairs)
    if not lost:
        return tuple(pairs), tuple(apart)
    stricter = listed([name for name, number in step.items() if number])
    said = (
        f"{counted(lost, 'pair')} of near-duplicates in {stricter} {_were(lost)} not joined: "
        f"joining would have left a class with fewer than {MINIMUM_PER_CLASS} groups"
    )
    return tuple(pairs), (*apart, said)
