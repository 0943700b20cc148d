"""From the images of a batch to what the network is given: augmented images and targets.

Shape letters: n images, c channels, h height, w width, k classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from synthlift.seeds import seed_for
from synthlift.spec.arms import Augmentation
from synthlift.training.batches import Batch
from synthlift.types import Float32, Int64
from synthlift.vision.transforms import Draws, augment, mix


@dataclass(frozen=True)
class Tables:
    """What a batch needs besides its images: targets, real ones first, and draws."""

    targets_nk: Tensor
    real_count: int
    real_draws: Draws
    synthetic_draws: Draws


def make_tables(
    labels: Int64, *, mixed: Float32 | None, real: int, classes: int, seed: int, device: str
) -> Tables:
    """Tables of a training.

    Args:
        labels: class indices of the real images, then of the synthetic ones.
        mixed: class probabilities [m, k] of synthetic images that mix classes, or None.
        real: how many of the images are real.
        classes: number of classes.
        seed: of the augmentation.
        device: where targets are wanted.
    """
    targets = functional.one_hot(torch.from_numpy(labels), classes).float()
    if mixed is not None:
        targets[real:] = torch.from_numpy(mixed)
    return Tables(
        targets.to(device),
        real,
        Draws(seed_for(seed, "real")),
        Draws(seed_for(seed, "synthetic")),
    )


def augmented(
    batch: Batch,
    pixels_nchw: Tensor,
    *,
    tables: Tables,
    strength: Augmentation,
    flip: bool,
    channels_last: bool,
) -> tuple[Tensor, Tensor]:
    """Augmented float32 images [n, c, h, w] in [0, 1] and targets [n, k] of one batch."""
    device = pixels_nchw.device
    rows = torch.from_numpy(np.concatenate([batch.real, batch.synthetic + tables.real_count]))
    inputs, targets = pixels_nchw.float().div_(255), tables.targets_nk[rows.to(device)]
    if strength == "none":
        return inputs, targets
    draws = torch.cat(
        [
            tables.real_draws.take(batch.real_start, len(batch.real)),
            tables.synthetic_draws.take(batch.synthetic_start, len(batch.synthetic)),
        ]
    ).to(device)
    inputs = augment(inputs, draws, strength=strength, flip=flip)
    inputs, targets = mix(inputs, targets, draws, strength=strength)
    if channels_last:
        inputs = inputs.contiguous(memory_format=torch.channels_last)
    return inputs, targets
