"""The networks of a plan: translator, discriminator, and heads that compare places of images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from synthlift.generators.gan.networks import Discriminator
from synthlift.generators.learning.networks import (
    Body,
    Conditions,
    ConvBlock,
    ImageShape,
    Levels,
)
from synthlift.generators.sizes import tiny
from synthlift.generators.translation.config import TranslationConfig
from synthlift.generators.translation.fine import FineTranslator, Grid, PatchDiscriminator
from synthlift.generators.translation.unet import UNetTranslator, in_patches

HEAD = 64
"""Length of the vectors in which places are compared."""
DENSER = 8
"""Features of a dense discriminator per channel of the translator."""


def plan_network(
    config: TranslationConfig, *, image_shape: ImageShape, conditions: Sequence[int]
) -> dict[str, Any]:
    """Describe the networks; the result is ``config.json`` of the saved generator.

    Args:
        config: settled settings.
        image_shape: height, width, channels of the training images.
        conditions: number of classes.
    """
    masks = config.wants_masks()
    return {
        "_class_name": "Translator",
        "image_shape": list(image_shape),
        "conditions": list(conditions),
        "source_channels": 1 if masks else image_shape[2],
        # A mask says where something is, not what it looks like: noise decides that.
        "noise_channels": 1 if masks else 0,
        "width": config.width,
        "depth": config.depth,
    }


def build_translator(plan: Mapping[str, Any], *, seed: int) -> UNetTranslator:
    """The translator of a plan with weights drawn from ``seed``; global state is untouched."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        body, inputs = _body(plan), plan["source_channels"] + plan["noise_channels"]
        if tiny(body.image_shape):
            return Translator(body, plan["conditions"], inputs=inputs)
        return FineTranslator(
            body.image_shape,
            body.width,
            body.depth,
            plan["conditions"],
            inputs=inputs,
            normalised=not plan["noise_channels"],
        )


def build_judge(
    plan: Mapping[str, Any], *, beside: bool, seed: int
) -> Discriminator | PatchDiscriminator:
    """The discriminator of a plan; with ``beside`` it is shown the source, too (Isola 2017)."""
    body = _body(plan)
    height, width, channels = body.image_shape
    if beside:
        channels += plan["source_channels"]
    shape = (height, width, channels)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        if not tiny(body.image_shape):
            return PatchDiscriminator(shape, plan["conditions"])
        # Dense networks, which judge tiny images, count features, not channels.
        return Discriminator(Body(shape, DENSER * body.width, body.depth), plan["conditions"])


def build_heads(plan: Mapping[str, Any], *, seed: int) -> Heads:
    """The heads of a plan's translator with weights drawn from ``seed``."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        body = _body(plan)
        levels = Levels(body) if tiny(body.image_shape) else Grid(body.image_shape, body.width)
        return Heads(levels.widths)


def _body(plan: Mapping[str, Any]) -> Body:
    height, width, channels = plan["image_shape"]
    return Body((height, width, channels), plan["width"], plan["depth"])


class Translator(UNetTranslator):
    """A residual U-Net (Ronneberger 2015) without normalisation for tiny images, told the class.

    Args:
        body: size of the network; its image shape is that of the images that are made.
        conditions: number of classes.
        inputs: channels of a source image, those of noise included.
    """

    def __init__(self, body: Body, conditions: Sequence[int], *, inputs: int) -> None:
        super().__init__()
        self.levels = Levels(body)
        self.patch = self.levels.patch
        widths = self.levels.widths
        self.enter = nn.Conv2d(inputs * self.levels.patch**2, widths[0], 3, padding=1)
        self.down = nn.ModuleList([_blocks(widths[0], body.depth)])
        for fine, coarse in pairwise(widths):
            narrower = (nn.AvgPool2d(2), nn.Conv2d(fine, coarse, 1))
            self.down.append(nn.Sequential(*narrower, _blocks(coarse, body.depth)))
        self.told = Conditions(conditions, widths[-1])
        self.middle = _blocks(widths[-1], body.depth)
        self.up = nn.ModuleList(
            nn.Sequential(nn.Conv2d(coarse + fine, fine, 3, padding=1), _blocks(fine, body.depth))
            for fine, coarse in reversed(list(pairwise(widths)))
        )
        self.leave = nn.Conv2d(widths[0], self.levels.inner, 3, padding=1)
        _even(self.leave, self.levels.patch)

    def features(self, x_nchw: Tensor) -> list[Tensor]:
        """See :class:`UNetTranslator`."""
        hidden = self.enter(in_patches(x_nchw, self.patch, unit=self.levels.unit))
        found = []
        for part in self.down:
            hidden = part(hidden)
            found.append(hidden)
        return found


class Heads(nn.Module):
    """Small networks that map a place's features to a vector of length 1, one for each level.

    Args:
        widths: channels of the levels.
    """

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        self.levels = nn.ModuleList(
            nn.Sequential(nn.Linear(width, HEAD), nn.ReLU(), nn.Linear(HEAD, HEAD))
            for width in widths
        )

    def forward(self, features: Sequence[Tensor], places: Sequence[Tensor]) -> list[Tensor]:
        """Vectors [N, S_l, HEAD] of the chosen places of each level.

        Args:
            features: [N, C_l, H_l, W_l].
            places: positions int64 [S_l] among H_l · W_l.
        """
        found = []
        for level, one, chosen in zip(self.levels, features, places, strict=True):
            vectors = level(one.flatten(2)[:, :, chosen].transpose(1, 2))
            found.append(F.normalize(vectors, dim=2))
        return found


@torch.no_grad()
def _even(layer: nn.Conv2d, patch: int) -> None:
    """Begin with equal pixels in a patch, against checkerboards (Aitken 2017, "ICNR")."""
    for parameter in (layer.weight, layer.bias):
        if parameter is not None:
            parameter.copy_(parameter[:: patch**2].repeat_interleave(patch**2, dim=0))


def _blocks(channels: int, depth: int) -> nn.Sequential:
    return nn.Sequential(*(ConvBlock(channels) for _ in range(depth)))
