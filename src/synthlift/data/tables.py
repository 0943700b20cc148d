"""Tables that users bring: CSV and its kin, parquet and .xlsx, as columns of text.

Text stays as it is written, so that a class may be called "007" or "NA". Numbers of parquet and
.xlsx get one form: 3.0 → "3", 0.1 → "0.1".
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from synthlift.data.decode import EXTENSIONS
from synthlift.data.delimited import has_decimal_comma, has_thousands, read_delimited
from synthlift.data.endings import EXCEL, PARQUET, TABLES, TEXT
from synthlift.data.readers.listing import no_permission
from synthlift.data.wording import counted, listed, nearest_column
from synthlift.errors import InputError, nearest_name
from synthlift.store.keys import digest_bytes

_ERRORS = frozenset(
    {"#N/A", "#REF!", "#VALUE!", "#DIV/0!", "#NAME?", "#NUM!", "#NULL!"}  # a formula without value
)
_IMAGES = tuple(EXTENSIONS)
_RULE = "a table is CSV, TSV or other delimited text, parquet or .xlsx"


@dataclass(frozen=True)
class Table:
    """A table as text.

    Attributes:
        name: what the user called it.
        folder: where it lies, absolute.
        columns: name → values in the order of the rows; "" where one is missing.
        rows: number of each row as an editor or a spreadsheet shows it.
        sha256: of the file.
        notes: how it was read, in words.
        decimal_comma: columns of numbers that are written "1,5".
        thousands: columns of numbers that are written "1,234" for 1234.
    """

    name: str
    folder: Path
    columns: Mapping[str, Sequence[str]]
    rows: Sequence[int]
    sha256: str
    notes: tuple[str, ...] = ()
    decimal_comma: frozenset[str] = frozenset()
    thousands: frozenset[str] = frozenset()

    def column(self, wanted: str, *, key: str) -> Sequence[str]:
        """The values of a column that the study file names under ``key``.

        Raises:
            InputError: there is none; the nearest name is given.
        """
        if wanted not in self.columns:
            raise no_column(wanted, self.columns, given=self.name, key=key)
        return self.columns[wanted]

    def with_points(self, name: str) -> Sequence[str]:
        """The values of a column with decimal points, and without commas between thousands."""
        values = self.columns[name]
        for instead, names in ((".", self.decimal_comma), ("", self.thousands)):
            if name in names:
                return [value.replace(",", instead) for value in values]
        return values


@dataclass(frozen=True)
class _Cells:
    """A table before its columns have been checked; ``rows`` as in :class:`Table`."""

    header: list[str]
    columns: list[list[str]]
    rows: list[int]
    how: str
    delimiter: str = ""


def no_column(
    wanted: str, columns: Mapping[str, object] | Sequence[str], *, given: str, key: str
) -> InputError:
    """What to say of a column that is not there."""
    return InputError(
        f"'{given}' has no column '{wanted}'{nearest_column(wanted, columns)}",
        rule=f"'{key}' names a column of the table; it has: {', '.join(list(columns)[:20])}",
        remedy=f"correct data.{key}, or the table's first row",
    )


def read_table(path: Path, *, given: str) -> Table:
    """Read a table.

    Args:
        path: the file; what it is is told by its ending.
        given: what the user called it.

    Raises:
        InputError: no such file, of another kind, damaged, without rows, or with columns of equal
            names.
    """
    suffix = path.suffix.lower()
    content = _content(path, given)
    if suffix in PARQUET:
        cells = _parquet(content, given)
    elif suffix in EXCEL:
        cells = _excel(content, given)
    elif suffix in TEXT:
        cells = _text(content, given)
    else:
        raise _other_kind(given, suffix, content)
    columns, notes = _columns(cells, given)
    if not cells.rows:
        raise InputError(
            f"the table '{given}' has no row below its column names",
            rule="a table has a row of column names and a row for each image",
            remedy="check the file",
        )
    text = columns if suffix in TEXT else {}
    commas, thousands = (
        [name for name, values in text.items() if holds(values, delimiter=cells.delimiter)]
        for holds in (has_decimal_comma, has_thousands)
    )
    said = f", decimal comma in {listed(commas)}" if commas else ""
    said += f", commas between thousands in {listed(thousands)}" if thousands else ""
    return Table(
        name=given,
        folder=path.absolute().parent,
        columns=columns,
        rows=cells.rows,
        sha256=digest_bytes(content),
        notes=(f"'{given}' read as {cells.how}{said}", *notes),
        decimal_comma=frozenset(commas),
        thousands=frozenset(thousands),
    )


def _content(path: Path, given: str) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        beside = path.parent.iterdir() if path.parent.is_dir() else ()
        names = [other.name for other in beside if other.suffix.lower() in TABLES]
        raise InputError(
            f"there is no table '{given}'{nearest_name(path.name, sorted(names))}",
            rule=_RULE + ", at a path relative to the study file",
            remedy=f"check the spelling; it was looked for at {path.absolute()}",
        ) from None
    except IsADirectoryError:
        raise InputError(
            f"'{given}' is a folder, not a table", rule=_RULE, remedy="name the file in it"
        ) from None
    except PermissionError:
        raise no_permission(given) from None


def _columns(cells: _Cells, given: str) -> tuple[dict[str, list[str]], list[str]]:
    """Columns by name, without those that have none; and notes."""
    if data := [n for n in cells.header if n.lower().endswith(_IMAGES)]:
        raise InputError(
            f"the first row of '{given}' holds the image '{data[0]}'",
            rule="the first row of a table holds the names of its columns",
            remedy="add a first row such as: path,label",
        )
    if twice := [name for name, n in Counter(cells.header).items() if n > 1 and name]:
        raise InputError(
            f"'{given}' has several columns called {listed(twice)}",
            rule="columns have different names",
            remedy="rename them",
        )
    found = list(zip(cells.header, cells.columns, strict=True))
    # pandas writes its row numbers as a column without a name.
    unnamed = sum(not name and any(values) for name, values in found)
    notes = [f"{counted(unnamed, 'column')} without a name left out"] if unnamed else []
    return {name: values for name, values in found if name}, notes


def _text(content: bytes, given: str) -> _Cells:
    found = read_delimited(content, given=given)
    columns = [[row[k] for row in found.cells] for k in range(len(found.header))]
    return _Cells(found.header, columns, found.lines, found.how, found.delimiter)


# ── parquet ───────────────────────────────────────────────────────────────────────────────────


def _parquet(content: bytes, given: str) -> _Cells:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.ParquetFile(BytesIO(content)).read()
    except (pa.ArrowException, OSError) as error:
        raise _damaged(given, "parquet", error) from None
    kept = [k for k, kind in enumerate(table.schema.types) if not _no_text(pa, kind)]
    out = [name for k, name in enumerate(table.column_names) if k not in kept]
    left = f", without {listed(out)} (bytes or nested values)" if out else ""
    return _Cells(
        [table.column_names[k].strip() for k in kept],
        [_texts(pa, table.column(k)) for k in kept],
        list(range(1, table.num_rows + 1)),
        f"parquet{left}",
    )


def _no_text(pa: Any, kind: Any) -> bool:
    types = pa.types
    nested = types.is_nested(kind) and not (types.is_list(kind) or types.is_large_list(kind))
    return bool(nested or types.is_binary(kind) or types.is_large_binary(kind))


def _texts(pa: Any, column: Any) -> list[str]:
    values = column.to_pylist()
    if pa.types.is_float32(column.type):
        # A float of 32 bits has a short text of its own: 0.1, not 0.10000000149011612.
        values = [None if value is None else float(str(np.float32(value))) for value in values]
    return [as_text(value) for value in values]


# ── .xlsx ─────────────────────────────────────────────────────────────────────────────────────


def _excel(content: bytes, given: str) -> _Cells:
    try:
        from openpyxl import load_workbook
    except ImportError:
        raise InputError(
            f"'{given}' is an .xlsx file, and openpyxl, which reads them, is not installed",
            rule="reading .xlsx needs the package openpyxl",
            remedy="pip install openpyxl, or save the sheet as CSV (UTF-8)",
        ) from None
    try:
        book = load_workbook(BytesIO(content), read_only=True, data_only=True)
        sheets = [sheet for sheet in book.worksheets if sheet.sheet_state == "visible"]
        sheet = sheets[0]
        sheet.reset_dimensions()  # Other programs state wrong ones.
        raw = [
            ["" if cell in _ERRORS else as_text(cell) for cell in row]
            for row in sheet.iter_rows(values_only=True)
        ]
    except Exception as error:  # Damaged archives are answered with almost any exception.
        raise _damaged(given, ".xlsx", error) from None
    rows = [(k, row) for k, row in enumerate(raw, start=1) if any(row)]
    width = max((len(row) for _, row in rows), default=0)
    filled = [row + [""] * (width - len(row)) for _, row in rows]
    others = f" (of {len(sheets)})" if len(sheets) > 1 else ""
    return _Cells(
        filled[0] if filled else [],
        [[row[k] for row in filled[1:]] for k in range(width)],
        [k for k, _ in rows[1:]],
        f".xlsx, sheet '{sheet.title}'{others}",
    )


# ── values ────────────────────────────────────────────────────────────────────────────────────


def as_text(value: Any) -> str:
    """One text for a value, whatever type a file gives it: 3.0 → "3", midnight → the date.

    Missing values and not-a-number give "".
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, bool | int):
        return str(value)
    if isinstance(value, Decimal):
        text = f"{value:f}"
        return text.rstrip("0").rstrip(".") if "." in text else text
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    if isinstance(value, datetime) and value.time() == time():
        return value.date().isoformat()
    if isinstance(value, date | time):
        return value.isoformat()
    return json.dumps(value, ensure_ascii=False, default=str)


# ── refusals ──────────────────────────────────────────────────────────────────────────────────


def _damaged(given: str, kind: str, error: Exception) -> InputError:
    return InputError(
        f"'{given}' cannot be read as {kind}: {str(error)[:200]}",
        rule=f"{_RULE}, with the ending of what it is",
        remedy="save or download it again, or save it as CSV (UTF-8)",
    )


def _other_kind(given: str, suffix: str, content: bytes) -> InputError:
    if suffix == ".json" and b'"annotations"' in content and b'"images"' in content:
        return InputError(
            f"'{given}' is a COCO file: objects in images, with boxes or outlines",
            rule="Synthlift answers for classification, one class an image; it does not read "
            "detection or segmentation data",
            remedy="make a table with a row for each image and the columns path and label, such "
            "as crops of the objects with their classes",
        )
    return InputError(
        f"'{given}' has the ending '{suffix}', which is no table that can be read",
        rule=_RULE,
        remedy="save it as .csv (UTF-8), .parquet or .xlsx",
    )
