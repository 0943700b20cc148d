"""Which files a CLIP checkpoint consists of, their hash, and what its image tower looks like.

No torch here: Configs read it. A checkpoint is what transformers saves of a ``CLIPModel`` or
``SiglipModel``, or what open_clip keeps of one of its models; where a folder holds both,
transformers' files are taken.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from synthlift.embedded import EMBEDDED, embedded_model
from synthlift.errors import InputError
from synthlift.store.files import hash_file
from synthlift.weights import locate

Library = Literal["transformers", "siglip", "open_clip"]
"""Whose model it is: transformers' CLIP, transformers' SigLIP, or one of open_clip's."""

CONFIGS: dict[Library, str] = {
    "transformers": "config.json",
    "siglip": "config.json",
    "open_clip": "open_clip_config.json",
}
_NAMES: dict[Library, tuple[str, ...]] = {
    "transformers": ("model.safetensors", "model-*.safetensors"),
    "siglip": ("model.safetensors", "model-*.safetensors"),
    "open_clip": ("open_clip_model.safetensors", "model.safetensors", "*.safetensors"),
}
_TYPES: dict[str, Library] = {"clip": "transformers", "siglip": "siglip"}
"""By the type of model that transformers' configuration names."""
_PICKLED = (".bin", ".pt", ".pth", ".ckpt")
MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)
"""Of the images that CLIP was first trained on, where a checkpoint does not say (Radford 2021)."""
HALF = (0.5, 0.5, 0.5)
"""Mean and deviation of what SigLIP sees, where a checkpoint does not say (Zhai 2023)."""
RULE = (
    "a CLIP checkpoint is a local folder, or a .safetensors file in one, with "
    f"{CONFIGS['transformers']} (transformers' CLIPModel or SiglipModel) or "
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


def clip_place(model: str) -> Path:
    """The folder or file that a study's ``model`` stands for."""
    return embedded_model("clip") if model == EMBEDDED else locate(model)


def find_clip(path: Path) -> ClipFiles:
    """Find the files of a checkpoint that a user names by its folder or its file of weights.

    Raises:
        InputError: there is nothing, no CLIP, or no weights as safetensors.
    """
    if not path.exists():
        raise _refusal(path, "does not exist", "correct the path")
    _refuse_pickled(path)
    folder = path if path.is_dir() else path.parent
    libraries = _libraries(folder, path)
    for library in libraries:
        weights = (path,) if path.is_file() else _weights(folder, library)
        if weights:
            return ClipFiles(library, folder, weights)
    for one in sorted(folder.iterdir()):
        _refuse_pickled(one)
    raise _refusal(path, "has no weights as safetensors", "download them, too")


def hash_clip(path: Path) -> str:
    """SHA-256 (hex) over names and contents of a checkpoint's weights, settings and vocabulary.

    Raises:
        InputError: see :func:`find_clip`.
    """
    found = find_clip(path)
    beside = [p for p in found.folder.iterdir() if p.suffix in (".json", ".txt", ".model")]
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
        (its width), ``size`` in pixels, ``mean`` and ``std`` of its inputs.

    Raises:
        InputError: see :func:`find_clip`; or its configuration lacks an entry.
    """
    found = find_clip(path)
    config = _read(found.folder / CONFIGS[found.library])
    try:
        if found.library == "open_clip":
            return _of_open_clip(config)
        return _of_transformers(config, found.folder, library=found.library)
    except (KeyError, TypeError) as error:
        raise _refusal(path, f"lacks {error} in its configuration", "save it again") from None


def _of_transformers(
    config: Mapping[str, Any], folder: Path, *, library: Library
) -> dict[str, Any]:
    vision = {**config["vision_config"]}
    if library == "siglip":  # which projects nothing
        width, projected, mean, std = vision.get("hidden_size", 768), {}, HALF, HALF
    else:
        width = config.get("projection_dim", vision.get("projection_dim", 512))
        projected, mean, std = {"projection_dim": width}, MEAN, STD
    said = folder / "preprocessor_config.json"
    images = _read(said) if said.is_file() else {}
    return {
        "library": library,
        "vision": {**vision, **projected},
        "embedding": width,
        "size": vision.get("image_size", 224),
        "mean": list(images.get("image_mean", mean)),
        "std": list(images.get("image_std", std)),
    }


def _of_open_clip(config: Mapping[str, Any]) -> dict[str, Any]:
    model, images = config["model_cfg"], config.get("preprocess_cfg", {})
    size = model["vision_cfg"].get("image_size", 224)
    return {
        "library": "open_clip",
        "vision": {
            "vision_cfg": {**model["vision_cfg"], "timm_model_pretrained": False},
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
        raise _refusal(path, what, "give the folder of a downloaded checkpoint")
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
