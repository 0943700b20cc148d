"""What the numbers were made on: hardware, versions, and what the work cost."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from synthlift.machine import memory_bytes
from synthlift.spec.facts import Cost
from synthlift.study.energy import Taken, method, sum_known

PACKAGES = ("synthlift", "torch", "numpy", "scipy", "scikit-learn", "pyarrow", "pillow")


def describe_environment(device: str, workers: int) -> dict[str, Any]:
    """Processor, memory, system and versions, for ``results.json``."""
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()}",
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gib": round(memory_bytes() / 1024**3, 1),
        "device": device,
        "workers": workers,
        "versions": {name: importlib.metadata.version(name) for name in PACKAGES},
    }


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def cost_table(members: Iterable[Taken], kwh: Mapping[str, float | None]) -> list[Cost]:
    """Add up what the stages of a study cost, reused ones included, in order of appearance.

    Args:
        members: what each artefact took.
        kwh: its energy, by key.
    """
    stages: dict[str, list[Taken]] = {}
    for one in members:
        stages.setdefault(one.stage, []).append(one)
    return [_cost(stage, members, kwh) for stage, members in stages.items()]


def _cost(stage: str, members: Sequence[Taken], kwh: Mapping[str, float | None]) -> Cost:
    costs = [one.cost for one in members]
    energy = sum_known(kwh[one.key] for one in members)
    return Cost(
        stage=stage,
        tasks=len(members),
        seconds=sum(cost["seconds"] for cost in costs),
        cpu_seconds=sum(cost["cpu_seconds"] for cost in costs),
        peak_memory_mib=max(cost["peak_memory_mib"] for cost in costs),
        energy_kwh=energy,
        energy_method=method(members, known=energy is not None),
        disk_mib=sum(one.bytes for one in members) / 1024**2,
        at_least=any(cost.get("at_least", False) for cost in costs),
    )
