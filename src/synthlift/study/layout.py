"""Which replicate uses which training set and which generator fit (METHOD §1, §2)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from synthlift.spec.arms import Arm
from synthlift.spec.targets import Cell, grouped

Design = Literal["fixed", "redrawn", "cross_validated"]


@dataclass(frozen=True)
class FitUnit:
    """One generator fit: its index and the draw (training set or fold) it belongs to."""

    index: int
    draw: int
    on_all_images: bool = False

    @property
    def title(self) -> str:
        """For progress lines and logs."""
        return "on all images" if self.on_all_images else f"fit {self.index + 1}"


@dataclass(frozen=True)
class Replicate:
    """One paired repetition."""

    index: int
    draw: int
    fit: int


@dataclass(frozen=True)
class Layout:
    """All replicates and fits of a study.

    Attributes:
        design: see METHOD §2.
        units: generator fits.
        replicates: in order of work; whole rounds.
        round_size: replicates in one round (every fit once, or every fold once).
    """

    design: Design
    units: tuple[FitUnit, ...]
    replicates: tuple[Replicate, ...]
    round_size: int

    def rounds(self) -> Iterator[tuple[Replicate, ...]]:
        """Whole rounds in order."""
        for start in range(0, len(self.replicates), self.round_size):
            yield self.replicates[start : start + self.round_size]

    def units_of(self, replicates: tuple[Replicate, ...]) -> tuple[FitUnit, ...]:
        """The fits that these replicates use, in order."""
        wanted = {replicate.fit for replicate in replicates}
        return tuple(unit for unit in self.units if unit.index in wanted)


def make_layout(
    design: Design, *, replicates: int, fits: int, draws: int = 1, folds: int = 5
) -> Layout:
    """Lay a study out in whole rounds; a broken last round is completed.

    Args:
        design: see METHOD §2.
        replicates: wanted; rounded up to whole rounds.
        fits: generator fits per training set (design A).
        draws: training sets (design B).
        folds: folds of one repeat (design C).
    """
    if design == "cross_validated":
        rounds = max(1, -(-replicates // folds))
        units = tuple(FitUnit(j, j) for j in range(rounds * folds))
        members = tuple(Replicate(j, j, j) for j in range(rounds * folds))
        return Layout(design, units, members, folds)
    size = min(draws if design == "redrawn" else fits, replicates)
    total = -(-replicates // size) * size
    redrawn = design == "redrawn"
    units = tuple(FitUnit(i, i if redrawn else 0) for i in range(size))
    members = tuple(Replicate(r, units[r % size].draw, r % size) for r in range(total))
    return Layout(design, units, members, size)


def with_room(layout: Layout, *, rounds: int) -> Layout:
    """The same layout with further rounds behind it; the first replicates stay as they are."""
    size = layout.round_size
    return make_layout(
        layout.design,
        replicates=len(layout.replicates) + rounds * size,
        fits=size,
        draws=size,
        folds=size,
    )


def wanted_images(
    arm: Arm, counts: Mapping[Cell, int], *, weights: Mapping[Cell, float] | None = None
) -> dict[Cell, int]:
    """Kept synthetic (or retrieved) images per cell that an arm needs (METHOD §1, "Multiple").

    Args:
        arm: a generative arm, the uniform-fraction control or a rival that retrieves.
        counts: real training images of the finest cells that the study aims at.
        weights: what a target ``by`` errors is spread in proportion to; None = not measured yet,
            for planning: in proportion to the counts.
    """
    if not arm.uses_synthetic and not arm.retrieved:
        return {}
    wanted = {k: round(arm.multiple * n) for k, n in arm.target.shares(counts).items()}
    if not arm.spread_evenly and arm.target.by is None:
        return wanted
    have: Mapping[Cell, float] = grouped(counts, arm.target.attributes)
    if not arm.spread_evenly and weights is not None:
        have = weights
    return _in_proportion(sum(wanted.values()), have)


def most_wanted(needs: Iterable[Mapping[Cell, int]]) -> dict[Cell, int]:
    """The largest need of every cell: arms share a stream, and smaller sets are nested in it."""
    most: dict[Cell, int] = {}
    for need in needs:
        for cell, count in need.items():
            most[cell] = max(count, most.get(cell, 0))
    return most


def _in_proportion(total: int, weights: Mapping[Cell, float]) -> dict[Cell, int]:
    """Whole numbers of the given total, by largest remainder."""
    everything = sum(weights.values())
    exact = {k: total * n / everything for k, n in weights.items()}
    shares = {k: int(value) for k, value in exact.items()}
    by_remainder = sorted(weights, key=lambda k: (shares[k] - exact[k], k))
    for k in by_remainder[: total - sum(shares.values())]:
        shares[k] += 1
    return shares
