"""Generator and discriminator, both told the class and the attributes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from synthlift.generators.gan.config import GANConfig
from synthlift.generators.learning.networks import Body, Conditions
from synthlift.generators.learning.onepass import OnePassNetwork


def plan_network(
    config: GANConfig, *, image_shape: tuple[int, int, int], conditions: Sequence[int]
) -> dict[str, Any]:
    """Describe both networks; the result is ``config.json`` of the saved generator.

    Args:
        config: settled settings.
        image_shape: height, width, channels.
        conditions: number of classes, then of values of each attribute.
    """
    return {
        "_class_name": "GANSynthesis",
        "image_shape": list(image_shape),
        "conditions": list(conditions),
        "latent": config.latent,
        "width": config.width,
        "depth": config.depth,
    }


def build_generator(plan: Mapping[str, Any], *, seed: int) -> GANSynthesis:
    """The generator of a plan with weights drawn from ``seed``; global state is untouched."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return GANSynthesis(_body(plan), plan["conditions"], latent=plan["latent"])


def build_discriminator(plan: Mapping[str, Any], *, seed: int) -> Discriminator:
    """The discriminator of a plan with weights drawn from ``seed``; global state is untouched."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return Discriminator(_body(plan), plan["conditions"])


def _body(plan: Mapping[str, Any]) -> Body:
    height, width, channels = plan["image_shape"]
    return Body((height, width, channels), plan["width"], plan["depth"])


class GANSynthesis(OnePassNetwork):
    """Noise and conditions in, an image out.

    Args:
        body: size of the network.
        conditions: number of classes, then of values of each attribute.
        latent: random numbers per image.
    """

    def __init__(self, body: Body, conditions: Sequence[int], *, latent: int) -> None:
        super().__init__()
        # As long as the noise, so that neither drowns the other.
        self.told = Conditions(conditions, latent)
        self.body = body.synthesis(2 * latent)

    def draw(self, noise_nd: Tensor, wanted_nk: Tensor) -> Tensor:
        """See :class:`OnePassNetwork`."""
        image: Tensor = self.body(torch.cat([noise_nd, self.told(wanted_nk)], dim=1))
        return image


class Discriminator(nn.Module):
    """How real an image of a class looks: projection (Miyato & Koyama 2018, eq. 3).

    Args:
        body: size of the network.
        conditions: number of classes, then of values of each attribute.
    """

    def __init__(self, body: Body, conditions: Sequence[int]) -> None:
        super().__init__()
        self.told = Conditions(conditions, body.features)
        self.body = body.analysis()
        self.whatever = nn.Parameter(torch.zeros(body.features))

    def forward(self, x_nchw: Tensor, wanted_nk: Tensor) -> Tensor:
        """Scores [N], any real number; only differences mean something."""
        found: Tensor = self.body(x_nchw)
        sought = self.whatever + self.told(wanted_nk)
        scores: Tensor = (found * sought).sum(1) / math.sqrt(found.shape[1])
        return scores
