"""From requests to pixels: noise per image, chunks of one fixed size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from synthlift.errors import InputError
from synthlift.generators.conditions import Vocabulary
from synthlift.generators.flow.composing import Gaps, composed_velocity
from synthlift.generators.flow.edm import edm_times
from synthlift.generators.flow.network import EDMNetwork, FlowNetwork
from synthlift.generators.flow.samplers import SAMPLERS, Velocity, even_times, guided, shifted
from synthlift.generators.flow.space import Space
from synthlift.generators.learning.drawing import deterministic_kernels, noise_for
from synthlift.generators.learning.examples import as_nchw
from synthlift.seeds import generator_for
from synthlift.types import Float32, ImageSet, Int64, SampleRequest, UInt8

LOSS_TIMES = 16
PARAMS = {"guidance_scale": (0, 20), "sampler_steps": (1, 50)}
"""What a request may set, from and to."""


def check_params(request: SampleRequest) -> None:
    """Refuse what a request may not set.

    Raises:
        InputError: an unknown parameter, or a value out of range.
    """
    for name, value in request.params.items():
        low, high = PARAMS.get(name, (1, 0))
        if not low <= value <= high:
            to = f" to {value}" if name in PARAMS else ""
            allowed = (f"{key} ({a} to {b})" for key, (a, b) in PARAMS.items())
            raise InputError(
                f"request {request.index} sets '{name}'{to}",
                rule=f"a request to a flow generator may set: {', '.join(allowed)}",
                remedy="correct or remove it",
            )


class Start(NamedTuple):
    """A given image to start from: float32 [c, h, w] as the network sees it.

    ``time`` in (0, 1] says where on the path to noise: the share of the image that is lost.
    """

    x: Tensor
    time: float


@torch.inference_mode()
def draw_images(
    network: FlowNetwork,
    *,
    wanted: Int64,
    gaps: Gaps,
    unsaid: Sequence[int],
    seeds: Sequence[int],
    space: Space,
    guidance_scale: float,
    guidance_interval: tuple[float, float],
    sampler: str,
    sampler_steps: int,
    time_shift: float,
    chunk: int,
    start: Start | None = None,
) -> UInt8:
    """Draw one chunk of images.

    Args:
        network: the velocity network, on its device.
        wanted: indices of class and attribute values, int64 [n, 1 + A], at most ``chunk`` rows,
            whose class meets a value for the first time in the same columns.
        gaps: combinations that were never seen.
        unsaid: the index of each column that stands for "not said".
        seeds: seed per image.
        space: what the network draws in.
        guidance_scale: 1 = off.
        guidance_interval: times between which there is guidance.
        sampler: a name in ``SAMPLERS``.
        sampler_steps: steps from noise to image.
        time_shift: see :func:`~synthlift.generators.flow.samplers.shifted`.
        chunk: the number of images that is always computed: kernels round differently at other
            batch shapes, so missing images are filled in and thrown away.
        start: an image that all start from (SDEdit, Meng 2022, algorithm 1, on the straight path):
            its mixture with the image's own noise is followed from ``start.time`` on, in as many
            steps; at time 1 nothing of it is left. None = from noise.

    Returns:
        uint8 [n, H, W, C].
    """
    count = len(wanted)
    assert 0 < count <= chunk == max(chunk, len(seeds))
    device = next(network.parameters()).device
    height, width, channels = space.shape
    shape = (channels, height, width)
    x = torch.zeros(chunk, *shape)
    x[:count] = noise_for(seeds, shape=shape)
    rows = np.zeros((chunk, wanted.shape[1]), np.int64)
    rows[:count] = wanted
    if columns := gaps.columns(rows[0].tolist()):
        velocity = composed_velocity(
            network,
            gaps.parts(rows, columns, unsaid),
            unsaid=unsaid,
            scale=guidance_scale,
            interval=guidance_interval,
        )
    else:
        velocity = guided_velocity(
            network,
            torch.from_numpy(rows).to(device),
            unsaid=unsaid,
            scale=guidance_scale,
            interval=guidance_interval,
        )
    with deterministic_kernels():
        if isinstance(network, EDMNetwork):
            times = edm_times(sampler_steps)
        else:
            times = shifted(even_times(sampler_steps), shift=time_shift)
        if start is not None:
            times = [start.time * t for t in times]
            x = (1 - start.time) * start.x.cpu() + start.time * x
        x = SAMPLERS[sampler](velocity, x.to(device), times)
        pixels = space.leave(x[:count])
    return np.ascontiguousarray(pixels.permute(0, 2, 3, 1).cpu().numpy())


def guided_velocity(
    network: FlowNetwork,
    wanted_nk: Tensor,
    *,
    unsaid: Sequence[int],
    scale: float,
    interval: tuple[float, float] = (0.0, 1.0),
) -> Velocity:
    """The velocity under classifier-free guidance; one pass of twice the size unless off.

    Outside the interval of times (Kynkäänniemi 2024, eq. 6) it is the conditional one.
    """
    nothing = torch.tensor(list(unsaid), device=wanted_nk.device).expand_as(wanted_nk)
    both = torch.cat([wanted_nk, nothing])

    def velocity(x: Tensor, t: float) -> Tensor:
        if scale == 1 or not interval[0] <= t <= interval[1]:
            plain: Tensor = network(x, x.new_full((len(x),), t), wanted_nk)
            return plain
        out = network(torch.cat([x, x]), x.new_full((2 * len(x),), t), both)
        conditional, unconditional = out.chunk(2)
        return guided(conditional, unconditional, scale=scale)

    return velocity


class Given(NamedTuple):
    """A chunk of given images: their rows, pixels uint8 [n, C, H, W], and indices [chunk, 1 + A].

    The indices are filled up to the chunk's size with "not said", on the network's device.
    """

    rows: Int64
    pixels: Tensor
    wanted: Tensor


def given_chunks(
    images: ImageSet, vocabulary: Vocabulary, *, chunk: int, device: torch.device
) -> Iterator[Given]:
    """Given images in chunks of one size, so that what is told of one depends on it alone."""
    said = vocabulary.encode(images.labels, images.attributes)
    for start in range(0, len(images), chunk):
        rows = np.arange(start, min(start + chunk, len(images)))
        wanted = torch.tensor(vocabulary.sizes).repeat(chunk, 1)
        wanted[: len(rows)] = torch.from_numpy(said[rows])
        yield Given(rows, as_nchw(torch.from_numpy(images.pixels(rows))), wanted.to(device))


@torch.inference_mode()
def explained_loss(
    network: FlowNetwork,
    images: ImageSet,
    vocabulary: Vocabulary,
    *,
    space: Space,
    seed: int,
    chunk: int,
) -> Float32:
    """Mean squared error of the velocity per image over fixed times and noises, float32 [N]."""
    device = next(network.parameters()).device
    height, width, channels = space.shape
    shape = (LOSS_TIMES, channels, height, width)
    noise = generator_for(seed, "loss_noise").standard_normal(shape, dtype=np.float32)
    noises = torch.from_numpy(noise).to(device)
    times = (torch.arange(LOSS_TIMES, device=device) + 0.5) / LOSS_TIMES
    losses = np.zeros(len(images), dtype=np.float32)
    for rows, pixels, wanted in given_chunks(images, vocabulary, chunk=chunk, device=device):
        x0 = torch.zeros(chunk, channels, height, width, device=device)
        x0[: len(rows)] = space.enter(pixels)
        total = torch.zeros(chunk, device=device)
        for t, eps in zip(times, noises, strict=True):
            predicted = network((1 - t) * x0 + t * eps, t.expand(chunk), wanted)
            total += (predicted - (eps - x0)).square().mean(dim=(1, 2, 3))
        losses[rows] = (total / LOSS_TIMES)[: len(rows)].cpu().numpy()
    return losses
