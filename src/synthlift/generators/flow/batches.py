"""Training batches: each one is a function of (seed, step), so that a resumed fit repeats it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from synthlift.generators.conditions import Vocabulary
from synthlift.generators.flow.config import FlowConfig
from synthlift.seeds import seed_for
from synthlift.types import ImageSet

MAX_SHIFT, MAX_TURN, MAX_SCALE = 1 / 8, math.radians(10), 0.1


@dataclass(frozen=True)
class Examples:
    """Training images on the device.

    Attributes:
        pixels_nchw: uint8 [N, C, H, W].
        wanted_nk: int64 [N, 1 + A], indices of class and attribute values.
        unsaid_k: int64 [1 + A], the indices that stand for "not said".
        weights_n: float64 [N], the probability of being drawn, on the CPU.
    """

    pixels_nchw: Tensor
    wanted_nk: Tensor
    unsaid_k: Tensor
    weights_n: Tensor


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
    """Read the training images once.

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
    return Examples(
        pixels_nchw=torch.from_numpy(train.pixels()).permute(0, 3, 1, 2).contiguous().to(device),
        wanted_nk=wanted.to(device),
        unsaid_k=torch.tensor(vocabulary.sizes, device=device),
        weights_n=weights / weights.sum(),
    )


def to_unit(pixels: Tensor) -> Tensor:
    """uint8 [0, 255] to float32 [-1, 1]."""
    return pixels.float() / 127.5 - 1


def to_pixels(x: Tensor) -> Tensor:
    """float32 to uint8, rounded and clipped."""
    return ((x.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)


def training_batch(examples: Examples, config: FlowConfig, *, seed: int, step: int) -> Batch:
    """Draw the batch of one step."""
    stream = torch.Generator().manual_seed(seed_for(seed, "batch", step))
    device = examples.pixels_nchw.device
    count = config.batch_size
    share = config.augmentation
    assert isinstance(count, int), "settle() comes first"
    assert isinstance(share, float | int), "settle() comes first"
    rows = torch.multinomial(examples.weights_n, count, replacement=True, generator=stream)
    rows = rows.to(device)
    images, wanted = to_unit(examples.pixels_nchw[rows]), examples.wanted_nk[rows]
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
