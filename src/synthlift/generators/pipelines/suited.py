"""Settings that suit a pipeline, from what its files say of it. No torch here."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from synthlift.weights.files import read_json

WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
"""A word of a name: "SDXL-Lightning_4step" and "v21TurboDPM" have one for few steps."""
SNAPSHOTS = "snapshots"
"""Folder of the Hub's cache: models--OWNER--NAME/snapshots/COMMIT."""


class Suited(NamedTuple):
    """Steps from noise to image, and classifier-free guidance."""

    sampler_steps: int
    guidance_scale: float


NAMED = {
    "turbo": Suited(4, 0.0),
    "lightning": Suited(4, 0.0),
    "schnell": Suited(4, 0.0),
    "sprint": Suited(2, 4.5),
    "lcm": Suited(4, 1.5),
}
"""By a word of a model's name, as its makers advise."""
CHUNKS = ((64, 32), (256, 8), (float("inf"), 4))
"""Up to so many pixels a side, so many images."""
SCHEDULED = {"LCMScheduler": Suited(4, 1.5), "TCDScheduler": Suited(4, 0.0)}


def suited(folder: Path, *, named: Path | None = None) -> Suited | None:
    """What a pipeline was distilled for; None where it needs the usual number of steps.

    It goes by the scheduler, by whether a Flux model was trained to be guided, and by the words of
    the model's own name, see :func:`words_of`.
    """
    scheduler = scheduler_of(folder)
    if scheduler in SCHEDULED:
        return SCHEDULED[scheduler]
    transformer = read_json(folder / "transformer" / "config.json")
    flux = transformer.get("_class_name") == "FluxTransformer2DModel"
    if flux and transformer.get("guidance_embeds") is False:
        return NAMED["schnell"]
    words = words_of(named or folder)
    return next((found for word, found in NAMED.items() if word in words), None)


def words_of(place: Path) -> frozenset[str]:
    """The words, in small letters, of a model's own name: of its folder or file.

    In the Hub's cache the name stands two folders above. Folders around a model say nothing of it.
    """
    whole = place.absolute()
    names = [whole.name]
    for one in (whole, whole.parent):
        if one.parent.name == SNAPSHOTS:
            names.append(one.parent.parent.name.split("--")[-1])
    return frozenset(word.lower() for name in names for word in WORD.findall(name))


def scheduler_of(folder: Path) -> str:
    """Class of diffusers that leads from noise to image; "" where the files do not tell."""
    config = read_json(folder / "scheduler" / "scheduler_config.json")
    return str(config.get("_class_name", ""))


def chunk(folder: Path) -> int | None:
    """Images that are best drawn together, by the size at which a pipeline draws.

    A small image alone keeps no processor busy. It goes by files rather than by a measurement, so
    that the same study draws the same pixels on any day.

    Returns:
        None where the files do not tell the size.
    """
    side = native_side(folder)
    return None if side is None else next(n for most, n in CHUNKS if side <= most)


def native_side(folder: Path) -> int | None:
    """Pixels of the longer side at which a pipeline draws, as far as its files tell."""
    for part in ("unet", "transformer"):
        size = read_json(folder / part / "config.json").get("sample_size")
        if size:
            vae = read_json(folder / "vae" / "config.json")
            named = ("block_out_channels", "encoder_block_out_channels")
            levels = next((vae[name] for name in named if name in vae), [0] * 4)
            longest = max(size) if isinstance(size, list) else int(size)
            return int(longest * 2 ** (len(levels) - 1))
    return None
