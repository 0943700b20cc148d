"""Check-points of a training run: one safetensors file, replaced atomically, never a pickle."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor

from synthlift.store.files import write_bytes_atomic

FILE = "checkpoint.safetensors"
MOMENTS = ("step", "exp_avg", "exp_avg_sq")


@dataclass
class Progress:
    """Where a training run stands, apart from its tensors.

    Attributes:
        step: steps done.
        losses: [step, mean loss since the last entry] pairs.
        readings: one record per look of the training monitor.
        kept_step: the step whose weights are kept, or None while there was no reading.
        kept_acceptable: whether the monitor accepted them.
        refused: refused readings in a row.
    """

    step: int = 0
    losses: list[list[float]] = field(default_factory=list)
    readings: list[dict[str, Any]] = field(default_factory=list)
    kept_step: int | None = None
    kept_acceptable: bool = False
    refused: int = 0


@dataclass
class TrainingState:
    """Everything that a step changes: weights, their average, the optimiser, the kept copy."""

    weights: dict[str, Tensor]
    average: dict[str, Tensor]
    optimizer: torch.optim.Optimizer
    kept: dict[str, Tensor] = field(default_factory=dict)
    progress: Progress = field(default_factory=Progress)


def write_checkpoint(folder: Path, state: TrainingState, *, fingerprint: str) -> None:
    """Replace the check-point in ``folder``."""
    tensors = dict(_named("weights", state.weights.items()))
    tensors |= _named("average", state.average.items())
    tensors |= _named("kept", state.kept.items())
    for index, moments in state.optimizer.state_dict()["state"].items():
        tensors |= _named(f"optimizer.{index}", ((m, moments[m]) for m in MOMENTS))
    facts = {"fingerprint": fingerprint, "progress": json.dumps(asdict(state.progress))}
    write_bytes_atomic(folder / FILE, save(tensors, metadata=facts))


def read_checkpoint(folder: Path, state: TrainingState, *, fingerprint: str) -> bool:
    """Continue from the check-point in ``folder``, if there is one of the same training run.

    Returns:
        Whether ``state`` was changed.
    """
    path = folder / FILE
    if not path.is_file():
        return False
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    facts = json.loads(data[8 : 8 + size])["__metadata__"]
    if facts["fingerprint"] != fingerprint:
        return False
    tensors = load(data)
    with torch.no_grad():
        for name, weight in state.weights.items():
            weight.copy_(tensors[f"weights.{name}"])
            state.average[name].copy_(tensors[f"average.{name}"])
    device = next(iter(state.weights.values())).device
    state.kept = {
        name.removeprefix("kept."): tensor.to(device)
        for name, tensor in tensors.items()
        if name.startswith("kept.")
    }
    _restore_moments(state.optimizer, tensors)
    state.progress = Progress(**json.loads(facts["progress"]))
    return True


def _restore_moments(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    layout = optimizer.state_dict()
    layout["state"] = {
        index: {m: tensors[f"optimizer.{index}.{m}"].clone() for m in MOMENTS}
        for group in layout["param_groups"]
        for index in group["params"]
        if f"optimizer.{index}.step" in tensors
    }
    optimizer.load_state_dict(layout)


def _named(prefix: str, items: Iterable[tuple[str, Tensor]]) -> dict[str, Tensor]:
    return {f"{prefix}.{name}": tensor.detach().contiguous() for name, tensor in items}
