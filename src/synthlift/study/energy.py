"""Energy of a study's work: a GPU's is measured, and a processor's is estimated."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from synthlift.store import Artefact
from synthlift.store.metering import Piece

WATTS_PER_CORE = 10.0
"""Assumed draw of one busy core with its share of the machine, where nothing can be measured."""
ESTIMATED = f"estimated: {WATTS_PER_CORE:g} W for each second of a busy core"
MEASURED = (
    "measured: what the GPU counted, whoever else used it, shared among the tasks that ran on it "
    f"at a time; and {WATTS_PER_CORE:g} W for each second of a busy core, estimated"
)
NOT_KNOWN = "not known for work on a GPU whose energy counter was not read"
JOULES_PER_KWH = 3.6e6

Floats = NDArray[np.float64]


class Taken(NamedTuple):
    """What an artefact took. Of a record only this is held: many chunks have large ones.

    Attributes:
        key, stage: of the artefact.
        cost: of its record.
        on_gpu: whether it was computed for a GPU.
        bytes: in the store.
    """

    key: str
    stage: str
    cost: Mapping[str, Any]
    on_gpu: bool
    bytes: int

    @property
    def pieces(self) -> list[Piece] | None:
        """Its work on GPUs, [] = none; None = some of it was not measured."""
        # Of records without a word on it only this is known: on which kind of device results are
        # as they are.
        told = self.cost.get("gpu_energy", None if self.on_gpu else [])
        return None if told is None else [Piece(*one) for one in told]


def taken(artefacts: Iterable[Artefact]) -> list[Taken]:
    """What artefacts took, in their order."""
    return [
        Taken(
            artefact.key,
            artefact.record["stage"],
            artefact.record["cost"],
            str(artefact.record["numerics"].get("device", "cpu")) != "cpu",
            sum(file.stat().st_size for file in artefact.folder.rglob("*")),
        )
        for artefact in artefacts
    ]


def kwh_by_key(members: Sequence[Taken]) -> dict[str, float | None]:
    """Energy of each artefact; None where it is not known.

    Args:
        members: all that a study asked for, since what runs on a GPU at a time shares its energy.
    """
    pieces = {one.key: one.pieces for one in members}
    every = [(key, piece) for key, own in pieces.items() for piece in own or ()]
    joules = dict.fromkeys(pieces, 0.0)
    for (key, _), share in zip(every, shared_joules([one for _, one in every]), strict=True):
        joules[key] += share
    return {
        one.key: None
        if pieces[one.key] is None
        else (joules[one.key] + one.cost["cpu_seconds"] * WATTS_PER_CORE) / JOULES_PER_KWH
        for one in members
    }


def sum_known(energies: Iterable[float | None]) -> float | None:
    """Their sum; None if one of them is not known."""
    found = list(energies)
    known = [one for one in found if one is not None]
    return sum(known) if len(known) == len(found) else None


def method(members: Iterable[Taken], *, known: bool) -> str:
    """How the energy of some artefacts was found, in words."""
    if not known:
        return NOT_KNOWN
    return MEASURED if any(one.pieces for one in members) else ESTIMATED


def shared_joules(pieces: Sequence[Piece]) -> list[float]:
    """The joules of each piece of work; together what the GPUs counted while any of them ran.

    A GPU counts what all of its work takes. What it counted while several pieces ran is shared
    equally among them, so that no joule is counted twice.
    """
    found = np.zeros(len(pieces))
    for gpu in dict.fromkeys(piece.gpu for piece in pieces):
        rows = np.array([row for row, piece in enumerate(pieces) if piece.gpu == gpu])
        times = np.array([[pieces[row].began, pieces[row].ended] for row in rows])
        counts = np.array([[pieces[row].first, pieces[row].last] for row in rows], np.float64)
        for together in _at_a_time(times):
            found[rows[together]] = _shares(counts[together])
    return [float(one) / 1000 for one in found]  # millijoules are counted


def _at_a_time(times: Floats) -> Iterator[NDArray[np.intp]]:
    """Rows of [n, 2] begins and ends that hang together, by time.

    A counter begins anew with the driver, so that only what ran at a time can have shared counts.
    """
    order = np.argsort(times[:, 0])
    ended = np.maximum.accumulate(times[order, 1])
    yield from np.split(order, 1 + np.flatnonzero(times[order[1:], 0] > ended[:-1]))


def _shares(counts: Floats) -> Floats:
    """What each of the counter's ranges [n, 2] gets of what all of them cover."""
    first, last = counts[:, 0], counts[:, 1]
    ends = np.unique(counts)
    begun = np.searchsorted(np.sort(first), ends[:-1], side="right")
    over = np.searchsorted(np.sort(last), ends[:-1], side="right")
    each = np.diff(ends) / np.maximum(begun - over, 1)
    grown = np.concatenate([[0.0], np.cumsum(each)])
    shares: Floats = np.interp(last, ends, grown) - np.interp(first, ends, grown)
    return shares
