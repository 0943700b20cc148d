"""Data sets that may be studied, and the tables beside them."""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from flask import request

from synthlift.data.delimited import DELIMITERS
from synthlift.data.tables import read_table
from synthlift.errors import InputError
from synthlift.web.context import context
from synthlift.web.datasets import DataSet
from synthlift.web.jobs.leavings import UNFINISHED
from synthlift.web.operations import Operation
from synthlift.web.questions import Choices
from synthlift.web.study_schemas import (
    ColumnFacts,
    DataFacts,
    DataList,
    InspectRequest,
    TableFacts,
    TableList,
)

MOST_TABLE_BYTES, MOST_TABLES_BYTES = 16 * 1024**2, 32 * 1024**2
"""Of a table that is read for its columns, and of all of a data set."""
MOST_ROWS, MOST_COLUMNS, MOST_CELLS = 250_000, 2000, 2_000_000
"""Of such a table: 16 MiB of rows of one letter would take gibibytes as objects, and minutes."""
_READING = threading.Lock()
"""One table is read at a time: as objects it takes many times its size."""
MOST_VALUES, EXAMPLES = 30, 4
"""Values of a column that may divide pictures into groups, and those that are shown."""


def _data_facts(one: DataSet) -> DataFacts:
    return DataFacts(
        id=one.id, name=one.name, kind=one.kind, until=one.until, tables=list(one.tables)
    )


def list_data() -> DataList:
    """Data sets that may be studied."""
    return DataList(data=[_data_facts(one) for one in context().data.all()])


def upload_data() -> DataFacts:
    """Unpack a zip."""
    given = request.files.get("archive")
    if given is None:
        raise InputError("no file", rule="a zip is sent as 'archive'", remedy="choose one")
    return _data_facts(context().data.take_in(given.stream, called=given.filename or ""))


def delete_data(data: str) -> DataList:
    """Delete an upload."""
    here = context()
    if any(job.data == data and job.state in UNFINISHED for job in here.jobs.all()):
        raise InputError(
            "a study is reading this upload",
            rule="what a running study needs is kept",
            remedy="cancel the study first",
        )
    here.delete_upload(data)
    return list_data()


def list_tables(data: str) -> TableList:
    """Tables of a data set."""
    found, left = [], MOST_TABLES_BYTES
    for name, path in context().data.get(data).tables.items():
        facts = path.stat()
        most = min(MOST_TABLE_BYTES, left)
        if facts.st_size > most:
            limit = MOST_TABLE_BYTES if facts.st_size > MOST_TABLE_BYTES else MOST_TABLES_BYTES
            which = "it is" if limit == MOST_TABLE_BYTES else "with those before it, it is"
            found.append(_unread(name, f"{which} larger than {limit // 1024**2} MiB"))
            continue
        left -= facts.st_size
        with _READING:
            found.append(_table_facts(name, path, facts.st_mtime_ns, facts.st_size))
    return TableList(tables=found)


def _unread(name: str, problem: str) -> TableFacts:
    return TableFacts(name=name, rows=0, columns=[], notes=[], problem=problem)


@lru_cache(maxsize=64)
def _table_facts(name: str, path: Path, _changed: int, _size: int) -> TableFacts:
    """What a table holds; it is read again when the file has changed."""
    try:
        if problem := _too_many(path.read_bytes()):
            return _unread(name, problem)
        table = read_table(path, given=name)
    except InputError as error:
        return _unread(name, f"{error.given}; {error.rule}")
    return TableFacts(
        name=name,
        rows=len(table.rows),
        columns=[_column_facts(title, values) for title, values in table.columns.items()],
        notes=list(table.notes),
        problem="",
    )


def _too_many(content: bytes) -> str:
    """What of a table is more than is read here, told by its bytes alone; "" if nothing."""
    rows = max(content.count(b"\n"), content.count(b"\r"))
    counts = (
        (rows, MOST_ROWS, "rows"),
        (_marks(re.split(rb"[\r\n]", content, maxsplit=1)[0]), MOST_COLUMNS, "columns"),
        (rows + _marks(content), MOST_CELLS, "cells"),
    )
    return next((f"it has more than {m:,} {what}" for n, m, what in counts if n > m), "")


def _marks(content: bytes) -> int:
    return sum(content.count(mark.encode()) for mark in DELIMITERS)


def _column_facts(name: str, values: Sequence[str]) -> ColumnFacts:
    counts = Counter(value for value in values if value)
    known = sum(counts.values())
    return ColumnFacts(
        name=name,
        values=len(counts),
        missing=len(values) - known,
        examples=[value[:40] for value, _ in counts.most_common(EXAMPLES)],
        # A patient has a few pictures; what has a value of its own for each ties nothing together.
        may_group=MOST_VALUES // 6 < len(counts) < known,
        may_divide=2 <= len(counts) <= min(MOST_VALUES, max(2, known // 2)),
    )


def choices_of(body: InspectRequest) -> Choices:
    """What was chosen of a table, checked against what is there.

    Raises:
        InputError: the data set has no such table, or columns are named without one.
    """
    tables = context().data.get(body.data).tables
    if body.table and body.table not in tables:
        raise InputError(
            "the data set has no such table",
            rule="its tables are: " + (", ".join(tables) or "none"),
            remedy="choose one of them",
        )
    if (body.group or body.attributes) and not body.table:
        raise InputError(
            "columns were chosen, but no table",
            rule="groups and attributes are columns of a table beside the pictures",
            remedy="choose the table, too",
        )
    return Choices(
        table=tables[body.table] if body.table else None,
        group=body.group,
        attributes=tuple(body.attributes),
    )


OPERATIONS = [
    Operation("GET", "/data", list_data, "List data sets that may be studied.", answer=DataList),
    Operation(
        "POST",
        "/data",
        upload_data,
        "Upload a zip with one folder a class, and a table beside them.",
        form={"archive": {"type": "string", "format": "binary"}},
        answer=DataFacts,
        status=201,
        costly=True,
    ),
    Operation("DELETE", "/data/<data>", delete_data, "Delete an upload.", answer=DataList),
    Operation(
        "GET",
        "/data/<data>/tables",
        list_tables,
        "List the tables beside the pictures of a data set, with their columns.",
        answer=TableList,
        costly=True,
    ),
]
