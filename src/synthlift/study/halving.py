"""Out of memory while sampling: half as many images at once, as a decision that is recorded.

How many images are computed together changes the last bits of pixels, so it takes part in a chunk's
key. The decision lists which chunks were committed before it: they stay as they are, in this run
and in any other one of the same resolved study.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from synthlift.errors import DeviceMemoryError
from synthlift.spec.targets import Cell
from synthlift.study.session import Session

Place = tuple[str, Cell, int]
"""A chunk: its stream (train or test), its cell, its number."""
Ranges = list[list[int]]
"""First and last number of runs of chunks."""


@dataclass(frozen=True)
class Halving:
    """One decision: images computed together from then on, and the chunks made before it."""

    micro_batch: int
    before: Mapping[str, Ranges]

    def spares(self, place: Place) -> bool:
        """Whether a chunk was committed before."""
        runs = self.before.get(_name(place), [])
        return any(first <= place[2] <= last for first, last in runs)


def micro_batch_of(halvings: Sequence[Halving], place: Place) -> int | None:
    """Images computed together for a chunk; None = as many as the generator says."""
    found = None
    for halving in halvings:
        if halving.spares(place):
            return found
        found = halving.micro_batch
    return found


def halvings_of(session: Session, fit: str) -> list[Halving]:
    """The decisions taken so far for a generator's fit, the first one first."""
    found: list[Halving] = []
    while session.decided(_decision(fit, len(found))):
        value = session.decide(_decision(fit, len(found)), _never)
        found.append(Halving(value["micro_batch"], value["before"]))
    return found


def halve(
    session: Session, error: DeviceMemoryError, *, fit: str, committed: Iterable[Place]
) -> None:
    """Decide to go on with half as many images at once.

    Args:
        session: of the study.
        error: what the stage said.
        fit: words that name the generator and its fit within the study.
        committed: chunks that are in the store.

    Raises:
        DeviceMemoryError: there is nothing to halve.
    """
    if error.micro_batch < 2:
        raise error
    half = error.micro_batch // 2

    def choose() -> tuple[dict[str, Any], str]:
        value = {"micro_batch": half, "before": _runs(committed)}
        return value, f"{error.given}; chunks that were not sampled yet take {half} at a time"

    session.decide(_decision(fit, len(halvings_of(session, fit))), choose)


def _decision(fit: str, number: int) -> str:
    return f"sampling_memory/{fit}/{number + 1}"


def _never() -> tuple[Any, str]:
    raise AssertionError("the decision was taken before")


def _name(place: Place) -> str:
    stream, cell, _ = place
    return "/".join(map(str, (stream, *cell.seed_parts)))


def _runs(places: Iterable[Place]) -> dict[str, Ranges]:
    found: dict[str, Ranges] = {}
    for place in sorted(places):
        runs = found.setdefault(_name(place), [])
        if runs and runs[-1][1] == place[2] - 1:
            runs[-1][1] = place[2]
        else:
            runs.append([place[2], place[2]])
    return found
