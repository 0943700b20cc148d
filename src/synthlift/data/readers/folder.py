"""A folder of images: one sub-folder a class, also below ``train``, ``val`` and ``test``.

Where a table beside the folder gives the classes, or where none are wanted, any layout will do.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from synthlift.data.contract import UNLABELLED, Item, Source, Where
from synthlift.data.decode import WHITE_16_BIT, Decoded, decode_file
from synthlift.data.endings import PARQUET, SAVED, TABLES
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
from synthlift.data.wording import listed
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


_PICTURES = frozenset({"images", "image", "imgs", "img", "jpegimages", "photos", "pictures"})
_ANNOTATIONS = frozenset(
    {
        *("masks", "mask", "labels", "label", "annotations", "annotation", "annots", "ann"),
        *("segmentation", "segmentations", "segmentationclass", "segmentationobject", "imagesets"),
        *("ground_truth", "groundtruth", "gt", "trimaps", "bboxes", "boxes", "xmls"),
    }
)


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
            raise _no_classes(where, top_files)
        if outside := sum(map(is_image, top_files)):
            ignored["images outside any class folder"] = outside
        ignored.update(extension(name) for name in top_files if not is_image(name))
        _refuse_other_tasks(where, folders)
        parts, besides = _part_folders(root, folders, ignored)
        if parts:
            items = _parts(where, parts, files, ignored)
        else:
            _classes(where, folders, files, ignored)
            items = [_item(path, path.split("/", 1)[0]) for path, *_ in files]
        labels = {item.label for item in items}
        if len(labels) == 1 and not where.one_class:
            raise InputError(
                f"'{given}' holds one class only: '{next(iter(labels))}'",
                rule="a classifier needs at least two classes: " + LAYOUT,
                remedy="add the folder of another class, or give the folder above"
                + _other_ways(where),
            )
        notes = [f"without images, so that they are no parts: {listed(besides)}"] if besides else []
        if not parts:
            notes += _parts_as_classes(folders)
        return _Folder(where, files, items, ignored, notes)


class _Folder:
    """Images below one folder."""

    def __init__(
        self,
        where: Where,
        files: list[File],
        items: Iterable[Item],
        ignored: Counter[str],
        notes: Sequence[str] = (),
    ) -> None:
        self._root = where.path.resolve()
        self._prefix = os.path.join(self._root, "")  # noqa: PTH118
        self.where = where
        self.notes = notes
        self.ignored: Mapping[str, int] = dict(sorted(ignored.items()))
        # The place takes part: archives unpack different data with equal names, sizes and times.
        self.fingerprint = digest([encodable(str(self._root)), sorted(files)])
        self.items: Sequence[Item] = sorted(items, key=lambda item: item.id)

    def load(self, path: str, *, max_pixels: int, white: int = WHITE_16_BIT) -> Decoded:
        # Strings, since a Path costs more than decoding a small picture.
        return decode_file(self._prefix + path, max_pixels=max_pixels, white=white)

    def file(self, path: str) -> Path | None:
        return self._root / path

    def load_mask(self, mask: str) -> UInt8:
        return read_mask(self._root / mask)


def _item(path: str, label: str, part: str = "") -> Item:
    return Item(id=path, label=label, group=path, path=path, part=part)


def _any_layout(where: Where, folders: Sequence[str], files: Sequence[File]) -> list[Item]:
    """Items with the class and part that folders say, as far as they are asked for."""
    parted = bool(folders) and all(
        path.split("/")[0].lower() in SPLIT_NAMES for path, *_ in files if "/" in path
    )
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


def _refuse_other_tasks(where: Where, folders: Sequence[str]) -> None:
    """Refuse images beside masks or boxes, whose folders would be taken for classes.

    Raises:
        InputError: a folder called images, and all others as masks or annotations are.
    """
    pictures = [name for name in folders if name.casefold() in _PICTURES]
    others = [name for name in folders if name.casefold() not in _PICTURES]
    if pictures and others and all(name.casefold() in _ANNOTATIONS for name in others):
        raise InputError(
            f"'{where.source}' holds '{pictures[0]}' beside {listed(others)}: images with masks or "
            "boxes, and no classes",
            rule="Synthlift answers for classification, one class an image; segmentation and "
            "detection data are not read, but masks may stand beside classes",
            remedy=f"if '{pictures[0]}' has one sub-folder a class, give that folder, and the "
            "masks with data.masks; else make a table with the columns path and label",
        )


def _part_folders(
    root: Path, folders: Sequence[str], ignored: Counter[str]
) -> tuple[list[str], list[str]]:
    """Folders called train, val or test, and those beside them; ([], []) where all are classes.

    What lies beside the parts without an image in it, such as ``annotations``, is no class.
    """
    parts = [name for name in folders if name.lower() in SPLIT_NAMES]
    besides = [name for name in folders if name.lower() not in SPLIT_NAMES]
    if not parts:
        return [], []
    found: list[File] = []
    others: Counter[str] = Counter()
    for name in besides:
        walk_below(root, name, found, others)
    if found:
        return [], []
    ignored.update(others)
    return parts, besides


def _parts_as_classes(folders: Sequence[str]) -> list[str]:
    """What to say where folders called as parts are lie beside others that hold images."""
    called = [name for name in folders if name.lower() in SPLIT_NAMES]
    others = [name for name in folders if name.lower() not in SPLIT_NAMES]
    said = (
        f"taken for classes, not for parts of a split, since {listed(others)} beside "
        f"{'it' if len(called) == 1 else 'them'} holds images too: {listed(called)}; if they are "
        "parts, move the other folders elsewhere"
    )
    return [said] if called else []


def _classes(where: Where, names: Sequence[str], files: list[File], ignored: Counter[str]) -> None:
    for name in names:
        before = len(files)
        walk_below(where.path, name, files, ignored)
        if len(files) == before:
            raise InputError(
                f"the class folder '{encodable(name)}' in '{where.source}' holds no image"
                f"{_found(ignored)}",
                rule="every sub-folder is a class and holds its images",
                remedy="add its images, or move the folder elsewhere" + _other_ways(where),
            )


def _parts(
    where: Where, names: Sequence[str], files: list[File], ignored: Counter[str]
) -> list[Item]:
    """Items below train, val and test, each with one sub-folder a class."""
    items = []
    for name in names:
        part = replace(where, source=f"{where.source}/{name}")
        classes, top_files = top_level(part.path, part.source)
        if not classes:
            raise _no_classes(part, top_files)
        _refuse_other_tasks(part, classes)
        first = len(files)
        _classes(where, [f"{name}/{found}" for found in classes], files, ignored)
        named = SPLIT_NAMES[name.lower()]
        items += [_item(path, path.split("/", 2)[1], named) for path, *_ in files[first:]]
    return items


def _no_classes(where: Where, top_files: Sequence[str]) -> InputError:
    if any(map(is_image, top_files)):
        return InputError(
            f"'{where.source}' holds images but no sub-folders, so that no image has a class",
            rule="a source is a folder with " + LAYOUT,
            remedy="sort the images into one sub-folder a class" + _other_ways(where),
        )
    holds = "holds no image and no sub-folder" if top_files else "is empty: no sub-folder, no image"
    return InputError(
        f"the folder '{where.source}' {holds}{_found(map(extension, top_files))}",
        rule="a source is a folder with " + LAYOUT,
        remedy="give the folder that holds the class folders" + _other_ways(where),
    )


def _other_ways(where: Where) -> str:
    """What else the folder may be, by the files in it and one folder below."""
    top, below = sorted(where.path.glob("*")), where.path.glob("*/*")
    if any(path.name in SAVED or path.suffix.lower() in PARQUET for path in (*top, *below)):
        return f"; for pictures in parquet or Arrow files say hf:{where.source}"
    tables = [path.name for path in top if path.suffix.lower() in TABLES and path.suffix != ".txt"]
    return f"; for a table of paths give the table: {where.source}/{tables[0]}" if tables else ""


def _found(endings: Iterable[str]) -> str:
    names = sorted(set(endings))
    return f" (found besides: {', '.join(names[:5])})" if names else ""
