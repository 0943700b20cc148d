"""Samplers: plain functions ``(velocity, x, times) -> x``.

The path is x_t = (1 − t)·image + t·noise, hence dx/dt = noise − image: t = 1 is noise, t = 0 the
image (Lipman 2023, eq. 22 with σ_min = 0, time reversed; the convention of diffusers).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

from torch import Tensor

Velocity = Callable[[Tensor, float], Tensor]
Sampler = Callable[[Velocity, Tensor, Sequence[float]], Tensor]


def even_times(steps: int) -> list[float]:
    """``steps + 1`` evenly spaced times from 1 (noise) to 0 (image)."""
    return [1.0 - i / steps for i in range(steps + 1)]


def shifted(times: Sequence[float], *, shift: float) -> list[float]:
    """Times moved towards 1 by a shift above 1 (Esser 2024, eq. 23); 1 leaves them."""
    return [shift * t / (1 + (shift - 1) * t) for t in times]


def euler(velocity: Velocity, x: Tensor, times: Sequence[float]) -> Tensor:
    """First order: one evaluation a step.

    Args:
        velocity: dx/dt at (x, t), same shape as x.
        x: the state at ``times[0]``, any shape.
        times: falling times, the last one where the result is wanted.
    """
    for now, then in pairwise(times):
        x = x + (then - now) * velocity(x, now)
    return x


def heun(velocity: Velocity, x: Tensor, times: Sequence[float]) -> Tensor:
    """Second order: two evaluations a step, one in a step to t = 0 (Karras 2022, algorithm 1)."""
    for now, then in pairwise(times):
        slope = velocity(x, now)
        ahead = velocity(x + (then - now) * slope, then) if then > 0 else slope
        x = x + (then - now) * (slope + ahead) / 2
    return x


def ab2(velocity: Velocity, x: Tensor, times: Sequence[float]) -> Tensor:
    """Second order: one evaluation a step, which also uses the step before (Adams–Bashforth).

    The first step is Euler's. The velocity is extrapolated linearly to the middle of a step
    (Hairer, Nørsett & Wanner 1993, §III.5, variable step size).
    """
    slope, length = None, 1.0
    for now, then in pairwise(times):
        before, slope = slope, velocity(x, now)
        ahead = (then - now) / (2 * length)
        x = x + (then - now) * (slope if before is None else slope + ahead * (slope - before))
        length = then - now
    return x


SAMPLERS: dict[str, Sampler] = {"ab2": ab2, "euler": euler, "heun": heun}


def guided(conditional: Tensor, unconditional: Tensor, *, scale: float) -> Tensor:
    """Classifier-free guidance: u + s·(c − u) (Ho & Salimans 2022, eq. 6 with s = 1 + w)."""
    return unconditional + scale * (conditional - unconditional)
