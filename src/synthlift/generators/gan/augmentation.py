"""Changes to all that the discriminator sees, and how likely they are (Karras 2020).

Every change is drawn with the same probability, for real and generated images alike, and can be
told from the distribution of the results while that probability stays below about 0.8: so the
generator learns the images as they were (ibid., §2.2).
"""

from __future__ import annotations

import torch
from torch import Tensor

from synthlift.generators.learning.examples import AUGMENTATIONS, apply_augmentation

BRIGHTNESS, CONTRAST = 0.2, 0.5
TARGET = 0.6
"""Of r_t (ibid., §3.1)."""
RAMP_IMAGES = 100_000
"""Real images after which the probability could have risen from 0 to 1."""


def draw_changes(count: int, *, probability: float, stream: torch.Generator) -> Tensor:
    """Shift down, shift right, turn, scale in [-1, 1], brighter, more contrast; [count, 6].

    Each by itself is zero with probability ``1 − probability``.
    """
    geometric = torch.rand(count, AUGMENTATIONS, generator=stream) * 2 - 1
    tonal = torch.randn(count, 2, generator=stream) * torch.tensor([BRIGHTNESS, CONTRAST])
    used = torch.rand(count, AUGMENTATIONS + 2, generator=stream) < probability
    return torch.cat([geometric, tonal], dim=1) * used


def apply_changes(images_nchw: Tensor, changes_n6: Tensor) -> Tensor:
    """Changed images, differentiable with respect to them."""
    moved = apply_augmentation(images_nchw, changes_n6[:, :AUGMENTATIONS])
    brighter, contrast = changes_n6[:, AUGMENTATIONS:, None, None, None].unbind(1)
    return moved * contrast.exp() + brighter


def adapted(probability: float, *, sign: float, images: int, highest: float) -> float:
    """The next probability: up where the discriminator is too sure, else down.

    Args:
        probability: now.
        sign: r_t, the mean sign of what tells real from generated. Karras 2020, eq. 1 takes the
            score itself; under a relativistic loss only differences of scores mean something.
        images: real images seen since the last adaptation.
        highest: bound.
    """
    towards = 1 if sign > TARGET else -1
    return min(highest, max(0.0, probability + towards * images / RAMP_IMAGES))
