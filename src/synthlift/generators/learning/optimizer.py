"""Adam, its 8-bit form, Muon and weight averaging on one flat vector.

All parameters are views of one vector, so that an update is a handful of vector operations and a
check-point five tensors. (Constructing a ``torch.optim`` optimiser also imports ``torch._dynamo``,
4.5 processor seconds: more than fitting a small generator takes.)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from synthlift.generators.learning.eight_bit import empty_moments, step_eight_bit

BETA1, BETA2, EPSILON = 0.9, 0.99, 1e-8
CLIP = 1.0
WARM_UP = 0.05
MATRIX_FACTOR = 10.0
"""Spectral norm of a matrix's step, where it is orthogonalised, in learning rates."""
QUINTIC = (3.4445, -4.7750, 2.0315)
QUINTIC_STEPS = 5


@dataclass
class FlatState:
    """Vectors of one entry per weight.

    Attributes:
        weights: the network's parameters are views of it.
        gradient: their gradients are views of it.
        mean: Adam's first moment.
        square: Adam's second moment.
        average: exponential moving average of the weights.
        scales: [2, blocks] of both moments, where they are codes of a byte each; None = they are
            numbers.
    """

    weights: Tensor
    gradient: Tensor
    mean: Tensor
    square: Tensor
    average: Tensor
    scales: Tensor | None = None


@dataclass(frozen=True)
class Matrix:
    """A part of the flat vectors that is one matrix, row by row.

    Attributes:
        start, end: of the part.
        rows: of the matrix; a convolution has one for each channel that it gives.
    """

    start: int
    end: int
    rows: int

    def of(self, vector: Tensor) -> Tensor:
        """The matrix as a view of a flat vector."""
        return vector[self.start : self.end].view(self.rows, -1)


def matrices(network: nn.Module, *, chosen: Callable[[str], bool]) -> tuple[Matrix, ...]:
    """Where the weights of chosen parameters lie, as far as they are matrices or convolutions."""
    found, start = [], 0
    for name, parameter in network.named_parameters():
        end = start + parameter.numel()
        if parameter.ndim >= 2 and chosen(name):
            found.append(Matrix(start, end, parameter.shape[0]))
        start = end
    return tuple(found)


def flatten(network: nn.Module, *, eight_bit: bool = False) -> FlatState:
    """Move the network's parameters and gradients into flat vectors.

    Args:
        network: its parameters become views.
        eight_bit: keep Adam's moments in a byte each, see ``eight_bit.py``.
    """
    parameters = list(network.parameters())
    weights = torch.cat([p.detach().flatten() for p in parameters])
    gradient = torch.zeros_like(weights)
    start = 0
    for parameter in parameters:
        end = start + parameter.numel()
        parameter.data = weights[start:end].view_as(parameter)
        parameter.grad = gradient[start:end].view_as(parameter)
        start = end
    zero, scales = empty_moments(weights) if eight_bit else (torch.zeros_like(weights), None)
    return FlatState(weights, gradient, zero, zero.clone(), weights.clone(), scales)


def unflatten(network: nn.Module, vector: Tensor) -> dict[str, Tensor]:
    """The parameters by name that a flat vector stands for, as views of it."""
    named, start = {}, 0
    for name, parameter in network.named_parameters():
        end = start + parameter.numel()
        named[name] = vector[start:end].view_as(parameter)
        start = end
    return named


def learning_rate_factor(step: int, steps: int) -> float:
    """Share of the peak learning rate: a linear rise over 5 %, then half a cosine to zero."""
    rise = max(1.0, WARM_UP * steps)
    return min(1.0, (step + 1) / rise) * 0.5 * (1 + math.cos(math.pi * step / steps))


def average_decay(step: int, steps: int, *, horizon: float) -> float:
    """How much of the averaged weights a step keeps; ``horizon`` is a share of all steps."""
    return min(1 - 1 / max(1.0, horizon * steps), (1 + step) / (10 + step))


@torch.no_grad()
def update(
    state: FlatState,
    *,
    step: int,
    learning_rate: float,
    decay: float,
    beta1: float = BETA1,
    orthogonal: Sequence[Matrix] = (),
) -> None:
    """One step of Adam (Kingma & Ba 2015, algorithm 1) on the clipped gradient, then averaging.

    Some matrices take a step of Muon (Jordan 2024) instead: Nesterov's momentum, made orthogonal.
    All directions then count alike, rather than the few in which gradients are large.

    Args:
        state: changed in place; its gradient is zeroed.
        step: steps done before this one.
        learning_rate: of this step.
        decay: of the average, in [0, 1).
        beta1: of the gradient's running mean, in [0, 1).
        orthogonal: the matrices that take a step of Muon; none where moments are of 8 bits.
    """
    gradient = state.gradient
    gradient.mul_((CLIP / (gradient.norm() + 1e-6)).clamp(max=1.0))
    if state.scales is not None:
        assert not orthogonal, "Muon goes by moments that are numbers"
        step_eight_bit(
            state.weights,
            gradient,
            moments=(state.mean, state.square),
            scales=state.scales,
            step=step,
            learning_rate=learning_rate,
            betas=(beta1, BETA2),
            epsilon=EPSILON,
        )
        _average(state, decay)
        return
    state.mean.lerp_(gradient, 1 - beta1)
    state.square.mul_(BETA2).addcmul_(gradient, gradient, value=1 - BETA2)
    before = [matrix.of(state.weights).clone() for matrix in orthogonal]
    root = (state.square / (1 - BETA2 ** (step + 1))).sqrt_().add_(EPSILON)
    state.weights.addcdiv_(state.mean, root, value=-learning_rate / (1 - beta1 ** (step + 1)))
    for matrix, weights in zip(orthogonal, before, strict=True):
        ahead = torch.lerp(matrix.of(gradient), matrix.of(state.mean), beta1)
        stretch = max(1.0, ahead.shape[0] / ahead.shape[1]) ** 0.5
        weights.sub_(orthogonalised(ahead), alpha=MATRIX_FACTOR * stretch * learning_rate)
        matrix.of(state.weights).copy_(weights)
    _average(state, decay)


def _average(state: FlatState, decay: float) -> None:
    state.average.lerp_(state.weights, 1 - decay)
    state.gradient.zero_()


def orthogonalised(matrix: Tensor) -> Tensor:
    """About the nearest matrix whose singular values are 1, by a quintic iteration (Jordan 2024).

    Five steps bring singular values that are not tiny into about [0.7, 1.2], which is near enough.
    """
    a, b, c = QUINTIC
    wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    x: Tensor = wide / (wide.norm() + 1e-7)
    for _ in range(QUINTIC_STEPS):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x if matrix.shape[0] <= matrix.shape[1] else x.T
