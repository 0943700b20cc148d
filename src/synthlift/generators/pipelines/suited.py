"""Settings that suit a pipeline, from what its files say of it. No torch here."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from synthlift.weights.copies import INDEX
from synthlift.weights.files import read_json

WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
"""A word of a name: "SDXL-Lightning_4step" and "v21TurboDPM" have one for few steps."""
SNAPSHOTS = "snapshots"
"""Folder of the Hub's cache: models--OWNER--NAME/snapshots/COMMIT."""


class Suited(NamedTuple):
    """Steps from noise to image, and classifier-free guidance."""

    sampler_steps: int
    guidance_scale: float


STEPS = re.compile(r"(?<![a-z0-9])([1-9][0-9]?)[ _-]?steps?(?![a-z])", re.IGNORECASE)
"""In names such as "sdxl_lightning_8step": for how many steps a model was distilled."""
NAMED = {
    "turbo": Suited(4, 0.0),
    "lightning": Suited(4, 0.0),
    "schnell": Suited(4, 0.0),
    "sprint": Suited(2, 4.5),
    "lcm": Suited(4, 1.5),
    "tcd": Suited(4, 0.0),
    "dmd": Suited(4, 0.0),
    "hyper": Suited(8, 0.0),
}
"""By a word of a model's name, as its makers advise."""
HYPER = re.compile(r"hyper([ _-]*(sd|xl|flux)|([ _-]*lora)?$)", re.IGNORECASE)
"""Where "hyper" is Hyper-SD, and no style such as "hyper-realistic"."""
DMD2 = re.compile(r"dmd2(?![0-9])", re.IGNORECASE)
"""Where "dmd" is distribution matching distillation, and not a disease of muscles."""
FAMILIES = {"sd", "ssd", "sdxl", "xl", "flux"}
LORA = re.compile(r"(?<![a-z])lora(?![a-z])", re.IGNORECASE)
HEEDLESS = "Flux2Klein"
"""How the class of a pipeline begins that heeds no guidance once it was distilled."""
Z_IMAGE_TURBO = Suited(8, 0.0)
"""Eight evaluations of the network, as its makers advise; older versions of diffusers took nine
steps for them."""
DISTILLED = {"Flux2Klein": Suited(4, 1.0), "Krea2": Suited(8, 0.0)}
"""By how the class of a pipeline begins, of those whose index says that they were distilled."""
PRX = "PRX"
"""How the class of a pipeline begins whose index states the pixels of a side that it draws."""
PRX_DISTILLED = Suited(8, 1.0)
QWEN_2_1, QWEN_2_1_SUITED = "QwenImage21", Suited(40, 1.0)
"""Qwen-Image 2.1 is meant to be drawn from without guidance, which it does not need."""
MERGED = Suited(6, 2.0)
"""Of Turbo, Lightning and Hyper models that others made for Stable Diffusion 1 and XL. Their makers
advise different things, such as a scale of 2 with 4 to 8 steps or 3 to 6 (DreamShaper XL), and a
scale of 0 would rob those of their guidance."""
MERGEABLE = ("turbo", "lightning", "hyper")
OFFICIAL = re.compile(
    r"((stabilityai|bytedance)[ _-]+)?(sd[ _-]?(xl)?|stable[ _-]diffusion([ _-]xl)?)[ _-]"
    r"(turbo|lightning)(?![a-z])|(bytedance[ _-]+)?hyper[ _-]*sd(xl|15)?(?![a-z])",
    re.IGNORECASE,
)
"""What the models that Turbo, Lightning and Hyper were published as are called first, after the
owner's name in some folders."""
WIDTHS = {"768": "sd1", "2048": "sdxl"}
"""Of the text embeddings that a UNet reads: Stable Diffusion 1, and XL."""
CHUNKS = ((64, 32), (256, 8), (float("inf"), 4))
"""Up to so many pixels a side, so many images."""
CONSISTENT, TRAJECTORY = "LCMScheduler", "TCDScheduler"
SCHEDULED = {CONSISTENT: NAMED["lcm"], TRAJECTORY: NAMED["tcd"]}
FLOW = "FlowMatch"
"""How schedulers of flow matching begin."""
CONSISTENT_OF = ("epsilon", "sample", "v_prediction")
"""What a network may predict that a consistency model is made of."""
SCHEDULER = Path("scheduler", "scheduler_config.json")


def suited(folder: Path, *, named: Path | None = None, scheduler: str = "") -> Suited | None:
    """What a pipeline was distilled for; None where it needs the usual number of steps.

    It goes by the scheduler, by whether a Flux model was trained to be guided, by whether the index
    says that it was distilled, and by the words of the model's own name, see :func:`names_of`. A
    number of steps in that name counts.

    Args:
        folder: of the pipeline, or of its settings.
        named: what the user named, if it is another place.
        scheduler: that takes the place of the pipeline's own; "" = none does.
    """
    if scheduler in SCHEDULED:
        return SCHEDULED[scheduler]
    place = named or folder
    found, steps = _suited(folder, place), steps_of(place)
    return found if found is None or steps is None else found._replace(sampler_steps=steps)


def _suited(folder: Path, place: Path) -> Suited | None:
    scheduler = scheduler_of(folder)
    if scheduler in SCHEDULED:
        return SCHEDULED[scheduler]
    transformer = read_json(folder / "transformer" / "config.json")
    kind = transformer.get("_class_name")
    if kind == "FluxTransformer2DModel" and transformer.get("guidance_embeds") is False:
        return NAMED["schnell"]
    name = class_of(folder)
    if is_distilled(folder):
        found = next((one for begins, one in DISTILLED.items() if name.startswith(begins)), None)
        if found is not None:
            return found
    if name.startswith(QWEN_2_1):
        return QWEN_2_1_SUITED
    if name.startswith(PRX) and "distilled" in words_of(place):
        return PRX_DISTILLED
    word = few_step_word(place)
    if word == "turbo" and kind == "ZImageTransformer2DModel":
        return Z_IMAGE_TURBO
    return MERGED if word in MERGEABLE and _merged(folder, place) else NAMED.get(word)


def heedless(folder: Path) -> bool:
    """Whether a pipeline was distilled so that it heeds no guidance, whatever it is told."""
    return is_distilled(folder) and class_of(folder).startswith(HEEDLESS)


def is_distilled(folder: Path) -> bool:
    """Whether a pipeline's index says that it was distilled for few steps."""
    return read_json(folder / INDEX).get("is_distilled") is True


def few_step_word(place: Path) -> str:
    """The word of a model's own name by which it draws in few steps; "" = there is none."""
    words = words_of(place)
    if "hyper" in words and steps_of(place) is None and not is_called(place, HYPER):
        words -= {"hyper"}
    if not is_called(place, DMD2):
        words -= {"dmd"}
    if not tells_more(place):
        words -= {"tcd"}
    return next((word for word in NAMED if word in words), "")


def tells_more(place: Path) -> bool:
    """Whether a name has a number of steps, a family of models or "LoRA" in it.

    A few letters alone stand for many a thing: "pcm" for phase contrast microscopy, too.
    """
    told = words_of(place) & FAMILIES or is_called(place, LORA)
    return bool(told) or steps_of(place) is not None


def is_called(place: Path, pattern: re.Pattern[str]) -> bool:
    """Whether a pattern is found in a model's own name, see :func:`names_of`."""
    return any(pattern.search(name.removesuffix(".safetensors")) for name in names_of(place))


def _merged(folder: Path, place: Path) -> bool:
    """Whether others than those who published Turbo and its like made a model of few steps."""
    unet = read_json(folder / "unet" / "config.json")
    # A string: some networks have a list of widths.
    kind = WIDTHS.get(str(unet.get("cross_attention_dim")), "")
    turbo = kind == "sdxl" and unet.get("sample_size") == 64
    return bool(kind) and not turbo and not is_official(place)


def is_official(place: Path) -> bool:
    """Whether a model is called as those that Turbo and its like were published as."""
    return any(OFFICIAL.match(name) for name in names_of(place))


def steps_of(place: Path) -> int | None:
    """The number of steps in a model's own name, if there is one."""
    found = next((match for name in names_of(place) if (match := STEPS.search(name))), None)
    return None if found is None else int(found[1])


def names_of(place: Path) -> tuple[str, ...]:
    """A model's own name, of its folder or file.

    In the Hub's cache the name stands two folders above. Folders around a model say nothing of it.
    """
    whole = place.absolute()
    names = [whole.name]
    for one in (whole, whole.parent):
        if one.parent.name == SNAPSHOTS:
            names.append(one.parent.parent.name.split("--")[-1])
    return tuple(names)


def words_of(place: Path) -> frozenset[str]:
    """The words, in small letters, of a model's own name, see :func:`names_of`."""
    return frozenset(word.lower() for name in names_of(place) for word in WORD.findall(name))


def class_of(folder: Path) -> str:
    """Class of diffusers that a pipeline is of; "" where its files do not tell."""
    return str(read_json(folder / INDEX).get("_class_name", ""))


def scheduler_of(folder: Path) -> str:
    """Class of diffusers that leads from noise to image; "" where the files do not tell."""
    config = read_json(folder / SCHEDULER)
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
    if class_of(folder).startswith(PRX):
        return int(read_json(folder / INDEX).get("default_sample_size") or 0) or None
    for part in ("unet", "transformer"):
        size = read_json(folder / part / "config.json").get("sample_size")
        if size:
            vae = read_json(folder / "vae" / "config.json")
            named = ("block_out_channels", "encoder_block_out_channels")
            levels = next((vae[name] for name in named if name in vae), [0] * 4)
            longest = max(size) if isinstance(size, list) else int(size)
            return int(longest * 2 ** (len(levels) - 1))
    return None
