"""Values of an attribute: what a missing one is called, and the order in which they are shown."""

from __future__ import annotations

import re
from collections.abc import Iterable

MISSING = "missing"
"""The value of a binned attribute where nothing is known."""


_NOTHING = frozenset(
    {"", "na", "n/a", "nan", "none", "null", "unknown", "missing", "?", "-", "--", "."}
)


def is_missing(text: str) -> bool:
    """Whether a cell among numbers says that nothing is known: empty, NA, unknown and the like."""
    return text.strip().casefold() in _NOTHING


def named(value: str) -> str:
    """A value as it is shown and asked for: a missing one has a name too."""
    return value or MISSING


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
