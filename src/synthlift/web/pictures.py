"""Pictures that are sent: written under names of our own, never decoded here."""

from __future__ import annotations

import secrets
from pathlib import Path

from werkzeug.datastructures import FileStorage


def new_file(folder: Path) -> Path:
    """A place for a picture; its name has no ending: what is in a file counts."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder / secrets.token_hex(16)


def save(given: FileStorage, file: Path, *, limit: int) -> bool:
    """Write an upload; False, and nothing written, when it is larger than ``limit`` bytes."""
    content = given.stream.read(limit + 1)
    if len(content) > limit:
        return False
    file.write_bytes(content)
    return True
