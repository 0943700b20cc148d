"""Residual networks without normalisation: from numbers to an image, and from an image to numbers.

Dense for tiny images, convolutional above. Residual branches begin at zero, which takes the place
of normalisation (Zhang 2019, "Fixup"), as in R3GAN (Huang 2024, §4).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from synthlift.generators.sizes import tiny

SLOPE = 0.2
FINEST = 16
"""Patches a side, at most, at the finest level: what a processor can train in minutes."""
COARSEST = 4
"""Patches a side, about, at the coarsest level."""

ImageShape = tuple[int, int, int]
Layer = TypeVar("Layer", bound=nn.Module)


class Conditions(nn.Module):
    """Class and attribute values as one vector, the sum of their rows in tables.

    Args:
        conditions: number of classes, then of values of each attribute; one index more stands for
            "not said".
        features: length of the vector.
    """

    def __init__(self, conditions: Sequence[int], features: int) -> None:
        super().__init__()
        self.tables = nn.ModuleList(nn.Embedding(size + 1, features) for size in conditions)

    def forward(self, wanted_nk: Tensor) -> Tensor:
        """Vectors [N, features] of indices int64 [N, 1 + attributes]."""
        vectors = [t(c) for t, c in zip(self.tables, wanted_nk.unbind(1), strict=True)]
        return torch.stack(vectors).sum(0) / math.sqrt(len(vectors))


@dataclass(frozen=True)
class Body:
    """Size of a network.

    Attributes:
        image_shape: height, width, channels.
        width: features of a dense network, or channels of a convolutional one at its finest level.
        depth: residual blocks, per level where there are levels.
    """

    image_shape: ImageShape
    width: int
    depth: int

    @property
    def features(self) -> int:
        """Length of the vectors that stand for an image or its conditions."""
        return self.width if tiny(self.image_shape) else 4 * self.width

    def synthesis(self, inputs: int) -> nn.Module:
        """A network from vectors [N, inputs] to images [N, C, H, W]."""
        return (_DenseSynthesis if tiny(self.image_shape) else _ConvSynthesis)(self, inputs)

    def analysis(self) -> nn.Module:
        """A network from images [N, C, H, W] to vectors [N, features]."""
        return (_DenseAnalysis if tiny(self.image_shape) else _ConvAnalysis)(self)


class _DenseSynthesis(nn.Module):
    def __init__(self, body: Body, inputs: int) -> None:
        super().__init__()
        height, breadth, channels = body.image_shape
        self.shape = (channels, height, breadth)
        self.enter = nn.Linear(inputs, body.width)
        self.blocks = nn.Sequential(*(_DenseBlock(body.width) for _ in range(body.depth)))
        self.leave = nn.Linear(body.width, math.prod(self.shape))

    def forward(self, vector_nd: Tensor) -> Tensor:
        hidden = self.blocks(self.enter(vector_nd))
        out: Tensor = self.leave(F.leaky_relu(hidden, SLOPE))
        return out.view(-1, *self.shape)


class _DenseAnalysis(nn.Module):
    def __init__(self, body: Body) -> None:
        super().__init__()
        self.enter = nn.Linear(math.prod(body.image_shape), body.width)
        self.blocks = nn.Sequential(*(_DenseBlock(body.width) for _ in range(body.depth)))
        self.leave = nn.Linear(body.width, body.features)

    def forward(self, x_nchw: Tensor) -> Tensor:
        hidden = self.blocks(self.enter(x_nchw.flatten(1)))
        out: Tensor = self.leave(F.leaky_relu(hidden, SLOPE))
        return out


class _DenseBlock(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Linear(width, 2 * width)
        self.second = zeroed(nn.Linear(2 * width, width))

    def forward(self, hidden: Tensor) -> Tensor:
        inner = self.first(F.leaky_relu(hidden, SLOPE))
        out: Tensor = hidden + self.second(F.leaky_relu(inner, SLOPE))
        return out


class Levels:
    """Sizes of a convolutional network: patches, levels, widths, the coarsest grid.

    Args:
        body: size of the network.
    """

    def __init__(self, body: Body) -> None:
        height, breadth, channels = body.image_shape
        side = max(height, breadth)
        self.patch = 2 ** max(0, math.ceil(math.log2(side / FINEST)))
        self.count = max(1, math.ceil(math.log2(side / self.patch / COARSEST)))
        self.widths = [body.width * min(2**level, 2) for level in range(self.count + 1)]
        self.unit = self.patch * 2**self.count
        self.grid = (-(-height // self.unit), -(-breadth // self.unit))
        self.inner = channels * self.patch**2


class _ConvSynthesis(nn.Module):
    def __init__(self, body: Body, inputs: int) -> None:
        super().__init__()
        self.size, self.levels = body.image_shape[:2], Levels(body)
        widths = self.levels.widths
        self.enter = nn.Linear(inputs, widths[-1] * math.prod(self.levels.grid))
        parts: list[nn.Module] = []
        for level in reversed(range(self.levels.count)):
            parts += [ConvBlock(widths[level + 1]) for _ in range(body.depth)]
            parts += [nn.Upsample(scale_factor=2.0, mode="nearest")]
            parts += [nn.Conv2d(widths[level + 1], widths[level], 3, padding=1)]
        self.parts = nn.Sequential(*parts, *(ConvBlock(widths[0]) for _ in range(body.depth)))
        self.leave = nn.Conv2d(widths[0], self.levels.inner, 3, padding=1)

    def forward(self, vector_nd: Tensor) -> Tensor:
        height, breadth = self.levels.grid
        start = self.enter(vector_nd).view(len(vector_nd), -1, height, breadth)
        hidden = self.parts(start.contiguous(memory_format=torch.channels_last))
        patches = self.leave(F.leaky_relu(hidden, SLOPE))
        height, breadth = self.size
        return F.pixel_shuffle(patches, self.levels.patch)[:, :, :height, :breadth]


class _ConvAnalysis(nn.Module):
    def __init__(self, body: Body) -> None:
        super().__init__()
        self.levels = Levels(body)
        widths = self.levels.widths
        self.enter = nn.Conv2d(self.levels.inner, widths[0], 3, padding=1)
        parts: list[nn.Module] = [ConvBlock(widths[0]) for _ in range(body.depth)]
        for level in range(self.levels.count):
            parts += [nn.AvgPool2d(2), nn.Conv2d(widths[level], widths[level + 1], 1)]
            parts += [ConvBlock(widths[level + 1]) for _ in range(body.depth)]
        self.parts = nn.Sequential(*parts)
        self.leave = nn.Linear(widths[-1] * math.prod(self.levels.grid), body.features)

    def forward(self, x_nchw: Tensor) -> Tensor:
        height, breadth = x_nchw.shape[2:]
        unit = self.levels.unit
        padded = F.pad(x_nchw, (0, -breadth % unit, 0, -height % unit), mode="replicate")
        patches = F.pixel_unshuffle(padded, self.levels.patch)
        hidden = self.parts(self.enter(patches.contiguous(memory_format=torch.channels_last)))
        out: Tensor = self.leave(F.leaky_relu(hidden, SLOPE).flatten(1))
        return out


class ConvBlock(nn.Module):
    """Two convolutions beside the way through.

    Args:
        channels: of what goes in and comes out.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = zeroed(nn.Conv2d(channels, channels, 3, padding=1))

    def forward(self, hidden: Tensor) -> Tensor:
        """Map [N, C, H, W] to the same shape."""
        inner = self.first(F.leaky_relu(hidden, SLOPE))
        out: Tensor = hidden + self.second(F.leaky_relu(inner, SLOPE))
        return out


def zeroed(layer: Layer) -> Layer:
    """The same layer, every parameter of which is 0: what a branch or a network begins with."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer
