"""Networks that see an image pixel by pixel, for all but tiny images.

A thin U-Net at full resolution with its blocks where it is coarsest, and a discriminator of
patches (Isola 2017, §3.2): lines are a pixel wide, and some hundred images have many patches.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from synthlift.generators.learning.networks import SLOPE, Conditions, ImageShape, zeroed
from synthlift.generators.translation.unet import UNetTranslator, in_patches

FINEST = 64
"""Pixels a side, at most, that are seen one by one; above, patches are."""
COARSEST = 8
NARROWEST = 8
BLOCKS = 3
"""Residual blocks at the coarsest level, for each of ``depth``."""
STRIDES = 3
"""Times that a discriminator halves the size: it judges patches of 38 pixels."""
JUDGED = 32


class Grid:
    """Sizes: pixels in a patch, levels, channels of each.

    Args:
        image_shape: height, width, channels.
        width: the coarsest level has twice so many channels, each finer one half of the next.
    """

    def __init__(self, image_shape: ImageShape, width: int) -> None:
        height, breadth, channels = image_shape
        side = max(height, breadth)
        self.patch = 2 ** max(0, math.ceil(math.log2(side / FINEST)))
        count = max(1, math.ceil(math.log2(side / self.patch / COARSEST)))
        every = range(count + 1)
        self.widths = [max(NARROWEST, 2 * width // 2 ** (count - level)) for level in every]
        self.unit = self.patch * 2**count
        self.inner = channels * self.patch**2


class FineTranslator(UNetTranslator):
    """A U-Net (Ronneberger 2015), told the class where it is coarsest.

    Args:
        image_shape: of the images that are made.
        width, depth: see :class:`Grid` and :data:`BLOCKS`.
        conditions: number of classes.
        inputs: channels of a source image, those of noise included.
        normalised: whether each image's features are brought to mean 0 and variance 1 (Ulyanov
            2016), which takes its light and contrast out; not for masks, which are nearly
            constant.
    """

    def __init__(
        self,
        image_shape: ImageShape,
        width: int,
        depth: int,
        conditions: Sequence[int],
        *,
        inputs: int,
        normalised: bool,
    ) -> None:
        super().__init__()
        self.grid = Grid(image_shape, width)
        self.patch = self.grid.patch
        widths = self.grid.widths
        enter = nn.Conv2d(inputs * self.grid.patch**2, widths[0], 3, padding=1)
        self.enter = nn.Sequential(enter, _norm(widths[0], normalised))
        self.down = nn.ModuleList(
            nn.Sequential(
                nn.LeakyReLU(SLOPE),
                nn.Conv2d(fine, coarse, 4, stride=2, padding=1),
                _norm(coarse, normalised),
            )
            for fine, coarse in pairwise(widths)
        )
        self.told = Conditions(conditions, widths[-1])
        blocks = (_Block(widths[-1], normalised) for _ in range(BLOCKS * depth))
        self.middle = nn.Sequential(*blocks)
        self.up = nn.ModuleList(
            nn.Sequential(
                nn.LeakyReLU(SLOPE),
                nn.Conv2d(coarse + fine, fine, 3, padding=1),
                _norm(fine, normalised),
            )
            for fine, coarse in reversed(list(pairwise(widths)))
        )
        self.leave = nn.Conv2d(widths[0], self.grid.inner, 3, padding=1)

    def features(self, x_nchw: Tensor) -> list[Tensor]:
        """See :class:`UNetTranslator`."""
        found = [self.enter(in_patches(x_nchw, self.patch, unit=self.grid.unit))]
        for part in self.down:
            found.append(part(found[-1]))
        return found

    def forward(self, x_nchw: Tensor, wanted_nk: Tensor) -> Tensor:
        """See :class:`UNetTranslator`; images lie in [-1, 1]."""
        return torch.tanh(super().forward(x_nchw, wanted_nk))


class PatchDiscriminator(nn.Module):
    """How real each patch of an image of a class looks; projection as in ``gan``.

    Args:
        image_shape: height, width, and channels of what is judged.
        conditions: number of classes.
    """

    def __init__(self, image_shape: ImageShape, conditions: Sequence[int]) -> None:
        super().__init__()
        self.patch = Grid(image_shape, JUDGED).patch
        parts: list[nn.Module] = []
        before, after = image_shape[2] * self.patch**2, JUDGED
        for _ in range(STRIDES):
            parts += [nn.Conv2d(before, after, 4, stride=2, padding=1), nn.LeakyReLU(SLOPE)]
            before, after = after, min(2 * after, 4 * JUDGED)
        parts += [nn.Conv2d(before, after, 3, padding=1), nn.LeakyReLU(SLOPE)]
        self.body = nn.Sequential(*parts)
        self.score = nn.Conv2d(after, 1, 1)
        self.told = Conditions(conditions, after)

    def forward(self, x_nchw: Tensor, wanted_nk: Tensor) -> Tensor:
        """Scores [N, P] of P patches, any real number; only differences mean something."""
        found: Tensor = self.body(in_patches(x_nchw, self.patch, unit=self.patch * 2**STRIDES))
        told = self.told(wanted_nk)[:, :, None, None]
        fitting = (found * told).sum(1, keepdim=True) / math.sqrt(found.shape[1])
        scores: Tensor = self.score(found) + fitting
        return scores.flatten(1)


class _Block(nn.Module):
    def __init__(self, channels: int, normalised: bool) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm = _norm(channels, normalised)
        self.second = zeroed(nn.Conv2d(channels, channels, 3, padding=1))

    def forward(self, hidden: Tensor) -> Tensor:
        inner = self.norm(self.first(F.leaky_relu(hidden, SLOPE)))
        out: Tensor = hidden + self.second(F.leaky_relu(inner, SLOPE))
        return out


def _norm(channels: int, normalised: bool) -> nn.Module:
    return nn.InstanceNorm2d(channels) if normalised else nn.Identity()
