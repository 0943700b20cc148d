"""Training examples: each step's are a function of (seed, step), so that a resumed fit repeats it.

Images are in memory up to a limit, above it they are read batch by batch; no bit depends on which.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from synthlift.generators.conditions import Vocabulary
from synthlift.rows import IN_MEMORY_BYTES, Rows, ahead, in_blocks
from synthlift.seeds import seed_for
from synthlift.types import ImageSet

AUGMENTATIONS = 4
"""Numbers that describe an augmentation: shift down, shift right, turn, scale."""
MAX_SHIFT, MAX_TURN, MAX_SCALE = 1 / 8, math.radians(10), 0.1


def to_unit(pixels: Tensor) -> Tensor:
    """uint8 [0, 255] to float32 [-1, 1]."""
    return pixels.float() / 127.5 - 1


@dataclass(frozen=True)
class Examples:
    """Training images, or their latents, of one number type.

    Attributes:
        source: uint8 or float16 [N, H, W, C], where they lie.
        pixels_nchw: the same [N, C, H, W] on the device; None where they are read batch by batch.
        wanted_nk: int64 [N, 1 + A] on the device, indices of class and attribute values.
        unsaid_k: int64 [1 + A] on the device, the indices that stand for "not said".
        weights_n: float64 [N], the probability of being drawn, on the CPU.
        seen: what a network sees of them, float32.
        moved_n4: float32 [N, 4] on the device, where they were augmented beforehand: how.
    """

    source: Rows[Any] = field(repr=False)
    pixels_nchw: Tensor | None
    wanted_nk: Tensor
    unsaid_k: Tensor
    weights_n: Tensor
    seen: Callable[[Tensor], Tensor] = to_unit
    moved_n4: Tensor | None = None

    @property
    def device(self) -> torch.device:
        """Where batches are wanted."""
        return self.wanted_nk.device

    def images(self, rows: Tensor) -> Tensor:
        """Images at ``rows`` [n, C, H, W], on the device, or on the CPU if just read."""
        if self.pixels_nchw is not None:
            return self.pixels_nchw[rows.to(self.device)]
        return as_nchw(torch.from_numpy(self.source[rows.numpy()]))


@dataclass(frozen=True)
class Drawn:
    """One step's rows, int64 [n] on the CPU, and the random stream from which more is drawn."""

    rows: Tensor
    stream: torch.Generator


def load_examples(
    train: ImageSet,
    vocabulary: Vocabulary,
    *,
    class_balance: float,
    device: str,
    unlabelled_share: float = 0.5,
    cells: bool = False,
) -> Examples:
    """Weigh the training images, and read them where :data:`IN_MEMORY_BYTES` allows it.

    Args:
        train: labelled and, where it has any, unlabelled images.
        vocabulary: what they are asked for by.
        class_balance: probability of class k is proportional to n_k^(1 − class_balance).
        device: torch device string.
        unlabelled_share: share of examples without a class, where there are both kinds.
        cells: balance combinations of class and attribute values instead of classes.
    """
    wanted = torch.from_numpy(vocabulary.encode(train.labels, train.attributes))
    labels = wanted[:, 0]
    group = torch.unique(wanted, dim=0, return_inverse=True)[1] if cells else labels
    weights = torch.bincount(group).double()[group] ** -class_balance
    unlabelled = labels == len(vocabulary.classes)
    if unlabelled.any() and not unlabelled.all():
        weights[unlabelled] *= unlabelled_share / weights[unlabelled].sum()
        weights[~unlabelled] *= (1 - unlabelled_share) / weights[~unlabelled].sum()
    return Examples(
        source=train.source,
        pixels_nchw=in_memory(train.source, bytes_each=math.prod(train.image_shape), device=device),
        wanted_nk=wanted.to(device),
        unsaid_k=torch.tensor(vocabulary.sizes, device=device),
        weights_n=weights / weights.sum(),
    )


def in_memory(source: Rows[Any], *, bytes_each: int, device: str) -> Tensor | None:
    """All rows as [N, C, H, W] on the device; None above :data:`IN_MEMORY_BYTES`."""
    count, height, width, channels = source.shape
    if count * bytes_each > IN_MEMORY_BYTES:
        return None
    images, start = torch.empty(0), 0
    for block in in_blocks(source):
        part = torch.from_numpy(block)
        if not start:
            images = torch.empty((count, channels, height, width), dtype=part.dtype)
        images[start : start + len(block)] = part.permute(0, 3, 1, 2)
        start += len(block)
    return images.to(device)


def as_nchw(pixels_nhwc: Tensor) -> Tensor:
    """Images [n, H, W, C] as [n, C, H, W], contiguous."""
    return pixels_nhwc.permute(0, 3, 1, 2).contiguous()


def to_pixels(x: Tensor) -> Tensor:
    """float32 to uint8, rounded and clipped."""
    return ((x.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)


def drawn_images(
    examples: Examples, *, batch_size: int, seed: int, steps: range
) -> Generator[tuple[Drawn, Tensor], None, None]:
    """The images of some steps [n, C, H, W] on the device.

    What is not in memory is read one step ahead.
    """
    drawn = (draw_rows(examples, batch_size=batch_size, seed=seed, step=step) for step in steps)
    if examples.pixels_nchw is not None:
        for one in drawn:
            yield one, examples.images(one.rows)
        return
    with closing(ahead(lambda one: examples.images(one.rows), drawn)) as read:
        for one, images in read:
            yield one, images.to(examples.device)


def draw_rows(examples: Examples, *, batch_size: int, seed: int, step: int) -> Drawn:
    """Draw which images one step sees."""
    stream = torch.Generator().manual_seed(seed_for(seed, "batch", step))
    rows = torch.multinomial(examples.weights_n, batch_size, replacement=True, generator=stream)
    return Drawn(rows, stream)


def draw_dropout(
    shape: Sequence[int],
    *,
    everything: float,
    attribute: float,
    stream: torch.Generator,
    label: float = 0.0,
) -> Tensor:
    """What is not said, bool [N, 1 + A]: everything at once, or an attribute or class by itself.

    Args:
        shape: N, 1 + A.
        everything, attribute: shares of examples.
        stream: of random numbers.
        label: share of examples in which the class is not said.
    """
    count, columns = shape
    whole = torch.rand(count, generator=stream) < everything
    if columns == 1:
        return whole[:, None]
    drawn = torch.rand(count, columns, generator=stream)
    single = drawn < attribute
    single[:, 0] = drawn[:, 0] < label
    return whole[:, None] | single


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
