"""A table of prompts, by class. No torch here."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from synthlift.errors import InputError

TABLE_COLUMNS = ("label", "prompt", "negative_prompt")


def read_prompts(path: Path) -> dict[str, dict[str, Any]]:
    """Read a table of prompts.

    Returns:
        ``class_prompts`` and ``class_negative_prompts``.

    Raises:
        InputError: no such file, another column, no prompt in a row, or two negative prompts.
    """
    rule = "a table of prompts is a CSV file with the columns label, prompt[, negative_prompt]"
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream)
            columns, rows = tuple(reader.fieldnames or ()), list(reader)
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "is no text in UTF-8"
        raise InputError(
            f"the table of prompts '{path}': {reason}", rule=rule, remedy="check the path"
        ) from None
    if not {*TABLE_COLUMNS[:2]} <= {*columns} <= {*TABLE_COLUMNS}:
        raise InputError(
            f"the table of prompts '{path}' has the columns {', '.join(columns) or 'none'}",
            rule=rule,
            remedy="name the columns in the first line",
        )
    prompts: dict[str, tuple[str, ...]] = {}
    negative: dict[str, str] = {}
    for line, row in enumerate(rows, start=2):
        label, text, avoid = ((row.get(name) or "").strip() for name in TABLE_COLUMNS)
        if not (label and text) or negative.setdefault(label, avoid) != avoid:
            raise InputError(
                f"line {line} of the table of prompts '{path}': {row}",
                rule="each row has a class and a prompt; a class has one negative prompt",
                remedy="complete the row, or delete it",
            )
        prompts[label] = (*prompts.get(label, ()), text)
    avoided = {label: text for label, text in negative.items() if text}
    return {"class_prompts": prompts, "class_negative_prompts": avoided}
