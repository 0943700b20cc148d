"""The order in which values of an attribute are shown."""

from __future__ import annotations

import re
from collections.abc import Iterable

MISSING = "missing"
"""The value of a binned attribute where nothing is known."""

SCALES = (
    ("dark", "medium", "bright"),
    ("blurred", "medium", "sharp"),
    ("small", "medium", "large"),
    ("very light", "light", "intermediate", "tan", "brown", "dark"),
)
"""Words that attributes read off the pixels have, from low to high."""

_RANGE = re.compile(r"(below )?(-?\d+(?:\.\d+)?)(?: to -?\d+(?:\.\d+)?| or more)?")


def in_order(values: Iterable[str]) -> list[str]:
    """Different values sorted: by size, else by the alphabet; what is missing comes last."""
    found = set(values)
    known = found - {"", MISSING}
    scale = next((words for words in SCALES if known <= set(words)), ())
    return sorted(found, key=lambda value: _key(value, scale))


def _key(value: str, scale: tuple[str, ...]) -> tuple[bool, int, bool, float, bool, str]:
    """Numbers and ranges of numbers come before words."""
    missing = value in ("", MISSING)
    place = scale.index(value) if value in scale else 0
    number = _RANGE.fullmatch(value)
    if number is None:
        return missing, place, True, 0.0, False, value
    return missing, place, False, float(number[2]), number[1] is None, value
