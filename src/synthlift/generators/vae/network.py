"""The conditional autoencoder: an encoder, a decoder, a prior and one noise level."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from synthlift.generators.learning.examples import AUGMENTATIONS
from synthlift.generators.learning.networks import Body, Conditions
from synthlift.generators.learning.onepass import OnePassNetwork
from synthlift.generators.vae.config import VAEConfig

LOG_SIGMA_FLOOR = math.log(0.5 / 127.5)
"""Half a grey level: pixels are whole numbers, a narrower density would only count their steps."""

FIRST_SIGMA = 0.2
"""About where it ends: it moves by no more than the learning rate in a step."""


@dataclass(frozen=True)
class Bound:
    """Parts of the negative evidence lower bound of each image, in nats.

    Attributes:
        reconstruction_n: −log p(x | z, c) up to a constant, float32 [N].
        divergence_n: KL(q(z | x, c) ‖ p(z | c)), float32 [N].
        square_error_n: mean squared error of the pixels in [-1, 1], float32 [N].
    """

    reconstruction_n: Tensor
    divergence_n: Tensor
    square_error_n: Tensor


def plan_network(
    config: VAEConfig, *, image_shape: tuple[int, int, int], conditions: Sequence[int]
) -> dict[str, Any]:
    """Describe the network; the result is ``config.json`` of the saved one.

    Args:
        config: settled settings.
        image_shape: height, width, channels.
        conditions: number of classes, then of values of each attribute.
    """
    return {
        "_class_name": "ConditionalVAE",
        "image_shape": list(image_shape),
        "conditions": list(conditions),
        "latent": config.latent,
        "width": config.width,
        "depth": config.depth,
    }


def build_network(plan: Mapping[str, Any], *, seed: int) -> ConditionalVAE:
    """Build the network of a plan with weights drawn from ``seed``; global state is untouched."""
    settings = {key: value for key, value in plan.items() if not key.startswith("_")}
    settings["image_shape"] = tuple(settings["image_shape"])
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return ConditionalVAE(**settings)


class ConditionalVAE(OnePassNetwork):
    """q(z | x, c), p(x | z, c) and p(z | c) (Sohn 2015, eq. 4), all Gaussian.

    All pixels share one learnt standard deviation, so that reconstruction and divergence find
    their balance by themselves and samples are no blurrier than needed (σ-VAE, Rybkin 2021, eq. 4).
    """

    def __init__(
        self,
        *,
        image_shape: tuple[int, int, int],
        conditions: Sequence[int],
        latent: int,
        width: int,
        depth: int,
    ) -> None:
        super().__init__()
        body = Body(image_shape, width, depth)
        features = body.features
        self.told = Conditions(conditions, features)
        self.augment = nn.Linear(AUGMENTATIONS, features, bias=False)
        self.encode = body.analysis()
        self.posterior = _head(2 * features, features, 2 * latent)
        self.prior = _head(features, features, 2 * latent)
        self.decode = body.synthesis(latent + features)
        self.log_sigma = nn.Parameter(torch.tensor(math.log(FIRST_SIGMA)))

    def draw(self, noise_nd: Tensor, wanted_nk: Tensor) -> Tensor:
        """See :class:`OnePassNetwork`: the mean image of a latent drawn from the prior."""
        told = self.told(wanted_nk)
        mean, log_variance = _gaussian(self.prior(told))
        latent = mean + (log_variance / 2).exp() * noise_nd
        image: Tensor = self.decode(torch.cat([latent, told], dim=1))
        return image

    def bound(
        self,
        x_nchw: Tensor,
        wanted_nk: Tensor,
        noise_nd: Tensor,
        augment_n4: Tensor | None = None,
    ) -> Bound:
        """The bound at one latent per image, drawn with ``noise_nd`` (Kingma & Welling 2014)."""
        told = self.told(wanted_nk)
        if augment_n4 is not None:
            told = told + self.augment(augment_n4)
        seen = torch.cat([self.encode(x_nchw), told], dim=1)
        mean, log_variance = _gaussian(self.posterior(seen))
        prior_mean, prior_log_variance = _gaussian(self.prior(told))
        latent = mean + (log_variance / 2).exp() * noise_nd
        error = self.decode(torch.cat([latent, told], dim=1)) - x_nchw
        square = error.square().flatten(1)
        log_sigma = self.log_sigma.clamp(min=LOG_SIGMA_FLOOR)
        pixels = square.shape[1]
        ratio = (log_variance - prior_log_variance).exp()
        distance = (mean - prior_mean).square() / prior_log_variance.exp()
        return Bound(
            reconstruction_n=square.sum(1) / (2 * (2 * log_sigma).exp()) + pixels * log_sigma,
            divergence_n=(ratio + distance - 1 + prior_log_variance - log_variance).sum(1) / 2,
            square_error_n=square.mean(1),
        )


def _head(inputs: int, hidden: int, outputs: int) -> nn.Module:
    return nn.Sequential(nn.Linear(inputs, hidden), nn.SiLU(), nn.Linear(hidden, outputs))


def _gaussian(parameters: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and logarithm of the variance, kept within what float32 can square."""
    mean, log_variance = parameters.chunk(2, dim=1)
    return mean, log_variance.clamp(-12, 6)
