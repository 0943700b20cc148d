"""stdout is data, stderr is progress."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


def say(text: str = "") -> None:
    """Print data for a person."""
    print(text)


def say_json(value: Any) -> None:
    """Print data for a program."""
    print(json.dumps(value, ensure_ascii=False, indent=1, default=_plain))


def note(text: str, *, quiet: bool = False) -> None:
    """Print to stderr, unless ``quiet``."""
    if not quiet:
        print(text, file=sys.stderr, flush=True)


def table(rows: Sequence[Mapping[str, Any]], *, right: Sequence[str] = ()) -> str:
    """Columns of text, headed by the keys of the first row; ``right`` ones aligned right."""
    if not rows:
        return ""
    names = list(rows[0])
    cells = [names, *([str(row[name]) for name in names] for row in rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(names))]
    lines = []
    for line in cells:
        padded = [
            text.rjust(width) if name in right else text.ljust(width)
            for text, width, name in zip(line, widths, names, strict=True)
        ]
        lines.append("  ".join(padded).rstrip())
    return "\n".join(lines)


def duration(seconds: float) -> str:
    """Seconds in words: "40 s", "12 min", "2 h 05 min"."""
    if seconds < 90:
        return f"{max(0, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"


def size(count: float) -> str:
    """Bytes in words: "3.1 MiB"."""
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if count < 1024 or unit == "GiB":
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1024
    raise AssertionError


def energy(plan: Mapping[str, Any]) -> str:
    """A forecast's energy in words, with how it is known."""
    kwh, method = plan["energy_kwh"], str(plan["energy_method"])
    if kwh is None:
        return method
    shown = f"{1000 * kwh:.2g} Wh" if kwh < 0.1 else f"{kwh:.2g} kWh"
    return f"{shown}, {method}"


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    if hasattr(value, "item"):
        return value.item()
    raise TypeError(type(value).__name__)
