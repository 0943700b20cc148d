"""AdamW and SGD through torch's fused kernels, without ``torch.optim``.

Constructing a ``torch.optim`` optimiser imports ``torch._dynamo``: 4.5 processor seconds in every
worker, longer than a small model trains. The kernels are the same, and so are the results.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from synthlift.training.settings import ResolvedTraining

BETA1, BETA2, EPSILON, MOMENTUM = 0.9, 0.999, 1e-8, 0.9


@dataclass
class Group:
    """Parameters that share a weight decay, and what the optimiser remembers of each."""

    parameters: list[Tensor]
    weight_decay: float
    first: list[Tensor] = field(default_factory=list)
    second: list[Tensor] = field(default_factory=list)
    steps: list[Tensor] = field(default_factory=list)


class Optimizer:
    """Weights decay, biases and normalisation do not.

    Args:
        parameters: of the network.
        settings: ``adam`` is AdamW (Loshchilov & Hutter 2019), ``sgd`` Nesterov with momentum 0.9.
    """

    def __init__(self, parameters: Iterable[Tensor], settings: ResolvedTraining) -> None:
        wanted = list(parameters)
        self.learning_rate = settings.learning_rate
        self._adam = settings.optimizer == "adam"
        self._groups = [
            Group([p for p in wanted if p.ndim > 1], settings.weight_decay),
            Group([p for p in wanted if p.ndim <= 1], 0.0),
        ]
        for group in self._groups:
            group.first = [torch.zeros_like(p) for p in group.parameters]
            if self._adam:
                group.second = [torch.zeros_like(p) for p in group.parameters]
                group.steps = [torch.zeros((), device=p.device) for p in group.parameters]
        self._begun = False

    def zero_grad(self) -> None:
        """Forget all gradients."""
        for group in self._groups:
            for parameter in group.parameters:
                parameter.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """Move the parameters that have a gradient by one step of ``learning_rate``."""
        for group in self._groups:
            live = [row for row, p in enumerate(group.parameters) if p.grad is not None]
            if live:
                self._adam_step(group, live) if self._adam else self._sgd_step(group, live)
        self._begun = True

    def _adam_step(self, group: Group, live: list[int]) -> None:
        steps = _rows(group.steps, live)
        torch._foreach_add_(steps, 1)
        torch._fused_adamw_(
            _rows(group.parameters, live),
            _gradients(group, live),
            _rows(group.first, live),
            _rows(group.second, live),
            [],
            steps,
            lr=self.learning_rate,
            beta1=BETA1,
            beta2=BETA2,
            weight_decay=group.weight_decay,
            eps=EPSILON,
            amsgrad=False,
            maximize=False,
        )

    def _sgd_step(self, group: Group, live: list[int]) -> None:
        torch._fused_sgd_(
            _rows(group.parameters, live),
            _gradients(group, live),
            _rows(group.first, live),
            weight_decay=group.weight_decay,
            momentum=MOMENTUM,
            lr=self.learning_rate,
            dampening=0.0,
            nesterov=True,
            maximize=False,
            is_first_step=not self._begun,
        )

    def state(self) -> list[list[Tensor]]:
        """What a check-point must hold."""
        return [part for g in self._groups for part in (g.first, g.second, g.steps)]

    @torch.no_grad()
    def restore(self, state: list[list[Tensor]]) -> None:
        """Go on from what :meth:`state` gave."""
        for mine, theirs in zip(self.state(), state, strict=True):
            for tensor, value in zip(mine, theirs, strict=True):
                tensor.copy_(value)
        self._begun = True


def _rows(tensors: list[Tensor], live: list[int]) -> list[Tensor]:
    return [tensors[row] for row in live]


def _gradients(group: Group, live: list[int]) -> list[Tensor]:
    return [p.grad for row in live if (p := group.parameters[row]).grad is not None]
