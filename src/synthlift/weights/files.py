"""Which files make up weights, and the hash that stands for them."""

from __future__ import annotations

import functools
import hashlib
import json
from pathlib import Path
from typing import Any

HASHED = (".safetensors", ".json", ".txt", ".model", ".jinja", ".pth", ".pt")
"""What weights, settings and vocabularies are written in."""
PICKLED = (".bin", ".ckpt", ".pkl", ".pickle")
"""Formats that can run code when they are loaded."""
LONGEST_HEADER = 100 * 2**20
METADATA = "__metadata__"
"""In the header of a safetensors file: what it says of itself, beside its tensors."""


def files_of(place: Path) -> list[Path]:
    """The files that are hashed, in order: the file itself, or those within the folder."""
    if place.is_file():
        return [place]
    return sorted(path for path in place.rglob("*") if path.is_file() and path.suffix in HASHED)


def pickles_of(place: Path) -> list[Path]:
    """Files of a format that can run code when it is loaded, in order."""
    found = [place] if place.is_file() else sorted(place.rglob("*"))
    return [path for path in found if path.is_file() and path.suffix in PICKLED]


def hash_weights_of(place: Path) -> str:
    """SHA-256 (hex): of a file its content's, of a folder that of all names and contents."""
    if place.is_file():
        return _hash_file(place, *_state(place))
    whole = hashlib.sha256()
    for path in files_of(place):
        content = _hash_file(path, *_state(path))
        whole.update(f"{path.relative_to(place).as_posix()} {content}\n".encode())
    return whole.hexdigest()


def _state(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_size, found.st_mtime_ns


@functools.lru_cache(maxsize=4096)
def _hash_file(path: Path, size: int, changed: int) -> str:
    del size, changed  # a file that has changed is read again
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file; {} where there is none."""
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError):
        return {}
    return found if isinstance(found, dict) else {}


def tensor_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Shapes of the tensors in a safetensors file, from its header; {} where it is none."""
    return {name: tuple(one["shape"]) for name, one in _header(path).items() if name != METADATA}


def metadata_of(path: Path) -> dict[str, str]:
    """What a safetensors file says of itself, in its header; {} where it says nothing."""
    found = _header(path).get(METADATA)
    return {str(k): str(v) for k, v in found.items()} if isinstance(found, dict) else {}


def _header(path: Path) -> dict[str, Any]:
    with path.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if not 0 < length <= LONGEST_HEADER:
            return {}
        try:
            found = json.loads(stream.read(length))
        except (UnicodeDecodeError, json.JSONDecodeError):
            return {}
    return found if isinstance(found, dict) else {}
