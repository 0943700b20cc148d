"""The six species: outlines and veins in the leaf's own frame, its axis from (0, -1) to (0, 1).

Outlines are right halves from the base to the tip; the left half mirrors them. They are sketched
after the usual look of the species, not after any picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from synthlift.types import Float64

Half = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Species:
    """How a leaf looks.

    Attributes:
        half: corners of the right half of its outline, from the base to the tip.
        sharp: whether corners stay corners.
        teeth: height of the teeth along the margin.
        veins: feather (from the midrib), hand (from the base into the lobes) or fan.
        pairs: of side veins, or veins of the fan.
        scale: half its length in a picture of side 2.
        stem: length of its stalk.
        ripe: how far its colours may go from green (0) over yellow to brown (1).
    """

    half: Half
    sharp: bool
    teeth: float
    veins: Literal["feather", "hand", "fan"]
    pairs: int
    scale: float
    stem: float
    ripe: float


SPECIES: dict[str, Species] = {
    "beech": Species(
        half=(
            (0.0, -0.86),
            (0.2, -0.76),
            (0.44, -0.42),
            (0.53, 0.0),
            (0.45, 0.4),
            (0.24, 0.74),
            (0.0, 0.98),
        ),
        sharp=False,
        teeth=0.012,
        veins="feather",
        pairs=7,
        scale=0.7,
        stem=0.22,
        ripe=0.8,
    ),
    "oak": Species(
        half=(
            (0.0, -0.95),
            (0.07, -0.8),
            (0.27, -0.64),
            (0.3, -0.5),
            (0.15, -0.4),
            (0.38, -0.18),
            (0.42, -0.02),
            (0.2, 0.06),
            (0.5, 0.32),
            (0.52, 0.5),
            (0.27, 0.5),
            (0.4, 0.75),
            (0.34, 0.9),
            (0.16, 0.82),
            (0.0, 1.0),
        ),
        sharp=False,
        teeth=0.0,
        veins="feather",
        pairs=4,
        scale=0.74,
        stem=0.12,
        ripe=1.0,
    ),
    "maple": Species(
        half=(
            (0.0, -0.5),
            (0.22, -0.62),
            (0.5, -0.55),
            (0.6, -0.42),
            (0.46, -0.3),
            (0.66, -0.12),
            (0.86, -0.08),
            (0.98, 0.06),
            (0.76, 0.14),
            (0.74, 0.3),
            (0.52, 0.22),
            (0.32, 0.12),
            (0.36, 0.4),
            (0.5, 0.52),
            (0.3, 0.62),
            (0.2, 0.84),
            (0.0, 1.06),
        ),
        sharp=True,
        teeth=0.0,
        veins="hand",
        pairs=2,
        scale=0.68,
        stem=0.5,
        ripe=1.0,
    ),
    "lime": Species(
        half=(
            (0.0, -0.56),
            (0.2, -0.76),
            (0.46, -0.68),
            (0.63, -0.36),
            (0.59, 0.06),
            (0.38, 0.46),
            (0.14, 0.78),
            (0.0, 1.02),
        ),
        sharp=False,
        teeth=0.03,
        veins="feather",
        pairs=5,
        scale=0.68,
        stem=0.42,
        ripe=0.8,
    ),
    "willow": Species(
        half=(
            (0.0, -1.0),
            (0.07, -0.86),
            (0.14, -0.5),
            (0.165, -0.05),
            (0.13, 0.42),
            (0.06, 0.82),
            (0.0, 1.08),
        ),
        sharp=False,
        teeth=0.006,
        veins="feather",
        pairs=9,
        scale=0.84,
        stem=0.1,
        ripe=0.55,
    ),
    "ginkgo": Species(
        half=(
            (0.0, -0.72),
            (0.07, -0.62),
            (0.42, -0.16),
            (0.86, 0.2),
            (0.95, 0.36),
            (0.76, 0.56),
            (0.5, 0.64),
            (0.26, 0.72),
            (0.08, 0.64),
            (0.0, 0.24),
        ),
        sharp=False,
        teeth=0.015,
        veins="fan",
        pairs=8,
        scale=0.72,
        stem=0.5,
        ripe=0.45,
    ),
}


def closed(half: Float64, other: Float64) -> Float64:
    """The whole outline from a right half and another one that is mirrored to the left."""
    left = other[1:-1][::-1] * np.array([-1.0, 1.0])
    return np.concatenate([half, left])


def vein_lines(species: Species, half: Float64) -> list[tuple[Float64, float]]:
    """Veins as lines of points (x, y) with the width at their beginning; the midrib comes first."""
    base, tip = half[0], half[-1]
    if species.veins == "fan":
        angles = np.linspace(-0.92, 0.92, species.pairs * 2 - 1)
        ends = base + 1.25 * np.stack([np.sin(angles), np.cos(angles)], axis=1)
        return [(_line(base, end), 0.03) for end in ends]
    lines = [(_line(base, tip), 0.075)]
    if species.veins == "hand":
        for end in (half[3], half[7]):
            for side in (1.0, -1.0):
                lines.append((_line(base, end * np.array([side, 1.0]) * 0.96), 0.055))
        return lines
    for k in range(species.pairs):
        start = base + (tip - base) * (0.1 + 0.72 * k / species.pairs)
        reach = 0.85 - 0.35 * k / species.pairs
        for side in (1.0, -1.0):
            end = start + reach * np.array([side * 0.8, 0.62])
            lines.append((_line(start, end), 0.035))
    return lines


def _line(start: Float64, end: Float64) -> Float64:
    return start + (end - start) * np.linspace(0, 1, 8)[:, None]
