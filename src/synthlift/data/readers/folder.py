"""A folder of images: one sub-folder a class, also below ``train``, ``val`` and ``test``.

Where a table beside the folder gives the classes, or where none are wanted, any layout will do.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath

from synthlift.data.contract import UNLABELLED, Item, Source, Where
from synthlift.data.decode import WHITE_16_BIT, Decoded, decode_file
from synthlift.data.masks import read_mask
from synthlift.data.readers.listing import (
    LAYOUT,
    File,
    encodable,
    extension,
    is_image,
    top_level,
    walk_below,
)
from synthlift.errors import InputError
from synthlift.registry import ComponentConfig
from synthlift.store import digest
from synthlift.types import UInt8

SPLIT_NAMES: Mapping[str, str] = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
}


class FolderReader:
    """Opens a folder of images."""

    def __init__(self, config: ComponentConfig) -> None:
        del config

    def open(self, where: Where) -> Source:
        """See :class:`~synthlift.data.contract.Reader`."""
        root, given = where.path, where.source
        folders, top_files = top_level(root, given)
        ignored: Counter[str] = Counter()
        files: list[File] = []
        if not where.labelled or where.metadata is not None:
            walk_below(root, ".", files, ignored)
            return _Folder(where, files, _any_layout(where, folders, files), ignored)
        if not folders:
            raise _no_classes(given, has_images=any(map(is_image, top_files)))
        if outside := sum(map(is_image, top_files)):
            ignored["images outside any class folder"] = outside
        ignored.update(extension(name) for name in top_files if not is_image(name))
        if {name.lower() for name in folders} <= SPLIT_NAMES.keys():
            items = _parts(root, folders, files, ignored, given=given)
        else:
            _classes(root, folders, files, ignored, given=given)
            items = [_item(path, path.split("/", 1)[0]) for path, *_ in files]
        labels = {item.label for item in items}
        if len(labels) == 1:
            raise InputError(
                f"'{given}' holds one class only: '{next(iter(labels))}'",
                rule="a classifier needs at least two classes: " + LAYOUT,
                remedy="add the folder of another class, or give the folder above",
            )
        return _Folder(where, files, items, ignored)


class _Folder:
    """Images below one folder."""

    notes: Sequence[str] = ()

    def __init__(
        self, where: Where, files: list[File], items: Iterable[Item], ignored: Counter[str]
    ) -> None:
        self._root = where.path.resolve()
        self.where = where
        self.ignored: Mapping[str, int] = dict(sorted(ignored.items()))
        # The place takes part: archives unpack different data with equal names, sizes and times.
        self.fingerprint = digest([encodable(str(self._root)), sorted(files)])
        self.items: Sequence[Item] = sorted(items, key=lambda item: item.id)

    def load(self, path: str, *, max_pixels: int, white: int = WHITE_16_BIT) -> Decoded:
        # Strings, since a Path costs more than decoding a small picture.
        file = os.path.join(self._root, path)  # noqa: PTH118
        return decode_file(file, max_pixels=max_pixels, white=white)

    def file(self, path: str) -> Path | None:
        return self._root / path

    def load_mask(self, mask: str) -> UInt8:
        return read_mask(self._root / mask)


def _item(path: str, label: str, part: str = "") -> Item:
    return Item(id=path, label=label, group=path, path=path, part=part)


def _any_layout(where: Where, folders: Sequence[str], files: Sequence[File]) -> list[Item]:
    """Items with the class and part that folders say, as far as they are asked for."""
    parted = bool(folders) and {name.lower() for name in folders} <= SPLIT_NAMES.keys()
    items = []
    for path, *_ in files:
        first, slash, rest = path.partition("/")
        part = SPLIT_NAMES[first.lower()] if where.labelled and parted and slash else ""
        # A column that is named gives the classes, and must give them all.
        wanted = where.labelled and where.label is None
        items.append(_item(path, _label_of(rest if part else path) if wanted else "", part))
    return items


def _label_of(path: str) -> str:
    """The sub-folder that an image lies in; "" directly in the source."""
    parent = PurePosixPath(path).parent
    return UNLABELLED if parent == PurePosixPath(".") else parent.parts[0]


def _classes(
    root: Path, names: Sequence[str], files: list[File], ignored: Counter[str], *, given: str
) -> None:
    for name in names:
        before = len(files)
        walk_below(root, name, files, ignored)
        if len(files) == before:
            raise InputError(
                f"the class folder '{encodable(name)}' in '{given}' holds no image"
                f"{_found(ignored)}",
                rule="every sub-folder is a class and holds its images",
                remedy="add its images, or move the folder elsewhere",
            )


def _parts(
    root: Path, names: Sequence[str], files: list[File], ignored: Counter[str], *, given: str
) -> list[Item]:
    """Items below train, val and test, each with one sub-folder a class."""
    items = []
    for name in names:
        classes, top_files = top_level(root / name, f"{given}/{name}")
        if not classes:
            raise _no_classes(f"{given}/{name}", has_images=any(map(is_image, top_files)))
        first = len(files)
        below = [f"{name}/{found}" for found in classes]
        _classes(root, below, files, ignored, given=given)
        part = SPLIT_NAMES[name.lower()]
        items += [_item(path, path.split("/", 2)[1], part) for path, *_ in files[first:]]
    return items


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


def _found(ignored: Iterable[str]) -> str:
    names = sorted(ignored)
    return f" (found besides: {', '.join(names[:5])})" if names else ""
