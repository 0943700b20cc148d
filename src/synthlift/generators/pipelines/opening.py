"""Opening a pipeline of diffusers from a local folder."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from safetensors import SafetensorError

from synthlift.errors import InputError, nearest_name, needing_extra
from synthlift.generators.pipelines.abilities import (
    BY_NAME,
    GUIDANCE,
    OPENERS,
    TRUE_GUIDANCE,
    UNLINKED,
    Task,
    cannot_open,
    require_class,
    require_start,
    require_told,
    takes,
)
from synthlift.generators.pipelines.beforehand import controlnet_class
from synthlift.generators.pipelines.config import PipelineConfig
from synthlift.generators.pipelines.few_step_loras import TRAILING
from synthlift.generators.pipelines.files import (
    PipelineFiles,
    hash_part,
    hash_pipeline,
    pipeline_files,
)
from synthlift.generators.pipelines.footprint import USUAL_SIDE
from synthlift.generators.pipelines.from_file import pipeline_from_file, pipeline_from_folder
from synthlift.generators.pipelines.in_parts import DECODER, join
from synthlift.generators.pipelines.single_file import INDEX, parts_beside
from synthlift.generators.pipelines.suited import CONSISTENT, CONSISTENT_OF, PRX, TRAJECTORY
from synthlift.weights import locate
from synthlift.weights.copies import pipeline_mark, variant_in
from synthlift.weights.files import read_json
from synthlift.weights.missing import missing_weights
from synthlift.weights.quiet import quiet

LIBRARIES = ("diffusers", "transformers")
"""Those that open pipelines and draw with them."""
UNREADABLE = (ValueError, OSError, RuntimeError, SafetensorError)
"""What the libraries raise for files that are not there, are cut off, or of another shape."""
BINNING = "use_resolution_binning"
"""An argument of pipelines that draw at sizes that were published of their kind."""
NEGATIVE = "negative_prompt"
"""An argument that some pipelines lack."""
TOLD_GUIDANCE = "FluxTransformer2DModel"
"""A network that is told the guidance, and computes once a step rather than twice."""
BLANK = " "
"""What such pipelines are told to avoid where nothing is said of it, so that they guide at all."""
UNSEEDED = "DPMSolverSDEScheduler"
"""A scheduler whose noise does not go by the seed of an image."""
SPACING, ORIGINAL = "timestep_spacing", "original_inference_steps"
EVEN = 40
"""Of so many a consistency scheduler takes some: 4, 5 or 8 begin at pure noise and are even."""
TRAJECTORY_NOISE = 0.3
"""Share of new noise in the steps of a trajectory consistency model."""
PERTURBED, TRIPLED = "pag_scale", "HunyuanDiTPAG"
"""How strongly attention that looks nowhere guides, and how the class of pipelines begins that take
all they are told for three rows an image: unguided ones have two then, and fail."""
BETWEEN = "intermediate_timesteps"
"""An argument of pipelines that have a second step of its own, and take it in two steps alone."""
AREA = "max_area"
"""An argument of pipelines that bring any size to so many pixels."""
SCHEDULED_GUIDANCE = "guidance_schedule"
"""An argument that says the guidance of each step, and is refused beside one for all."""


def open_pipeline(
    config: PipelineConfig,
    *,
    task: Task,
    device: str | None = None,
    parts: Mapping[str, Any] | None = None,
) -> Any:
    """Open the pipeline that the settings name, for one task.

    Args:
        config: the settings.
        task: what it is to do.
        device: torch device string; None = it stays where it was read, on the processor.
        parts: modules that it gets beside its own, such as a ControlNet.

    Raises:
        InputError: a package is missing; the folder holds another pipeline than was planned with,
            an incomplete one, or one that cannot do the task; the scheduler does not suit.
    """
    opener, does = OPENERS[task]
    with needing_extra("text-to-image", extra="text2image"):
        import diffusers
    files = pipeline_files(config.model, config.config)
    if hash_pipeline(files) != config.model_sha256:
        raise InputError(
            f"the text-to-image model '{config.model}' is another one than was planned with",
            rule=f"its files must hash to {config.model_sha256}",
            remedy="put the former model back, or run the study anew with --replan",
        )
    index = read_json(files.folder / INDEX)
    name = require_class(index, task=task, model=config.model)
    if task == "text_to_image" and name in BY_NAME:
        opener = name
    dtype, kind = getattr(torch, config.dtype), getattr(diffusers, opener)
    try:
        with quiet(*LIBRARIES):
            if files.single is not None:
                whole = pipeline_from_file(files, files.single, dtype=dtype)
                pipeline = kind.from_pipe(whole, torch_dtype=dtype, **(parts or {}))
            else:
                pipeline = pipeline_from_folder(kind, files.folder, dtype=dtype, parts=parts or {})
    except UNREADABLE as error:
        if UNLINKED in str(error):
            raise cannot_open(name, config.model, task=task) from None
        raise InputError(
            f"the text-to-image model '{config.model}' cannot be opened: {error}",
            rule=f"it is a complete pipeline that {does}",
            remedy="compare the folder with model_index.json; download it again if parts miss"
            if files.single is None
            else "give the folder with the settings of this very model: config: FOLDER",
        ) from None
    with quiet(*LIBRARIES):
        _require_weights(pipeline, files=files, model=config.model)
    require_told(pipeline, task=task, model=config.model)
    require_start(pipeline, task=task, model=config.model)
    if config.scheduler or config.timestep_spacing:
        pipeline.scheduler = _scheduler(pipeline, config.scheduler, config.timestep_spacing)
    join(pipeline)
    pipeline.set_progress_bar_config(disable=True)
    _arrange(pipeline)
    if name.startswith(PRX):
        pipeline.transformer.register_forward_pre_hook(_with_times, with_kwargs=True)
    return pipeline if device is None else pipeline.to(device)


def _require_weights(pipeline: Any, *, files: PipelineFiles, model: str) -> None:
    """Refuse a pipeline whose files do not hold all weights.

    Raises:
        InputError: some are missing.
    """
    beside = () if files.single is None else parts_beside(files.single, files.folder)
    mark = pipeline_mark(files.folder)
    for part, network in pipeline.components.items():
        if not isinstance(network, torch.nn.Module):
            continue
        folder = files.folder / part if files.single is None or part in beside else None
        if lost := missing_weights(network, folder=folder, mark=mark):
            raise InputError(
                f"the text-to-image model '{model}' cannot be opened: its {part} lacks weights, "
                f"such as {lost}",
                rule="the files of each part hold all of its weights",
                remedy="download it again",
            )


def _arrange(pipeline: Any) -> None:
    """Weights of convolutions in the order that convolutions are fastest in (by a fifth)."""
    for part in pipeline.components.values():
        if not isinstance(part, torch.nn.Module):
            continue
        # Where time is a dimension, too, as in Qwen-Image's autoencoder, torch has no such order.
        if all(one.dim() < 5 for one in part.parameters()):
            part.to(memory_format=torch.channels_last)


def _with_times(_network: Any, given: tuple[Any, ...], told: dict[str, Any]) -> Any:
    """A time for every image: PRX tells one in all, or two where it is guided."""
    images, times = told.get("hidden_states"), told.get("timestep")
    if images is None or times is None or len(times) == len(images):
        return given, told
    return given, {**told, "timestep": times.repeat_interleave(len(images) // len(times))}


def turned_to(task: Task, pipeline: Any, *, model: str) -> Any:
    """A pipeline for another task with the very models of an open one.

    Raises:
        InputError: it cannot do the task.
    """
    import diffusers

    opener, does = OPENERS[task]
    try:
        turned = getattr(diffusers, opener).from_pipe(pipeline)
    except ValueError as error:
        raise InputError(
            f"the text-to-image model '{model}' cannot be used: {error}",
            rule=f"diffusers has a pipeline for it that {does}",
            remedy="take a model of another family",
        ) from None
    require_told(turned, task=task, model=model)
    require_start(turned, task=task, model=model)
    turned.set_progress_bar_config(disable=True)
    join(turned)
    return turned


def guides_truly(kind: Any, network: Mapping[str, Any]) -> bool:
    """Whether the guidance of a pipeline goes by another name, as Qwen-Image's does.

    Args:
        kind: class of the pipeline.
        network: settings of its transformer.
    """
    deaf = not network.get("guidance_embeds")
    if not takes(kind, GUIDANCE):
        return True
    return takes(kind, TRUE_GUIDANCE) and deaf and network.get("_class_name") != TOLD_GUIDANCE


def guidance(
    pipeline: Any, *, scale: float, avoided: Sequence[str], avoids: bool
) -> dict[str, Any]:
    """Arguments of a call that say how strictly it follows prompts, and what it avoids.

    Args:
        pipeline: for any task.
        scale: of classifier-free guidance.
        avoided: what each image should not show.
        avoids: whether anything is said of that.
    """
    told, kind = {"guidance_scale": scale}, type(pipeline)
    network = getattr(pipeline, "transformer", None)
    if network is not None and guides_truly(kind, network.config):
        avoided = [text or BLANK for text in avoided]
        # Of the usual one, which it has no ear for, it would complain at each call.
        told, avoids = {TRUE_GUIDANCE: scale}, scale > 1
    if kind.__name__.startswith(TRIPLED) and scale <= 1:
        told[PERTURBED] = 0.0
    return {**told, **({NEGATIVE: list(avoided)} if avoids and takes(kind, NEGATIVE) else {})}


def _scheduler(pipeline: Any, name: str, spacing: str) -> Any:
    """A scheduler of another class, or of other steps, with the settings of the pipeline's own."""
    from diffusers import DDIMScheduler, LCMScheduler, TCDScheduler

    own = pipeline.scheduler
    kinds = {kind.__name__: kind for kind in [*own.compatibles, type(own)]}
    kinds.pop(UNSEEDED, None)
    # For LoRA files that make a consistency model of a pipeline; diffusers does not list them.
    predicted = own.config.get("prediction_type", "epsilon")
    if DDIMScheduler in kinds.values() and predicted in CONSISTENT_OF:
        kinds.update({CONSISTENT: LCMScheduler, TRAJECTORY: TCDScheduler})
    if name and name not in kinds:
        raise InputError(
            f"the scheduler '{name}'{nearest_name(name, kinds)}",
            rule=f"schedulers that suit this pipeline are: {', '.join(sorted(kinds))}",
            remedy="name one of them, or leave 'scheduler' out",
        )
    kind = kinds[name] if name else type(own)
    taken = inspect.signature(kind).parameters
    if spacing and SPACING not in taken:
        raise InputError(
            f"timestep_spacing: {spacing} for a {kind.__name__}",
            rule="this scheduler spaces its steps by itself",
            remedy="leave 'timestep_spacing' out, or name another 'scheduler'",
        )
    told: dict[str, Any] = {SPACING: spacing} if spacing else {}
    if kind is LCMScheduler and spacing == TRAILING:
        told[ORIGINAL] = EVEN
    # What lies between noise and a latent has no bounds; where nothing is said, some assume any.
    latent = getattr(pipeline, "vae", None) is not None
    if "clip_sample" in taken and "clip_sample" not in own.config and latent:
        told["clip_sample"] = False
    settings = dict(own.config)
    if kind is not type(own) and hasattr(pipeline, DECODER):
        # Others take the variance that its network answers for three channels of pixels.
        settings.pop("variance_type", None)
    return kind.from_config(settings, **told)


def open_controlnet(folder: str, *, sha256: str, dtype: str) -> Any:
    """Open a ControlNet for a pipeline, on the processor.

    Raises:
        InputError: a package is missing; the folder holds another one than was planned with, or
            none.
    """
    with needing_extra("text-to-image", extra="text2image"):
        import diffusers
    place = locate(folder)
    if hash_part(place, what="ControlNet", setting="control_model") != sha256:
        raise InputError(
            f"the ControlNet '{folder}' is another one than was planned with",
            rule=f"its files must hash to {sha256}",
            remedy="put the former model back, or run the study anew with --replan",
        )
    kind = controlnet_class(folder)
    try:
        opened = getattr(diffusers, kind).from_pretrained(
            place,
            dtype=getattr(torch, dtype),
            use_safetensors=True,
            variant=variant_in(place),
            local_files_only=True,
        )
    except UNREADABLE as error:
        raise _broken(folder, f"cannot be opened: {str(error).splitlines()[0]}") from None
    if lost := missing_weights(opened):
        raise _broken(folder, f"lacks weights, such as {lost}")
    return opened


def _broken(controlnet: str, what: str) -> InputError:
    return InputError(
        f"the ControlNet '{controlnet}' {what}",
        rule="its files hold all of its weights",
        remedy="download it again",
    )


def told_besides(pipeline: Any, *, asked: int | Literal["auto"], steps: int) -> dict[str, Any]:
    """Arguments of a call beside prompts and noise, as far as a pipeline takes them.

    Some pipelines draw at the nearest size that was published of their kind, and scale: at their
    own size there is nothing to scale, and one of another size would be refused. Of these, Sana
    draws 1024 pixels whatever its network was made for, unless it is told. Some clean prompts where
    a certain package is installed: pixels must not depend on that.
    """
    taken = inspect.signature(type(pipeline).__call__).parameters
    told = {"clean_caption": False, BINNING: asked != "auto", SCHEDULED_GUIDANCE: None}
    between = {BETWEEN: None} if BETWEEN in taken and steps != 2 else {}
    fixed = BINNING in taken and taken["height"].default is not None
    height, width = sides(pipeline, asked=asked) if asked != "auto" or fixed else (None, None)
    size: dict[str, Any] = {} if height is None else {"height": height, "width": width}
    if height is not None and width is not None and AREA in taken:
        size[AREA] = height * width
    return {**{name: value for name, value in told.items() if name in taken}, **between, **size}


def own_noise(pipeline: Any) -> dict[str, Any]:
    """The share of new noise in each step, as an argument of a call, where a scheduler has one.

    Pipelines tell it none by default, and the makers of TCD (Zheng et al. 2024) advise this.
    """
    taken = inspect.signature(type(pipeline).__call__).parameters
    drawn = type(pipeline.scheduler).__name__ == TRAJECTORY and "eta" in taken
    return {"eta": TRAJECTORY_NOISE} if drawn else {}


def sized(pipeline: Any, size: tuple[int, int]) -> dict[str, int]:
    """Height and width as arguments of a call, where a pipeline takes them.

    Of those that start from an image, some go by that image; the others draw at a size of their
    own, whatever the image's is, unless they are told. Some state that size in their call: nothing
    else does.
    """
    taken = inspect.signature(type(pipeline).__call__).parameters
    told = dict(zip(("height", "width"), size, strict=True))
    return {
        name: side for name, side in told.items() if name in taken and taken[name].default is None
    }


def sides(pipeline: Any, *, asked: int | Literal["auto"]) -> tuple[int, int]:
    """Height and width in pixels at which a pipeline draws, its own where none is asked for.

    Some state it in their call. Of some, as Z-Image, only the call knows it, and draws 1024 pixels;
    PRX states pixels.
    """
    if asked != "auto":
        return asked, asked
    taken = inspect.signature(type(pipeline).__call__).parameters
    stated = taken["height"].default if "height" in taken and BINNING not in taken else None
    if isinstance(stated, int):
        return stated, stated
    core = getattr(pipeline, "unet", None) or getattr(pipeline, "transformer", None)
    own = getattr(core.config, "sample_size", None) if core is not None else None
    own = own or getattr(pipeline, "default_sample_size", None)
    if own is None:
        return USUAL_SIDE, USUAL_SIDE
    height, width = own if isinstance(own, list | tuple) else (own, own)
    pixels = type(pipeline).__name__.startswith(PRX)
    factor = 1 if pixels else getattr(pipeline, "vae_scale_factor", 1)
    return height * factor, width * factor
