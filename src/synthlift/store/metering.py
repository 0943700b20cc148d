"""What a stage took, attempts that were cut short included."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from synthlift.store.files import write_json_atomic

SPENT = "spent.json"
PROGRESS = "progress.json"
NOTE_SECONDS = 0.5


@dataclass(frozen=True)
class EnergyCounter:
    """A GPU's own count of the energy that it took.

    Attributes:
        gpu: tells it from all others.
        read: millijoules since some time; None = not to be read now.
    """

    gpu: str
    read: Callable[[], int | None]


class Piece(NamedTuple):
    """Work on a GPU, by the clock in seconds and by the GPU's count in millijoules."""

    gpu: str
    began: float
    ended: float
    first: int
    last: int


class Meter:
    """Wall and CPU seconds and peak memory of the current process during one stage.

    Where it computes on a GPU, what that counted of its energy at the beginning and the end stands
    under ``gpu_energy`` as a :class:`Piece` for each attempt; None = one of them had no counter.

    What earlier attempts at the same work took is added. It lies in the work folder beside their
    check-points, noted whenever an attempt reports progress, so that a kill loses half a second
    where progress is reported often; what came after the last note is not known.

    Args:
        work: the work folder; one that exists already is left from an attempt that was cut short.
        on_gpu: whether it computes on a GPU.
        counter: of that GPU.
    """

    def __init__(
        self, work: Path, *, on_gpu: bool = False, counter: EnergyCounter | None = None
    ) -> None:
        self._path = work / SPENT
        self._on_gpu, self._counter = on_gpu, counter
        self._count = None if counter is None else counter.read()
        self._began = time.time()
        self._earlier = _read(self._path) if work.exists() else _nothing()
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def note(self, *, ended: bool = False) -> None:
        """Write down what was spent so far; ``ended`` where this attempt spends no more."""
        write_json_atomic(self._path, {**self._sum(), "ended": ended}, durable=False)

    def read(self) -> dict[str, Any]:
        """What all attempts took, for the record of the artefact.

        ``earlier_seconds`` of the ``seconds`` were those of attempts that were cut short;
        ``at_least`` says that one of them spent more than it could note.
        """
        return {**self._sum(), "earlier_seconds": self._earlier["seconds"]}

    def _sum(self) -> dict[str, Any]:
        earlier = self._earlier
        return {
            "seconds": earlier["seconds"] + time.perf_counter() - self._wall,
            "cpu_seconds": earlier["cpu_seconds"] + time.process_time() - self._cpu,
            "peak_memory_mib": max(earlier["peak_memory_mib"], _peak_memory_mib()),
            "at_least": earlier["at_least"],
            "gpu_energy": self._pieces(),
        }

    def _pieces(self) -> list[Piece] | None:
        earlier: list[Piece] | None = self._earlier["gpu_energy"]
        if not self._on_gpu or earlier is None:
            return earlier
        if self._counter is None or self._count is None:
            return None
        now = self._counter.read()
        if now is None or now < self._count:  # it began anew
            return None
        return [*earlier, Piece(self._counter.gpu, self._began, time.time(), self._count, now)]


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
    none = {"seconds": 0.0, "cpu_seconds": 0.0, "peak_memory_mib": 0.0}
    return {**none, "at_least": False, "gpu_energy": []}


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
