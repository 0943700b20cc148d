"""Check-points of a training run: one safetensors file, replaced atomically, never a pickle."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from safetensors.torch import load, save
from torch import Tensor

from synthlift.generators.flow.optimizer import FlatState
from synthlift.store.files import write_bytes_atomic

FILE = "checkpoint.safetensors"
VECTORS = ("weights", "mean", "square", "average")


@dataclass
class Progress:
    """Where a training run stands, apart from its tensors.

    Attributes:
        step: steps done.
        losses: [step, mean loss since the last entry] pairs.
        readings: one record per look of the training monitor.
        kept_step: the step whose weights are kept, or None while there was no reading.
        kept_acceptable: whether the monitor accepted them.
        refused: refused readings in a row since the last accepted one.
    """

    step: int = 0
    losses: list[list[float]] = field(default_factory=list)
    readings: list[dict[str, Any]] = field(default_factory=list)
    kept_step: int | None = None
    kept_acceptable: bool = False
    refused: int = 0


@dataclass
class TrainingState:
    """Everything that a step changes: the flat vectors, the kept copy, the progress."""

    flat: FlatState
    kept: Tensor | None = None
    progress: Progress = field(default_factory=Progress)


def write_checkpoint(folder: Path, state: TrainingState, *, fingerprint: str) -> None:
    """Replace the check-point in ``folder``."""
    tensors = {name: getattr(state.flat, name) for name in VECTORS}
    if state.kept is not None:
        tensors["kept"] = state.kept
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
    for name in VECTORS:
        # In place: the network's parameters are views of these vectors.
        getattr(state.flat, name).copy_(tensors[name])
    if "kept" in tensors:
        state.kept = tensors["kept"].to(state.flat.weights.device)
    state.progress = Progress(**json.loads(facts["progress"]))
    return True
