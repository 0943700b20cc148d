"""Images that are rows of arrays or tables: how they are called, and what stands beside them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from synthlift.data.contract import UNLABELLED, Item, Where
from synthlift.data.readers.folder import SPLIT_NAMES
from synthlift.data.wording import counted
from synthlift.errors import InputError, nearest_name

WHOLE = "images"
"""What rows outside any part are called by."""


def part_of(name: str) -> str:
    """train, validation or test for what data sets call their parts; "" for anything else."""
    return SPLIT_NAMES.get(name.lower(), "")


def row_items(
    name: str,
    n: int,
    *,
    labels: Sequence[str] | None = None,
    groups: Sequence[str] | None = None,
    attributes: Mapping[str, Sequence[str]] | None = None,
    masked: bool = False,
) -> list[Item]:
    """Items of one part, called ``train/00012``, in row order.

    Space around a word is none of it, as in tables: "P1 " and "P1" are one patient.

    Args:
        name: what the data set calls the part; "" where it has none.
        n: number of rows.
        labels, groups: by row; None = unlabelled, each image alone. A row without a group is a
            group of its own.
        attributes: by name and row.
        masked: whether every row has a mask, at the same place as its image.
    """
    # Names sort as their rows do, so that loading in order reads the file from front to end.
    width = max(5, len(str(n - 1)))
    paths = [f"{path_name(name)}/{row:0{width}d}" for row in range(n)]
    return [
        Item(
            id=path,
            label=labels[row].strip() if labels is not None else UNLABELLED,
            group=(groups[row].strip() if groups is not None else "") or path,
            path=path,
            attributes={key: values[row].strip() for key, values in (attributes or {}).items()},
            part=part_of(name),
            mask=path if masked else "",
        )
        for row, path in enumerate(paths)
    ]


def lone(items: Iterable[Item]) -> int:
    """Images that are groups of their own."""
    return sum(item.group == item.path for item in items)


def lone_notes(alone: int, where: Where) -> list[str]:
    """What to say of images without a value in the column of groups."""
    known = f"{counted(alone, 'image')} without a value in '{where.group}'"
    return [f"{known}: each is taken for a group of its own"] if alone else []


def told(items: Iterable[Item]) -> list[list[Any]]:
    """What is known of items, for a fingerprint: other columns of the same file are other data."""
    return [list(vars(item).values()) for item in items]


def in_order(items: Iterable[Item], where: Where) -> list[Item]:
    """Items sorted by id; one part alone is no split, so that its items are in none.

    Raises:
        InputError: none at all, or all of one class.
    """
    found = sorted(items, key=lambda item: item.id)
    if not found:
        raise InputError(
            f"'{where.source}' holds no image",
            rule="a source holds images of at least two classes",
            remedy="give another one",
        )
    labels = {item.label for item in found}
    if where.labelled and where.metadata is None and len(labels) == 1:
        raise InputError(
            f"'{where.source}' holds one class only: '{labels.pop()}'",
            rule="a classifier needs at least two classes",
            remedy="add the images of another class, or choose another column under data.label",
        )
    if len({item.part for item in found}) == 1:
        return [replace(item, part="") for item in found]
    return found


def row_of(path: str) -> tuple[str, int]:
    """The part's name as in the path, and the row."""
    name, _, row = path.rpartition("/")
    return name, int(row)


def path_name(name: str) -> str:
    """How paths call a part."""
    return part_of(name) or name or WHOLE


def no_column(wanted: str, columns: Iterable[str], *, given: str, key: str) -> InputError:
    """What to say where ``data.<key>`` names something that is not there."""
    known = sorted(columns)
    return InputError(
        f"'{given}' has no column '{wanted}'{nearest_name(wanted, known)}",
        rule=f"'{key}' names one of its columns: {', '.join(known[:20])}",
        remedy="correct the name",
    )
