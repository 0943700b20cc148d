"""What one call of a pipeline is asked for, and what comes of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from synthlift.seeds import seed_for
from synthlift.types import SampleRequest, UInt8

REDRAWN = 3
"""How often an image that comes out black is drawn anew."""


@dataclass(frozen=True)
class Settings:
    """What one call of the pipeline is made with; requests of equal settings go together.

    Attributes:
        guidance_scale: see :class:`PipelineConfig`.
        sampler_steps: from noise to image.
        adapter: name of the learnt adapter that acts; "" = none.
    """

    guidance_scale: float
    sampler_steps: int
    adapter: str


class Wish(NamedTuple):
    """One image to draw.

    Attributes:
        request: as it was asked for.
        prompt: what it shows.
        avoided: what it should not show; "" = nothing.
        seed: of its noise.
    """

    request: SampleRequest
    prompt: str
    avoided: str
    seed: int


class Drawn(NamedTuple):
    """An image uint8 [H, W, C], with what it was drawn for and where it comes from.

    Attributes:
        wish: as it was asked for.
        pixels: uint8 [H, W, C].
        origin: in words, for its provenance.
        tries: how often it came out black and was drawn anew.
    """

    wish: Wish
    pixels: UInt8
    origin: str
    tries: int


def enough_steps(steps: int, *, strength: float) -> int:
    """As many steps as asked for, but so many that a pipeline takes one from a given image.

    Of n steps it takes the last ⌊n · strength⌋.
    """
    least = math.ceil(1 / strength)
    least += int(least * strength) < 1  # rounding
    return max(steps, least)


def drawn_anew(
    wishes: Sequence[Wish],
    draw: Callable[[Sequence[Wish]], UInt8],
    *,
    origins: Sequence[str],
) -> list[Drawn]:
    """Draw, and draw anew what comes out black, as a safety checker's objections do.

    Each try has another seed, which follows from the image's own.

    Args:
        wishes: what is drawn.
        draw: images uint8 [n, H, W, C] of some of them.
        origins: where images come from, in words; what was drawn anew says so besides.
    """
    pixels, tries = draw(wishes), [0] * len(wishes)
    for again in range(1, REDRAWN + 1):
        black = [i for i, image in enumerate(pixels) if not image.any()]
        if not black:
            break
        pixels[black] = draw(
            [wishes[i]._replace(seed=seed_for(wishes[i].seed, "drawn again", again)) for i in black]
        )
        for i in black:
            tries[i] = again
    told = [
        "; ".join(filter(None, [origin, f"drawn anew, black before: {n}" if n else ""]))
        for origin, n in zip(origins, tries, strict=True)
    ]
    return [Drawn(*one) for one in zip(wishes, pixels, told, tries, strict=True)]
