"""Data sets that a study may read: folders below the allowed ones, and uploads."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Literal

from synthlift.data.decode import EXTENSIONS
from synthlift.data.readers.folder import SPLIT_NAMES
from synthlift.store.files import write_bytes_atomic
from synthlift.web.archives import unpack
from synthlift.web.errors import MissingError
from synthlift.web.library import id_of
from synthlift.web.settings import Settings

SHOWN = 300
TABLES = frozenset((".csv", ".tsv"))
MOST_TABLES = 12
"""Tables of a data set that are offered, the first by name."""
_NAME = "name.txt"
_HALF_SECONDS = 3600.0
"""After which a folder without a name is one that a server that has ended began to unpack."""


@dataclass(frozen=True)
class DataSet:
    """One folder of images.

    Attributes:
        id: of its place.
        name: what to call it.
        path: the folder, or where it was unpacked.
        kind: where it comes from.
        until: when an upload is deleted, seconds since the epoch.
        top: folder below which its tables lie; they may lie beside the folder of the images.
    """

    id: str
    name: str
    path: Path
    kind: Literal["folder", "upload"]
    until: float | None = None
    top: Path | None = None

    @property
    def tables(self) -> dict[str, Path]:
        """Some tables beside the images, by their names; links are none of them."""
        places = dict.fromkeys((self.top or self.path, self.path))
        found: dict[str, Path] = {}
        for place in places:
            for file in sorted(place.iterdir()) if place.is_dir() else ():
                if file.suffix.lower() in TABLES and file.is_file() and not file.is_symlink():
                    found.setdefault(file.name, file)
        return dict(islice(found.items(), MOST_TABLES))


class DataSets:
    """Finds data sets and takes uploads in.

    Clients name data sets by ids from :meth:`all`, never by a path.

    Args:
        settings: the allowed folders and the limits.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._unpacking: set[str] = set()

    def all(self) -> list[DataSet]:
        """Uploads, the newest first, then folders."""
        uploads = sorted(self._uploads(), key=lambda one: -(one.until or 0.0))
        return [*uploads, *self._folders()][:SHOWN]

    def get(self, name: str) -> DataSet:
        """One data set; an upload counts as used now.

        Raises:
            MissingError: there is none of that id.
        """
        found = next((one for one in self.all() if one.id == name), None)
        if found is None:
            raise MissingError(name)
        if found.kind == "upload":
            os.utime(self.settings.uploads / name)
        return found

    def take_in(self, stream: IO[bytes], *, called: str) -> DataSet:
        """Unpack an uploaded zip.

        Args:
            stream: the zip.
            called: its file name, of which only letters are kept, for people.

        Raises:
            InputError: see :func:`synthlift.web.archives.unpack`.
        """
        name = secrets.token_hex(8)
        place = self.settings.uploads / name
        title = _title(called)
        self._unpacking.add(name)
        try:
            unpack(
                stream,
                place / title,
                max_entries=self.settings.archive_entries,
                max_bytes=self.settings.archive_bytes,
                max_seconds=self.settings.unpack_seconds,
            )
            write_bytes_atomic(place / _NAME, title.encode(), durable=False)
        except BaseException:
            shutil.rmtree(place, ignore_errors=True)
            raise
        finally:
            self._unpacking.discard(name)
        return next(one for one in self._uploads() if one.id == name)

    def delete(self, name: str) -> None:
        """Delete an upload.

        Raises:
            MissingError: there is none of that id; folders are never deleted.
        """
        found = self.get(name)
        if found.kind != "upload":
            raise MissingError(name)
        shutil.rmtree(self.settings.uploads / name)

    def delete_older(self, than: float, *, spare: frozenset[str]) -> list[str]:
        """Delete uploads that were not used since ``than``, but those that a job needs.

        What a server began to unpack before it was stopped has no name, and goes, too.

        Returns:
            Ids of those that were deleted.
        """
        deleted = []
        folder = self.settings.uploads
        spare |= self._unpacking
        for place in list(folder.iterdir()) if folder.is_dir() else ():
            whole = (place / _NAME).is_file()
            limit = than if whole else min(than, time.time() - _HALF_SECONDS)
            if place.name not in spare and place.stat().st_mtime < limit:
                shutil.rmtree(place, ignore_errors=True)
                deleted.append(place.name)
        return deleted

    def _uploads(self) -> Iterator[DataSet]:
        folder = self.settings.uploads
        for place in folder.iterdir() if folder.is_dir() else ():
            try:
                title = (place / _NAME).read_text(encoding="utf-8")
                until = place.stat().st_mtime + self.settings.keep_seconds
            except OSError:  # being unpacked, or deleted just now
                continue
            top = _innermost(place / title)
            yield DataSet(place.name, title, _images_of(top), "upload", until, top)

    def _folders(self) -> Iterator[DataSet]:
        for given in self.settings.data:
            root = given.expanduser().resolve()
            wholes: list[Path] = []
            for path in [root, *_below(root, depth=2)]:
                if any(path.is_relative_to(whole) for whole in wholes):
                    continue
                if parted := _has_parts(path):
                    wholes.append(path)
                if parted or _has_classes(path):
                    name = root.name if path == root else str(path.relative_to(root.parent))
                    yield DataSet(id_of(path), name, path, "folder")


def _below(root: Path, *, depth: int) -> Iterator[Path]:
    """Folders below a folder that truly lie there."""
    try:
        inside = sorted(path for path in root.iterdir() if path.is_dir())
    except OSError:
        return
    for path in inside:
        if path.is_symlink() or path.name.startswith("."):
            continue
        yield path
        if depth > 1:
            yield from _below(path, depth=depth - 1)


def _has_classes(path: Path) -> bool:
    """Whether at least two sub-folders hold an image."""
    found = 0
    try:
        for folder in path.iterdir():
            if folder.is_dir() and any(_is_image(file) for file in folder.iterdir()):
                found += 1
                if found == 2:
                    return True
    except OSError:
        return False
    return False


def _has_parts(path: Path) -> bool:
    """Whether a study would take its folders for parts such as train and test, not for classes."""
    try:
        folders = [one for one in path.iterdir() if one.is_dir() and not one.name.startswith(".")]
        named = [one for one in folders if one.name.lower() in SPLIT_NAMES]
        besides = (one for one in folders if one not in named)
        return any(map(_has_classes, named)) and not any(map(_has_images, besides))
    except OSError:
        return False


def _has_images(folder: Path) -> bool:
    """Whether an image lies in it, however deep."""
    return any(_is_image(Path(name)) for _, _, names in os.walk(folder) for name in names)


def _is_image(file: Path) -> bool:
    return file.suffix.lower() in EXTENSIONS


def _images_of(top: Path) -> Path:
    """The one folder of images where only tables lie beside it, else the folder itself."""
    inside = [one for one in top.iterdir() if one.is_dir()] if top.is_dir() else []
    if len(inside) == 1 and any(_has_classes(path) or _is_split(path) for path in inside):
        return inside[0]
    return top


def _is_split(path: Path) -> bool:
    """Whether its folders are parts such as train and test, with a folder a class in each."""
    return any(one.is_dir() and _has_classes(one) for one in path.iterdir())


def _innermost(path: Path) -> Path:
    """Archives often hold one folder with everything in it."""
    while True:
        inside = list(path.iterdir()) if path.is_dir() else []
        if len(inside) != 1 or not inside[0].is_dir():
            return path
        path = inside[0]


def _title(called: str) -> str:
    stem = re.sub(r"\.zip$", "", re.split(r"[\\/]", called)[-1], flags=re.IGNORECASE)
    cleaned = re.sub(r"[^A-Za-z0-9 ._-]+", "-", stem).strip(" ._-")[:60]
    return cleaned or f"upload-{time.strftime('%Y-%m-%d')}"
