"""Which columns of a table hold the image, its class, its group and further facts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from synthlift.data.contract import Where
from synthlift.data.readers.hub_tables import IMAGE_NAMES, Column, Table
from synthlift.data.readers.numbered import no_column
from synthlift.errors import InputError

_LABELS = ("label", "labels", "class", "target", "y")
_SINGLE = ("class", "whole", "text")


@dataclass(frozen=True)
class Chosen:
    """Names of columns; None where there is none, or where a table beside the data has it."""

    image: str
    label: str | None
    group: str | None
    attributes: tuple[str, ...]
    mask: str | None


def choose_columns(columns: Mapping[str, Column], where: Where, *, image: str | None) -> Chosen:
    """Find the columns by what was asked for, else by what they hold and are called.

    Args:
        columns: of one part.
        where: ``label``, ``group``, ``attributes`` and ``masks`` name columns.
        image: the column of the images, where it was named.

    Raises:
        InputError: a column is missing, or several fit.
    """

    def named(name: str, key: str) -> str | None:
        if name in columns:
            return name
        if where.metadata is not None:  # The table beside the data may hold it.
            return None
        raise no_column(name, columns, given=where.source, key=key)

    mask = where.masks if where.masks in columns else None
    attributes = [named(name, "attributes") for name in where.attributes]
    return Chosen(
        image=_image(columns, where, image, besides=mask),
        label=_label(columns, where) if where.labelled else None,
        group=named(where.group, "group") if where.group else None,
        attributes=tuple(name for name in attributes if name is not None),
        mask=mask,
    )


def labels_of(
    values: Sequence[Any], column: Column, *, name: str, where: Where
) -> list[str] | None:
    """Class names row by row; None where no row has one (-1, missing or empty).

    Raises:
        InputError: some rows have none.
    """
    labels = [_class_name(value, column) for value in values]
    missing = [row for row, label in enumerate(labels) if not label.strip()]
    if labels and len(missing) == len(labels):
        return None
    if missing:
        raise InputError(
            f"{len(missing):,} rows of '{where.source}' have no '{name}', such as "
            f"{', '.join(map(str, missing[:5]))}",
            rule="every image to train on or to test on has a class",
            remedy="remove those rows, or give them as a pool under data.unlabelled",
        )
    return labels


def words_of(table: Table, name: str) -> list[str]:
    """A column as text; "" where a value is missing."""
    column = table.columns[name]
    return [_word(value, column) for value in table.values(name)]


def _image(
    columns: Mapping[str, Column], where: Where, image: str | None, *, besides: str | None
) -> str:
    found = [name for name, column in columns.items() if column.kind == "image" and name != besides]
    if image is not None:
        if image not in columns:
            raise no_column(image, columns, given=where.source, key="image")
        if columns[image].kind == "image":
            return image
    elif len(found) == 1:
        return found[0]
    else:
        for name in IMAGE_NAMES:
            if name in found:
                return name
    what = f"several columns of images: {', '.join(found)}" if found else "no column of images"
    raise InputError(
        f"'{where.source}' has {what}; its columns are: {', '.join(columns)}",
        rule="one column holds encoded images, as binary or as {bytes, path}",
        remedy="name it: hf:…?image=COLUMN" if found else "give a data set of images",
    )


def _label(columns: Mapping[str, Column], where: Where) -> str | None:
    if where.label is not None and where.label not in columns and where.metadata is None:
        raise no_column(where.label, columns, given=where.source, key="label")
    usual = next((name for name in _LABELS if name in columns), None)
    stated = [name for name, column in columns.items() if column.kind == "class"]
    if where.label in columns:
        found = where.label
    elif usual is not None:
        found = usual
    elif len(stated) == 1:
        found = stated[0]
    elif where.metadata is not None:
        return None
    else:
        raise InputError(
            f"'{where.source}' has {'several columns' if stated else 'no column'} of classes; its "
            f"columns are: {', '.join(columns)}",
            rule="each image has one class, in a column called label or of the type ClassLabel; "
            "detection, captions and other tasks are not supported",
            remedy=f"name the column under data.label, such as {', '.join(stated or columns)}",
        )
    assert found is not None
    if columns[found].kind not in _SINGLE:
        tasks = {
            "several": "lists, which is multi-label or detection data",
            "fraction": "numbers with fractions, which is regression",
            "image": "images, which is segmentation",
        }
        raise InputError(
            f"the column '{found}' of '{where.source}' holds "
            f"{tasks.get(columns[found].kind, 'no single values')}",
            rule="a label is one class for each image; other tasks are not supported",
            remedy="name another column under data.label",
        )
    return found


def _class_name(value: Any, column: Column) -> str:
    if value is None or (column.kind == "class" and value < 0):
        return ""
    return _word(value, column)


def _word(value: Any, column: Column) -> str:
    if value is None or value != value:
        return ""
    if column.kind == "class" and 0 <= value < len(column.classes):
        return column.classes[int(value)]
    return f"{value:.15g}" if isinstance(value, float) else str(value)
