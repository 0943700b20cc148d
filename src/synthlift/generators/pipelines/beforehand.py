"""What a pipeline cannot do, told by its settings before any weights are read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from synthlift.errors import InputError, needing_extra
from synthlift.generators.pipelines.abilities import (
    ALONG,
    Task,
    cannot_open,
    require_arguments,
    require_class,
)
from synthlift.generators.pipelines.config import PipelineConfig
from synthlift.generators.pipelines.files import CONFIG, pipeline_files
from synthlift.generators.pipelines.from_file import NETWORKS
from synthlift.generators.pipelines.single_file import INDEX
from synthlift.weights import locate
from synthlift.weights.files import read_json

CONTROLNET = "ControlNet"
PLAIN = "ControlNetModel"
"""The class of those that go with a U-Net."""
ALIKE = ("cross_attention_dim", "block_out_channels", "addition_embed_type")
"""Settings that such a one shares with the U-Net that it was trained beside."""


def require_able(config: PipelineConfig, *, task: Task, control: str = "") -> None:
    """Refuse settings that no pipeline can follow.

    What is not there at all is left to the openers, which say so.

    Args:
        config: the settings.
        task: what the pipeline is to do.
        control: folder of a ControlNet that it is to be opened with; "" = none.

    Raises:
        InputError: a package is missing; diffusers has no pipeline for it; the ControlNet is none,
            one for several kinds of image, or one for other models.
    """
    with needing_extra("text-to-image", extra="text2image"):
        import diffusers  # noqa: F401
    files = pipeline_files(config.model, config.config)
    folder = files.folder
    if not (folder / INDEX).is_file():
        return
    name = require_class(read_json(folder / INDEX), task=task, model=config.model)
    if control and (locate(control) / CONFIG).is_file():
        _require_fitting(control, folder, model=config.model)
    kind = _class_for(name, task=task, along=bool(control))
    if kind is None and control and files.single is not None:
        return  # Its opener knows further names, and says so.
    if kind is None and control:
        raise InputError(
            f"the ControlNet '{control}' beside the text-to-image model '{config.model}', which is "
            f"a {name}: diffusers knows no pipeline of its family that {ALONG}",
            rule=f"diffusers has a pipeline for it that {ALONG}",
            remedy="take a model of another family and a ControlNet for it, or another method",
        )
    if kind is None:
        raise cannot_open(name, config.model, task=task)
    require_arguments(kind, task=task, model=config.model)


def controlnet_class(folder: str) -> str:
    """The class of diffusers of a ControlNet that can be told what images are told along.

    Raises:
        InputError: it is another model, or one for several kinds of image.
    """
    import diffusers

    told = read_json(locate(folder) / CONFIG)
    kind = str(told.get("_class_name", ""))
    if CONTROLNET not in kind or not hasattr(diffusers, kind):
        raise InputError(
            f"the ControlNet '{folder}' is a model of class '{kind}'",
            rule="'control_model' is the folder of a ControlNet of diffusers",
            remedy="give another folder",
        )
    if "Union" in kind or told.get("num_mode"):
        raise InputError(
            f"the ControlNet '{folder}' is one for several kinds of image (a {kind})",
            rule="'control_model' follows images of one kind: which kind, it cannot be told",
            remedy="give a ControlNet for one kind alone, such as edges",
        )
    return kind


def _require_fitting(control: str, folder: Path, *, model: str) -> None:
    """Refuse a ControlNet for other models, as far as both settings tell."""
    kind = controlnet_class(control)
    part = next((one for one in NETWORKS if (folder / one / CONFIG).is_file()), "")
    if not part:
        return
    network = read_json(folder / part / CONFIG)
    differs = _difference(kind, read_json(locate(control) / CONFIG), network)
    if differs:
        raise InputError(
            f"the ControlNet '{control}' does not fit the text-to-image model '{model}': {differs}",
            rule="a ControlNet goes with models of the kind that it was trained beside",
            remedy="give a ControlNet for this kind of model, or such a model as 'model'",
        )


def _difference(kind: str, control: Mapping[str, Any], network: Mapping[str, Any]) -> str:
    """What tells a ControlNet and a network apart that do not go together; "" = nothing does."""
    name = str(network.get("_class_name", ""))
    unet = name.startswith("UNet")
    # Others are called after the transformer that they go with.
    goes = kind == PLAIN if unet else name.startswith(kind.split(CONTROLNET)[0] or PLAIN)
    if name and not goes:
        return f"it is a {kind}, the model's network a {name}"
    for setting in ALIKE if unet else ():
        told = setting in control and setting in network
        if told and control[setting] != network[setting]:
            return f"its {setting} is {control[setting]}, that of the model {network[setting]}"
    return ""


def _class_for(name: str, *, task: Task, along: bool) -> Any:
    """The class that diffusers opens a pipeline with for a task; None = it has none."""
    from diffusers.pipelines import auto_pipeline as known

    tables: dict[Task, Any] = {
        "text_to_image": known.AUTO_TEXT2IMAGE_PIPELINES_MAPPING,
        "image_to_image": known.AUTO_IMAGE2IMAGE_PIPELINES_MAPPING,
        "inpainting": known.AUTO_INPAINT_PIPELINES_MAPPING,
    }
    if along:
        name = name.replace("Pipeline", f"{CONTROLNET}Pipeline")
    families = (
        family
        for table in known.SUPPORTED_TASKS_MAPPINGS
        for family, kind in table.items()
        if kind.__name__ == name
    )
    return tables[task].get(next(families, None))
