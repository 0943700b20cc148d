"""A table of paths: CSV and its kin, parquet or .xlsx, a row for each image.

A parquet file may hold the pictures themselves; then it is read as ``hf:`` reads it.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from synthlift.data.columns import (
    MASK_NAMES,
    PATH_NAMES,
    Facts,
    Roles,
    columns_called,
    facts_of,
    no_label,
    refuse_boxes,
    roles_of,
)
from synthlift.data.contract import UNLABELLED, Item, Source, Where
from synthlift.data.decode import WHITE_16_BIT, Decoded, decode_file
from synthlift.data.endings import PARQUET
from synthlift.data.masks import read_mask
from synthlift.data.placing import Placed, place, present
from synthlift.data.readers.hub import HubReader
from synthlift.data.readers.hub_tables import holds_pictures
from synthlift.data.readers.listing import encodable
from synthlift.data.tables import Table, read_table
from synthlift.data.wording import counted, listed
from synthlift.errors import InputError
from synthlift.registry import ComponentConfig
from synthlift.spec.provenance import column_of
from synthlift.store import digest
from synthlift.types import UInt8

_TRIED = 20


class TableReader:
    """Opens a table of paths."""

    def __init__(self, config: ComponentConfig) -> None:
        self._config = config

    def open(self, where: Where) -> Source:
        """See :class:`~synthlift.data.contract.Reader`."""
        if where.path.suffix.lower() in PARQUET and holds_pictures(where.path):
            return HubReader(self._config).open(replace(where, source=f"hf:{where.source}"))
        table = read_table(where.path, given=where.source)
        refuse_boxes(table, where)
        roles = roles_of(table, where, known=_left_to_metadata(where))
        if where.labelled and roles.label is None and where.metadata is None:
            raise no_label(table)
        images = place(table, _path_column(table, where))
        masks = place(table, roles.mask, masks=True) if roles.mask is not None else None
        facts = facts_of(table, roles)
        _refuse_repeats(table, images.paths, facts)
        if where.labelled and roles.label is not None:
            _refuse_empty(table, roles.label, images.paths)
        return _Table(where, table, roles, images, masks, facts)


class _Table:
    """The images that a table names."""

    def __init__(
        self,
        where: Where,
        table: Table,
        roles: Roles,
        images: Placed,
        masks: Placed | None,
        facts: Sequence[Facts],
    ) -> None:
        self._root = table.folder
        self.where = where
        self.ignored: Mapping[str, int] = {}
        self.notes: Sequence[str] = (*table.notes, *roles.notes, *_notes(table, roles, images))
        masked = masks.paths if masks else [""] * len(facts)
        items = [
            _item(path, fact, mask, labelled=where.labelled)
            for path, fact, mask in zip(images.paths, facts, masked, strict=True)
        ]
        self.items: Sequence[Item] = sorted(items, key=lambda item: item.id)
        # The items take part: other columns of the same table are other data.
        self.fingerprint = digest(
            [
                encodable(str(self._root.resolve())),
                table.sha256,
                images.files,
                masks.files if masks else [],
                [list(vars(item).values()) for item in self.items],
            ]
        )

    def load(self, path: str, *, max_pixels: int, white: int = WHITE_16_BIT) -> Decoded:
        # Strings, since a Path costs more than decoding a small picture.
        file = os.path.join(self._root, path)  # noqa: PTH118
        return decode_file(file, max_pixels=max_pixels, white=white)

    def file(self, path: str) -> Path | None:
        return self._root / path

    def load_mask(self, mask: str) -> UInt8:
        return read_mask(self._root / mask)


def _item(path: str, fact: Facts, mask: str, *, labelled: bool) -> Item:
    return Item(
        id=path,
        label=fact.label if labelled else UNLABELLED,
        group=fact.group or path,
        path=path,
        attributes=fact.attributes,
        part=fact.part,
        mask=mask,
    )


def _notes(table: Table, roles: Roles, images: Placed) -> list[str]:
    notes = []
    if images.below:
        notes.append(f"the images lie in '{images.below}/', beside '{table.name}'")
    if roles.group is not None:
        alone = sum(not value for value in table.columns[roles.group])
        if alone:
            notes.append(
                f"{counted(alone, 'image')} without a value in '{roles.group}': each is taken for "
                "a group of its own"
            )
    return notes


def _left_to_metadata(where: Where) -> frozenset[str]:
    """What a second table may provide, so that this one need not."""
    return frozenset({"label", "group", *where.attributes} if where.metadata is not None else ())


def _path_column(table: Table, where: Where) -> str:
    """The column of paths: by its name, else the one whose values exist as files.

    Raises:
        InputError: none, or more than one without a telling name.
    """
    attributes = (column_of(name, table.columns) for name in where.attributes)
    used = {where.label, where.group, where.masks, *attributes}
    named = [name for name in columns_called(table, PATH_NAMES) if name not in used]
    for name in named:
        if present(table, name, at_most=_TRIED):
            return name
    used |= {*named, *columns_called(table, MASK_NAMES)}
    others = [name for name in table.columns if name not in used]
    found = [name for name in others if present(table, name, at_most=_TRIED)]
    if len(found) == 1:
        return found[0]
    if named:
        return named[0]
    if found:
        raise InputError(
            f"several columns of '{table.name}' hold paths of files: {listed(found)}",
            rule=f"the column of the images is called {', '.join(PATH_NAMES[:6])} or the like",
            remedy="call it 'path' in the table's first row",
        )
    raise InputError(
        f"no column of '{table.name}' holds paths of images: it has "
        f"{', '.join(list(table.columns)[:20])}",
        rule=f"the column of the images is called {', '.join(PATH_NAMES[:6])} or the like, and "
        f"its paths are relative to {table.folder}",
        remedy="rename the column; or, if the table only tells of images in a folder, give the "
        "folder as the source and the table as its metadata (`--metadata`)",
    )


def _refuse_repeats(table: Table, paths: Sequence[str], facts: Sequence[Facts]) -> None:
    """Refuse rows without a path, and images with more than one row."""
    if empty := [row for row, path in zip(table.rows, paths, strict=True) if not path]:
        raise InputError(
            f"{counted(len(empty), 'row')} of '{table.name}' without a path: "
            f"{listed([f'row {row}' for row in empty], quoted=False)}",
            rule="every row names an image",
            remedy="fill in the paths, or take these rows out",
        )
    rows: dict[str, list[int]] = defaultdict(list)
    for k, path in enumerate(paths):
        rows[path].append(k)
    twice = {path: found for path, found in sorted(rows.items()) if len(found) > 1}
    if not twice:
        return
    shown = [
        f"'{path}' (rows {', '.join(str(table.rows[k]) for k in found[:3])})"
        for path, found in twice.items()
    ]
    several = sum(len({facts[k].label for k in found}) > 1 for found in twice.values())
    given = f"{counted(len(twice), 'image')} with more than one row in '{table.name}': " + listed(
        shown, quoted=False
    )
    if several:
        raise InputError(
            f"{given}; {several:,} of them under different classes",
            rule="an image has one row and one class; data with several classes an image "
            "(multi-label) or several objects an image (detection) are not read",
            remedy="keep one class for each image, or take the image out",
        )
    raise InputError(given, rule="an image has one row", remedy="take the repeated rows out")


def _refuse_empty(table: Table, label: str, paths: Sequence[str]) -> None:
    empty = [path for path, value in zip(paths, table.columns[label], strict=True) if not value]
    if empty:
        raise InputError(
            f"{counted(len(empty), 'image')} of '{table.name}' without a class in column "
            f"'{label}': {listed(empty)}",
            rule="every image has a class",
            remedy="fill in the classes, take these rows out, or put them into a table of their "
            "own and list it under data.unlabelled",
        )
