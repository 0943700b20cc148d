"""The likelihood of images under a flow, by the instantaneous change of variables.

A flow is a continuous normalising flow: along dx/dt = v(x, t) the density changes by
d log p / dt = −∇·v (Chen 2018, theorem 1), so that log p(image) = log N(noise) + ∫₀¹ ∇·v dt, with
noise the end of the path that starts at the image (Song 2021, eq. 39).
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from synthlift.generators.conditions import Vocabulary
from synthlift.generators.flow.network import FlowNetwork
from synthlift.generators.flow.samplers import Velocity, ab2
from synthlift.generators.flow.sampling import given_chunks, guided_velocity
from synthlift.generators.flow.space import PixelSpace, Space
from synthlift.generators.learning.drawing import deterministic_kernels
from synthlift.seeds import generator_for
from synthlift.types import Float32, ImageSet

STEPS = 24
EXACT_UP_TO = 64
"""Images of so many numbers have the divergence computed exactly, larger ones by probes."""
PROBES = 4


def log_likelihood(
    network: FlowNetwork,
    images: ImageSet,
    vocabulary: Vocabulary,
    *,
    space: Space,
    seed: int,
    chunk: int,
) -> Float32:
    """Log-likelihood given class and attributes, in bits per dimension, float32 [N].

    Uniform dequantisation (Theis 2016, eq. 3): a value u of 0 … 255 stands for the interval
    u ± ½, and a noise from it, the same for all images, is added; hence a lower bound of log P(u)
    on average over noises. In latents it is the density of the latents as the network sees them,
    without dequantisation. The path takes 24 Adams–Bashforth steps, closer together near the image.

    Args:
        network: the velocity network, on its device; without guidance.
        images: those without a label are taken without a class.
        vocabulary: what they are asked for by.
        space: what the network learnt in.
        seed: of the dequantising noise and of the probes.
        chunk: images computed together; missing ones are filled in, so that a value depends on
            its image alone.
    """
    device = next(network.parameters()).device
    height, width, channels = space.shape
    pixels = isinstance(space, PixelSpace)
    numbers = height * width * channels
    rng = generator_for(seed, "likelihood")
    noise = torch.from_numpy(rng.random((channels, height, width), dtype=np.float32) - 0.5)
    drawn = rng.integers(0, 2, (PROBES, channels, height, width)).astype(np.float32) * 2 - 1
    probes = None if numbers <= EXACT_UP_TO else torch.from_numpy(drawn).to(device)
    found = np.zeros(len(images), dtype=np.float32)
    for rows, levels, wanted in given_chunks(images, vocabulary, chunk=chunk, device=device):
        seen = (levels + noise) / 127.5 - 1 if pixels else space.enter(levels)
        x = torch.zeros(chunk, channels, height, width, device=device)
        x[: len(rows)] = seen.to(device)
        velocity = guided_velocity(network, wanted, unsaid=vocabulary.sizes, scale=1)
        with deterministic_kernels():
            nats = log_density(velocity, x, times=times(), probes=probes)
        bits = (nats / numbers - (math.log(127.5) if pixels else 0)) / math.log(2)
        found[rows] = bits[: len(rows)].cpu().numpy()
    return found


def times(steps: int = STEPS) -> list[float]:
    """``steps + 1`` times from 0 (image) to 1 (noise), spaced quadratically."""
    return [(i / steps) ** 2 for i in range(steps + 1)]


def log_density(
    velocity: Velocity, x: Tensor, *, times: list[float], probes: Tensor | None = None
) -> Tensor:
    """Log-density in nats at states ``x`` [n, …] of time ``times[0]``, float [n].

    Args:
        velocity: dx/dt at (x, t), differentiable in x; images do not depend on each other.
        x: where the density is wanted.
        times: rising, the last one where the states are standard normal.
        probes: vectors of ±1 [m, …] that estimate the divergence (Hutchinson 1990; Grathwohl
            2019, eq. 7); None = exactly, by one derivative for each number.
    """
    count, numbers = len(x), x[0].numel()

    def rates(state: Tensor, time: float) -> Tensor:
        at = state[:, :numbers].view_as(x)
        slope, divergence = _with_divergence(velocity, at, time, probes)
        return torch.cat([slope.reshape(count, -1), divergence[:, None]], dim=1)

    begin = torch.cat([x.reshape(count, -1), x.new_zeros(count, 1)], dim=1)
    end = ab2(rates, begin, times)
    noise, change = end[:, :numbers], end[:, numbers]
    normal = -(noise.square().sum(1) + numbers * math.log(2 * math.pi)) / 2
    return normal + change


def _with_divergence(
    velocity: Velocity, x: Tensor, time: float, probes: Tensor | None
) -> tuple[Tensor, Tensor]:
    """dx/dt [n, …] and its divergence [n]."""
    with torch.enable_grad():
        at = x.detach().requires_grad_(True)
        slope = velocity(at, time)
        if probes is None:
            units = torch.eye(x[0].numel(), dtype=x.dtype, device=x.device)
            directions = units.view(-1, *x.shape[1:])
        else:
            directions = probes
        total = x.new_zeros(len(x))
        for direction in directions:
            (along,) = torch.autograd.grad((slope * direction).sum(), at, retain_graph=True)
            total += (along * direction).reshape(len(x), -1).sum(1)
    return slope.detach(), total if probes is None else total / len(probes)
