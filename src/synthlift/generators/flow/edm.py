"""The EDM parametrisation (Karras 2022) in the time of flow matching.

Both noise an image the same way, up to scale: x_t = (1 − t)·image + t·noise is (1 − t) times an
image with noise of level σ = t / (1 − t). A denoiser D in the sense of EDM hence gives the velocity
(x_t − D) / t. Written out, with σ_d for the deviation of the data and d = t² + σ_d²·(1 − t)²,
c_skip, c_out and c_in of Karras 2022, table 1, become

    velocity = (t − σ_d²·(1 − t)) / d · x_t − σ_d / √d · F(x_t / √d, ln σ / 4),

and the loss weight 1 / c_out² of the denoised image becomes d / σ_d² on the velocity. Nothing in it
is divided by a number near 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

DATA_DEVIATION = 0.5
"""σ_d, of pixels in [-1, 1]."""
LEAST_NOISE, MOST_NOISE, RHO = 0.002, 80.0, 7.0


@dataclass(frozen=True)
class Scales:
    """Factors at some times: into the layers, past them, and out of them."""

    into: Tensor
    past: Tensor
    out: Tensor


def edm_scales(times: Tensor) -> Scales:
    """The factors at times in [0, 1], of the times' shape."""
    root = _density(times).sqrt()
    past = (times - DATA_DEVIATION**2 * (1 - times)) / root**2
    return Scales(into=1 / root, past=past, out=-DATA_DEVIATION / root)


def edm_noise(times: Tensor) -> Tensor:
    """What the layers are told of the noise: ln σ / 4 (c_noise), σ kept in [0.002, 80]."""
    low, high = (sigma / (1 + sigma) for sigma in (LEAST_NOISE, MOST_NOISE))
    return torch.logit(times.clamp(low, high)) / 4


def edm_weights(times: Tensor) -> Tensor:
    """Weight of the velocity's squared error at some times."""
    return _density(times) / DATA_DEVIATION**2


def edm_times(steps: int) -> list[float]:
    """``steps + 1`` falling times from noise to image (Karras 2022, eq. 5, with ρ = 7).

    The first is 1 rather than the time of σ = 80, 0.988: the state is noise without image.
    """
    ends = MOST_NOISE ** (1 / RHO), LEAST_NOISE ** (1 / RHO)
    roots = [ends[0] + i / max(1, steps - 1) * (ends[1] - ends[0]) for i in range(steps)]
    times = [root**RHO / (1 + root**RHO) for root in roots]
    return [1.0, *times[1:], 0.0]


def _density(times: Tensor) -> Tensor:
    return times.square() + DATA_DEVIATION**2 * (1 - times).square()
