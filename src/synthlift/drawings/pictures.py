"""From lines and traits to pixels."""

from __future__ import annotations

import numpy as np
from scipy.spatial import KDTree

from synthlift.drawings.strokes import Strokes
from synthlift.drawings.traits import BACKGROUNDS, COLOURS, SLANTS, THICKNESSES, Traits
from synthlift.types import UInt8

SIDE = 32
REACH = 9.6
"""Half the height of a drawing, in pixels."""


def draw(strokes: Strokes, traits: Traits, rng: np.random.Generator) -> UInt8:
    """Draw one picture, uint8 [32, 32, 3].

    Args:
        strokes: the lines, from -1 to 1.
        traits: colour, slant, thickness and background.
        rng: decides about place, size, tilt and shades, all within what the traits' words allow.
    """
    lean = SLANTS[traits.slant] + rng.uniform(-0.08, 0.08)
    tilt, scale = rng.uniform(-0.07, 0.07), REACH * rng.uniform(0.88, 1.06)
    x, y = strokes.T.astype(np.float64)
    x = x + lean * y
    turned = np.column_stack(
        [x * np.cos(tilt) - y * np.sin(tilt), x * np.sin(tilt) + y * np.cos(tilt)]
    )
    points = turned * scale + (SIDE - 1) / 2 + rng.uniform(-1.5, 1.5, size=2)
    down, across = np.mgrid[:SIDE, :SIDE]
    pixels = np.column_stack([across.ravel(), down.ravel()])
    distance = KDTree(points).query(pixels)[0].reshape(SIDE, SIDE, 1)
    half = THICKNESSES[traits.thickness] * rng.uniform(0.9, 1.1)
    cover = np.clip(half + 0.5 - distance, 0, 1)
    ink = _shade(COLOURS[traits.colour], rng)
    ground = _shade(BACKGROUNDS[traits.background], rng)
    pixels_hwc: UInt8 = np.rint(ground + cover * (ink - ground)).astype(np.uint8)
    return pixels_hwc


def _shade(colour: tuple[int, int, int], rng: np.random.Generator) -> np.ndarray:
    return np.clip(np.array(colour) + rng.uniform(-10, 10, size=3), 0, 255)
