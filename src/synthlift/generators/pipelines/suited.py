"""Settings that suit pipelines which were trained to need few steps. No torch here."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from synthlift.weights.files import read_json

PARTS_OF_NAME = 3
"""Last parts of a path in which a name is looked for; the Hub's cache adds two below it."""


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
"""By a word in a model's name, as its makers advise."""
SCHEDULED = {"LCMScheduler": Suited(4, 1.5), "TCDScheduler": Suited(4, 0.0)}


def suited(folder: Path) -> Suited | None:
    """What a pipeline was distilled for; None where it needs the usual number of steps.

    It goes by the scheduler, by whether a Flux model was trained to be guided, and by words in the
    folder's name.
    """
    scheduler = read_json(folder / "scheduler" / "scheduler_config.json").get("_class_name", "")
    if scheduler in SCHEDULED:
        return SCHEDULED[scheduler]
    transformer = read_json(folder / "transformer" / "config.json")
    flux = transformer.get("_class_name") == "FluxTransformer2DModel"
    if flux and transformer.get("guidance_embeds") is False:
        return NAMED["schnell"]
    name = "/".join(folder.absolute().parts[-PARTS_OF_NAME:]).lower()
    return next((found for word, found in NAMED.items() if word in name), None)
