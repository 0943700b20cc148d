"""Training batches of flow matching: an image, a noise, a time between them."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass

import torch
from torch import Tensor

from synthlift.generators.flow.config import FlowConfig
from synthlift.generators.flow.edm import edm_weights
from synthlift.generators.learning.examples import (
    Drawn,
    Examples,
    apply_augmentation,
    draw_augmentation,
    draw_dropout,
    drawn_images,
)
from synthlift.generators.learning.transport import Transport


@dataclass(frozen=True)
class Batch:
    """One step's input: x_t, t, class and attributes, augmentation, the velocity to predict.

    ``weights_n`` is what each example's squared error counts; None = all alike.
    """

    x_nchw: Tensor
    times_n: Tensor
    wanted_nk: Tensor
    augment_n4: Tensor | None
    target_nchw: Tensor
    weights_n: Tensor | None = None

    def __len__(self) -> int:
        return len(self.times_n)

    def part(self, rows: slice) -> Batch:
        """Some of the examples."""
        return Batch(
            self.x_nchw[rows],
            self.times_n[rows],
            self.wanted_nk[rows],
            None if self.augment_n4 is None else self.augment_n4[rows],
            self.target_nchw[rows],
            None if self.weights_n is None else self.weights_n[rows],
        )


def training_batches(
    examples: Examples,
    config: FlowConfig,
    *,
    seed: int,
    steps: range,
    transport: Transport | None = None,
    gaps: bool = False,
) -> Generator[Batch, None, None]:
    """The batches of some steps.

    ``transport`` fills in combinations that were never seen; where ``gaps`` are left, the class is
    dropped by itself as often as an attribute.
    """
    assert isinstance(config.batch_size, int), "settle() comes first"
    images = drawn_images(examples, batch_size=config.batch_size, seed=seed, steps=steps)
    with closing(images) as found:
        for drawn, pixels in found:
            yield _batch(examples, config, drawn, pixels, transport, gaps)


def _batch(
    examples: Examples,
    config: FlowConfig,
    drawn: Drawn,
    pixels_nchw: Tensor,
    transport: Transport | None,
    gaps: bool,
) -> Batch:
    """Draw everything else of one step; images, or latents, [n, C, H, W] are on the device."""
    share, stream, device = config.augmentation, drawn.stream, examples.device
    assert isinstance(share, float | int), "settle() comes first"
    count = len(drawn.rows)
    rows = drawn.rows.to(device)
    images, wanted = examples.seen(pixels_nchw), examples.wanted_nk[rows]
    if transport is not None and transport.carries:
        images, wanted = transport(images, wanted, stream=stream)
    if config.flip == "yes":
        turned = torch.rand(count, generator=stream) < 0.5
        images = torch.where(turned.to(device)[:, None, None, None], images.flip(3), images)
    augment = None if examples.moved_n4 is None else examples.moved_n4[rows]
    if augment is None and share > 0:
        augment = draw_augmentation(count, share=share, stream=stream).to(device)
        images = apply_augmentation(images, augment)
    dropped = draw_dropout(
        wanted.shape,
        everything=config.label_dropout,
        attribute=config.attribute_dropout,
        label=config.attribute_dropout if gaps else 0.0,
        stream=stream,
    )
    wanted = torch.where(dropped.to(device), examples.unsaid_k, wanted)
    times = draw_times(count, kind=config.times, stream=stream).to(device)
    noise = torch.randn(images.shape, generator=stream).to(device)
    t = times[:, None, None, None]
    weights = edm_weights(times) if config.parametrisation == "edm" else None
    return Batch((1 - t) * images + t * noise, times, wanted, augment, noise - images, weights)


def draw_times(count: int, *, kind: str, stream: torch.Generator) -> Tensor:
    """Times in [0, 1], stratified over the batch, which lowers the loss's variance.

    ``logit_normal`` is the logistic of a standard normal (Esser 2024, eq. 19, m = 0, s = 1), and
    ``log_normal`` of one with mean −1.2 and deviation 1.2: the noise level σ = t / (1 − t) is then
    log-normal as in Karras 2022, table 1.
    """
    even = (torch.arange(count) + torch.rand(count, generator=stream)) / count
    if kind == "uniform":
        return even
    normal = torch.special.ndtri(even.clamp(1e-6, 1 - 1e-6))
    return torch.sigmoid(1.2 * normal - 1.2 if kind == "log_normal" else normal)
