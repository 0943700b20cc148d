"""Collections that Synthlift draws itself, from digits that its embedded models never saw."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from synthlift.data.contract import Item, Where
from synthlift.data.decode import WHITE_16_BIT, Decoded
from synthlift.drawings import (
    COLOURS,
    DIGITS,
    HELD_OUT,
    SHAPES,
    Traits,
    digit_strokes,
    draw,
    random_traits,
    shape_strokes,
)
from synthlift.seeds import generator_for
from synthlift.store import digest
from synthlift.types import UInt8

DRAWINGS, COLOURED = "embedded:drawings", "embedded:coloured-digits"
OTHER_HALF = f"{COLOURED}-other-half"
"""The same with the halves exchanged: what was tried out on one can be confirmed on the other."""
VERSION = "1"
SHAPES_EACH = 36
"""Drawings of a shape; as many as there are of a digit on average."""

SEEN = 3
"""Colours in which a class of the coloured digits may be trained on; it is tested in all."""


@dataclass(frozen=True)
class _Drawing:
    """What one picture is drawn from.

    Attributes:
        traits: what it shows.
        strokes: row of the handwritten digit; -1 = a shape, which its seed draws.
        part: train, test, or "" where the study splits.
    """

    traits: Traits
    strokes: int
    part: str = ""


class DrawnSource:
    """Pictures that are drawn when they are loaded."""

    def __init__(self, where: Where) -> None:
        self.where = where
        self.fingerprint = digest([where.source, VERSION])
        self.ignored: Mapping[str, int] = {}
        self.notes: Sequence[str] = ()

    @cached_property
    def _drawings(self) -> Mapping[str, _Drawing]:
        source = self.where.source
        made = _drawings() if source == DRAWINGS else _coloured_digits(source)
        name = source.partition(":")[2]
        return {f"{name}/{row:04d}": drawing for row, drawing in enumerate(made)}

    @cached_property
    def items(self) -> Sequence[Item]:
        """Each drawing with its class and traits."""
        return [
            Item(
                name,
                one.traits.word,
                # One handwriting in several colours must not cross a split.
                name if one.strokes < 0 else f"digit {one.strokes:04d}",
                name,
                attributes=one.traits.as_attributes(),
                part=one.part,
            )
            for name, one in self._drawings.items()
        ]

    def load(self, path: str, *, max_pixels: int, white: int = WHITE_16_BIT) -> Decoded:
        """Draw it."""
        del max_pixels, white
        one = self._drawings[path]
        rng = generator_for(path, VERSION)
        if one.strokes < 0:
            strokes = shape_strokes(one.traits.word, rng)
        else:
            strokes = digit_strokes()[0][one.strokes]
        return Decoded(pixels=draw(strokes, one.traits, rng), mode="RGB", bits=8)

    def file(self, path: str) -> Path | None:
        """No file: drawings are made, not stored."""
        del path
        return None

    def load_mask(self, mask: str) -> UInt8:
        """No drawing has one."""
        raise AssertionError(f"no drawing has a mask: {mask}")


def _held_out() -> Sequence[tuple[int, str]]:
    """Row and word of each held-out digit."""
    digits = digit_strokes()[1]
    return [(row, DIGITS[digits[row]]) for row in range(len(digits) - HELD_OUT, len(digits))]


def _drawings() -> Sequence[_Drawing]:
    """Each held-out digit once, and shapes; all traits vary freely."""
    rng = generator_for(DRAWINGS, VERSION)
    shapes = [(-1, name) for name in SHAPES for _ in range(SHAPES_EACH)]
    return [_Drawing(random_traits(rng, word), row) for row, word in [*_held_out(), *shapes]]


def _coloured_digits(source: str) -> Sequence[_Drawing]:
    """Half of the held-out digits to train on, in three colours a class; half to test, in all.

    Digit d is trained on in the colours d to d + 2, counted around, so that colour tells more of
    the class than it will in the test, and five of eight cells of each class are empty.
    """
    rng = generator_for(source, VERSION)
    turns: Counter[str] = Counter()
    found: list[_Drawing] = []
    for place, (row, word) in enumerate(_held_out()):
        test = place % 2 == (source == COLOURED)
        first = DIGITS.index(word)
        offsets = range(len(COLOURS)) if test else [turns[word] % SEEN]
        turns[word] += not test
        for offset in offsets:
            colour = list(COLOURS)[(first + offset) % len(COLOURS)]
            plain = random_traits(rng, word)
            traits = Traits(word, colour, plain.slant, plain.thickness, "black")
            found.append(_Drawing(traits, row, "test" if test else "train"))
    return found
