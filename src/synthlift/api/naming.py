"""Names of folders and files that hold whatever classes are called."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import PurePosixPath

LONGEST = 60
"""Letters of a folder's name; file systems take 255 bytes, and a letter may be four."""
MOST_BYTES = 240
"""Of the name of a file or folder: room for a number where it is taken."""


def folder_names(labels: Sequence[str]) -> dict[str, str]:
    """A folder for each class: its name where that is one plain folder, else a numbered one."""
    found: dict[str, str] = {}
    for label in sorted(set(labels)):
        plain = re.sub(r"[^\w .()+,=@-]", "_", label)[:LONGEST].strip(" .") or "class"
        found[label] = free_name(plain, set(map(str.casefold, found.values())))
    return found


def free_name(name: str, used: set[str]) -> str:
    """The name, or the first of ``name_2``, ``name_3`` … that is not used (in lower case)."""
    path, number, found = PurePosixPath(name), 1, name
    while found.casefold() in used:
        number += 1
        found = f"{path.stem}_{number}{path.suffix}"
    return found


def plain_name(text: str, *, most: int = MOST_BYTES) -> str:
    """Any text as the name of one file or folder: without separators, cut by :func:`fitting`."""
    return fitting(re.sub(r"[/\\\x00-\x1f\x7f]", "_", text), most=most)


def fitting(name: str, *, most: int = MOST_BYTES) -> str:
    """The name, cut where it has more bytes; a hash of the whole then stands before the suffix."""
    whole = name.encode("utf-8", "surrogatepass")
    if len(whole) <= most:
        return name
    suffix = PurePosixPath(name).suffix
    suffix = suffix if suffix.isascii() and len(suffix) <= 16 else ""
    end = f"-{hashlib.sha256(whole).hexdigest()[:8]}{suffix}"
    return whole[: most - len(end)].decode("utf-8", "ignore").rstrip(" .") + end
