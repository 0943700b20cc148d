"""LoRA files that make a pipeline draw in few steps: what their makers advise. No torch here."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from synthlift.generators.pipelines.suited import (
    CONSISTENT,
    CONSISTENT_OF,
    FLOW,
    SCHEDULED,
    SCHEDULER,
    TRAJECTORY,
    Suited,
    few_step_word,
    is_called,
    names_of,
    scheduler_of,
    steps_of,
    tells_more,
    words_of,
)
from synthlift.weights.files import read_json

UNNAMED = ("pytorch_lora_weights", "diffusion_pytorch_model")
"""What diffusers calls files of weights; the folder then says what they are."""
FEW_STEPS, MANY = 20, 1000
"""As many or fewer are few."""
ADVISED_WEIGHT, SLIGHT = 0.125, 0.5
"""Of Hyper-SD for Flux and Stable Diffusion 3, and what is no longer near it."""
EULER, ANCESTRAL, DDIM = (
    "EulerDiscreteScheduler",
    "EulerAncestralDiscreteScheduler",
    "DDIMScheduler",
)
TRAILING = "trailing"
"""Steps that begin at pure noise, as all of these were distilled but the consistency models."""


class Advice(NamedTuple):
    """What a LoRA file asks for.

    Attributes:
        own: steps and guidance; None = they are not known.
        scheduler: that takes the place of the pipeline's own; "" = none does.
        spacing: of its steps; "" = the scheduler's own.
        file: that asks for it; None = none does.
    """

    own: Suited | None = None
    scheduler: str = ""
    spacing: str = ""
    file: Path | None = None


KINDS = {
    "lcm": Advice(SCHEDULED[CONSISTENT], CONSISTENT),
    "lcmlike": Advice(SCHEDULED[CONSISTENT], CONSISTENT),
    "tcd": Advice(SCHEDULED[TRAJECTORY], TRAJECTORY),
    "dmd": Advice(Suited(4, 0.0), CONSISTENT, TRAILING),
    "pcm": Advice(Suited(4, 1.5), DDIM, TRAILING),
    "lightning": Advice(Suited(4, 0.0), EULER, TRAILING),
    "turbo": Advice(Suited(4, 0.0), ANCESTRAL, TRAILING),
    "hyper": Advice(Suited(8, 0.0), DDIM, TRAILING),
}
"""By a word of the file's name, for Stable Diffusion 1, 2 and XL."""
PLAIN = ("lightning", "turbo")
"""Words that files of another kind have, too: of storms, of cars."""
HINTS = {*PLAIN, "pcm", "tcd"}
"""Words of which it is asked whether few steps are meant, where a name tells no more."""
SURE = re.compile(
    r"(sd|xl|flux|image|alpha)[ _.0-9-]*(turbo|lightning)|^(turbo|lightning)([ _-]*lora)?$",
    re.IGNORECASE,
)
"""Where they stand for few steps."""
GUIDED = {"smallcfg": 1.5, "normalcfg": 3.0, "cfg": 5.0}
"""Guidance by a further word: of PCM, and of Hyper-SD with ``CFG``, the least of 5 to 8."""
FLOWING = {
    ("FluxTransformer2DModel", "turbo"): Suited(8, 3.5),
    ("FluxTransformer2DModel", "hyper"): Suited(8, 3.5),
    ("QwenImageTransformer2DModel", "lightning"): Suited(8, 1.0),
}
"""By network and word, of pipelines of flow matching; their scheduler stays."""


def advised(folder: Path, *, said: str | None, loras: Sequence[Path]) -> Advice:
    """What the first LoRA file for few steps asks for.

    Where the user names another scheduler, or nothing is known of the file beside this pipeline, it
    is named alone.

    Args:
        folder: of the pipeline.
        said: scheduler that the user named; None = none.
        loras: files of weights.
    """
    for file in loras:
        place = next((one for one in _named(file) if _word(one)), None)
        if place is not None:
            found = _advice(folder, place, _word(place))
            fits = said is None or said == found.scheduler
            return (found if fits else Advice())._replace(file=file)
    return Advice()


def _advice(folder: Path, place: Path, word: str) -> Advice:
    own = read_json(folder / SCHEDULER)
    steps, kind = steps_of(place), scheduler_of(folder)
    if kind.startswith(FLOW) or own.get("prediction_type", "epsilon") not in CONSISTENT_OF:
        network = read_json(folder / "transformer" / "config.json").get("_class_name", "")
        return Advice(_with_steps(FLOWING.get((network, word)), steps))
    found = KINDS[word]
    if word == "hyper" and steps == 1:
        found = found._replace(scheduler=TRAJECTORY, spacing="")
    scale = next((GUIDED[one] for one in GUIDED if one in words_of(place)), None)
    suits = found.own if scale is None or found.own is None else Suited(found.own[0], scale)
    # One that has the scheduler already keeps it, as it was set.
    same = kind == found.scheduler == CONSISTENT
    found = found._replace(scheduler="" if same else found.scheduler)
    return found._replace(own=_with_steps(suits, steps))


def _with_steps(own: Suited | None, steps: int | None) -> Suited | None:
    return own if own is None or steps is None else own._replace(sampler_steps=steps)


def _named(file: Path) -> tuple[Path, ...]:
    """Places whose names tell what a file is, its own first."""
    return (file, file.parent) if file.stem in UNNAMED else (file,)


def _word(place: Path) -> str:
    """The word of a file's name by which it was made for few steps; "" = there is none."""
    words = words_of(place)
    if "lcmlike" in words:
        return "lcmlike"
    word = "pcm" if "pcm" in words and tells_more(place) else few_step_word(place)
    sure = word not in PLAIN or steps_of(place) is not None or is_called(place, SURE)
    return word if word in KINDS and sure else ""


def told_by_name(
    folder: Path, loras: Sequence[Path], *, own: Suited, scheduler: str
) -> Iterator[str]:
    """That a file's name led to other steps than the pipeline has by itself.

    Args:
        folder: of the pipeline.
        loras: files of weights.
        own: steps and guidance that are used.
        scheduler: that takes the place of the pipeline's own; "" = none does.
    """
    advice = advised(folder, said=scheduler or None, loras=loras)
    if advice.file is None or advice.own != own:
        return
    place = next(one for one in _named(advice.file) if _word(one))
    used = scheduler or scheduler_of(folder) or "the pipeline's scheduler"
    yield (
        f"the LoRA file '{names_of(place)[-1]}' is by its name ('{_word(place)}') for few steps: "
        f"{own.sampler_steps} steps of {used} at guidance {own.guidance_scale:g} are used; if it "
        "is another one, set sampler_steps, guidance_scale and scheduler"
    )


def warnings(
    folder: Path, loras: Sequence[tuple[Path, float]], *, own: Suited, scheduler: str
) -> Iterator[str]:
    """What is said of files that seem made for few steps, and are drawn with otherwise.

    Args:
        folder: of the pipeline.
        loras: files and their weights.
        own: steps and guidance that are used.
        scheduler: that takes the place of the pipeline's own; "" = none does.
    """
    used = scheduler or scheduler_of(folder) or "the pipeline's scheduler"
    for file, weight in loras:
        if _looks_for_few(file) and own.sampler_steps > FEW_STEPS:
            yield (
                f"the LoRA file '{file.name}' looks made for few steps, and what suits it is not "
                f"known: {own.sampler_steps} steps of {used} at guidance {own.guidance_scale:g} "
                "are used; set sampler_steps, guidance_scale and scheduler as its makers advise"
            )
        flowing = scheduler_of(folder).startswith(FLOW)
        if flowing and weight > SLIGHT and any(_word(one) == "hyper" for one in _named(file)):
            yield (
                f"the LoRA file '{file.name}' acts with weight {weight:g}: for a pipeline of flow "
                f"matching its makers advise {ADVISED_WEIGHT}"
            )


def _looks_for_few(file: Path) -> bool:
    """Whether its name has a word of those for few steps, or a small number of steps."""
    return any(
        _word(one) or words_of(one) & HINTS or (steps_of(one) or MANY) <= FEW_STEPS
        for one in _named(file)
    )
