"""Where labelled images come from: one small contract, one reader a kind.

A source lists its items without decoding anything and loads one item at a time. A reader of
another kind (table, ``.npz`` …) is one class with these members and one line in ``_SCHEMES`` or
in :func:`open_source`.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from stat import S_ISREG
from typing import Protocol

import numpy as np

from synthlift.data.decode import EXTENSIONS, WHITE_16_BIT, Decoded, decode_file
from synthlift.errors import InputError, nearest_name
from synthlift.store import digest

MINIMUM_PER_CLASS = 3
_JUNK_FOLDERS = frozenset({"__MACOSX", "__pycache__"})
_JUNK_FILES = frozenset({"thumbs.db", "desktop.ini", "ehthumbs.db"})
_SPLIT_NAMES = frozenset({"train", "training", "val", "valid", "validation", "dev", "test"})
LAYOUT = "one sub-folder a class, with that class's images inside it"


@dataclass(frozen=True)
class Item:
    """One image before it is read.

    Attributes:
        id: unique in its source.
        label: class name.
        group: the unit that never crosses a split.
        path: what :meth:`Source.load` takes; relative, so that a source may move.
    """

    id: str
    label: str
    group: str
    path: str


class Source(Protocol):
    """Labelled images that can be listed and loaded one at a time, from any thread.

    Attributes:
        name: the source as the user gave it.
        location: what :func:`open_source` takes to open it again in another process.
        fingerprint: changes whenever something in the source may have changed.
        ignored: files that are no images, counted by extension.
    """

    name: str
    location: str
    fingerprint: str
    ignored: Mapping[str, int]

    @property
    def items(self) -> Sequence[Item]:
        """All items, sorted by id."""
        ...

    def load(self, path: str, *, max_pixels: int, white: int = WHITE_16_BIT) -> Decoded:
        """Decode one item (``UnusableImageError`` where that cannot be done)."""
        ...


def open_source(source: str, *, base: Path, strict: bool = True) -> Source:
    """Open a folder with one sub-folder a class, or embedded data by name (``sklearn:digits``).

    Args:
        source: a path (``~`` allowed) or ``scheme:name``.
        base: what a relative path is relative to: the study file's folder.
        strict: refuse classes with fewer than 3 images; ``inspect`` reports them instead.

    Raises:
        InputError: nothing there, not readable, or not laid out as described.
    """
    scheme, _, name = source.partition(":")
    # Two letters at least: a drive letter of Windows is no scheme.
    if re.fullmatch(r"[A-Za-z][A-Za-z0-9_+-]+", scheme) and name and not (base / source).exists():
        return _open_embedded(source)
    root = base / Path(source).expanduser()
    found = _Folder(source, root, _walk(root, given=source))
    if strict:
        require_three(Counter(item.label for item in found.items), unit="images")
    return found


def require_three(counts: Mapping[str, int], *, unit: str) -> None:
    """Refuse classes that cannot be in train, validation and test.

    Args:
        counts: number of ``unit`` by class.
        unit: "images" or "groups", for the message.

    Raises:
        InputError: a class has fewer than 3.
    """
    small = {name: n for name, n in sorted(counts.items()) if n < MINIMUM_PER_CLASS}
    if small:
        listed = ", ".join(f"'{name}' has {n}" for name, n in list(small.items())[:5])
        more = f" and {len(small) - 5} more classes" if len(small) > 5 else ""
        raise InputError(
            f"too few usable {unit}: {listed}{more}",
            rule=f"a class needs at least {MINIMUM_PER_CLASS} {unit}: one each to train on, to "
            "choose with and to test on",
            remedy="add images to the class, merge it with another, or move its folder elsewhere; "
            "`synthlift inspect` lists what was left out and why",
        )


# ── embedded data ─────────────────────────────────────────────────────────────────────────────


class _Digits:
    """scikit-learn's 1,797 handwritten digits: 8 × 8, grey, 0..16 scaled to 0..255."""

    def __init__(self, source: str) -> None:
        self.name = self.location = source
        # Bumped if the embedded data or their scaling ever change; loading to hash takes seconds.
        self.fingerprint = digest([source, "1"])
        self.ignored: Mapping[str, int] = {}

    @cached_property
    def _data(self) -> tuple[np.ndarray, np.ndarray]:
        from sklearn.datasets import load_digits

        bunch = load_digits()
        return np.rint(bunch.images * (255 / 16)).astype(np.uint8), bunch.target

    @cached_property
    def items(self) -> Sequence[Item]:
        names = [f"digits/{row:04d}" for row in range(len(self._data[1]))]
        labels = [str(label) for label in self._data[1]]
        return [Item(n, label, n, n) for n, label in zip(names, labels, strict=True)]

    def load(
        self,
        path: str,
        *,
        max_pixels: int,  # noqa: ARG002 – the contract's form
        white: int = WHITE_16_BIT,  # noqa: ARG002
    ) -> Decoded:
        pixels = self._data[0][int(path.removeprefix("digits/"))]
        return Decoded(pixels=pixels[:, :, None], mode="L", bits=8)


_SCHEMES = {"sklearn:digits": _Digits}


def _open_embedded(source: str) -> Source:
    if source not in _SCHEMES:
        raise InputError(
            f"unknown source '{source}'{nearest_name(source, _SCHEMES)}",
            rule=f"a source is a folder, or one of: {', '.join(_SCHEMES)}",
            remedy="give a folder with " + LAYOUT,
        )
    return _SCHEMES[source](source)


# ── folders ───────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class _Listing:
    """What a walk over a folder finds; ``files`` are (relative path, size, mtime, ctime in ns)."""

    files: list[tuple[str, int, int, int]]
    ignored: dict[str, int]


class _Folder:
    """A folder with one sub-folder a class; files may lie deeper inside a class."""

    def __init__(self, source: str, root: Path, listing: _Listing) -> None:
        self._root = root.resolve()
        self.name = source
        self.location = str(self._root)
        self.ignored: Mapping[str, int] = listing.ignored
        # The place takes part: archives unpack different data with equal names, sizes and times.
        self.fingerprint = digest([_encodable(self.location), listing.files])
        self.items: Sequence[Item] = [
            Item(id=path, label=path.split("/", 1)[0], group=path, path=path)
            for path, *_ in listing.files
        ]

    def load(self, path: str, *, max_pixels: int, white: int = WHITE_16_BIT) -> Decoded:
        return decode_file(self._root / path, max_pixels=max_pixels, white=white)


def _walk(root: Path, *, given: str) -> _Listing:
    """List the image files below the class folders of ``root``; errors name what was given."""
    classes, top_files = _top_level(root, given)
    if not classes:
        raise _no_classes(given, has_images=any(map(_is_image, top_files)))
    if {name.lower() for name in classes} <= _SPLIT_NAMES:
        raise InputError(
            f"the sub-folders of '{given}' are {', '.join(classes)}: parts of a split, not classes",
            rule="a source is a folder with " + LAYOUT,
            remedy=f"give one part (`{given}/{classes[-1]}`), or merge the parts: Synthlift makes "
            "its own split",
        )
    ignored: Counter[str] = Counter()
    if outside := sum(map(_is_image, top_files)):
        ignored["images outside any class folder"] = outside
    ignored.update(_extension(name) for name in top_files if not _is_image(name))
    files: list[tuple[str, int, int, int]] = []
    for name in classes:
        before = len(files)
        _walk_class(root, name, files, ignored)
        if len(files) == before:
            shown = _encodable(name)
            raise InputError(
                f"the class folder '{shown}' in '{given}' holds no image{_found(ignored)}",
                rule="every sub-folder is a class and holds its images",
                remedy="add its images, or move the folder elsewhere",
            )
    if len(classes) == 1:
        raise InputError(
            f"'{given}' holds one class only: '{classes[0]}'",
            rule="a classifier needs at least two classes: " + LAYOUT,
            remedy="add the folder of another class, or give the folder above",
        )
    files.sort()
    return _Listing(files, dict(sorted(ignored.items())))


def _top_level(root: Path, given: str) -> tuple[list[str], list[str]]:
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
        raise _no_permission(given) from None
    folders = sorted(name for name, is_dir in visible if is_dir and name not in _JUNK_FOLDERS)
    files = (name for name, is_dir in visible if not is_dir and name.lower() not in _JUNK_FILES)
    return folders, sorted(files)


def _walk_class(
    root: Path, name: str, files: list[tuple[str, int, int, int]], ignored: Counter[str]
) -> None:
    """Append the images below one class folder to ``files``, count the rest in ``ignored``."""

    def refuse(error: OSError) -> None:
        if isinstance(error, PermissionError):
            raise _no_permission(str(error.filename)) from None
        raise error

    seen: set[str] = set()
    for folder, below, names in os.walk(root / name, onerror=refuse, followlinks=True):
        real = os.path.realpath(folder)
        # Links may point back up; a folder is entered once.
        below[:] = sorted(d for d in below if not d.startswith(".") and real not in seen)
        if real in seen:
            continue
        seen.add(real)
        for file in names:
            if file.startswith(".") or file.lower() in _JUNK_FILES:
                continue
            path = Path(folder, file)
            status = _status(path)
            if not _is_image(file) or (status and not S_ISREG(status.st_mode)):
                ignored[_extension(file)] += 1
                continue
            relative = path.relative_to(root).as_posix()
            if _encodable(relative) != relative:
                ignored["names that are not valid Unicode"] += 1
                continue
            times = (status.st_size, status.st_mtime_ns, status.st_ctime_ns) if status else (0,) * 3
            files.append((relative, *times))


def _status(path: Path) -> os.stat_result | None:
    """What ``stat`` says; None for a link that leads nowhere."""
    try:
        return path.stat()
    except PermissionError:
        raise _no_permission(str(path.parent)) from None
    except OSError:
        return None


def _no_classes(given: str, *, has_images: bool) -> InputError:
    if has_images:
        return InputError(
            f"'{given}' holds images but no sub-folders, so that no image has a class",
            rule="a source is a folder with " + LAYOUT,
            remedy="sort the images into one sub-folder a class",
        )
    return InputError(
        f"the folder '{given}' is empty: no sub-folder, no image",
        rule="a source is a folder with " + LAYOUT,
        remedy="give the folder that holds the class folders",
    )


def _no_permission(given: str) -> InputError:
    return InputError(
        f"no permission to read '{given}'",
        rule="the folder, its class folders and their images must be readable",
        remedy=f"allow it (`chmod -R u+rX '{given}'`), or run as a user who may read it",
    )


def _is_image(name: str) -> bool:
    return Path(name).suffix.lower() in EXTENSIONS


def _extension(name: str) -> str:
    return Path(name).suffix.lower() or "no extension"


def _encodable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()


def _found(ignored: Iterable[str]) -> str:
    names = sorted(ignored)
    return f" (found besides: {', '.join(names[:5])})" if names else ""
