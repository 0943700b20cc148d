"""Energy of what is done within: measured on a GPU of NVIDIA, else estimated for the processor."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from synthlift.study.energy import ESTIMATED, JOULES_PER_KWH, WATTS_PER_CORE
from synthlift.study.gpu_energy import energy_counter


class Energy:
    """The energy of a block of code.

    Args:
        device: torch device string; the block must wait for what it begins on a GPU.

    Attributes:
        seconds: of the clock.
        kwh: of the whole GPU, or of busy cores; NaN on a GPU that does not count.
        method: in words.
    """

    seconds = kwh = 0.0

    def __init__(self, device: str) -> None:
        self._on_gpu, self._counter = device != "cpu", energy_counter(device)
        self.method = ESTIMATED
        if self._on_gpu:
            self.method = "measured: the whole GPU's own count" if self._counter else "not known"

    def __enter__(self) -> Self:
        self._began, self._cpu = time.perf_counter(), time.process_time()
        self._count = self._counter.read() if self._counter else None
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.seconds = time.perf_counter() - self._began
        if not self._on_gpu:
            self.kwh = (time.process_time() - self._cpu) * WATTS_PER_CORE / JOULES_PER_KWH
            return
        now = self._counter.read() if self._counter else None
        if now is None or self._count is None:
            self.kwh = float("nan")
        else:
            self.kwh = (now - self._count) / 1000 / JOULES_PER_KWH
