"""Pipelines in one file, as Stable Diffusion was first published, and what such a file lacks.

A file holds tensors under the names of the original code, and neither sizes nor vocabularies. The
sizes of Stable Diffusion 1.x, 2.x, XL, 3 and 3.5 and of Flux.1 come with the package, as plain
JSON. For anything else the user names a folder of settings; and where the file holds the network
alone, as Flux is published, a folder with the other parts. No torch here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from synthlift.errors import InputError
from synthlift.generators.pipelines.suited import few_step_word, is_official, names_of, words_of
from synthlift.generators.pipelines.vocabularies import LAYOUTS
from synthlift.weights.files import read_json, tensor_shapes

INDEX = "model_index.json"
NETWORK = "model.diffusion_model."
"""How the original code calls the network, where a file holds more than that."""
FIRST_LAYER = f"{NETWORK}input_blocks.0.0.weight"
TEXT_ENCODERS = {
    "conditioner.embedders.1.model.": "sdxl",
    "cond_stage_model.model.": "sd2",
    "cond_stage_model.transformer.": "sd1",
}
"""Prefixes by which the original code names text encoders, and whose they are."""
DEPTHS = {
    ("joint_blocks.23.", "joint_blocks.24."): "medium",
    ("joint_blocks.37.", "joint_blocks.38."): "large",
}
"""The last block that a network of Stable Diffusion 3 has, and the first that it has not."""
FLUX_LAST = ("double_blocks.18.", "single_blocks.37.")
FLUX_NEXT = ("double_blocks.19.", "single_blocks.38.")
FLUX_SEEN = 64
"""Numbers that Flux sees of each patch; the models that also see an image see more."""
HELD = {
    "vae": ("first_stage_model.", "vae."),
    "CLIP text_encoder": (
        "cond_stage_model.",
        "conditioner.embedders.0.",
        "text_encoders.clip_l.",
    ),
    "CLIP text_encoder_2": ("conditioner.embedders.1.", "text_encoders.clip_g."),
    "T5": ("text_encoders.t5xxl.",),
}
"""Prefixes of the parts that a file can hold beside its network."""
SPARED = {"StableDiffusion3Pipeline": ("text_encoder_3",)}
"""Parts that a pipeline draws without, as it was trained to."""
SCALED = (".scale_weight", ".weight_scale", "scaled_fp8")
"""In names of tensors of 8 bits that are to be multiplied by another tensor, which is not read."""
FEW_STEPS = {"turbo", "lightning"}
CONSISTENT = "lcm"
PREDICTS_IMAGE = re.compile(r"(?<![a-z0-9])x0(?![a-z0-9])", re.IGNORECASE)
"""In names of models that predict the image rather than its noise."""


def layout_of(file: Path) -> Path:
    """The folder of settings that comes with the package for a pipeline in one file.

    Tensors tell the architecture. What they do not tell goes by words of the file's name: "turbo"
    and "lightning" for few steps, "base" and "512" for the Stable Diffusion 2.x that predicts
    noise at 512 pixels rather than velocity at 768. Of XL, only what has the name of the Turbo that
    was published draws 512 pixels. With "lcm" or "x0", a file is refused: such models have a
    scheduler of their own, which no settings in the package have.

    Raises:
        InputError: it holds no such pipeline, or none that draws from text alone.
    """
    shapes = tensor_shapes(file)
    apart = CONSISTENT in words_of(file) or any(PREDICTS_IMAGE.search(n) for n in names_of(file))
    inner = {name.removeprefix(NETWORK): shape for name, shape in shapes.items()}
    found = _stable_diffusion(shapes, file) or _stable_diffusion_3(inner) or _flux(inner)
    if not found or apart:
        raise InputError(
            f"the settings of '{file.name}' are not known",
            rule="those of Stable Diffusion 1.x, 2.x, XL, 3, 3.5 and Flux.1 that draw from text "
            "come with the package; a file in another layout does not say them itself, and latent "
            "consistency models (lcm) and those that predict the image (x0) have a scheduler of "
            "their own",
            remedy="give a folder with model_index.json, the config.json of each part and the "
            "tokenizers, and the weights of the parts that the file does not hold: config: FOLDER; "
            "or download the model as a folder",
        )
    return LAYOUTS / found


def _stable_diffusion(shapes: Mapping[str, Any], file: Path) -> str:
    kind = next((k for start, k in TEXT_ENCODERS.items() if _any(shapes, start)), "")
    inside, words = shapes.get(FIRST_LAYER, ()), words_of(file)
    if len(inside) != 4 or inside[1] != 4:
        return ""
    if kind == "sdxl" and (words & FEW_STEPS or few_step_word(file) == "hyper"):
        return "sdxl-turbo" if "turbo" in words and is_official(file) else "sdxl-lightning"
    if kind == "sd2" and words & FEW_STEPS:
        return "sd2-turbo"
    return "sd2-base" if kind == "sd2" and words & {"base", "512"} else kind


def _stable_diffusion_3(inner: Mapping[str, Any]) -> str:
    ends = ((size, last, following) for (last, following), size in DEPTHS.items())
    size = next((s for s, last, more in ends if _any(inner, last) and not _any(inner, more)), "")
    if not size or "y_embedder.mlp.0.weight" not in inner:
        return ""
    normalised = any(".ln_q." in name for name in inner)
    twice = any(".attn2." in name for name in inner)
    known = {
        ("medium", False, False): "sd3",
        ("medium", True, True): "sd35-medium",
        ("large", True, False): "sd35-large",
    }
    return known.get((size, normalised, twice), "")


def _flux(inner: Mapping[str, Any]) -> str:
    deep = all(_any(inner, last) for last in FLUX_LAST)
    deeper = any(_any(inner, following) for following in FLUX_NEXT)
    seen = inner.get("img_in.weight", ())
    if "vector_in.in_layer.weight" not in inner or not deep or deeper or seen[1:] != (FLUX_SEEN,):
        return ""
    return "flux-dev" if "guidance_in.in_layer.weight" in inner else "flux-schnell"


def parts_without(file: Path, folder: Path) -> tuple[str, ...]:
    """Parts that neither the file nor the folder of settings holds, and that can be done without.

    Args:
        file: of safetensors.
        folder: with the settings; and with weights of parts that the file lacks, if need be.

    Raises:
        InputError: a part is in neither that the pipeline needs; or the file's weights are in a
            format that is not read.
    """
    shapes, index = tensor_shapes(file), read_json(folder / INDEX)
    if any(mark in name for name in shapes for mark in SCALED):
        raise InputError(
            f"the weights of '{file.name}' are in 8 bits with scales beside them",
            rule="weights are read whose numbers stand for themselves, of 8, 16 or 32 bits",
            remedy="download it in bfloat16 or float16, or in 8 bits without scales",
        )
    lacking = tuple(
        part
        for part, prefixes in prefixes_of(index).items()
        if not _any(shapes, prefixes) and not _has_weights(folder / part)
    )
    needed = [part for part in lacking if part not in SPARED.get(str(index.get("_class_name")), ())]
    if needed:
        raise InputError(
            f"'{file.name}' holds no {', no '.join(needed)}",
            rule="a part that is not in the file comes from the folder of settings, which holds a "
            "folder of its settings and weights",
            remedy="give such a folder beside it, that of the whole model or without its "
            f"{'transformer' if 'transformer' in index else 'unet'}: config: FOLDER; or take a "
            "file that holds all parts",
        )
    return lacking


def prefixes_of(index: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """Of each part beside the network that has weights, the prefixes that it can have in a file.

    Args:
        index: content of ``model_index.json``.
    """
    found = {}
    for part, told in index.items():
        if not (isinstance(told, list) and part.startswith(("vae", "text_encoder")) and told[0]):
            continue
        kind = next((one for one in ("T5", "CLIP") if str(told[1]).startswith(one)), "")
        key = {"T5": "T5", "CLIP": f"CLIP {part}"}.get(kind, part)
        found[part] = HELD.get(key, ())
    return found


def holds_only_network(file: Path) -> bool:
    """Whether a file holds no text encoder and no autoencoder, as Flux is published."""
    shapes = tensor_shapes(file)
    return not any(_any(shapes, prefixes) for prefixes in HELD.values())


def parts_beside(file: Path, folder: Path) -> tuple[str, ...]:
    """Parts that the folder of settings holds, and the file does not."""
    shapes = tensor_shapes(file)
    return tuple(
        part
        for part, prefixes in prefixes_of(read_json(folder / INDEX)).items()
        if not _any(shapes, prefixes) and _has_weights(folder / part)
    )


def _has_weights(folder: Path) -> bool:
    return any(folder.glob("*.safetensors"))


def _any(shapes: Mapping[str, Any], start: str | tuple[str, ...]) -> bool:
    return any(name.startswith(start) for name in shapes)
