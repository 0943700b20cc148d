"""Files that are written whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def write_bytes_atomic(path: Path, data: bytes, *, durable: bool = True) -> None:
    """Replace ``path`` in one step; a reader sees the old or the new content, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}")
    try:
        with temporary.open("wb") as stream:
            stream.write(data)
            if durable:
                stream.flush()
                os.fsync(stream.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json_atomic(path: Path, value: Any, *, durable: bool = True) -> None:
    """Write JSON (UTF-8, indented) in one step."""
    text = json.dumps(value, indent=1, ensure_ascii=False, default=_plain)
    write_bytes_atomic(path, text.encode(), durable=durable)


def hash_files(folder: Path, *, known: Mapping[str, str] | None = None) -> dict[str, str]:
    """SHA-256 (hex) of every file below ``folder`` by its POSIX path relative to it.

    Those in ``known`` are taken as they are.
    """
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    names = {path.relative_to(folder).as_posix(): path for path in paths}
    return {name: (known or {}).get(name) or hash_file(path) for name, path in names.items()}


def hash_file(path: Path) -> str:
    """SHA-256 (hex) of one file, read in blocks."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _plain(value: Any) -> Any:
    if hasattr(value, "item"):
        return value.item()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} is not JSON")
