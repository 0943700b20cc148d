"""What a drawing shows, in words."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
SHAPES = ("circle", "square", "triangle", "star", "cross", "heart")
WORDS = (*DIGITS, *SHAPES)
"""The classes."""

COLOURS = {
    "red": (220, 30, 35),
    "orange": (250, 130, 20),
    "yellow": (245, 215, 20),
    "green": (30, 165, 60),
    "cyan": (40, 205, 215),
    "blue": (45, 85, 235),
    "purple": (135, 45, 185),
    "pink": (255, 130, 195),
}
BACKGROUNDS = {
    "black": (0, 0, 0),
    "white": (255, 255, 255),
    "grey": (128, 128, 128),
    "navy": (15, 20, 75),
}
SLANTS = {"leaning left": 0.45, "upright": 0.0, "leaning right": -0.45}
"""How far a stroke moves sideways on its way down, as a share of that way."""

THICKNESSES = {"thin": 0.6, "medium": 1.4, "thick": 2.4}
"""Half the width of a stroke, in pixels of a picture with 32."""


@dataclass(frozen=True)
class Traits:
    """What a drawing shows.

    Attributes:
        word: class, one of ``WORDS``.
        colour: of the stroke.
        slant: which way it leans.
        thickness: of the stroke.
        background: colour behind it.
    """

    word: str
    colour: str
    slant: str
    thickness: str
    background: str

    def as_attributes(self) -> dict[str, str]:
        """All but the class, by name."""
        return {
            "colour": self.colour,
            "slant": self.slant,
            "thickness": self.thickness,
            "background": self.background,
        }


def random_traits(rng: np.random.Generator, word: str = "") -> Traits:
    """Traits drawn independently and evenly.

    Args:
        rng: decides.
        word: the class; "" = any.
    """
    return Traits(
        word=word or _one(WORDS, rng),
        colour=_one(tuple(COLOURS), rng),
        slant=_one(tuple(SLANTS), rng),
        thickness=_one(tuple(THICKNESSES), rng),
        background=_one(tuple(BACKGROUNDS), rng),
    )


def _one(names: tuple[str, ...], rng: np.random.Generator) -> str:
    return names[int(rng.integers(len(names)))]
