"""Data sets in the Hugging Face Hub's formats: ``hf:PATH`` or ``hf:OWNER/NAME``.

A local folder – saved by ``save_to_disk``, or of parquet files – needs no further package. A name
is looked up on the Hub by the package ``datasets`` (``pip install 'synthlift[hub]'``) and uses the
network; ``hf:OWNER/NAME?config=NAME&revision=NAME`` chooses one of its configurations and states.
``image=COLUMN`` says which column holds the images where there are several.
"""

from __future__ import annotations

import importlib
import io
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from synthlift.data.contract import Item, Source, Where
from synthlift.data.decode import (
    WHITE_16_BIT,
    Decoded,
    UnusableImageError,
    decode_file,
    decode_stream,
)
from synthlift.data.masks import as_mask
from synthlift.data.readers.hub_columns import Chosen, choose_columns, labels_of, words_of
from synthlift.data.readers.hub_tables import LOCAL_RULE, ArrowTable, Table, open_local
from synthlift.data.readers.listing import encodable
from synthlift.data.readers.numbered import (
    WHOLE,
    in_order,
    lone,
    lone_notes,
    path_name,
    row_items,
    row_of,
    told,
)
from synthlift.errors import InputError, installing, nearest_name
from synthlift.registry import ComponentConfig
from synthlift.spec.provenance import SHARES, column_of
from synthlift.store import digest
from synthlift.types import UInt8

_OPTIONS = ("config", "image", "revision")
_NAME = re.compile(r"(?!\.)[\w.-]+(/[\w.-]+)?")
"""A name on the Hub, which never begins with a dot; what does is a path."""


@dataclass(frozen=True)
class _Opened:
    """The tables by part; ``root`` is where relative image paths start, None = any path is fine."""

    tables: Mapping[str, Table]
    root: Path | None
    fingerprint: str


class HubReader:
    """Opens ``hf:``."""

    def __init__(self, config: ComponentConfig) -> None:
        del config

    def open(self, where: Where) -> Source:
        """See :class:`~synthlift.data.contract.Reader`."""
        name, _, query = where.source.partition(":")[2].partition("?")
        options = _options(where, query)
        path = where.beside(name)
        opened = _open_path(path, where) if path.exists() else _open_name(name, options, where)
        _refuse_twins(opened.tables, where)
        notes: list[str] = []
        items: list[Item] = []
        columns, alone = {}, 0
        for part, table in sorted(opened.tables.items()):
            columns[path_name(part)] = chosen = choose_columns(
                table.columns, where, image=options.get("image")
            )
            found = _items(part, table, chosen, where, notes)
            alone += lone(found) if chosen.group is not None else 0
            items += found
        notes += lone_notes(alone, where)
        return _Hub(where, opened, columns, in_order(items, where), notes)


class _Hub:
    """Images in the cells of tables."""

    def __init__(
        self,
        where: Where,
        opened: _Opened,
        columns: Mapping[str, Chosen],
        items: Sequence[Item],
        notes: Sequence[str],
    ) -> None:
        self.where = where
        self.items = items
        self.notes = notes
        self.ignored: Mapping[str, int] = {}
        self.fingerprint = digest([where.source, opened.fingerprint, told(items)])
        self._root = opened.root
        self._columns = columns
        self._tables = {path_name(part): table for part, table in opened.tables.items()}

    def load(self, path: str, *, max_pixels: int, white: int = WHITE_16_BIT) -> Decoded:
        name, row = row_of(path)
        image = self._columns[name].image
        return self._decode(name, row, image, max_pixels=max_pixels, white=white)

    def file(self, path: str) -> Path | None:
        del path
        return None

    def load_mask(self, mask: str) -> UInt8:
        name, row = row_of(mask)
        column = self._columns[name].mask
        assert column is not None
        return as_mask(partial(self._decode, name, row, column))

    def _decode(
        self, name: str, row: int, column: str, *, max_pixels: int, white: int, mask: bool = False
    ) -> Decoded:
        cell = self._tables[name].cell(column, row)
        found = cell if isinstance(cell, dict) else {"bytes": cell}
        data, path = found.get("bytes"), found.get("path") or ""
        if data is not None:
            stream = io.BytesIO(data)
            return decode_stream(stream, name=path, max_pixels=max_pixels, white=white, mask=mask)
        if not path:
            raise UnusableImageError("unreadable", "a row without a picture")
        return decode_file(self._within(path), max_pixels=max_pixels, white=white, mask=mask)

    def _within(self, path: str) -> Path:
        """A path that a table names; tables from elsewhere must not reach outside their folder."""
        if self._root is None:
            return Path(path)
        found = (self._root / path).resolve()
        if not found.is_relative_to(self._root):
            raise UnusableImageError("unreadable", "a path that leads out of the data set's folder")
        return found


def _refuse_twins(parts: Iterable[str], where: Where) -> None:
    """Refuse two parts that mean the same: rows are called by what a part means."""
    known: dict[str, str] = {}
    for part in sorted(parts):
        other = known.setdefault(path_name(part), part)
        if other != part:
            raise InputError(
                f"'{where.source}' has two parts that mean the same: '{other or WHOLE}' and "
                f"'{part}'",
                rule="val, valid, validation and dev are one part, train and training one, test "
                "and testing one; what belongs to none is called 'images'",
                remedy="rename one of them, or keep it elsewhere",
            )


def _items(part: str, table: Table, chosen: Chosen, where: Where, notes: list[str]) -> list[Item]:
    """The items of one part; none where it hides its labels, as test sets of contests do."""
    labels = None
    if where.labelled and chosen.label is not None:
        column = table.columns[chosen.label]
        labels = labels_of(table.values(chosen.label), column, name=chosen.label, where=where)
        if labels is None:
            notes.append(f"part '{part or 'all'}' left out: none of its images has a label")
            return []
    told = (SHARES,) if where.shares and SHARES in table.columns else ()
    return row_items(
        part,
        table.rows,
        labels=labels,
        groups=None if chosen.group is None else words_of(table, chosen.group),
        attributes={
            **{n: words_of(table, column_of(n, table.columns)) for n in chosen.attributes},
            **{name: words_of(table, name) for name in told},
        },
        masked=chosen.mask is not None,
    )


def _options(where: Where, query: str) -> dict[str, str]:
    options = dict(parse_qsl(query))
    for key in options:
        if key not in _OPTIONS:
            raise InputError(
                f"'{where.source}' asks for '{key}'{nearest_name(key, _OPTIONS)}",
                rule=f"after the question mark may stand: {', '.join(_OPTIONS)}",
                remedy="correct or leave out that part",
            )
    return options


def _open_path(path: Path, where: Where) -> _Opened:
    tables, files = open_local(path, where.source)
    root = (path if path.is_dir() else path.parent).resolve()
    stats = [(file, file.stat()) for file in files]
    facts = [
        [encodable(str(file.resolve())), found.st_size, found.st_mtime_ns, found.st_ctime_ns]
        for file, found in stats
    ]
    return _Opened(tables, root, digest(sorted(facts)))


def _open_name(name: str, options: Mapping[str, str], where: Where) -> _Opened:
    """A data set of the Hub, downloaded into the cache of ``datasets`` and mapped from there."""
    if not _NAME.fullmatch(name):
        raise InputError(
            f"there is no file or folder '{name}'",
            rule=LOCAL_RULE + "; or hf:OWNER/NAME is a data set of the Hub",
            remedy=f"check the spelling; it was looked for at {where.beside(name)}",
        )
    load: Callable[..., Any]
    try:
        load = importlib.import_module("datasets").load_dataset
    except ImportError:
        raise InputError(
            f"there is no folder '{name}', and the package 'datasets', which would look it up on "
            "the Hub, is not installed",
            rule="data sets of the Hub are read by 'datasets', which is optional; local folders "
            "need no further package",
            remedy=f"{installing('hub')}; or correct the path, which was looked for at "
            f"{where.beside(name)}",
        ) from None
    try:
        found = load(name, options.get("config"), revision=options.get("revision"))
    except Exception as error:  # Networks and remote repositories fail in any way.
        raise InputError(
            f"'{where.source}' cannot be read from the Hub: {str(error)[:300]}",
            rule="hf:OWNER/NAME is a data set of the Hub that this machine can reach, and there is "
            f"no folder at {where.beside(name)}",
            remedy="check the name and the network, or download the data set and give its folder",
        ) from error
    tables = {part: ArrowTable(rows.with_format("arrow")[:]) for part, rows in found.items()}
    states = {part: rows._fingerprint for part, rows in found.items()}
    return _Opened(tables, None, digest(states))
