"""Pictures that lie in two parts of a split, or under two labels."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from synthlift.data.contract import PARTS, UNLABELLED
from synthlift.data.faults.near_duplicates import Pair, components


class Leak(NamedTuple):
    """Images of one picture that lie in several parts.

    Attributes:
        rows: all of them.
        parts: their parts, from train to test.
        dropped: those that go, so that the picture stays in its last part only (METHOD §2).
    """

    rows: tuple[int, ...]
    parts: tuple[str, ...]
    dropped: tuple[int, ...]


def leaks(pairs: Sequence[Pair], *, parts: Sequence[str]) -> list[Leak]:
    """Find duplicates across the parts of a given split.

    The training copy goes, never the test's; a copy in validation goes where the test has one.

    Args:
        pairs: duplicates.
        parts: "train", "validation", "test" or "" (in no part) of each image [N].

    Returns:
        By first row.
    """
    members: dict[int, list[int]] = defaultdict(list)
    for row, lowest in enumerate(components(pairs, count=len(parts)).tolist()):
        if parts[row] in PARTS:
            members[lowest].append(row)
    found = []
    for rows in members.values():
        present = tuple(part for part in PARTS if any(parts[row] == part for row in rows))
        if len(present) > 1:
            dropped = tuple(row for row in rows if parts[row] != present[-1])
            found.append(Leak(tuple(rows), present, dropped))
    return sorted(found)


def conflicts(pairs: Sequence[Pair], *, labels: Sequence[str]) -> list[Pair]:
    """Pairs of one picture under two labels; images without a label conflict with none."""
    return [
        pair
        for pair in pairs
        if labels[pair.first] != labels[pair.second]
        and UNLABELLED not in (labels[pair.first], labels[pair.second])
    ]
