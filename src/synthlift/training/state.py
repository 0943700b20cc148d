"""What changes while a model trains: weights, averages, optimiser, counters; its check-points."""

from __future__ import annotations

import copy
import io
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from synthlift.store.files import write_bytes_atomic
from synthlift.training.optimizers import Optimizer
from synthlift.training.settings import ResolvedTraining
from synthlift.vision.classifiers.base import ImageNetwork

CHECKPOINT = "training.pt"
WARM_UP_SHARE, LONGEST_WARM_UP = 0.05, 500


class Layout(Protocol):
    """The part of the numerics that matters here."""

    @property
    def channels_last(self) -> bool:
        """Whether weights lie channels-last in memory."""
        ...


@dataclass(frozen=True)
class AveragedPairs:
    """Tensors of the averaged and the trained network side by side; collected once."""

    means: list[Tensor]
    current: list[Tensor]
    mean_counters: list[Tensor]
    counters: list[Tensor]


@dataclass
class TrainingState:
    """Mutable state of one training.

    Attributes:
        network: the weights that are trained.
        averaged: their exponential moving average (the same object when averaging is off).
        optimizer: with its own state.
        pairs: their tensors.
        loss_sum, loss_count: since the last point of the history.
        step: finished steps.
        real_seen, synthetic_seen: positions in the two streams.
        seconds: wall time of finished steps.
        history: see ``TrainedClassifier``.
        best, best_step, best_score: weights kept by early stopping.
    """

    network: ImageNetwork
    averaged: ImageNetwork
    optimizer: Optimizer
    loss_sum: Tensor
    pairs: AveragedPairs
    loss_count: int = 0
    step: int = 0
    real_seen: int = 0
    synthetic_seen: int = 0
    seconds: float = 0.0
    history: list[dict[str, float | str]] = field(default_factory=list)
    best: dict[str, Tensor] | None = None
    best_step: int | None = None
    best_score: tuple[float, float] | None = None

    def keep_if_best(self, accuracy: float, nll: float) -> None:
        """Keep the averaged weights if balanced accuracy, then likelihood, beats what was kept."""
        score = (accuracy, -nll)
        if self.best_score is None or score > self.best_score:
            now = changing(self.averaged, like=self.network)
            self.best = {name: value.clone() for name, value in now.items()}
            self.best_step, self.best_score = self.step, score

    def final_network(self) -> ImageNetwork:
        """The averaged network, with the best weights where early stopping kept some."""
        if self.best is not None:
            put_back(self.averaged, self.best)
        return self.averaged


def start_state(
    network: ImageNetwork, settings: ResolvedTraining, *, device: str, numerics: Layout
) -> TrainingState:
    """State before the first step."""
    network = network.to(device).train()
    if numerics.channels_last:
        network = network.to(memory_format=torch.channels_last)
    learnt = [p for p in network.parameters() if p.requires_grad]
    averaged = _twin(network) if settings.ema else network
    zero, pairs = torch.zeros((), device=device), _pairs(averaged, network)
    return TrainingState(network, averaged, Optimizer(learnt, settings), zero, pairs)


def _twin(network: ImageNetwork) -> ImageNetwork:
    """A copy that shares what is frozen: it never changes, and may be large."""
    frozen = {id(p): p for p in network.parameters() if not p.requires_grad}
    return copy.deepcopy(network, frozen).requires_grad_(False)


def changing(network: ImageNetwork, *, like: ImageNetwork) -> dict[str, Tensor]:
    """What training may change of a network's state: all but its frozen parameters.

    Args:
        network: whose values are taken.
        like: the trained network, whose parameters say what is frozen.
    """
    frozen = {name for name, p in like.named_parameters() if not p.requires_grad}
    return {name: value for name, value in network.state_dict().items() if name not in frozen}


def put_back(network: ImageNetwork, state: dict[str, Tensor]) -> None:
    """Put what :func:`changing` gave into the network that it was taken from."""
    network.load_state_dict({**network.state_dict(), **state})


def _pairs(averaged: ImageNetwork, network: ImageNetwork) -> AveragedPairs:
    pairs = AveragedPairs([], [], [], [])
    means = [*averaged.parameters(), *averaged.buffers()]
    current = [*network.parameters(), *network.buffers()]
    for mean, now in zip(means, current, strict=True):
        if mean is now:
            continue
        floating = now.is_floating_point()
        (pairs.means if floating else pairs.mean_counters).append(mean)
        (pairs.current if floating else pairs.counters).append(now)
    return pairs


def learning_rate(step: int, steps: int, *, peak: float) -> float:
    """Linear warm-up over the first 5 % of a phase, then half a cosine to 0 (Loshchilov 2017).

    Args:
        step: from 0, within the phase.
        steps: of the phase.
        peak: reached at the end of the warm-up.
    """
    warm_up = min(max(1, round(WARM_UP_SHARE * steps)), LONGEST_WARM_UP)
    if step < warm_up:
        return peak * (step + 1) / warm_up
    return peak * 0.5 * (1 + math.cos(math.pi * (step - warm_up) / max(1, steps - warm_up)))


@torch.no_grad()
def average(state: TrainingState, *, decay: float, steps_in_phase: int) -> None:
    """Move the averaged weights toward the current ones.

    The decay is min(decay, (1 + t)/(10 + t)) with t counted within the phase: short trainings are
    not held back by their first weights, nor a fine-tuning by the weights before it.
    """
    if not decay:
        return
    keep = min(decay, (1 + steps_in_phase) / (10 + steps_in_phase)) if steps_in_phase else 0.0
    torch._foreach_lerp_(state.pairs.means, state.pairs.current, 1 - keep)
    for mean, now in zip(state.pairs.mean_counters, state.pairs.counters, strict=True):
        mean.copy_(now)


def save_checkpoint(state: TrainingState, folder: Path) -> None:
    """Write everything that :func:`restore` needs, in one step."""
    content = {
        "network": changing(state.network, like=state.network),
        "averaged": changing(state.averaged, like=state.network),
        "optimizer": state.optimizer.state(),
        "best": state.best,
        "loss_sum": state.loss_sum,
        "plain": {name: getattr(state, name) for name in _PLAIN},
    }
    stream = io.BytesIO()
    torch.save(content, stream)
    write_bytes_atomic(folder / CHECKPOINT, stream.getvalue())


_PLAIN = (
    "loss_count",
    "step",
    "real_seen",
    "synthetic_seen",
    "seconds",
    "history",
    "best_step",
    "best_score",
)


def restore(state: TrainingState, folder: Path) -> bool:
    """Continue from the check-point in ``folder``; False where there is none."""
    path = folder / CHECKPOINT
    if not path.is_file():
        return False
    content = torch.load(path, map_location=state.loss_sum.device, weights_only=True)
    put_back(state.network, content["network"])
    put_back(state.averaged, content["averaged"])
    state.optimizer.restore(content["optimizer"])
    state.best, state.loss_sum = content["best"], content["loss_sum"]
    for name in _PLAIN:
        setattr(state, name, content["plain"][name])
    return True
