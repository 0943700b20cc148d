"""Which files a CLIP checkpoint consists of, their hash, and what its image tower looks like.

No torch here: Configs read it. A checkpoint is what transformers saves of a ``CLIPModel``, a
``SiglipModel`` or one of their relatives, or what open_clip keeps of one of its models; where a
folder holds both, transformers' files are taken.
"""

from __future__ import annotations

import functools
import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from synthlift.embedded import EMBEDDED, embedded_model
from synthlift.errors import InputError
from synthlift.store.files import hash_file
from synthlift.weights import locate
from synthlift.weights.recognising import DUAL_TYPES, UNUSED_TYPES, USABLE
from synthlift.weights.vocabulary import holds_vocabulary, require_vocabulary

Library = Literal["transformers", "siglip", "dual", "open_clip"]
"""Whose model it is: transformers' CLIP, SigLIP or another of its models that embed images and
texts in one space, or one of open_clip's."""

CONFIGS: dict[Library, str] = {
    "transformers": "config.json",
    "siglip": "config.json",
    "dual": "config.json",
    "open_clip": "open_clip_config.json",
}
_ROUNDED = tuple(f"model.{mark}*.safetensors" for mark in ("fp16", "bf16"))
"""Copies in half precision, which are all that some folders hold."""
_NAMES: dict[Library, tuple[str, ...]] = {
    "transformers": ("model.safetensors", "model-*.safetensors", *_ROUNDED),
    "siglip": ("model.safetensors", "model-*.safetensors", *_ROUNDED),
    "dual": ("model.safetensors", "model-*.safetensors", *_ROUNDED),
    "open_clip": ("open_clip_model.safetensors", "model.safetensors", "*.safetensors"),
}
_TYPES: dict[str, Library] = {"clip": "transformers", "siglip": "siglip"}
_TYPES |= dict.fromkeys(DUAL_TYPES, "dual")
"""By the type of model that transformers' configuration names."""
NAFLEX = "siglip2"
"""The type of SigLIP 2 with images of any form; of a fixed size it is of type siglip."""
JOINED = "vision-text-dual-encoder"
_WIDTHS = {"align": 640, "altclip": 768}
"""Of the embedding, where a configuration does not say; 512 for all others."""
_SIDES = {"align": 289}
"""Pixels a side of images, where nothing says; 224 for all others."""
_MODES = {2: "bilinear", 3: "bicubic"}
"""Ways to resize that a processor names by a number of Pillow's."""
TEXT_TYPES = ("bert", "roberta", "xlm-roberta", "mt5", "m2m_100")
"""Types of transformers that open_clip takes for a text tower."""
_PICKLED = (".bin", ".pt", ".pth", ".ckpt")
MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)
"""Of the images that CLIP was first trained on, where a checkpoint does not say (Radford 2021)."""
HALF = (0.5, 0.5, 0.5)
"""Mean and deviation of what SigLIP sees, where a checkpoint does not say (Zhai 2023)."""
RULE = (
    "a CLIP checkpoint is a local folder, or a .safetensors file in one, with "
    f"{CONFIGS['transformers']} (transformers' CLIPModel, SiglipModel or a relative) or "
    f"{CONFIGS['open_clip']} (open_clip); "
    f"'{EMBEDDED}' is the small one that comes with the package"
)


@dataclass(frozen=True)
class ClipFiles:
    """Where a checkpoint lies.

    Attributes:
        library: that can read it.
        folder: that holds its configuration and tokenizer.
        weights: files of its weights, as safetensors.
    """

    library: Library
    folder: Path
    weights: tuple[Path, ...]


@dataclass(frozen=True)
class TextTower:
    """Where that lies which describes a text tower of transformers.

    Attributes:
        settings: folder with its configuration.
        tokenizer: folder with the files of its tokenizer.
    """

    settings: Path
    tokenizer: Path


def clip_place(model: str) -> Path:
    """The folder or file that a study's ``model`` stands for."""
    return embedded_model("clip") if model == EMBEDDED else locate(model)


def find_clip(path: Path) -> ClipFiles:
    """Find the files of a checkpoint that a user names by its folder or its file of weights.

    Raises:
        InputError: there is nothing, no CLIP, no weights as safetensors, or no tokenizer.
    """
    if not path.exists():
        raise _refusal(path, "does not exist", "correct the path")
    _refuse_pickled(path)
    folder = path if path.is_dir() else path.parent
    libraries = _libraries(folder, path)
    for library in libraries:
        weights = (path,) if path.is_file() else _weights(folder, library)
        if weights:
            if library != "open_clip" or _names_tokenizer(folder):
                require_vocabulary(folder)
            return ClipFiles(library, folder, weights)
    for one in sorted(folder.iterdir()):
        _refuse_pickled(one)
    raise _refusal(path, "has no weights as safetensors", "download them, too")


def _names_tokenizer(folder: Path) -> bool:
    """Whether a model of open_clip has another tokenizer than the one that comes with it."""
    told = _read(folder / CONFIGS["open_clip"]).get("model_cfg", {}).get("text_cfg", {})
    # With a text tower of transformers it may lie elsewhere.
    return bool(told.get("hf_tokenizer_name")) and not told.get("hf_model_name")


def text_tower(found: ClipFiles, text_model: str) -> TextTower | None:
    """What describes a text tower that is transformers' own.

    open_clip names such a tower by its place on the Hub, and keeps its weights alone. Its settings
    are looked for where the user says, where the checkpoint names a folder, and in the
    checkpoint's; its tokenizer beside them, else in the checkpoint's.

    Args:
        found: the checkpoint.
        text_model: what the user says, as for ``model``; "" = nothing.

    Returns:
        None where the text tower needs nothing besides.

    Raises:
        InputError: the settings or the tokenizer are not there, are those of another kind of model,
            or are named where none is needed.
    """
    said = _read(found.folder / CONFIGS[found.library]) if found.library == "open_clip" else {}
    name = said.get("model_cfg", {}).get("text_cfg", {}).get("hf_model_name")
    if not name:
        if text_model:
            raise InputError(
                f"'text_model' beside the CLIP checkpoint '{found.folder}'",
                rule="'text_model' is for checkpoints of open_clip whose text tower is a model of "
                "transformers; this one has a text tower of its own",
                remedy="remove 'text_model'",
            )
        return None
    named = found.folder / name
    place = locate(text_model) if text_model else named if named.is_dir() else found.folder
    plain = place / CONFIGS["transformers"]
    kind = _read(plain).get("model_type") if plain.is_file() else None
    if kind not in TEXT_TYPES:
        what = f"a model of type '{kind}'" if kind else f"no {plain.name} of it"
        raise _no_text_tower(found, name, f"'{place}' holds {what}")
    for folder in (place, found.folder):
        if holds_vocabulary(folder):
            return TextTower(place, folder)
    raise _no_text_tower(found, name, f"'{place}' holds no tokenizer")


def _no_text_tower(found: ClipFiles, name: str, lacking: str) -> InputError:
    return InputError(
        f"the CLIP checkpoint '{found.folder}' has the text tower '{name}', and {lacking}",
        rule=f"a text tower of transformers has its {CONFIGS['transformers']}, of type "
        f"{', '.join(TEXT_TYPES)}, and its tokenizer in the checkpoint's folder, or in the one "
        "that 'text_model' names",
        remedy=f"download what is missing of {name}, without its weights, into a folder, and name "
        f"it: clip: {{model: {found.folder}, text_model: FOLDER}}",
    )


def hash_clip(path: Path, *, text_model: str = "") -> str:
    """SHA-256 (hex) over names and contents of a checkpoint's weights, settings and vocabulary.

    Raises:
        InputError: see :func:`find_clip` and :func:`text_tower`.
    """
    found = find_clip(path)
    tower = text_tower(found, text_model)
    beside = [
        file
        for folder in {found.folder, found.folder if tower is None else tower.settings}
        for file in folder.iterdir()
        if file.suffix in (".json", ".txt", ".model")
    ]
    files = sorted({*found.weights, *beside})
    return _hash(tuple((file, file.stat().st_size, file.stat().st_mtime_ns) for file in files))


@functools.lru_cache(maxsize=16)
def _hash(files: tuple[tuple[Path, int, int], ...]) -> str:
    lines = [f"{path.name} {hash_file(path)}\n" for path, *_ in files]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def read_architecture(path: Path) -> dict[str, Any]:
    """What is needed to build a checkpoint's image tower without the checkpoint.

    Returns:
        JSON: ``library``, ``vision`` (the library's own settings of the tower), ``embedding``
        (its width), ``size`` in pixels, ``mean`` and ``std`` of its inputs, and ``mode`` of
        resizing where that is not bicubic.

    Raises:
        InputError: see :func:`find_clip`; or its configuration lacks an entry.
    """
    found = find_clip(path)
    config = _read(found.folder / CONFIGS[found.library])
    try:
        if found.library == "open_clip":
            return _of_open_clip(config)
        if found.library == "dual":
            return _of_dual(config, _processor(found.folder))
        return _of_transformers(config, found.folder, library=found.library)
    except (KeyError, TypeError) as error:
        raise _refusal(path, f"lacks {error} in its configuration", "save it again") from None


def _of_transformers(
    config: Mapping[str, Any], folder: Path, *, library: Library
) -> dict[str, Any]:
    vision = {**config["vision_config"]}
    if library == "siglip":  # which projects nothing
        width, projected, plain = vision.get("hidden_size", 768), {}, HALF
    else:
        width = config.get("projection_dim", vision.get("projection_dim", 512))
        projected, plain = {"projection_dim": width}, None
    mean, std = _normalisation(_processor(folder), plain)
    return {
        "library": library,
        "vision": {**vision, **projected},
        "embedding": width,
        "size": vision.get("image_size", 224),
        "mean": mean,
        "std": std,
    }


def _processor(folder: Path) -> dict[str, Any]:
    """What a folder says on how images are prepared."""
    said = folder / "preprocessor_config.json"
    if said.is_file():
        return _read(said)
    whole = folder / "processor_config.json"  # of the tokenizer's, too
    within = _read(whole).get("image_processor") if whole.is_file() else None
    return within if isinstance(within, dict) else {}


def _of_dual(config: Mapping[str, Any], images: Mapping[str, Any]) -> dict[str, Any]:
    """See :func:`read_architecture`."""
    kind, vision = config["model_type"], {**config["vision_config"]}
    for stored in ("dtype", "torch_dtype"):  # It is computed in float32, however it was saved.
        vision.pop(stored, None)
    settings: dict[str, Any] = {"model_type": kind, "vision_config": vision, "text_config": {}}
    side = vision.get("image_size")
    if kind == NAFLEX:  # as many patches as a square image is cut into
        width = vision.get("hidden_size", 768)
        most = images.get("max_num_patches", vision.get("num_patches", 256))
        side = vision.get("patch_size", 16) * math.isqrt(most)
    else:
        width = config.get("projection_dim", _WIDTHS.get(kind, 512))
        settings["projection_dim"] = width
    if kind == JOINED:
        settings["text_config"] = {"model_type": "bert"}
    if kind == "align" or side is None:  # convolutions see images of any size
        side = _side(images) or _SIDES.get(kind, 224)
    mean, std = _normalisation(images, HALF if kind in (NAFLEX, "align") else None)
    return {
        "library": "dual",
        "vision": settings,
        "embedding": width,
        "size": max(side) if isinstance(side, list) else side,
        "mode": _MODES.get(images.get("resample", 2 if kind == NAFLEX else 3), "bicubic"),
        "mean": mean,
        "std": std,
    }


def _side(images: Mapping[str, Any]) -> int | None:
    """Pixels a side that a processor makes of images; None = it does not say."""
    said = images.get("crop_size") or images.get("size")
    if isinstance(said, dict):
        said = next((said[name] for name in ("height", "shortest_edge") if name in said), None)
    return said if isinstance(said, int) else None


def _normalisation(
    images: Mapping[str, Any], plain: tuple[float, ...] | None
) -> tuple[list[float], list[float]]:
    """Mean and deviation by which a processor's steps are one step on values of 0 to 1.

    Args:
        images: settings of the processor: it multiplies values of 0 to 255 with a factor, may take
            1 away, may normalise what it has then, and may divide by the deviations once more.
        plain: both, where it does not say; None = those of CLIP's first training images.
    """
    factor = 255 * images.get("rescale_factor", 1 / 255)
    offset = 1.0 if images.get("rescale_offset", False) else 0.0
    if not images.get("do_normalize", True):
        means, deviations = [0.0] * 3, [1.0] * 3
    else:
        means = list(images.get("image_mean", plain or MEAN))
        deviations = list(images.get("image_std", plain or STD))
    if images.get("include_top", False):  # EfficientNet's, for the weights it was published with
        more = images.get("image_std", plain or STD)
        deviations = [value * again for value, again in zip(deviations, more, strict=True)]
    return (
        [(offset + value) / factor for value in means],
        [value / factor for value in deviations],
    )


def alone(tower: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of a tower of open_clip that gives its embedding alone.

    CoCa's also give its decoder of captions what they made of each token.
    """
    return {name: value for name, value in tower.items() if name != "output_tokens"}


def _of_open_clip(config: Mapping[str, Any]) -> dict[str, Any]:
    model, images = config["model_cfg"], config.get("preprocess_cfg", {})
    size = model["vision_cfg"].get("image_size", 224)
    return {
        "library": "open_clip",
        "vision": {
            "vision_cfg": {**alone(model["vision_cfg"]), "timm_model_pretrained": False},
            "quick_gelu": model.get("quick_gelu", False),
        },
        "embedding": model["embed_dim"],
        "size": max(size) if isinstance(size, list) else size,
        "mean": list(images.get("mean", MEAN)),
        "std": list(images.get("std", STD)),
    }


def _libraries(folder: Path, path: Path) -> list[Library]:
    """The libraries whose checkpoint a folder may hold, the preferred one first."""
    found: list[Library] = []
    plain = folder / CONFIGS["transformers"]
    kind = _read(plain).get("model_type") if plain.is_file() else None
    if kind in _TYPES:
        found.append(_TYPES[kind])
    if (folder / CONFIGS["open_clip"]).is_file():
        found.append("open_clip")
    if path.is_file() and path.name.startswith("open_clip"):
        found.sort()
    if not found:
        what = f"holds a model of type '{kind}'" if kind else "holds no CLIP checkpoint"
        remedy = "give the folder of a downloaded checkpoint"
        raise _refusal(path, what, f"{remedy}: {USABLE}" if kind in UNUSED_TYPES else remedy)
    return found


def _weights(folder: Path, library: Library) -> tuple[Path, ...]:
    for pattern in _NAMES[library]:
        if found := sorted(folder.glob(pattern)):
            return tuple(found)
    return ()


def _refuse_pickled(path: Path) -> None:
    if path.suffix in _PICKLED:
        raise InputError(
            f"the CLIP checkpoint '{path}' has pickled weights",
            rule="weights are read as safetensors only: other formats can run code when loaded",
            remedy="download the safetensors variant; or, if you trust its maker: synthlift models "
            f"add {path.parent if path.is_file() else path} --allow-pickle",
        )


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise _refusal(path.parent, f"has no readable {path.name}: {error}", "save it") from None
    if not isinstance(content, dict):
        raise _refusal(path.parent, f"has a {path.name} that holds no mapping", "save it again")
    return content


def _refusal(path: Path, what: str, remedy: str) -> InputError:
    return InputError(f"the CLIP checkpoint '{path}' {what}", rule=RULE, remedy=remedy)
