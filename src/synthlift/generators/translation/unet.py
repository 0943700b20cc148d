"""What the translators of tiny and of larger images share: patches in, down, up, patches out."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from synthlift.generators.learning.networks import SLOPE, Conditions


class UNetTranslator(nn.Module, ABC):
    """A U-Net (Ronneberger 2015) that is told the class where it is coarsest.

    Subclasses set the parts below, in ``__init__``, and say what the way down gives.
    """

    patch: int
    """Pixels in a side of what is seen at once."""
    told: Conditions
    middle: nn.Module
    up: nn.ModuleList
    leave: nn.Module

    @abstractmethod
    def features(self, x_nchw: Tensor) -> list[Tensor]:
        """Features of an image from fine to coarse [N, C_l, H_l, W_l]."""

    def forward(self, x_nchw: Tensor, wanted_nk: Tensor) -> Tensor:
        """Translated images [N, C, H, W] in about [-1, 1].

        Args:
            x_nchw: source images in [-1, 1], then noise.
            wanted_nk: class indices, int64 [N, 1].
        """
        *fine, hidden = self.features(x_nchw)
        hidden = self.middle(hidden + self.told(wanted_nk)[:, :, None, None])
        for part, beside in zip(self.up, reversed(fine), strict=True):
            wide = F.interpolate(hidden, scale_factor=2.0, mode="nearest")
            hidden = part(torch.cat([wide, beside], dim=1))
        patches = self.leave(F.leaky_relu(hidden, SLOPE))
        height, breadth = x_nchw.shape[2:]
        return F.pixel_shuffle(patches, self.patch)[:, :, :height, :breadth]


def in_patches(x_nchw: Tensor, patch: int, *, unit: int) -> Tensor:
    """Pixels of a patch as channels, after the size is filled up to a multiple of ``unit``."""
    height, breadth = x_nchw.shape[2:]
    padded = F.pad(x_nchw, (0, -breadth % unit, 0, -height % unit), mode="replicate")
    return F.pixel_unshuffle(padded, patch)
