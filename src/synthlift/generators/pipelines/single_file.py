"""Pipelines in one file, as Stable Diffusion was first published, and the settings that it lacks.

Such a file holds tensors under the names of the original code, and neither sizes nor vocabularies.
The sizes of Stable Diffusion 1.x, 2.x and XL come with the package, as plain JSON; CLIP's
vocabulary comes with open_clip. For anything else the user names a folder of settings. No torch
here.
"""

from __future__ import annotations

import functools
import gzip
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from synthlift.errors import InputError, needing_extra
from synthlift.generators.pipelines.suited import is_official, names_of, words_of
from synthlift.weights.files import read_json, tensor_shapes

LAYOUTS = Path(__file__).parent / "layouts"
FIRST_LAYER = "model.diffusion_model.input_blocks.0.0.weight"
TEXT_ENCODERS = {
    "conditioner.embedders.1.model.": "sdxl",
    "cond_stage_model.model.": "sd2",
    "cond_stage_model.transformer.": "sd1",
}
"""Prefixes by which the original code names text encoders, and whose they are."""
FEW_STEPS = {"turbo", "lightning"}
CONSISTENT = "lcm"
PREDICTS_IMAGE = re.compile(r"(?<![a-z0-9])x0(?![a-z0-9])", re.IGNORECASE)
"""In names of models that predict the image rather than its noise."""
START, END = "<|startoftext|>", "<|endoftext|>"
MERGES = 49_152 - 256 - 2
"""Lines of CLIP's vocabulary that are used, as its authors count them."""


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
    kind = next((k for start, k in TEXT_ENCODERS.items() if _any(shapes, start)), "")
    inside = shapes.get(FIRST_LAYER, ())
    words = words_of(file)
    apart = CONSISTENT in words or any(PREDICTS_IMAGE.search(name) for name in names_of(file))
    if not kind or len(inside) != 4 or inside[1] != 4 or apart:
        raise InputError(
            f"the settings of '{file.name}' are not known",
            rule="those of Stable Diffusion 1.x, 2.x and XL that draw from text come with the "
            "package; a file in another layout does not say them itself, and latent consistency "
            "models (lcm) and those that predict the image (x0) have a scheduler of their own",
            remedy="give a folder with model_index.json, the config.json of each part and the "
            "tokenizers, but no weights: config: FOLDER; or download the model as a folder",
        )
    if kind == "sdxl" and words & FEW_STEPS:
        turbo = "turbo" in words and is_official(file)
        return LAYOUTS / ("sdxl-turbo" if turbo else "sdxl-lightning")
    if kind == "sd2" and words & FEW_STEPS:
        return LAYOUTS / "sd2-turbo"
    if kind == "sd2" and words & {"base", "512"}:
        return LAYOUTS / "sd2-base"
    return LAYOUTS / kind


def _any(shapes: Mapping[str, Any], start: str) -> bool:
    return any(name.startswith(start) for name in shapes)


def lacks_vocabulary(folder: Path) -> bool:
    """Whether a tokenizer's folder says how it is used, and holds no words."""
    return not any(
        (folder / name).is_file() for name in ("vocab.json", "tokenizer.json", "spiece.model")
    )


def clip_tokenizer(folder: Path) -> Any:
    """CLIP's tokenizer with the settings in a folder that has no words of its own.

    Raises:
        InputError: a package is missing.
    """
    with needing_extra("a pipeline in one file", extra="text2image"):
        from transformers import CLIPTokenizer
    settings = read_json(folder / "tokenizer_config.json")
    vocabulary, merges = _clip_words()
    return CLIPTokenizer(
        vocab=dict(vocabulary),
        merges=list(merges),
        bos_token=START,
        eos_token=END,
        unk_token=END,
        pad_token=settings["pad_token"],
        model_max_length=settings["model_max_length"],
    )


@functools.cache
def _clip_words() -> tuple[Mapping[str, int], tuple[Any, ...]]:
    """Words by index, and pairs of pieces that are joined, the most frequent first."""
    with needing_extra("a pipeline in one file without a folder of settings", extra="clip"):
        from open_clip.tokenizer import bytes_to_unicode, default_bpe
    with gzip.open(default_bpe(), "rt", encoding="utf-8") as stream:
        lines = stream.read().split("\n")[1 : MERGES + 1]
    merges = [(first, second) for first, _, second in (line.partition(" ") for line in lines)]
    pieces = list(bytes_to_unicode().values())
    words = [*pieces, *(f"{piece}</w>" for piece in pieces)]
    words += [first + second for first, second in merges]
    return {word: index for index, word in enumerate([*words, START, END])}, tuple(merges)
