"""NumPy ``.npz`` files in the layout of MedMNIST (doi:10.1038/s41597-022-01721-8).

Arrays are told by their names, whatever their case: ``train_images`` and ``train_labels``, also
``x_train`` and ``y_train``, or ``images`` and ``labels`` without parts. An array ``class_names``
gives numbered classes their names; further arrays, such as ``train_patient``, are columns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from synthlift.data.contract import Item, Source, Where
from synthlift.data.decode import WHITE_16_BIT, Decoded, UnusableImageError, decode_array
from synthlift.data.readers.folder import SPLIT_NAMES
from synthlift.data.readers.npz_arrays import Member, Rows, list_members, read_whole
from synthlift.data.readers.numbered import (
    in_order,
    lone,
    lone_notes,
    no_column,
    path_name,
    row_items,
    row_of,
    told,
)
from synthlift.data.wording import counted
from synthlift.errors import InputError
from synthlift.registry import ComponentConfig
from synthlift.store import digest
from synthlift.types import UInt8

_IMAGES = ("images", "image", "imgs", "x", "data")
_LABELS = ("labels", "label", "y", "targets", "target")
_RULE = (
    "images are arrays called train_images, val_images, test_images (or images alone, or x_train "
    "…) of shape [N, H, W] or [N, H, W, 3], labels train_labels … of shape [N] or [N, 1]"
)
Arrays = Mapping[tuple[str, str], Member]
"""By part as the file calls it, and column."""


class NpzReader:
    """Opens an ``.npz`` file."""

    def __init__(self, config: ComponentConfig) -> None:
        del config

    def open(self, where: Where) -> Source:
        """See :class:`~synthlift.data.contract.Reader`."""
        path, given = where.path, where.source
        members = list_members(path, given)
        arrays = _by_part_and_column(members)
        images = _images(arrays, members, given)
        rows = Rows(path)
        notes = _float_notes(images, rows, given)
        columns = _Columns(path, given, arrays, where)
        items = [item for part, member in images.items() for item in columns.items(part, member)]
        notes += lone_notes(columns.alone, where)
        return _Npz(where, rows, images, in_order(items, where), notes)


class _Npz:
    """Images in the arrays of one file."""

    def __init__(
        self,
        where: Where,
        rows: Rows,
        images: Mapping[str, Member],
        items: Sequence[Item],
        notes: Sequence[str],
    ) -> None:
        status = where.path.stat()
        self.where = where
        times = (status.st_size, status.st_mtime_ns, status.st_ctime_ns)
        self.fingerprint = digest([str(where.path.resolve()), *times, told(items)])
        self.ignored: Mapping[str, int] = {}
        self.notes = notes
        self.items = items
        self._rows = rows
        self._images = {path_name(part): member for part, member in images.items()}

    def load(self, path: str, *, max_pixels: int, white: int = WHITE_16_BIT) -> Decoded:
        name, row = row_of(path)
        values = as_picture(self._rows.row(self._images[name], row))
        return decode_array(values, max_pixels=max_pixels, white=white)

    def file(self, path: str) -> Path | None:
        del path
        return None

    def load_mask(self, mask: str) -> UInt8:
        raise UnusableImageError("mask", f"an .npz file holds no masks: {mask}")


def as_picture(values: np.ndarray) -> np.ndarray:
    """One image of any layout as uint8 or uint16, [H, W] or [H, W, C]; floats in [0, 1] × 255."""
    if values.ndim == 3 and values.shape[2] not in (1, 3):
        values = values.transpose(1, 2, 0)
    if values.dtype.kind == "f":
        return np.rint(values.astype(np.float64) * 255).astype(np.uint8)
    return values.astype(np.uint8 if values.dtype.itemsize == 1 else np.uint16)


def _by_part_and_column(members: Mapping[str, Member]) -> dict[tuple[str, str], Member]:
    """``train_images`` and ``images_train`` are column "images" of part "train"."""
    found = {}
    for name, member in sorted(members.items()):
        words = name.lower().split("_")
        for place in (0, -1):
            if len(words) > 1 and words[place] in SPLIT_NAMES:
                part = words.pop(place)
                break
        else:
            part = ""
        found[part, "_".join(words)] = member
    return found


def _images(arrays: Arrays, members: Mapping[str, Member], given: str) -> dict[str, Member]:
    """The array of images of each part."""
    found: dict[str, Member] = {}
    for (part, column), member in arrays.items():
        if column not in _IMAGES:
            continue
        if path_name(part) in map(path_name, found):
            other = next(m for p, m in found.items() if path_name(p) == path_name(part))
            raise InputError(
                f"'{given}' holds two arrays of the same images: {other.name}, {member.name}",
                rule=_RULE,
                remedy="save one of them under another name",
            )
        _check_layout(member, given)
        found[part] = member
    if not found:
        listed = ", ".join(f"{m.name} {list(m.shape)}" for m in list(members.values())[:10])
        raise InputError(
            f"'{given}' holds no array of images; found: {listed or 'nothing'}",
            rule=_RULE,
            remedy="save the arrays under these names: np.savez(..., images=…, labels=…)",
        )
    return found


def _check_layout(member: Member, given: str) -> None:
    shape, dtype = list(member.shape), member.dtype
    if not (len(shape) == 3 or (len(shape) == 4 and {shape[1], shape[3]} & {1, 3})):
        raise InputError(
            f"'{member.name}' in '{given}' has shape {shape}",
            rule="images have shape [N, H, W], [N, H, W, 1], [N, H, W, 3] or [N, 3, H, W]; volumes "
            "and films are not read",
            remedy="save one picture for each row: slices of volumes, frames of films",
        )
    if dtype.kind != "f" and dtype.newbyteorder("=") not in (np.uint8, np.uint16):
        raise InputError(
            f"'{member.name}' in '{given}' is {dtype}",
            rule="images are uint8 (0 to 255), uint16 (0 to 65535) or floats in [0, 1]",
            remedy=f"if its values lie in 0 … 255, save it again as {member.name}.astype(np.uint8)",
        )


def _float_notes(images: Mapping[str, Member], rows: Rows, given: str) -> list[str]:
    """Hold floats to [0, 1], since in no other range is a value known to be white."""
    floats = [member for member in images.values() if member.dtype.kind == "f"]
    for member in floats:
        try:
            for block in rows.blocks(member):
                # Written so that NaN fails too.
                if block.size and not (block.min() >= 0 and block.max() <= 1):
                    raise _no_white(member, block, given)
        except UnusableImageError as error:
            raise InputError(
                f"'{member.name}' in '{given}' cannot be read: {error.reason}",
                rule=_RULE,
                remedy="save or download the file again",
            ) from error
    return [f"{m.name}: {m.dtype} in [0, 1], scaled to 0 … 255" for m in floats]


def _no_white(member: Member, block: np.ndarray, given: str) -> InputError:
    return InputError(
        f"'{member.name}' in '{given}' is {member.dtype} with values from {block.min():g} to "
        f"{block.max():g}",
        rule="floats lie in [0, 1], so that it is known which value is black and which white",
        remedy="undo the normalisation, or scale the values, before saving: "
        "((x - x.min()) / (x.max() - x.min())) over the whole data set",
    )


class _Columns:
    """Labels, groups and attributes of each part.

    Attributes:
        alone: images without a value in the column of groups, of the parts so far.
    """

    def __init__(self, path: Path, given: str, arrays: Arrays, where: Where) -> None:
        self._path, self._given, self._arrays, self._where = path, given, arrays, where
        names = arrays.get(("", "class_names"))
        self._class_names = None if names is None else as_words(read_whole(path, names, given))
        self.alone = 0

    def items(self, part: str, images: Member) -> list[Item]:
        """The items of one part.

        Raises:
            InputError: a column is missing, or holds no single class for each image.
        """
        where, n = self._where, images.shape[0]
        groups = self._column(where.group, part, n, "group") if where.group else None
        found = {name: self._column(name, part, n, "attributes") for name in where.attributes}
        attributes = {name: values for name, values in found.items() if values is not None}
        labels = self._labels(part, images) if where.labelled else None
        items = row_items(part, n, labels=labels, groups=groups, attributes=attributes)
        self.alone += lone(items) if groups is not None else 0
        return items

    def _labels(self, part: str, images: Member) -> list[str] | None:
        wanted = [self._where.label.lower()] if self._where.label else _LABELS
        member = next((self._arrays[part, w] for w in wanted if (part, w) in self._arrays), None)
        if member is not None:
            values = self._read(member, images.shape[0])
            labels = single_classes(values, self._class_names, member.name, self._given)
            _refuse_empty(labels, member.name, self._given)
            return labels
        if self._where.metadata is not None:
            return None
        if self._where.label:
            raise self._missing(self._where.label, part, "label")
        raise InputError(
            f"'{self._given}' holds images in '{images.name}', but no labels for them",
            rule=_RULE,
            remedy=f"add the array '{images.name.lower().replace('images', 'labels')}', or name "
            "the one that holds the classes under data.label",
        )

    def _column(self, name: str, part: str, n: int, key: str) -> list[str] | None:
        member = self._arrays.get((part, name.lower()))
        if member is not None:
            return as_words(self._read(member, n))
        if self._where.metadata is not None:  # The table beside the file may hold it.
            return None
        raise self._missing(name, part, key)

    def _read(self, member: Member, n: int) -> np.ndarray:
        if not member.shape or member.shape[0] != n:
            raise InputError(
                f"'{member.name}' in '{self._given}' has shape {list(member.shape)} beside {n:,} "
                "images",
                rule=_RULE,
                remedy="save images and labels of the same rows",
            )
        return read_whole(self._path, member, self._given)

    def _missing(self, name: str, part: str, key: str) -> InputError:
        columns = {column for its_part, column in self._arrays if its_part == part}
        given = f"{self._given}:{part}" if part else self._given
        return no_column(name, columns - set(_IMAGES), given=given, key=key)


def _refuse_empty(labels: Sequence[str], column: str, given: str) -> None:
    missing = [row for row, label in enumerate(labels) if not label.strip()]
    if missing:
        raise InputError(
            f"{counted(len(missing), 'row')} of '{column}' in '{given}' without a class, such as "
            f"{', '.join(map(str, missing[:5]))}",
            rule="every image to train on or to test on has a class",
            remedy="remove those rows, or save them as a file of their own and give it as a pool "
            "under data.unlabelled",
        )


def as_words(values: np.ndarray) -> list[str]:
    """Values as text: whole numbers without a point, missing ones as ""."""
    flat = values.ravel()
    if flat.dtype.kind == "S":
        return [bytes(value).decode("utf-8", "backslashreplace") for value in flat]
    if flat.dtype.kind == "f":
        return ["" if value != value else f"{value:.15g}" for value in flat.tolist()]
    return [str(value) for value in flat.tolist()]


def single_classes(
    values: np.ndarray, names: Sequence[str] | None, column: str, given: str
) -> list[str]:
    """Class names of the images of one part.

    Args:
        values: [N] or [N, 1], whole numbers or text.
        names: of the classes 0, 1 …; None = their numbers.
        column, given: array and file, for messages.

    Raises:
        InputError: masks, several labels an image, continuous values, or numbers without a name.
    """
    if values.ndim > 2 and min(values.shape[1:3]) > 1:
        raise InputError(
            f"'{column}' in '{given}' has shape {list(values.shape)}: a picture for each image",
            rule="Synthlift answers for classification, one class an image; masks may stand beside "
            "the classes, but segmentation alone is not read",
            remedy="save the class of each image as 'labels'",
        )
    if values.size != values.shape[0]:
        raise InputError(
            f"'{column}' in '{given}' has shape {list(values.shape)}: several labels an image",
            rule="an image has one class; multi-label data are not supported",
            remedy="keep one column; if each row has exactly one 1, save labels.argmax(axis=1)",
        )
    flat = values.ravel()
    if flat.dtype.kind == "f" and not np.array_equal(flat, np.floor(flat)):
        raise InputError(
            f"'{column}' in '{given}' holds numbers with fractions, such as "
            f"{flat[flat != np.floor(flat)][0]:g}",
            rule="a label is one of several classes; regression is not supported",
            remedy="save class numbers, or bin the values",
        )
    if flat.dtype.kind not in "biuf" or names is None:
        return as_words(flat.astype(np.int64) if flat.dtype.kind in "bf" else flat)
    numbers = flat.astype(np.int64)
    if numbers.size and not (numbers.min() >= 0 and numbers.max() < len(names)):
        raise InputError(
            f"'{column}' in '{given}' holds classes {numbers.min()} to {numbers.max()}, and "
            f"'class_names' {len(names)} names",
            rule="class k is called class_names[k], from 0",
            remedy="correct the labels or the names",
        )
    return [names[number] for number in numbers.tolist()]
