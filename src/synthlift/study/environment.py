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
from synthlift.store import Artefact

WATTS_PER_CORE = 10.0
"""Assumed draw of one busy core with its share of the machine, where nothing can be measured."""
ON_GPU = "not known for work on a GPU, whose draw is not measured"

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


def cost_table(artefacts: Iterable[Artefact]) -> list[Cost]:
    """Add up what the stages of a study cost, reused ones included, in order of appearance."""
    stages: dict[str, list[tuple[Mapping[str, Any], int, str]]] = {}
    for artefact in artefacts:
        # Of a record only this is held: those of many chunks take more memory than their images.
        size = sum(file.stat().st_size for file in artefact.folder.rglob("*"))
        record = artefact.record
        device = str(record["numerics"].get("device", "cpu"))
        stages.setdefault(record["stage"], []).append((record["cost"], size, device))
    return [_cost(stage, members) for stage, members in stages.items()]


def _cost(stage: str, members: Sequence[tuple[Mapping[str, Any], int, str]]) -> Cost:
    costs = [cost for cost, _, _ in members]
    # What a core takes that waits for a GPU says nothing of what the GPU takes.
    known = all(device == "cpu" for _, _, device in members)
    cpu = sum(cost["cpu_seconds"] for cost in costs)
    size = sum(bytes_ for _, bytes_, _ in members)
    return Cost(
        stage=stage,
        tasks=len(members),
        seconds=sum(cost["seconds"] for cost in costs),
        cpu_seconds=cpu,
        peak_memory_mib=max(cost["peak_memory_mib"] for cost in costs),
        energy_kwh=cpu * WATTS_PER_CORE / 3.6e6 if known else None,
        energy_method=f"estimated: {WATTS_PER_CORE:g} W for each second of a busy core"
        if known
        else ON_GPU,
        disk_mib=size / 1024**2,
        at_least=any(cost.get("at_least", False) for cost in costs),
    )
