"""Out of memory while sampling: half as many images at once, as a decision that is recorded.

Where one image at a time does not fit, ways of saving memory follow that the generator knows. How
many images are computed together changes the last bits of pixels, so it takes part in a chunk's
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
    """One decision: images computed together from then on, and the chunks made before it.

    Attributes:
        micro_batch: images computed together.
        before: chunks committed before the decision.
        savings: ways of saving memory that are in use besides, see ``savings.SavesMemory``.
    """

    micro_batch: int
    before: Mapping[str, Ranges]
    savings: int = 0

    @property
    def numerics(self) -> dict[str, int]:
        """What changes the last bits of pixels."""
        used = {"savings": self.savings} if self.savings else {}
        return {"micro_batch": self.micro_batch, **used}

    def spares(self, place: Place) -> bool:
        """Whether a chunk was committed before."""
        runs = self.before.get(_name(place), [])
        return any(first <= place[2] <= last for first, last in runs)


def halving_of(halvings: Sequence[Halving], place: Place) -> Halving | None:
    """The decision that holds for a chunk; None = it is computed as the generator says."""
    found = None
    for halving in halvings:
        if halving.spares(place):
            return found
        found = halving
    return found


def halvings_of(session: Session, fit: str) -> list[Halving]:
    """The decisions taken so far for a generator's fit, the first one first."""
    found: list[Halving] = []
    while session.decided(_decision(fit, len(found))):
        found.append(_told(session.decide(_decision(fit, len(found)), _never)))
    return found


def halvings_among(decisions: Mapping[str, Any], *, fit: str) -> list[Halving]:
    """The same of a finished run, among the values of all its decisions by name."""
    found: list[Halving] = []
    while _decision(fit, len(found)) in decisions:
        found.append(_told(decisions[_decision(fit, len(found))]))
    return found


def _told(value: Mapping[str, Any]) -> Halving:
    return Halving(value["micro_batch"], value["before"], value.get("savings", 0))


def halve(
    session: Session, error: DeviceMemoryError, *, fit: str, committed: Iterable[Place]
) -> None:
    """Decide to go on with half as many images at once, or to save memory in a further way.

    Args:
        session: of the study.
        error: what the stage said.
        fit: words that name the generator and its fit within the study.
        committed: chunks that are in the store.

    Raises:
        DeviceMemoryError: there is nothing to halve, and no way of saving memory is left.
    """
    if error.micro_batch < 2 and not error.savings:
        raise error
    half = max(1, error.micro_batch // 2)
    how = "".join(f", {way}" for way in error.savings)

    def choose() -> tuple[dict[str, Any], str]:
        value: dict[str, Any] = {"micro_batch": half, "before": _runs(committed)}
        if error.savings:
            value["savings"] = len(error.savings)
        said = f"chunks that were not sampled yet take {half} at a time{how}"
        return value, f"{error.given}; {said}"

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
