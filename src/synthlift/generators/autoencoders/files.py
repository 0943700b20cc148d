"""Which files an autoencoder consists of, and their hash. No torch here: Configs read it."""

from __future__ import annotations

import functools
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from synthlift.errors import InputError
from synthlift.store.files import hash_file

DIFFUSERS = ("AutoencoderKL", "AutoencoderTiny")
"""Classes of diffusers that are understood."""
WEIGHTS = (".safetensors", ".pth", ".pt")
ENCODER, DECODER, BOTH, CONFIG = "encoder", "decoder", "both", "config"
_NAMED = {ENCODER: re.compile(r"(?<!auto)encoder"), DECODER: re.compile("decoder")}
RULE = (
    "'autoencoder' is a local folder or file: the encoder and decoder of a tiny autoencoder "
    "(such as taef2_encoder.pth and taef2_decoder.pth), one file with both, or a folder that "
    f"diffusers saved ({' or '.join(DIFFUSERS)}); nothing is downloaded"
)


@dataclass(frozen=True)
class AutoencoderFiles:
    """Where an autoencoder lies.

    Attributes:
        layout: ``tiny`` = state dicts in the layout of TAESD, ``diffusers`` = a folder with
            ``config.json``.
        paths: by what they hold: ``encoder`` and ``decoder``, or ``both``; with ``config``, where
            diffusers saved them.
    """

    layout: Literal["tiny", "diffusers"]
    paths: Mapping[str, Path]


def find_files(path: Path) -> AutoencoderFiles:
    """Find the files of the autoencoder that a user names by a folder, or one of its files.

    Raises:
        InputError: there is nothing, or nothing that is understood.
    """
    if path.is_file():
        return AutoencoderFiles("tiny", _beside(path))
    if not path.is_dir():
        raise _refusal(path, "does not exist", "correct the path")
    if (path / "config.json").is_file():
        return AutoencoderFiles("diffusers", _saved_by_diffusers(path))
    if (path / "model_index.json").is_file():
        raise _refusal(path, "is a whole pipeline", f"name its autoencoder: {path / 'vae'}")
    files = sorted(file for file in path.iterdir() if file.suffix in WEIGHTS)
    parts = {part: [f for f in files if _NAMED[part].search(f.name)] for part in _NAMED}
    if all(len(found) == 1 for found in parts.values()):
        return AutoencoderFiles("tiny", {part: found[0] for part, found in parts.items()})
    if len(files) == 1:
        return AutoencoderFiles("tiny", _beside(files[0]))
    names = ", ".join(file.name for file in files[:6]) or "no file of weights"
    raise _refusal(path, f"holds no single autoencoder, but {names}", "name one of its files")


def hash_autoencoder(path: Path) -> str:
    """SHA-256 (hex) over the contents of an autoencoder's files.

    Raises:
        InputError: see :func:`find_files`.
    """
    paths = find_files(path).paths
    facts = ((part, file, file.stat()) for part, file in sorted(paths.items()))
    return _hash_parts(tuple((part, f, s.st_size, s.st_mtime_ns) for part, f, s in facts))


@functools.lru_cache(maxsize=16)
def _hash_parts(parts: tuple[tuple[str, Path, int, int], ...]) -> str:
    lines = [f"{part} {hash_file(path)}\n" for part, path, *_ in parts]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _beside(path: Path) -> dict[str, Path]:
    """One file with both parts, or one part's file and the other one beside it."""
    if path.suffix not in WEIGHTS:
        raise _refusal(path, f"is no file of weights ({', '.join(WEIGHTS)})", "correct the path")
    for part, other in ((ENCODER, DECODER), (DECODER, ENCODER)):
        if _NAMED[part].search(path.name):
            beside = path.with_name(_NAMED[part].sub(other, path.name))
            if not beside.is_file():
                raise _refusal(path, f"lacks its {other}", f"put '{beside.name}' beside it")
            return {part: path, other: beside}
    return {BOTH: path}


def _saved_by_diffusers(folder: Path) -> dict[str, Path]:
    try:
        kind = json.loads((folder / "config.json").read_text("utf-8")).get("_class_name")
    except (ValueError, AttributeError) as error:
        raise _refusal(folder, f"has no readable config.json: {error}", "save it again") from None
    if kind not in DIFFUSERS:
        raise _refusal(folder, f"holds a {kind or 'model of unknown kind'}", "name another folder")
    weights = sorted(folder.glob("*.safetensors"))
    if len(weights) != 1:
        raise _refusal(
            folder,
            f"has {len(weights)} files of weights as safetensors",
            "save it once more with safe_serialization=True, unsharded",
        )
    return {CONFIG: folder / "config.json", BOTH: weights[0]}


def _refusal(path: Path, what: str, remedy: str) -> InputError:
    return InputError(f"the autoencoder '{path}' {what}", rule=RULE, remedy=remedy)
