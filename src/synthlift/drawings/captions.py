"""What people may say of a drawing: in several orders, and seldom everything."""

from __future__ import annotations

import numpy as np

from synthlift.drawings.traits import DIGITS, Traits

SAID = 0.7
"""Share of captions that name a trait."""

CLASS_SAID = 0.95
OPENINGS = ("", "", "a", "a", "a photo of a", "a picture of a", "a drawing of a", "a photo of")
GROUNDS = ("on {}", "on a {} background", "with a {} background")
LISTED = 0.15
"""Share of captions that are words between commas."""


def caption(traits: Traits, rng: np.random.Generator) -> str:
    """One of the ways to describe a drawing.

    Args:
        traits: what it shows.
        rng: decides what is said, and in which order.
    """
    return describe(traits, rng)[0]


def describe(traits: Traits, rng: np.random.Generator) -> tuple[str, Traits]:
    """A caption, and the traits that it tells; "" stands for what it leaves out."""
    said = {name: value for name, value in traits.as_attributes().items() if rng.random() < SAID}
    word = traits.word if rng.random() < CLASS_SAID else ""
    told = Traits(word=word, **{name: said.get(name, "") for name in traits.as_attributes()})
    return _worded(told, said, rng), told


def _worded(told: Traits, said: dict[str, str], rng: np.random.Generator) -> str:
    noun = _noun(told.word, rng) if told.word else "drawing"
    ground = str(rng.choice(GROUNDS)).format(said["background"]) if "background" in said else ""
    if rng.random() < LISTED:
        parts = [noun, *(said[name] for name in ("colour", "slant", "thickness") if name in said)]
        parts += [f"{said['background']} background"] if ground else []
        return ", ".join(rng.permutation(parts).tolist())
    before = [said[name] for name in ("thickness", "colour") if name in said]
    after = [ground] if ground else []
    if "slant" in said:
        leans = said["slant"]
        (before if leans == "upright" or rng.random() < 0.3 else after).append(leans)
    words = [*rng.permutation(before).tolist(), noun, *rng.permutation(after).tolist()]
    return " ".join([str(rng.choice(OPENINGS)), *words]).strip()


def _noun(word: str, rng: np.random.Generator) -> str:
    """The word, or the figure for a digit."""
    if word in DIGITS and rng.random() < 0.4:
        return str(DIGITS.index(word))
    return word
