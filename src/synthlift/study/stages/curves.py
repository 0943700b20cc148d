"""What a generator's training says of itself while it runs, as points that can be drawn."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path

CURVES = "curves.jsonl"
PAUSE_SECONDS = 1.0
_POINT = re.compile(r"(.+) (-?\d+(?:\.\d+)?)")
"""A note of a training loop: a name and its value, such as ``loss 0.532``."""
Progress = Callable[[int, int, str], None]


class CurveKeeper:
    """Passes progress on, and writes the numbers in its notes as points of curves.

    Args:
        progress: what is told.
        places: folders into which ``curves.jsonl`` is written, one JSON object a line: step, total,
            name, value. A fit that goes on after a kill appends to it.
    """

    def __init__(self, progress: Progress, *, places: Sequence[Path]) -> None:
        self._progress, self._places = progress, tuple(places)
        self._written = 0.0

    def __call__(self, done: int, total: int, note: str = "") -> None:
        """One report of a training loop; at most one a second is written, and the last one."""
        self._progress(done, total, note)
        found = _POINT.fullmatch(note)
        now = time.monotonic()
        if found is None or (now - self._written < PAUSE_SECONDS and done < total):
            return
        self._written = now
        point = {"step": done, "total": total, "name": found[1], "value": float(found[2])}
        for place in self._places:
            place.mkdir(parents=True, exist_ok=True)
            with (place / CURVES).open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(point) + "\n")
