"""What a pipeline is asked for, and why one that cannot do it is refused."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, Literal

from synthlift.errors import InputError

Task = Literal["text_to_image", "image_to_image", "inpainting"]
GUIDANCE, TRUE_GUIDANCE = "guidance_scale", "true_cfg_scale"
"""Guidance, and another one, which pipelines have whose networks can be told the usual one, or that
have no other."""
TOLD = ("prompt", GUIDANCE, "num_inference_steps", "generator")
"""Arguments by which every pipeline is told what to draw."""
STARTS: dict[Task, tuple[str, ...]] = {
    "text_to_image": (),
    "image_to_image": ("image", "strength"),
    "inpainting": ("image", "mask_image", "strength"),
}
"""Those by which it is told what to start from."""
OPENERS: dict[Task, tuple[str, str]] = {
    "text_to_image": ("AutoPipelineForText2Image", "makes images from text"),
    "image_to_image": ("AutoPipelineForImage2Image", "changes images as a text says"),
    "inpainting": ("AutoPipelineForInpainting", "fills a part of an image as a text says"),
}
BY_NAME = ("SanaSprintPipeline",)
"""Pipelines that draw from text, and that the automatic opener of diffusers does not know."""
UNLINKED = "can't find a pipeline linked to"
"""What that opener says of pipelines that it does not know for a task."""
CONTROLS = ("controlnet", "adapter")
"""Parts that look at another image, from which lines or poses are followed."""
ALONG = "draws along another image, such as its edges"
PARTLY = "is the second part of a cascade of two models, and draws nothing without the first"
BOTH = "is a cascade of two models, with guidance and steps for each"
KINDS: dict[str, str] = {
    "Control": ALONG,
    "Adapter": ALONG,
    "InstructPix2Pix": "changes an image that it is given",
    "Edit": "changes an image that it is given",
    "Depth2Img": "draws along the depth of an image that it is given",
    "Upscale": "enlarges an image that it is given",
    "SuperResolution": "enlarges an image that it is given",
    "Fill": "repaints a part of an image that it is given",
    "Redux": "makes variations of an image that it is given",
    "ImageVariation": "makes variations of an image that it is given",
    "Layered": "takes an image apart",
    "Video": "makes films",
    "Helios": "makes films",
    "Audio": "makes sounds",
    "Decoder": PARTLY,
    "Prior": "is the first part of a cascade of two models, and draws nothing without the second",
    "StableCascade": BOTH,
    "Wuerstchen": BOTH,
}
"""What pipelines do, by a part of their class's name, that cannot draw from text as others do."""
SPLIT = ("KandinskyPipeline", "KandinskyV22Pipeline")
"""Parts of cascades whose names do not say it."""


def takes(kind: Any, argument: str) -> bool:
    """Whether pipelines of this class can be told so."""
    return argument in inspect.signature(kind.__call__).parameters


def require_class(index: Mapping[str, Any], *, task: Task, model: str) -> str:
    """Refuse a pipeline before it is opened: its index names none, or one that lacks an ability.

    Args:
        index: what ``model_index.json`` says.
        task: what it is to do.
        model: as the user named it.

    Returns:
        Its class of diffusers.

    Raises:
        InputError: no class is named, or one that diffusers lacks; or it needs more than is told.
    """
    import diffusers

    name = index.get("_class_name")
    if not isinstance(name, str) or not name:
        raise _refused(
            model,
            f"its model_index.json names no class of diffusers ('_class_name': {name!r})",
            rule="'_class_name' is the pipeline that the parts make up, such as "
            "StableDiffusionPipeline",
            remedy="download the model again, with its model_index.json",
        )
    if not hasattr(diffusers, name):
        raise _refused(
            model,
            f"it is a {name}, which diffusers {diffusers.__version__} does not have",
            rule="'_class_name' in model_index.json is a class of diffusers",
            remedy="install a newer diffusers, or take another model",
        )
    control = next((part for part in CONTROLS if _has(index, part)), "")
    found = KINDS["Control"] if control else _what(name)
    if found and (task == "text_to_image" or found == ALONG):
        raise _refused(
            model,
            f"it is a {name}, which {found}",
            rule=f"'model' is a pipeline that {OPENERS[task][1]}",
            remedy=_instead(found, control=control),
        )
    return name


def _has(index: Mapping[str, Any], part: str) -> bool:
    told = index.get(part)
    return isinstance(told, list) and bool(told) and told[0] is not None


def _what(name: str) -> str:
    """What pipelines of a class do, where they cannot draw from text alone; "" = they can."""
    if name in SPLIT:
        return PARTLY
    return next((does for part, does in KINDS.items() if part in name), "")


def _instead(does: str, *, control: str) -> str:
    if does == ALONG:
        part = f" its folder '{control}'" if control == "controlnet" else " a ControlNet"
        return (
            f"give the model that it was made of;{part} goes beside that one as 'control_model' of "
            "kind image_to_image with method: control"
        )
    return "take a model that makes images from text"


def cannot_open(name: str, model: str, *, task: Task) -> InputError:
    """The error where diffusers has no pipeline of this class's family for a task."""
    does = _what(name)
    said = f", which {does}" if does else ""
    return _refused(
        model,
        f"it is a {name}{said}; diffusers knows no pipeline of its family that {OPENERS[task][1]}",
        rule=f"diffusers has a pipeline for it that {OPENERS[task][1]}",
        remedy="take a model of another family",
    )


def require_told(pipeline: Any, *, task: Task, model: str) -> None:
    """Refuse a pipeline that cannot be told what every other one is told.

    Raises:
        InputError: it cannot.
    """
    require_arguments(type(pipeline), task=task, model=model)


def require_arguments(kind: Any, *, task: Task, model: str) -> None:
    """The same of a class of pipelines, of which none need be open.

    Raises:
        InputError: they cannot.
    """
    wanted = (*TOLD, *STARTS[task])
    missing = [name for name in wanted if not takes(kind, name)]
    if missing == [GUIDANCE] and takes(kind, TRUE_GUIDANCE):
        return
    if missing:
        raise _refused(
            model,
            f"a {kind.__name__} takes no " + " and no ".join(missing),
            rule=f"a pipeline that {OPENERS[task][1]} is told: {', '.join(wanted)}",
            remedy="take a model of another family",
        )


def require_start(pipeline: Any, *, task: Task, model: str) -> None:
    """Refuse a network that also wants to see what a task does not give it, such as a mask.

    Raises:
        InputError: it does.
    """
    network, autoencoder = getattr(pipeline, "unet", None), getattr(pipeline, "vae", None)
    if task == "inpainting" or network is None or autoencoder is None:
        return
    seen, given = network.config.in_channels, autoencoder.config.latent_channels
    if seen != given:
        start = "an image" if task == "image_to_image" else "text"
        raise InputError(
            f"the text-to-image model '{model}' cannot start from {start} alone",
            rule=f"its network sees {seen} channels where an image has {given}: it was made to "
            "repaint what a mask marks, or to follow another image",
            remedy="take the model that it was made of",
        )


def _refused(model: str, what: str, *, rule: str, remedy: str) -> InputError:
    given = f"the text-to-image model '{model}' cannot be used: {what}"
    return InputError(given, rule=rule, remedy=remedy)
