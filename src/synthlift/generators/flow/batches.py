"""Training batches of flow matching: an image, a noise, a time between them."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass

import torch
from torch import Tensor

from synthlift.generators.flow.config import FlowConfig
from synthlift.generators.learning.examples import (
    Drawn,
    Examples,
    apply_augmentation,
    draw_augmentation,
    draw_dropout,
    drawn_images,
)


@dataclass(frozen=True)
class Batch:
    """One step's input: x_t, t, class and attributes, augmentation, the velocity to predict."""

    x_nchw: Tensor
    times_n: Tensor
    wanted_nk: Tensor
    augment_n4: Tensor | None
    target_nchw: Tensor


def training_batches(
    examples: Examples, config: FlowConfig, *, seed: int, steps: range
) -> Generator[Batch, None, None]:
    """The batches of some steps."""
    assert isinstance(config.batch_size, int), "settle() comes first"
    images = drawn_images(examples, batch_size=config.batch_size, seed=seed, steps=steps)
    with closing(images) as found:
        for drawn, pixels in found:
            yield _batch(examples, config, drawn, pixels)


def _batch(examples: Examples, config: FlowConfig, drawn: Drawn, pixels_nchw: Tensor) -> Batch:
    """Draw everything else of one step; images, or latents, [n, C, H, W] are on the device."""
    share, stream, device = config.augmentation, drawn.stream, examples.device
    assert isinstance(share, float | int), "settle() comes first"
    count = len(drawn.rows)
    rows = drawn.rows.to(device)
    images, wanted = examples.seen(pixels_nchw), examples.wanted_nk[rows]
    augment = None if examples.moved_n4 is None else examples.moved_n4[rows]
    if augment is None and share > 0:
        augment = draw_augmentation(count, share=share, stream=stream).to(device)
        images = apply_augmentation(images, augment)
    dropped = draw_dropout(
        wanted.shape,
        everything=config.label_dropout,
        attribute=config.attribute_dropout,
        stream=stream,
    )
    wanted = torch.where(dropped.to(device), examples.unsaid_k, wanted)
    times = draw_times(count, kind=config.times, stream=stream).to(device)
    noise = torch.randn(images.shape, generator=stream).to(device)
    t = times[:, None, None, None]
    return Batch((1 - t) * images + t * noise, times, wanted, augment, noise - images)


def draw_times(count: int, *, kind: str, stream: torch.Generator) -> Tensor:
    """Times in [0, 1], stratified over the batch, which lowers the loss's variance.

    ``logit_normal`` is the logistic of a standard normal (Esser 2024, eq. 19, m = 0, s = 1).
    """
    even = (torch.arange(count) + torch.rand(count, generator=stream)) / count
    if kind == "uniform":
        return even
    return torch.sigmoid(torch.special.ndtri(even.clamp(1e-6, 1 - 1e-6)))
