"""Finding the files that a table names: inside its folder, and nowhere else."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISREG

from synthlift.data.readers.listing import JUNK_FOLDERS, File, no_permission
from synthlift.data.tables import Table
from synthlift.data.wording import counted, listed
from synthlift.errors import InputError

_MASK_FOLDER = re.compile(r"mask|seg|annot|ground.?truth", re.IGNORECASE)
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")


@dataclass(frozen=True)
class Placed:
    """The files of one column.

    Attributes:
        paths: by row, relative to the table's folder, "/" between folders; "" where none is named.
        files: relative path, size and times of each, without repeats, sorted.
        below: the sub-folder that all were found in; "" where the paths lead there themselves.
    """

    paths: list[str]
    files: list[File]
    below: str = ""


def place(table: Table, column: str, *, masks: bool = False) -> Placed:
    """Find the files that a column names.

    Paths are relative to the table's folder. Where some file is not there but one sub-folder
    holds them all, they are taken from it.

    Args:
        table: the table.
        column: its column of paths; empty cells are passed over.
        masks: whether masks are looked for, which decides between ``images/`` and ``masks/``.

    Raises:
        InputError: a path leads out of the table's folder, or files are missing.
    """
    paths = _inside(table, column)
    named = sorted({path for path in paths if path})
    files, missing = _status(table.folder, named)
    below = ""
    if missing:
        found = _below(table.folder, named, masks=masks)
        if len(found) > 1:
            raise InputError(
                f"the files in column '{column}' of '{table.name}' are in several folders: "
                f"{listed(found)}",
                rule="a path leads from the table's folder to one file",
                remedy=f"write the folder into the paths, such as '{found[0]}/{missing[0]}'",
            )
        if not found:
            raise _missing(table, column, paths, missing)
        below = found[0]
        paths = [f"{below}/{path}" if path else "" for path in paths]
        files, _ = _status(table.folder, sorted({path for path in paths if path}))
    return Placed(paths, files, below)


def relative(text: str, *, folder: Path) -> str | None:
    """A path of a table as a plain one below ``folder``; None where it leads out of it.

    Links are not followed: what lies in the folder by name belongs to it.
    """
    path = text.replace("\\", "/")
    if path.startswith("/"):
        bases = (folder.as_posix(), folder.resolve().as_posix())
        ways = [posixpath.relpath(posixpath.normpath(path), base) for base in bases]
        path = next((way for way in ways if not way.startswith("..")), ways[0])
    path = posixpath.normpath(path)
    outside = path == "." or path.split("/")[0] == ".." or re.match(r"[A-Za-z]:(/|$)", path)
    return None if outside else path


def present(table: Table, column: str, *, at_most: int | None = None) -> int:
    """How many of a column's first values exist as files, as they are or in one sub-folder."""
    values = [relative(text, folder=table.folder) for text in table.columns[column][:at_most]]
    named = sorted({path for path in values if path})
    files, missing = _status(table.folder, named)
    return len(named) if missing and _below(table.folder, named, masks=False) else len(files)


def _inside(table: Table, column: str) -> list[str]:
    texts = table.columns[column]
    if addresses := [text for text in texts if _ADDRESS.match(text)]:
        raise InputError(
            f"column '{column}' of '{table.name}' holds addresses of the internet: "
            f"{listed(addresses[:1])}",
            rule="a table names files below its own folder; nothing is downloaded",
            remedy="download the images beside the table and write their paths into it",
        )
    paths = [relative(text, folder=table.folder) if text else "" for text in texts]
    if out := [text for text, path in zip(texts, paths, strict=True) if path is None]:
        raise InputError(
            f"{counted(len(out), 'path')} in column '{column}' of '{table.name}' "
            f"{'leads' if len(out) == 1 else 'lead'} out of its folder: {listed(out)}",
            rule="a table names files in its own folder or below it, so that nothing else on this "
            "machine is read by mistake",
            remedy="put the table into a folder above the images and write the paths relative to "
            "it; a link to a folder elsewhere may lie there",
        )
    return [path or "" for path in paths]


def _status(folder: Path, paths: Sequence[str]) -> tuple[list[File], list[str]]:
    """Files with size and times, and the paths that lead to none."""
    files: list[File] = []
    missing = []
    for path in paths:
        try:
            found = (folder / path).stat()
        except PermissionError:
            raise no_permission(str(folder / path)) from None
        except (OSError, ValueError):
            missing.append(path)
            continue
        if S_ISREG(found.st_mode):
            files.append((path, found.st_size, found.st_mtime_ns, found.st_ctime_ns))
        else:
            missing.append(path)
    return files, missing


def _below(folder: Path, paths: Sequence[str], *, masks: bool) -> list[str]:
    """The sub-folders that hold all files, sorted; by their names where several do."""
    names = sorted(
        entry.name
        for entry in folder.iterdir()
        if entry.is_dir() and not entry.name.startswith(".") and entry.name not in JUNK_FOLDERS
    )
    # The first file alone rules out nearly every folder.
    for some in (paths[:1], paths):
        names = [name for name in names if some and not _status(folder / name, some)[1]]
    found = names
    fitting = [name for name in found if bool(_MASK_FOLDER.search(name)) == masks]
    return fitting if len(found) > 1 and fitting else found


def _missing(table: Table, column: str, paths: Sequence[str], missing: Sequence[str]) -> InputError:
    wanted = set(missing)
    rows = sum(path in wanted for path in paths)
    return InputError(
        f"{rows:,} of the {len(paths):,} rows of '{table.name}' name a file that is not there: "
        f"{listed(missing)}",
        rule=f"the paths in column '{column}' are relative to the table's folder, {table.folder}, "
        "or all to one folder in it",
        remedy="bring the files there, correct the paths, or take these rows out of the table",
    )
