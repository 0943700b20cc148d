"""What a stage took, attempts that were cut short included."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from synthlift.store.files import write_json_atomic

SPENT = "spent.json"
PROGRESS = "progress.json"
NOTE_SECONDS = 0.5


class Meter:
    """Wall and CPU seconds and peak memory of the current process during one stage.

    What earlier attempts at the same work took is added. It lies in the work folder beside their
    check-points, noted whenever an attempt reports progress, so that a kill loses half a second
    where progress is reported often; what came after the last note is not known.

    Args:
        work: the work folder; one that exists already is left from an attempt that was cut short.
    """

    def __init__(self, work: Path) -> None:
        self._path = work / SPENT
        self._earlier = _read(self._path) if work.exists() else _nothing()
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def note(self, *, ended: bool = False) -> None:
        """Write down what was spent so far; ``ended`` where this attempt spends no more."""
        write_json_atomic(self._path, {**self._sum(), "ended": ended}, durable=False)

    def read(self) -> dict[str, float | bool]:
        """What all attempts took, for the record of the artefact.

        ``earlier_seconds`` of the ``seconds`` were those of attempts that were cut short;
        ``at_least`` says that one of them spent more than it could note.
        """
        return {**self._sum(), "earlier_seconds": self._earlier["seconds"]}

    def _sum(self) -> dict[str, float | bool]:
        earlier = self._earlier
        return {
            "seconds": earlier["seconds"] + time.perf_counter() - self._wall,
            "cpu_seconds": earlier["cpu_seconds"] + time.process_time() - self._cpu,
            "peak_memory_mib": max(earlier["peak_memory_mib"], _peak_memory_mib()),
            "at_least": earlier["at_least"],
        }


def progress_writer(work: Path, label: str, meter: Meter) -> Callable[[int, int, str], None]:
    """The function by which a stage tells how far it is, for people and for the meter."""
    state = {"at": 0.0}
    began = time.time()

    def write(done: int, total: int, note: str = "") -> None:
        now = time.time()
        if now - state["at"] < NOTE_SECONDS and done < total:
            return
        state["at"] = now
        fields = {"label": label, "done": done, "total": total, "note": note, "began": began}
        write_json_atomic(work / PROGRESS, {**fields, "at": now}, durable=False)
        meter.note()

    return write


def _nothing() -> dict[str, Any]:
    return {"seconds": 0.0, "cpu_seconds": 0.0, "peak_memory_mib": 0.0, "at_least": False}


def _read(path: Path) -> dict[str, Any]:
    """What earlier attempts noted; more than that was spent unless the last one noted its end."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # killed before it noted anything
        return {**_nothing(), "at_least": True}
    kept = {name: found.get(name, value) for name, value in _nothing().items()}
    return {**kept, "at_least": kept["at_least"] or not found.get("ended", False)}


def _peak_memory_mib() -> float:
    import psutil

    memory = psutil.Process().memory_info()
    peak = getattr(memory, "peak_wset", 0)
    with contextlib.suppress(ImportError):
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return float(max(peak, memory.rss) / 1024**2)
