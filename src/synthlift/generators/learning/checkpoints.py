"""Check-points of a training run: one safetensors file, replaced atomically, never a pickle."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from safetensors.torch import load, save
from torch import Tensor

from synthlift.generators.learning.optimizer import FlatState
from synthlift.store.files import write_bytes_atomic

FILE = "checkpoint.safetensors"
VECTORS = ("weights", "mean", "square", "average", "scales")


@dataclass
class Progress:
    """Where a training run stands, apart from its tensors.

    Attributes:
        step: steps done.
        curves: by name, [step, mean since the last entry] pairs.
        memory: numbers that a learner carries from step to step.
        readings: one record per look of the copying monitor.
        kept_step: the step whose weights are kept, or None while there was no look.
        kept_acceptable: whether its samples were acceptable.
        kept_score: what they are compared by, if they are.
        refused: refused looks in a row since the last accepted one.
        problems: what looks found wrong, in words, by step.
    """

    step: int = 0
    curves: dict[str, list[list[float]]] = field(default_factory=dict)
    memory: dict[str, float] = field(default_factory=dict)
    readings: list[dict[str, Any]] = field(default_factory=list)
    kept_step: int | None = None
    kept_acceptable: bool = False
    kept_score: float | None = None
    refused: int = 0
    problems: list[tuple[int, str]] = field(default_factory=list)

    def note(self, name: str, value: float) -> None:
        """Add a point to a curve at the present step."""
        self.curves.setdefault(name, []).append([self.step, value])


@dataclass
class TrainingState:
    """Everything that a step changes: vectors of each network, the kept copy, the progress."""

    flats: Mapping[str, FlatState]
    kept: Tensor | None = None
    progress: Progress = field(default_factory=Progress)

    @property
    def main(self) -> FlatState:
        """Of the first network, whose averaged weights are kept."""
        return next(iter(self.flats.values()))


def write_checkpoint(folder: Path, state: TrainingState, *, fingerprint: str) -> None:
    """Replace the check-point in ``folder``."""
    tensors = dict(_vectors(state))
    if state.kept is not None:
        tensors["kept"] = state.kept
    facts = {"fingerprint": fingerprint, "progress": json.dumps(asdict(state.progress))}
    write_bytes_atomic(folder / FILE, save(tensors, metadata=facts))


def _vectors(state: TrainingState) -> Iterator[tuple[str, Tensor]]:
    """What is kept of each network, by name."""
    for name, flat in state.flats.items():
        for vector in VECTORS:
            if (found := getattr(flat, vector)) is not None:
                yield f"{name}.{vector}", found


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
    for name, vector in _vectors(state):
        # In place: the networks' parameters are views of these vectors.
        vector.copy_(tensors[name])
    if "kept" in tensors:
        state.kept = tensors["kept"].to(state.main.weights.device)
    state.progress = Progress(**json.loads(facts["progress"]))
    return True
