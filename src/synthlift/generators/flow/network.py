"""Networks that predict the velocity at (x, t, class, attributes): a residual MLP and a U-Net."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from synthlift.generators.flow.config import FlowConfig
from synthlift.generators.flow.edm import edm_noise, edm_scales
from synthlift.generators.learning.examples import AUGMENTATIONS
from synthlift.generators.learning.networks import zeroed

COARSEST = 16
"""Patches a side, at most, in the U-Net: what a processor can train in minutes."""
EARLIEST = 0.05
"""Smallest time that the predicted image is divided by."""
OUTER = frozenset({"enter", "leave", "tables", "augment"})
"""Layers of a U-Net that face the image or stand for what is asked; those between are hidden."""


def plan_network(
    config: FlowConfig, *, image_shape: tuple[int, int, int], conditions: Sequence[int]
) -> dict[str, Any]:
    """Describe the network; the result is ``config.json`` of the saved one.

    Args:
        config: settled settings, see :func:`~synthlift.generators.flow.config.settle`.
        image_shape: height, width, channels.
        conditions: number of classes, then of values of each attribute; one index more stands for
            "not said".
    """
    plan = {
        "_class_name": {"mlp": "FlowMLP", "unet": "FlowUNet"}[config.network],
        "image_shape": list(image_shape),
        "conditions": list(conditions),
        "width": config.width,
        "depth": config.depth,
    }
    if config.network == "unet":
        side = max(image_shape[:2])
        plan["patch"] = 2 ** max(0, math.ceil(math.log2(side / COARSEST)))
    if config.parametrisation == "edm":
        plan["parametrisation"] = "edm"
    return plan


def build_network(plan: Mapping[str, Any], *, seed: int) -> FlowNetwork:
    """Build the network of a plan with weights drawn from ``seed``; global state is untouched."""
    settings = {key: value for key, value in plan.items() if not key.startswith("_")}
    settings["image_shape"] = tuple(settings["image_shape"])
    kinds: dict[str, type[FlowNetwork]] = {"FlowMLP": FlowMLP, "FlowUNet": FlowUNet}
    kind = kinds[plan["_class_name"]]
    preconditioned = settings.pop("parametrisation", "flow") == "edm"
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        network = kind(**settings)
    return EDMNetwork(network) if preconditioned else network


def hidden(name: str) -> bool:
    """Whether a parameter lies between a network's first and last layer."""
    return name.removeprefix("inner.").split(".")[0] not in OUTER


class FlowNetwork(nn.Module, ABC):
    """Base: the condition (time, class, attributes, augmentation) as one vector."""

    def __init__(self, *, conditions: Sequence[int], features: int) -> None:
        super().__init__()
        self.features = features
        self.tables = nn.ModuleList(nn.Embedding(size + 1, features) for size in conditions)
        self.augment = nn.Linear(AUGMENTATIONS, features, bias=False)
        self.mix = nn.Sequential(nn.Linear(64, features), nn.SiLU(), nn.Linear(features, features))

    def condition(self, times_n: Tensor, wanted_nk: Tensor, augment_n4: Tensor | None) -> Tensor:
        """Vector per example, [N, features]."""
        vector: Tensor = self.mix(_waves(times_n))
        for table, column in zip(self.tables, wanted_nk.unbind(1), strict=True):
            vector = vector + table(column)
        if augment_n4 is not None:
            vector = vector + self.augment(augment_n4)
        return F.silu(vector)

    @abstractmethod
    def forward(
        self, x_nchw: Tensor, times_n: Tensor, wanted_nk: Tensor, augment_n4: Tensor | None = None
    ) -> Tensor:
        """Velocity [N, C, H, W] at states in about [-1, 1], times in [0, 1].

        ``wanted_nk`` int64 [N, 1 + attributes] are indices of class and attribute values.
        """

    @abstractmethod
    def raw(
        self, x_nchw: Tensor, times_n: Tensor, wanted_nk: Tensor, augment_n4: Tensor | None
    ) -> Tensor:
        """What comes out of the layers, [N, C, H, W]; times may be any numbers."""


class EDMNetwork(FlowNetwork):
    """Another network with the scaling of Karras (2022, table 1) around its layers.

    What it predicts is the velocity, as any other's, so that all that is done with one can be done
    with the other; see :mod:`~synthlift.generators.flow.edm`.
    """

    def __init__(self, inner: FlowNetwork) -> None:
        nn.Module.__init__(self)
        self.inner = inner

    def forward(
        self, x_nchw: Tensor, times_n: Tensor, wanted_nk: Tensor, augment_n4: Tensor | None = None
    ) -> Tensor:
        """See :class:`FlowNetwork`."""
        scales = edm_scales(times_n[:, None, None, None])
        noise = edm_noise(times_n)
        raw = self.raw(scales.into * x_nchw, noise, wanted_nk, augment_n4)
        return scales.past * x_nchw + scales.out * raw

    def raw(
        self, x_nchw: Tensor, times_n: Tensor, wanted_nk: Tensor, augment_n4: Tensor | None
    ) -> Tensor:
        """See :class:`FlowNetwork`."""
        return self.inner.raw(x_nchw, times_n, wanted_nk, augment_n4)


def _waves(times_n: Tensor, *, count: int = 32) -> Tensor:
    """Sines and cosines of a time at geometric frequencies, [N, 2·count]."""
    scale = torch.arange(count, device=times_n.device, dtype=times_n.dtype) / (count - 1)
    angles = times_n[:, None] * (0.5 * 400.0**scale)[None]
    return torch.cat([angles.sin(), angles.cos()], dim=1)


class FlowMLP(FlowNetwork):
    """A residual MLP on flattened pixels, conditioned by scale and shift in each block."""

    def __init__(
        self,
        *,
        image_shape: tuple[int, int, int],
        conditions: Sequence[int],
        width: int,
        depth: int,
    ) -> None:
        super().__init__(conditions=conditions, features=width)
        pixels = math.prod(image_shape)
        self.enter = nn.Linear(pixels, width)
        self.blocks = nn.ModuleList(_DenseBlock(width) for _ in range(depth))
        self.leave = zeroed(nn.Linear(width, pixels))
        self.skip = nn.Linear(width, 1)

    def forward(
        self, x_nchw: Tensor, times_n: Tensor, wanted_nk: Tensor, augment_n4: Tensor | None = None
    ) -> Tensor:
        """See :class:`FlowNetwork`."""
        return self.raw(x_nchw, times_n, wanted_nk, augment_n4)

    def raw(
        self, x_nchw: Tensor, times_n: Tensor, wanted_nk: Tensor, augment_n4: Tensor | None
    ) -> Tensor:
        """See :class:`FlowNetwork`."""
        condition = self.condition(times_n, wanted_nk, augment_n4)
        flat = x_nchw.flatten(1)
        hidden = self.enter(flat)
        for block in self.blocks:
            hidden = block(hidden, condition)
        out: Tensor = self.leave(F.silu(hidden)) + self.skip(condition) * flat
        return out.view_as(x_nchw)


class _DenseBlock(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.modulate = nn.Linear(width, 2 * width)
        self.first = nn.Linear(width, 2 * width)
        self.second = zeroed(nn.Linear(2 * width, width))

    def forward(self, hidden: Tensor, condition: Tensor) -> Tensor:
        scale, shift = self.modulate(condition).chunk(2, dim=1)
        inner = self.norm(hidden) * (1 + scale) + shift
        out: Tensor = hidden + self.second(F.silu(self.first(inner)))
        return out


class FlowUNet(FlowNetwork):
    """A U-Net on patches of pixels, with attention at the coarsest level."""

    def __init__(
        self,
        *,
        image_shape: tuple[int, int, int],
        conditions: Sequence[int],
        width: int,
        depth: int,
        patch: int,
    ) -> None:
        super().__init__(conditions=conditions, features=4 * width)
        height, breadth, channels = image_shape
        self.patch = patch
        self.levels = max(0, math.ceil(math.log2(max(height, breadth) / patch / 8)))
        widths = [width * min(2**level, 4) for level in range(self.levels + 1)]
        inner = channels * patch * patch
        self.enter = nn.Conv2d(inner, widths[0], 3, padding=1)
        self.down, self.shrink = nn.ModuleList(), nn.ModuleList()
        self.up, self.grow = nn.ModuleList(), nn.ModuleList()
        for level in range(self.levels):
            here, below = widths[level], widths[level + 1]
            self.down.append(_stack(here, here, 4 * width, depth))
            self.shrink.append(nn.Conv2d(here, below, 3, stride=2, padding=1))
            self.grow.insert(0, nn.Conv2d(below, here, 3, padding=1))
            self.up.insert(0, _stack(2 * here, here, 4 * width, depth))
        self.middle_in = _stack(widths[-1], widths[-1], 4 * width, depth)
        self.attention = _Attention(widths[-1])
        self.middle_out = _stack(widths[-1], widths[-1], 4 * width, depth)
        self.norm = nn.GroupNorm(_groups(widths[0]), widths[0])
        self.leave = zeroed(nn.Conv2d(widths[0], inner, 3, padding=1))

    def forward(
        self, x_nchw: Tensor, times_n: Tensor, wanted_nk: Tensor, augment_n4: Tensor | None = None
    ) -> Tensor:
        """See :class:`FlowNetwork`."""
        # A narrow network can draw an image patch, but not repeat the noise in it: it predicts the
        # image, and the velocity follows (Li & He 2025). Below the floor the division is tamed.
        image = self.raw(x_nchw, times_n, wanted_nk, augment_n4)
        return (x_nchw - image) / times_n.clamp(min=EARLIEST)[:, None, None, None]

    def raw(
        self, x_nchw: Tensor, times_n: Tensor, wanted_nk: Tensor, augment_n4: Tensor | None
    ) -> Tensor:
        """See :class:`FlowNetwork`."""
        condition = self.condition(times_n, wanted_nk, augment_n4)
        height, breadth = x_nchw.shape[2:]
        unit = self.patch * 2**self.levels
        padded = F.pad(x_nchw, (0, -breadth % unit, 0, -height % unit), mode="replicate")
        patches = F.pixel_unshuffle(padded, self.patch)
        # A quarter faster on processors; the layout follows through the layers.
        hidden = self.enter(patches.contiguous(memory_format=torch.channels_last))
        kept = []
        for stack, shrink in zip(self.down, self.shrink, strict=True):
            hidden = _run(stack, hidden, condition)
            kept.append(hidden)
            hidden = shrink(hidden)
        hidden = _run(self.middle_in, hidden, condition)
        hidden = _run(self.middle_out, self.attention(hidden), condition)
        for grow, stack in zip(self.grow, self.up, strict=True):
            hidden = grow(F.interpolate(hidden, scale_factor=2.0, mode="nearest"))
            hidden = _run(stack, torch.cat([hidden, kept.pop()], dim=1), condition)
        hidden = self.leave(F.silu(self.norm(hidden)))
        return F.pixel_shuffle(hidden, self.patch)[:, :, :height, :breadth]


class _ConvBlock(nn.Module):
    def __init__(self, before: int, after: int, features: int) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(_groups(before), before)
        self.conv1 = nn.Conv2d(before, after, 3, padding=1)
        self.modulate = nn.Linear(features, 2 * after)
        self.norm2 = nn.GroupNorm(_groups(after), after)
        self.conv2 = zeroed(nn.Conv2d(after, after, 3, padding=1))
        self.pass_by: nn.Module = nn.Identity() if before == after else nn.Conv2d(before, after, 1)

    def forward(self, hidden: Tensor, condition: Tensor) -> Tensor:
        inner = self.conv1(F.silu(self.norm1(hidden)))
        scale, shift = self.modulate(condition)[:, :, None, None].chunk(2, dim=1)
        inner = self.conv2(F.silu(self.norm2(inner) * (1 + scale) + shift))
        out: Tensor = self.pass_by(hidden) + inner
        return out


class _Attention(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.heads = max(1, channels // 64)
        self.norm = nn.GroupNorm(_groups(channels), channels)
        self.project = nn.Conv2d(channels, 3 * channels, 1)
        self.leave = zeroed(nn.Conv2d(channels, channels, 1))

    def forward(self, hidden: Tensor) -> Tensor:
        n, c, h, w = hidden.shape
        packed = self.project(self.norm(hidden)).reshape(n, 3, self.heads, c // self.heads, h * w)
        query, key, value = packed.transpose(3, 4).unbind(1)
        mixed = F.scaled_dot_product_attention(query, key, value)
        out: Tensor = hidden + self.leave(mixed.transpose(2, 3).reshape(n, c, h, w))
        return out


def _stack(before: int, after: int, features: int, depth: int) -> nn.ModuleList:
    return nn.ModuleList(
        _ConvBlock(before if i == 0 else after, after, features) for i in range(depth)
    )


def _run(stack: nn.Module, hidden: Tensor, condition: Tensor) -> Tensor:
    assert isinstance(stack, nn.ModuleList)
    for block in stack:
        hidden = block(hidden, condition)
    return hidden


def _groups(channels: int) -> int:
    return next(g for g in (8, 4, 2, 1) if channels % g == 0)
