"""Text tables: which encoding, delimiter and decimal mark they are written with."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import TypedDict

from synthlift.data.wording import listed
from synthlift.errors import InputError
from synthlift.spec.values import is_missing


class _Form(TypedDict):
    strict: bool
    skipinitialspace: bool


DELIMITERS = {
    ",": "comma-separated",
    ";": "semicolon-separated",
    "\t": "tab-separated",
    "|": "bar-separated",
}
_SAMPLE = 200
_FORM: _Form = {"strict": True, "skipinitialspace": True}
_ALONE = "\x1f"  # a delimiter that no text holds, for tables of one column
_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig", "UTF-8 with BOM"),
    (codecs.BOM_UTF32_LE, "utf-32", "UTF-32 with BOM"),  # begins as UTF-16's does: tried first
    (codecs.BOM_UTF32_BE, "utf-32", "UTF-32 with BOM"),
    (codecs.BOM_UTF16_LE, "utf-16", "UTF-16 with BOM"),
    (codecs.BOM_UTF16_BE, "utf-16", "UTF-16 with BOM"),
)
_FALLBACKS = (("utf-8", "UTF-8"), ("cp1252", "cp1252"), ("latin-1", "latin-1"))
_WITH_COMMA = re.compile(r"[+-]?\d+,\d+")
_WHOLE = re.compile(r"[+-]?\d+")
_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?")
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(,\d{3})+(\.\d+)?")


@dataclass(frozen=True)
class Delimited:
    """What a text table holds.

    Attributes:
        header: cells of the first row.
        cells: the other rows that are not empty, each as long as the header.
        lines: line of the file that each of them ends on, from 1.
        delimiter: the character between the cells; "" for a table of one column.
        how: in words: "semicolon-separated, encoding cp1252".
    """

    header: list[str]
    cells: list[list[str]]
    lines: list[int]
    delimiter: str
    how: str


def read_delimited(content: bytes, *, given: str) -> Delimited:
    """Read a text table whose encoding and delimiter are not known.

    Args:
        content: the file.
        given: what the user called it.

    Raises:
        InputError: no text, no header, a quote that is not closed, rows of other lengths.
    """
    text, encoding = decode_text(content, given=given)
    first, _, below = text.partition("\n")
    # Excel's own mark for the delimiter, a line above the header.
    if marked := re.fullmatch(r'"?sep=(.)"?\r?', first):
        text, delimiter, above = below, marked[1], 1
    else:
        delimiter, above = find_delimiter(text), 0
    rows = []
    reader = csv.reader(_lines(text), delimiter=delimiter or _ALONE, **_FORM)
    try:
        for row in reader:
            stripped = [cell.strip() for cell in row]
            if any(stripped):
                rows.append((reader.line_num + above, stripped))
    except csv.Error as error:
        raise _damaged(given, reader.line_num + above, error) from None
    if not rows:
        raise InputError(
            f"the table '{given}' is empty",
            rule="a table has a row of column names and a row for each image",
            remedy="check the file",
        )
    header = rows[0][1]
    body = [(line, _fitted(cells, len(header))) for line, cells in rows[1:]]
    if ragged := [(line, cells) for line, cells in body if len(cells) != len(header)]:
        raise _ragged(given, ragged, len(header), delimiter)
    words = DELIMITERS.get(delimiter, f"separated by '{delimiter}'") if delimiter else "one column"
    return Delimited(
        header,
        [cells for _, cells in body],
        [line for line, _ in body],
        delimiter,
        f"{words}, encoding {encoding}",
    )


def decode_text(content: bytes, *, given: str) -> tuple[str, str]:
    """The text and the name of its encoding: by its BOM, else UTF-8, UTF-16, cp1252 or latin-1.

    Raises:
        InputError: no text.
    """
    text, name = _decoded(content)
    if "\0" in text:
        raise InputError(
            f"'{given}' is no text table: it holds bytes that no text has",
            rule="a table is CSV, TSV or other delimited text, parquet or .xlsx, with the ending "
            "of what it is",
            remedy="give its file the right ending, or save it again as CSV (UTF-8)",
        )
    return text, name


def _decoded(content: bytes) -> tuple[str, str]:
    for bom, codec, name in _BOMS:
        if content.startswith(bom):
            return content.decode(codec, "replace"), name
    # Text in Latin letters has a zero in every other byte of UTF-16.
    for start, codec, name in ((1, "utf-16-le", "UTF-16 (LE)"), (0, "utf-16-be", "UTF-16 (BE)")):
        if content[start::2].count(0) > len(content) // 4:
            return content.decode(codec, "replace"), name
    for codec, name in _FALLBACKS:
        try:
            return content.decode(codec), name
        except UnicodeDecodeError:
            continue
    raise AssertionError("latin-1 decodes anything")


def find_delimiter(text: str) -> str:
    """The delimiter by which most of the first rows have as many cells as the header.

    Among equals the one with more columns; "" where the header has one column whatever is tried.
    """
    best, found = (0.0, 1), ""
    for delimiter in DELIMITERS:
        rows: list[int] = []
        reader = csv.reader(_lines(text), delimiter=delimiter, **_FORM)
        # A quote that is not closed is complained of when the whole is read.
        with suppress(csv.Error):
            rows.extend(len(row) for row in islice(reader, _SAMPLE) if row)
        if rows and rows[0] > 1:
            score = (sum(n == rows[0] for n in rows) / len(rows), rows[0])
            if score > best:
                best, found = score, delimiter
    return found


def has_decimal_comma(values: Sequence[str], *, delimiter: str) -> bool:
    """Whether a column holds numbers of which some are written "1,5".

    "1,234" may be a thousand: where every comma could be one, only a file whose commas cannot
    separate cells (Excel's semicolons) is taken to mean decimals. Cells such as "NA" do not count.
    """
    present = [value for value in values if not is_missing(value)]
    with_comma = [value for value in present if _WITH_COMMA.fullmatch(value)]
    numbers = len(with_comma) + sum(bool(_WHOLE.fullmatch(value)) for value in present)
    if not with_comma or numbers < len(present):
        return False
    return delimiter == ";" or not all(map(may_be_thousands, with_comma))


def has_thousands(values: Sequence[str], *, delimiter: str) -> bool:
    """Whether a column holds numbers of which some are written "1,234" for 1234."""
    present = [value for value in values if not is_missing(value)]
    return (
        any(map(may_be_thousands, present))
        and all(_NUMBER.fullmatch(value) or may_be_thousands(value) for value in present)
        and not has_decimal_comma(values, delimiter=delimiter)
    )


def may_be_thousands(text: str) -> bool:
    """Whether commas stand in a number where they may separate thousands."""
    return _THOUSANDS.fullmatch(text) is not None


def _lines(text: str) -> io.StringIO:
    # newline="" leaves line ends to the csv module, which knows those inside quotes.
    return io.StringIO(text, newline="")


def _fitted(cells: list[str], width: int) -> list[str]:
    """Without the empty cells that spreadsheets write beyond the last column."""
    end = len(cells)
    while end > width and not cells[end - 1]:
        end -= 1
    return cells[:end]


def _damaged(given: str, line: int, error: csv.Error) -> InputError:
    return InputError(
        f"'{given}' cannot be read at line {line}: {error}",
        rule='a cell with a delimiter or a line end in it is quoted; a quote in it is doubled ("")',
        remedy="open the file at that line and close or double the quote",
    )


def _ragged(
    given: str, rows: Sequence[tuple[int, list[str]]], width: int, delimiter: str
) -> InputError:
    found = listed([f"line {line} has {len(cells)}" for line, cells in rows], quoted=False)
    words = f" (read as {DELIMITERS[delimiter]})" if delimiter in DELIMITERS else ""
    return InputError(
        f"'{given}' has {width} columns, but {len(rows):,} of its rows have another number of "
        f"cells: {found}{words}",
        rule="every row has a cell for each column; a cell with the delimiter in it is quoted",
        remedy="mend these lines, or save the table again from a spreadsheet",
    )
