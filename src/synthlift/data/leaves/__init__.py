"""A small collection of leaves, drawn by seeded code: ``embedded:leaves``.

Six species with a long tail, and some pictures of bare ground. One thing is wrong with it on
purpose: the *background* goes with the class. Nearly all beeches lie on paper and nearly all limes
on soil, so that a model may learn the ground instead of the leaf. ``synthlift inspect`` and the
groups of a study show it.
"""

from __future__ import annotations

from dataclasses import dataclass

from synthlift.data.leaves.drawing import SIZE, draw, draw_bare
from synthlift.data.leaves.grounds import GROUNDS
from synthlift.seeds import generator_for
from synthlift.types import UInt8

VERSION = "1"
"""Bumped whenever a pixel changes."""
COUNTS = {"beech": 300, "oak": 190, "maple": 120, "lime": 80, "willow": 48, "ginkgo": 30}
BARE = "bare"
"""The class of pictures without a leaf, which leaves can be pasted onto."""
CLASSES = {**COUNTS, BARE: 45}
BACKGROUND = "background"
_USUAL = {"beech": "paper", "lime": "soil"}
_SHARE = 0.9
"""Of the leaves of a class in :data:`_USUAL`, how many lie on its usual background."""

__all__ = [
    "BACKGROUND",
    "BARE",
    "CLASSES",
    "COUNTS",
    "SIZE",
    "VERSION",
    "Leaf",
    "leaf",
    "leaves",
    "picture",
]


@dataclass(frozen=True)
class Leaf:
    """One leaf of the collection.

    Attributes:
        id: ``leaves/<species>/<number>``.
        species: its class; :data:`BARE` without a leaf.
        number: among its species.
        background: what it lies on: paper, soil or stone.
    """

    id: str
    species: str
    number: int
    background: str


def leaves() -> list[Leaf]:
    """The whole collection, sorted by id."""
    return [
        Leaf(f"leaves/{species}/{number:03d}", species, number, _background(species, number))
        for species in sorted(CLASSES)
        for number in range(CLASSES[species])
    ]


def leaf(name: str) -> Leaf:
    """The leaf of an id."""
    _, species, number = name.split("/")
    return Leaf(name, species, int(number), _background(species, int(number)))


def _background(species: str, number: int) -> str:
    usual = _USUAL.get(species)
    if usual is None:
        return GROUNDS[number % len(GROUNDS)]
    others = [name for name in GROUNDS if name != usual]
    # Every tenth lies elsewhere, so that each class has the same share in any long part of it.
    every = round(1 / (1 - _SHARE))
    return others[number // every % len(others)] if number % every == every - 1 else usual


def picture(leaf: Leaf) -> tuple[UInt8, UInt8]:
    """The picture [64, 64, 3] and its mask [64, 64], 255 = leaf, both uint8."""
    rng = generator_for("leaves", VERSION, leaf.species, leaf.number)
    if leaf.species == BARE:
        return draw_bare(leaf.background, rng)
    return draw(leaf.species, leaf.background, rng)
