"""One loop for all parts: a moving average of the weights, check-points, progress."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

EVERY = 100
WARM_UP = 50


@dataclass(frozen=True)
class Plan:
    """How a part is trained.

    Attributes:
        name: of the part; names its check-point.
        steps: of the optimiser.
        rate: highest learning rate; it falls to nothing along half a cosine.
        decay: of the moving average.
        cycles: how often the rate starts anew.
    """

    name: str
    steps: int
    rate: float
    decay: float = 0.995
    cycles: int = 1


def train(
    model: nn.Module, plan: Plan, loss_of: Callable[[int], torch.Tensor], folder: Path
) -> None:
    """Train, or go on from the check-point; leaves the averaged weights in the model.

    Args:
        model: holds all that is trained.
        plan: steps and rates.
        loss_of: step → loss of the batch that belongs to it.
        folder: where check-points lie.
    """
    trained = [value for value in model.parameters() if value.requires_grad]
    optimiser = torch.optim.AdamW(trained, lr=plan.rate, weight_decay=0.01)
    average = {name: value.detach().clone() for name, value in model.state_dict().items()}
    file, first = folder / f"{plan.name}.pt", 0
    if file.is_file():
        state = torch.load(file, weights_only=True)
        model.load_state_dict(state["model"])
        optimiser.load_state_dict(state["optimiser"])
        average, first = state["average"], state["step"]
    began, losses = time.perf_counter(), 0.0
    for step in range(first, plan.steps):
        for group in optimiser.param_groups:
            group["lr"] = _rate(plan, step)
        optimiser.zero_grad(set_to_none=True)
        loss = loss_of(step)
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(trained, 1.0)
        optimiser.step()
        losses += loss.item()
        _follow(average, model, min(plan.decay, (1 + step) / (10 + step)))
        if (step + 1) % EVERY == 0 or step + 1 == plan.steps:
            _keep(file, model, optimiser, average, step + 1)
            spent = time.perf_counter() - began
            print(
                f"{plan.name} {step + 1}/{plan.steps} loss {losses / EVERY:.4f} {spent:.0f} s",
                flush=True,
            )
            losses = 0.0
    model.load_state_dict(average)


def _rate(plan: Plan, step: int) -> float:
    length = plan.steps / plan.cycles
    falling = 0.5 * (1 + math.cos(math.pi * (step % length) / length))
    return plan.rate * min(1.0, (step + 1) / WARM_UP) * falling


@torch.no_grad()
def _follow(average: dict[str, torch.Tensor], model: nn.Module, decay: float) -> None:
    for name, value in model.state_dict().items():
        if value.is_floating_point():
            average[name].lerp_(value, 1 - decay)


def _keep(
    file: Path,
    model: nn.Module,
    optimiser: torch.optim.Optimizer,
    average: dict[str, torch.Tensor],
    step: int,
) -> None:
    """Write whole or not at all."""
    state = {
        "model": model.state_dict(),
        "optimiser": optimiser.state_dict(),
        "average": average,
        "step": step,
    }
    partial = file.with_suffix(".part")
    torch.save(state, partial)
    partial.replace(file)
