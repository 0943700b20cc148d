"""Walking folders: which files are images, what else lies there, and what may not be read."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from stat import S_ISREG

from synthlift.data.decode import EXTENSIONS
from synthlift.data.formats import carries_mark
from synthlift.errors import InputError

JUNK_FOLDERS = frozenset({"__MACOSX", "__pycache__"})
_JUNK_FILES = frozenset({"thumbs.db", "desktop.ini", "ehthumbs.db"})
LAYOUT = "one sub-folder a class, with that class's images inside it"

File = tuple[str, int, int, int]
"""Relative path, size, and the times of modification and change in nanoseconds."""


def top_level(root: Path, given: str) -> tuple[list[str], list[str]]:
    """Names of the class folders and of the other visible files, sorted."""
    try:
        with os.scandir(root) as entries:
            visible = [(e.name, e.is_dir()) for e in entries if not e.name.startswith(".")]
    except FileNotFoundError:
        raise InputError(
            f"there is no folder '{given}'",
            rule="a source is a folder with " + LAYOUT,
            remedy=f"check the spelling; it was looked for at {root.absolute()}",
        ) from None
    except NotADirectoryError:
        raise InputError(
            f"'{given}' is a file, not a folder",
            rule="a source is a folder with " + LAYOUT,
            remedy="unpack archives first and give the folder",
        ) from None
    except PermissionError:
        raise no_permission(given) from None
    folders = sorted(name for name, is_dir in visible if is_dir and name not in JUNK_FOLDERS)
    files = (name for name, is_dir in visible if not is_dir and name.lower() not in _JUNK_FILES)
    return folders, sorted(files)


def walk_below(root: Path, name: str, files: list[File], ignored: Counter[str]) -> None:
    """Append the images below one folder of ``root`` to ``files``, count the rest in ``ignored``.

    ``name`` may be "." for all of ``root``.
    """
    seen: set[str] = set()
    waiting = [root / name]
    while waiting:
        folder = waiting.pop()
        real = os.path.realpath(folder)
        # Links may point back up; a folder is entered once.
        if real in seen:
            continue
        seen.add(real)
        inside = folder.relative_to(root).as_posix()
        # Strings, since a data set may have millions of files and a Path costs more than a stat.
        prefix = "" if inside == "." else f"{inside}/"
        below = []
        for entry in _entries(folder):
            file = entry.name
            if file.startswith("."):
                continue
            if _is_folder(entry):
                below.append(file)
            elif file.lower() not in _JUNK_FILES:
                found = _look_at(entry, folder, prefix + file, ignored)
                if found is not None:
                    files.append(found)
        waiting += [folder / child for child in sorted(below, reverse=True)]


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except PermissionError as error:
        raise no_permission(str(error.filename)) from None


def _look_at(
    entry: os.DirEntry[str], folder: Path, relative: str, ignored: Counter[str]
) -> File | None:
    """An image with its size and times; None for anything else, which is counted."""
    file = entry.name
    try:
        status = entry.stat()
    except PermissionError:
        raise no_permission(str(folder)) from None
    except OSError:
        status = None  # a link that leads nowhere
    regular = status is None or S_ISREG(status.st_mode)
    if not regular or not (is_image(file) or (status and carries_mark(folder / file))):
        ignored[extension(file)] += 1
        return None
    if not relative.isascii() and encodable(relative) != relative:
        ignored["names that are not valid Unicode"] += 1
        return None
    if status is None:
        return relative, 0, 0, 0
    return relative, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def no_permission(given: str) -> InputError:
    """What to say of a folder that may not be read."""
    return InputError(
        f"no permission to read '{given}'",
        rule="the folder, its class folders and their images must be readable",
        remedy=f"allow it (`chmod -R u+rX '{given}'`), or run as a user who may read it",
    )


def is_image(name: str) -> bool:
    """Whether a visible file's ending is that of an image."""
    return name[name.rfind(".") :].lower() in EXTENSIONS


def extension(name: str) -> str:
    """The ending that a file is counted under."""
    return Path(name).suffix.lower() or "no extension"


def encodable(text: str) -> str:
    """A file name as valid Unicode, odd bytes written out."""
    return text.encode("utf-8", "backslashreplace").decode()
