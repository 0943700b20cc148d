"""A table of prompts, by class. No torch here."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from synthlift.errors import InputError

TABLE_COLUMNS = ("label", "prompt", "negative_prompt")
RULE = "a table of prompts is a CSV file with the columns label, prompt[, negative_prompt]"


def read_prompts(path: Path) -> dict[str, dict[str, Any]]:
    """Read a table of prompts.

    Returns:
        ``class_prompts`` and ``class_negative_prompts``.

    Raises:
        InputError: no such file, no CSV, another column or one twice, no rows, a row with more or
            fewer cells than columns or without a prompt, or two negative prompts. A negative prompt
            in the last column may be left out with its comma.
    """
    columns, rows = _cells(path)
    if not {*TABLE_COLUMNS[:2]} <= {*columns} <= {*TABLE_COLUMNS} or len({*columns}) < len(columns):
        raise InputError(
            f"the table of prompts '{path}' has the columns {', '.join(columns) or 'none'}",
            rule=RULE,
            remedy="name the columns in the first line, each once",
        )
    if not rows:
        raise InputError(
            f"the table of prompts '{path}' has no line below the names of its columns",
            rule="each row has a class and a prompt",
            remedy="write one for each class, or remove 'prompt_table'",
        )
    prompts: dict[str, tuple[str, ...]] = {}
    negative: dict[str, str] = {}
    for line, cells in rows:
        if columns[-1] == TABLE_COLUMNS[2] and len(cells) == len(columns) - 1:
            cells = [*cells, ""]
        row = dict(zip(columns, cells, strict=False))
        if len(cells) != len(columns) or _torn(row) or _quoted_late(cells):
            raise InputError(
                f"line {line} of the table of prompts '{path}': {', '.join(map(repr, cells))}",
                rule=f"each row has {len(columns)} cells, parted by commas: {', '.join(columns)}",
                remedy='put a prompt with commas in quotes (zero,"a thick, red zero"), with no '
                "space before the quotes, and write no space behind other commas",
            )
        label, text, avoid = ((row.get(name) or "").strip() for name in TABLE_COLUMNS)
        if not (label and text):
            raise InputError(
                f"line {line} of the table of prompts '{path}': {row}",
                rule="each row has a class and a prompt",
                remedy="complete the row, or delete it",
            )
        # An empty cell says nothing new.
        known = negative.get(label, "")
        negative[label] = known or avoid
        if known and avoid and avoid != known:
            raise InputError(
                f"line {line} of the table of prompts '{path}': the negative prompt '{avoid}' "
                f"of '{label}', which has '{known}' above",
                rule="a class has one negative prompt, for all of its prompts",
                remedy=f"write '{known}' here, too, or leave the cell empty",
            )
        prompts[label] = (*prompts.get(label, ()), text)
    avoided = {label: text for label, text in negative.items() if text}
    return {"class_prompts": prompts, "class_negative_prompts": avoided}


def _cells(path: Path) -> tuple[Sequence[str], list[tuple[int, list[str]]]]:
    """Names of the columns, and the cells of each row with the line that it begins in."""
    rows, ended = [], 0
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            # Else a quote that nothing closes would swallow all rows behind it.
            reader = csv.reader(stream, strict=True)
            for cells in reader:
                rows.append((ended + 1, cells))
                ended = reader.line_num
    except csv.Error as error:
        raise InputError(
            f"the table of prompts '{path}', from line {ended + 1} on: {error}",
            rule=RULE,
            remedy="close each quote, and write one within a text twice",
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "is no text in UTF-8"
        raise InputError(
            f"the table of prompts '{path}': {reason}", rule=RULE, remedy="check the path"
        ) from None
    told = [(line, cells) for line, cells in rows if cells]
    return (told[0][1], told[1:]) if told else ((), [])


def _torn(row: dict[str, str]) -> bool:
    """Whether what is to be avoided looks like the rest of a prompt, behind its comma."""
    prompt, avoid = row["prompt"], row.get(TABLE_COLUMNS[2], "")
    return avoid[:1] == " " and bool(avoid.strip()) and prompt[:1] != " "


def _quoted_late(cells: Sequence[str]) -> bool:
    """Whether a cell has a blank before its quote, which thus is a letter, and its commas part."""
    return any(cell[:1].isspace() and cell.lstrip()[:1] == '"' for cell in cells)
