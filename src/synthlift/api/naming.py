"""Names of folders and files that hold whatever classes are called."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePosixPath

LONGEST = 60
"""Letters of a folder's name; file systems take 255 bytes, and a letter may be four."""


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
