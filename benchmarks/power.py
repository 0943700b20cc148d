"""Energy of what is done within: measured on a GPU of NVIDIA, else estimated for the processor."""

from __future__ import annotations

import shutil
import subprocess
import threading
import time
from collections.abc import Iterable
from types import TracebackType
from typing import Self

from synthlift.study.environment import WATTS_PER_CORE

QUERY = ("--query-gpu=power.draw", "--format=csv,noheader,nounits", "-lms", "100")


class Energy:
    """Adds up the energy of a block of code.

    Args:
        device: torch device string; power is read by ``nvidia-smi`` where it is a GPU.

    Attributes:
        seconds: of the clock.
        kwh: of the GPU, or of busy cores.
        method: in words.
    """

    seconds = kwh = 0.0

    def __init__(self, device: str) -> None:
        kind, _, number = device.partition(":")
        self._reader = shutil.which("nvidia-smi") if kind == "cuda" else None
        self._number, self._watts = number or "0", list[float]()
        self.method = (
            f"estimated: {WATTS_PER_CORE:g} W for each second of a busy core"
            if self._reader is None
            else "measured: the GPU's own draw, ten times a second"
        )

    def __enter__(self) -> Self:
        self._began, self._cpu = time.perf_counter(), time.process_time()
        self._process = None
        if self._reader is not None:
            self._watts.clear()
            self._process = subprocess.Popen(
                [self._reader, "-i", self._number, *QUERY], stdout=subprocess.PIPE, text=True
            )
            assert self._process.stdout is not None
            self._thread = threading.Thread(
                target=lambda lines: self._watts.extend(readings(lines)),
                args=(self._process.stdout,),
            )
            self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.seconds = time.perf_counter() - self._began
        if self._process is None:
            self.kwh = (time.process_time() - self._cpu) * WATTS_PER_CORE / 3.6e6
            return
        self._process.terminate()
        self._thread.join()
        self._process.wait()
        mean = sum(self._watts) / len(self._watts) if self._watts else float("nan")
        self.kwh = mean * self.seconds / 3.6e6


def readings(lines: Iterable[str]) -> list[float]:
    """Watts in lines of ``nvidia-smi``; what is no number, such as ``[N/A]``, is left out."""
    found = []
    for line in lines:
        try:
            found.append(float(line))
        except ValueError:
            continue
    return found
