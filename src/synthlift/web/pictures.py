"""Pictures that are sent: handed on as they are, never decoded in this process."""

from __future__ import annotations

import base64
import secrets
from pathlib import Path

from werkzeug.datastructures import FileStorage

INLINE = "data:;base64,"
"""How a picture begins that is handed on itself, in place of a file's path."""
INLINE_BYTES = 64 * 1024
"""Larger ones become files: a small picture is decoded in less time than a file is made."""


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


def handed_on(given: FileStorage, folder: Path, *, limit: int) -> str:
    """An upload for the process that decodes it: a small one itself, else the file that it is in.

    "" when it is larger than ``limit`` bytes.
    """
    content = given.stream.read(limit + 1)
    if len(content) > limit:
        return ""
    if len(content) <= INLINE_BYTES:
        return INLINE + base64.b64encode(content).decode()
    file = new_file(folder)
    file.write_bytes(content)
    return str(file)


def forget(handed: str) -> None:
    """Delete the file of an upload that was handed on, where there is one."""
    if handed and not handed.startswith(INLINE):
        Path(handed).unlink(missing_ok=True)
