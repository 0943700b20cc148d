"""Drawings of our own: digits and shapes with a colour, a slant, a thickness and a background.

The recipe of what the embedded models were trained on, and a source of images to study. Every
picture follows from its traits and a seed.
"""

from __future__ import annotations

from synthlift.drawings.captions import caption, describe
from synthlift.drawings.pictures import SIDE, draw
from synthlift.drawings.strokes import HELD_OUT, Strokes, digit_strokes, shape_strokes
from synthlift.drawings.traits import (
    BACKGROUNDS,
    COLOURS,
    DIGITS,
    SHAPES,
    SLANTS,
    THICKNESSES,
    WORDS,
    Traits,
    random_traits,
)

__all__ = [
    "BACKGROUNDS",
    "COLOURS",
    "DIGITS",
    "HELD_OUT",
    "SHAPES",
    "SIDE",
    "SLANTS",
    "THICKNESSES",
    "WORDS",
    "Strokes",
    "Traits",
    "caption",
    "describe",
    "digit_strokes",
    "draw",
    "random_traits",
    "shape_strokes",
]
