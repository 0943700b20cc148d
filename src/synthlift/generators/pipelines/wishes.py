"""What one call of a pipeline is asked for, and what comes of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from synthlift.generators.pipelines.parameters import WEAKEST
from synthlift.seeds import generator_for, seed_for
from synthlift.spec.blackened import said_of_origin
from synthlift.types import Float32, SampleRequest, UInt8

REDRAWN = 3
"""How often an image that comes out black is drawn anew."""

TOGETHER, HELD_BYTES = 32, 2**27
"""Chunks that are drawn together at most, and bytes of their originals."""
NEAR, ROUNDING = 0.05, 1e-9
"""So far, or a quarter of it, may the share of steps that is taken lie from a strength."""
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Settings:
    """What one call of the pipeline is made with; requests of equal settings go together.

    Attributes:
        guidance_scale: see :class:`PipelineConfig`.
        sampler_steps: from noise to image.
        adapter: name of the learnt adapter that acts; "" = none.
        avoids: whether it is said what images should not show. To say nothing of it is another
            thing to some pipelines than to say nothing beside an image of which it is said.
    """

    guidance_scale: float
    sampler_steps: int
    adapter: str
    avoids: bool


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


class Sheet(NamedTuple):
    """What one call of the pipeline gave.

    Attributes:
        pixels: [n, H, W, C].
        black: which of the images the pipeline left black, whatever was made of them since.
        originals: [n, h, w, C] at the pipeline's size, where they are kept.
    """

    pixels: NDArray[Any]
    black: Bools
    originals: NDArray[Any] | None = None


class Drawn(NamedTuple):
    """An image, with what it was drawn for and where it comes from.

    Attributes:
        wish: as it was asked for.
        pixels: [H, W, C].
        black: whether the last try came out black, too.
        origin: in words, for its provenance.
        tries: how often it came out black and was drawn anew.
        original: [h, w, C] at the pipeline's size, where it is kept.
    """

    wish: Wish
    pixels: NDArray[Any]
    black: bool
    origin: str
    tries: int
    original: NDArray[Any] | None


def companions(
    request: SampleRequest, *, names: Sequence[str], together: Sequence[Any]
) -> dict[str, str]:
    """Attributes that a request leaves open, of a training image of its class that has the others.

    Args:
        request: its seed decides.
        names: of the attributes.
        together: class with the values of all attributes, and how many images have them.
    """
    own = [(row[1:], count) for row, count in together if row[0] == request.label]
    if not names or not own:
        return {}
    fitting = [
        (values, count)
        for values, count in own
        if all(
            request.attributes.get(name, value) == value
            for name, value in zip(names, values, strict=True)
        )
    ]
    # A combination that was never seen leaves the other attributes to any image of the class.
    rows = fitting or own
    weights = np.array([count for _, count in rows], dtype=np.float64)
    draw = generator_for(request.seed, "attributes")
    chosen = rows[int(draw.choice(len(rows), p=weights / weights.sum()))][0]
    return dict(zip(names, chosen, strict=True))


def opaque(drawn: Float32) -> Float32:
    """Images [n, H, W, 3] in [0, 1] of some that may be transparent, before white."""
    if drawn.shape[3] != 4:
        return drawn
    cover = drawn[..., 3:]
    return drawn[..., :3] * cover + (1 - cover)


def is_black(drawn: Float32) -> Bools:
    """Which of the images [n, H, W, 3] in [0, 1] have no pixel that is not black."""
    found: Bools = drawn.max(axis=(1, 2, 3), initial=0) <= 0.5 / 255
    return found


def together(micro_batch: int, *, sides: tuple[int, int]) -> int:
    """Requests among which equal settings are looked for, whole chunks.

    Args:
        micro_batch: images of a chunk.
        sides: of originals that are kept of them; 0 = none are.
    """
    chunk_bytes = 3 * micro_batch * math.prod(sides)
    return micro_batch * max(1, min(TOGETHER, HELD_BYTES // max(1, chunk_bytes)))


def in_channels(images: UInt8, channels: int) -> UInt8:
    """Images [n, h, w, 3] in as many channels as a study has."""
    if channels == 3:
        return images
    return np.stack([np.asarray(Image.fromarray(one).convert("L")) for one in images])[..., None]


def brought_to(shape: tuple[int, ...], image: UInt8) -> UInt8:
    """An image [h, w, 1 or 3] as one of a study, [H, W, C]."""
    height, width, channels = shape
    plain = image[:, :, 0] if image.shape[2] == 1 else image
    picture = Image.fromarray(plain).convert("L" if channels == 1 else "RGB")
    resized = picture.resize((width, height), Image.Resampling.LANCZOS)
    return np.asarray(resized, dtype=np.uint8).reshape(shape)


def originals_of(drawn: Sequence[Drawn]) -> UInt8 | None:
    """Images [n, h, w, C] as they were drawn; None = they are not kept."""
    kept = [one.original for one in drawn if one.original is not None]
    return np.stack(kept) if kept else None


def in_whole_steps(steps: int, *, strength: float) -> tuple[int, float]:
    """Steps to ask a pipeline for that starts from an image, and the share of them that it takes.

    It takes whole steps: of 4, no 70 %. So many are asked for, at least those wanted, that a whole
    number of them is near the strength; at least one is taken, and one left out below 1. The share
    is such that pipelines that round up and those that round down take the same steps.

    Args:
        steps: that are wanted.
        strength: share of an image that is to be lost, in (0, 1].
    """
    if strength == 1:
        return steps, 1.0
    strength = max(strength, WEAKEST)
    most = min(NEAR, strength / 4)
    asked = max(steps, 2)
    while True:
        taken = min(max(1, round(asked * strength)), asked - 1)
        share = _share(taken, asked)
        if share is not None and abs(share - strength) <= most + ROUNDING:
            return asked, share
        asked += 1


def _share(taken: int, asked: int) -> float | None:
    """The number that gives ``taken`` exactly when multiplied with ``asked``; None = none does."""
    plain = taken / asked
    near = (plain, math.nextafter(plain, 0), math.nextafter(plain, 1))
    return next((one for one in near if one * asked == taken), None)


def drawn_anew(
    wishes: Sequence[Wish],
    draw: Callable[[Sequence[Wish]], Sheet],
    *,
    origins: Sequence[str],
) -> list[Drawn]:
    """Draw, and draw anew what comes out black, as a safety checker's objections do.

    Each try has another seed, which follows from the image's own.

    Args:
        wishes: what is drawn.
        draw: images of some of them.
        origins: where images come from, in words; what was drawn anew says so besides.
    """
    (pixels, black, originals), tries = draw(wishes), np.zeros(len(wishes), np.intp)
    for again in range(1, REDRAWN + 1):
        rows = np.flatnonzero(black).tolist()
        if not rows:
            break
        sheet = draw(
            [wishes[i]._replace(seed=seed_for(wishes[i].seed, "drawn again", again)) for i in rows]
        )
        pixels[rows], black[rows] = sheet.pixels, sheet.black
        if originals is not None:
            originals[rows] = sheet.originals
        tries[rows] = again
    told = [
        "; ".join(filter(None, [origin, said_of_origin(tries=n, black=dark)]))
        for origin, n, dark in zip(origins, tries.tolist(), black.tolist(), strict=True)
    ]
    kept = [None] * len(wishes) if originals is None else list(originals)
    return [
        Drawn(*one)
        for one in zip(wishes, pixels, black.tolist(), told, tries.tolist(), kept, strict=True)
    ]
