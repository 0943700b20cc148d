"""Training batches: each one is a function of (seed, step), so that a resumed fit repeats it.

Images are in memory up to a limit, above it they are read batch by batch; no bit depends on which.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from synthlift.generators.conditions import Vocabulary
from synthlift.generators.flow.config import FlowConfig
from synthlift.rows import IN_MEMORY_BYTES, PixelRows, ahead, in_blocks
from synthlift.seeds import seed_for
from synthlift.types import ImageSet

MAX_SHIFT, MAX_TURN, MAX_SCALE = 1 / 8, math.radians(10), 0.1


@dataclass(frozen=True)
class Examples:
    """Training images.

    Attributes:
        source: uint8 [N, H, W, C], where they lie.
        pixels_nchw: uint8 [N, C, H, W] on the device; None where they are read batch by batch.
        wanted_nk: int64 [N, 1 + A] on the device, indices of class and attribute values.
        unsaid_k: int64 [1 + A] on the device, the indices that stand for "not said".
        weights_n: float64 [N], the probability of being drawn, on the CPU.
    """

    source: PixelRows = field(repr=False)
    pixels_nchw: Tensor | None
    wanted_nk: Tensor
    unsaid_k: Tensor
    weights_n: Tensor

    @property
    def device(self) -> torch.device:
        """Where batches are wanted."""
        return self.wanted_nk.device

    def images(self, rows: Tensor) -> Tensor:
        """Images at ``rows``, uint8 [n, C, H, W], on the device, or on the CPU if just read."""
        if self.pixels_nchw is not None:
            return self.pixels_nchw[rows.to(self.device)]
        return as_nchw(torch.from_numpy(self.source[rows.numpy()]))


@dataclass(frozen=True)
class Drawn:
    """One step's rows, int64 [n] on the CPU, and the random stream from which more is drawn."""

    rows: Tensor
    stream: torch.Generator


@dataclass(frozen=True)
class Batch:
    """One step's input: x_t, t, class and attributes, augmentation, the velocity to predict."""

    x_nchw: Tensor
    times_n: Tensor
    wanted_nk: Tensor
    augment_n4: Tensor | None
    target_nchw: Tensor


def load_examples(
    train: ImageSet, vocabulary: Vocabulary, *, config: FlowConfig, device: str
) -> Examples:
    """Weigh the training images, and read them where :data:`IN_MEMORY_BYTES` allows it.

    Args:
        train: labelled and, where it has any, unlabelled images.
        vocabulary: what they are asked for by.
        config: class balance and the share of unlabelled images.
        device: torch device string.
    """
    wanted = torch.from_numpy(vocabulary.encode(train.labels, train.attributes))
    labels = wanted[:, 0]
    counts = torch.bincount(labels, minlength=len(vocabulary.classes) + 1).double()
    weights = counts[labels] ** -config.class_balance
    unlabelled = labels == len(vocabulary.classes)
    if unlabelled.any() and not unlabelled.all():
        share = config.unlabelled_share
        weights[unlabelled] *= share / weights[unlabelled].sum()
        weights[~unlabelled] *= (1 - share) / weights[~unlabelled].sum()
    small = len(train) * math.prod(train.image_shape) <= IN_MEMORY_BYTES
    return Examples(
        source=train.source,
        pixels_nchw=_all_images(train.source).to(device) if small else None,
        wanted_nk=wanted.to(device),
        unsaid_k=torch.tensor(vocabulary.sizes, device=device),
        weights_n=weights / weights.sum(),
    )


def _all_images(source: PixelRows) -> Tensor:
    count, height, width, channels = source.shape
    images, start = torch.empty((count, channels, height, width), dtype=torch.uint8), 0
    for block in in_blocks(source):
        images[start : start + len(block)] = torch.from_numpy(block).permute(0, 3, 1, 2)
        start += len(block)
    return images


def as_nchw(pixels_nhwc: Tensor) -> Tensor:
    """Images [n, H, W, C] as [n, C, H, W], contiguous."""
    return pixels_nhwc.permute(0, 3, 1, 2).contiguous()


def to_unit(pixels: Tensor) -> Tensor:
    """uint8 [0, 255] to float32 [-1, 1]."""
    return pixels.float() / 127.5 - 1


def to_pixels(x: Tensor) -> Tensor:
    """float32 to uint8, rounded and clipped."""
    return ((x.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)


def training_batches(
    examples: Examples, config: FlowConfig, *, seed: int, steps: range
) -> Generator[Batch, None, None]:
    """The batches of some steps; images that are not in memory are read one step ahead."""
    drawn = (draw_rows(examples, config, seed=seed, step=step) for step in steps)
    if examples.pixels_nchw is not None:
        for one in drawn:
            yield _batch(examples, config, one, examples.images(one.rows))
        return
    with closing(ahead(lambda one: examples.images(one.rows), drawn)) as read:
        for one, images in read:
            yield _batch(examples, config, one, images.to(examples.device))


def draw_rows(examples: Examples, config: FlowConfig, *, seed: int, step: int) -> Drawn:
    """Draw which images one step sees."""
    assert isinstance(config.batch_size, int), "settle() comes first"
    stream = torch.Generator().manual_seed(seed_for(seed, "batch", step))
    weights, count = examples.weights_n, config.batch_size
    return Drawn(torch.multinomial(weights, count, replacement=True, generator=stream), stream)


def _batch(examples: Examples, config: FlowConfig, drawn: Drawn, pixels_nchw: Tensor) -> Batch:
    """Draw everything else of one step; images uint8 [n, C, H, W] are on the device."""
    share, stream, device = config.augmentation, drawn.stream, examples.device
    assert isinstance(share, float | int), "settle() comes first"
    count = len(drawn.rows)
    images, wanted = to_unit(pixels_nchw), examples.wanted_nk[drawn.rows.to(device)]
    augment = None
    if share > 0:
        augment = draw_augmentation(count, share=share, stream=stream).to(device)
        images = apply_augmentation(images, augment)
    dropped = draw_dropout(wanted.shape, config, stream=stream).to(device)
    wanted = torch.where(dropped, examples.unsaid_k, wanted)
    times = draw_times(count, kind=config.times, stream=stream).to(device)
    noise = torch.randn(images.shape, generator=stream).to(device)
    t = times[:, None, None, None]
    return Batch((1 - t) * images + t * noise, times, wanted, augment, noise - images)


def draw_dropout(shape: Sequence[int], config: FlowConfig, *, stream: torch.Generator) -> Tensor:
    """What is not said, bool [N, 1 + A]: everything at once, or an attribute by itself."""
    count, columns = shape
    everything = torch.rand(count, generator=stream) < config.label_dropout
    if columns == 1:
        return everything[:, None]
    single = torch.rand(count, columns, generator=stream) < config.attribute_dropout
    single[:, 0] = False
    return everything[:, None] | single


def draw_times(count: int, *, kind: str, stream: torch.Generator) -> Tensor:
    """Times in [0, 1], stratified over the batch, which lowers the loss's variance.

    ``logit_normal`` is the logistic of a standard normal (Esser 2024, eq. 19, m = 0, s = 1).
    """
    even = (torch.arange(count) + torch.rand(count, generator=stream)) / count
    if kind == "uniform":
        return even
    return torch.sigmoid(torch.special.ndtri(even.clamp(1e-6, 1 - 1e-6)))


def draw_augmentation(count: int, *, share: float, stream: torch.Generator) -> Tensor:
    """Shift down, shift right, turn, scale in [-1, 1], all zero for ``1 − share``; [count, 4]."""
    amounts = torch.rand(count, 4, generator=stream) * 2 - 1
    used = torch.rand(count, 1, generator=stream) < share
    return amounts * used


def apply_augmentation(images_nchw: Tensor, augment_n4: Tensor) -> Tensor:
    """Shift by up to 1/8 of the size, turn by up to 10 degrees, scale by up to 10 %."""
    down, right, turn, scale = augment_n4.unbind(1)
    angle, zoom = turn * MAX_TURN, torch.exp(scale * MAX_SCALE)
    cos, sin = zoom * torch.cos(angle), zoom * torch.sin(angle)
    aspect = images_nchw.shape[2] / images_nchw.shape[3]
    # affine_grid counts in half-sizes, hence the factor 2 and the aspect ratio in the rotation.
    rows = [cos, -sin * aspect, 2 * MAX_SHIFT * right, sin / aspect, cos, 2 * MAX_SHIFT * down]
    theta = torch.stack(rows, dim=1).view(-1, 2, 3)
    grid = F.affine_grid(theta, list(images_nchw.shape), align_corners=False)
    moved = F.grid_sample(images_nchw, grid, padding_mode="border", align_corners=False)
    plain = (augment_n4 == 0).all(dim=1)[:, None, None, None]
    return torch.where(plain, images_nchw, moved)
