"""What the autoencoder does in a training step."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import closing
from dataclasses import dataclass

import torch
from torch import Tensor

from synthlift.generators.learning.examples import (
    Examples,
    apply_augmentation,
    draw_augmentation,
    draw_dropout,
    drawn_images,
    to_unit,
)
from synthlift.generators.learning.loop import Learner
from synthlift.generators.learning.optimizer import (
    average_decay,
    learning_rate_factor,
    update,
)
from synthlift.generators.vae.config import VAEConfig
from synthlift.generators.vae.network import ConditionalVAE


@dataclass(frozen=True)
class Batch:
    """One step's input: images, class and attributes, augmentation, noise of the latents."""

    x_nchw: Tensor
    wanted_nk: Tensor
    augment_n4: Tensor
    noise_nd: Tensor


class VAELearner(Learner[Batch]):
    """The negative evidence lower bound, its divergence warmed up (Bowman 2016, §3.1).

    Args:
        network: changed in place.
        examples: what is learnt from.
        config: settled settings.
        seed: of the batches.
    """

    def __init__(
        self, network: ConditionalVAE, *, examples: Examples, config: VAEConfig, seed: int
    ) -> None:
        super().__init__("vae", network=network)
        self._network, self._examples, self._config, self._seed = network, examples, config, seed

    def batches(self, steps: range) -> Generator[Batch, None, None]:
        """See :class:`~synthlift.generators.learning.loop.Learner`."""
        config, examples = self._config, self._examples
        assert isinstance(config.batch_size, int), "settle() comes first"
        assert config.augmentation != "auto", "settle() comes first"
        assert config.latent != "auto", "settle() comes first"
        images = drawn_images(examples, batch_size=config.batch_size, seed=self._seed, steps=steps)
        with closing(images) as found:
            for drawn, pixels in found:
                count, stream, device = len(drawn.rows), drawn.stream, examples.device
                augment = draw_augmentation(count, share=config.augmentation, stream=stream)
                augment = augment.to(device)
                wanted = examples.wanted_nk[drawn.rows.to(device)]
                dropped = draw_dropout(
                    wanted.shape,
                    everything=0.0,
                    attribute=config.attribute_dropout,
                    stream=stream,
                )
                yield Batch(
                    x_nchw=apply_augmentation(to_unit(pixels), augment),
                    wanted_nk=torch.where(dropped.to(device), examples.unsaid_k, wanted),
                    augment_n4=augment,
                    noise_nd=torch.randn(count, config.latent, generator=stream).to(device),
                )

    def step(self, batch: Batch, *, step: int, memory: Mapping[str, float]) -> dict[str, Tensor]:
        """One step on the bound, in nats per pixel."""
        del memory
        config, pixels = self._config, batch.x_nchw[0].numel()
        assert isinstance(config.steps, int), "settle() comes first"
        bound = self._network.bound(batch.x_nchw, batch.wanted_nk, batch.noise_nd, batch.augment_n4)
        reconstruction = bound.reconstruction_n.mean()
        divergence = bound.divergence_n.mean()
        price = min(1.0, (step + 1) / max(1.0, config.kl_warm_up * config.steps))
        loss: Tensor = (reconstruction + price * divergence) / pixels
        torch.autograd.backward(loss)
        update(
            self.flats["network"],
            step=step,
            learning_rate=config.learning_rate * learning_rate_factor(step, config.steps),
            decay=average_decay(step, config.steps, horizon=config.ema),
        )
        return {
            "loss": loss.detach(),
            "reconstruction_error": bound.square_error_n.detach().mean().sqrt(),
            "divergence": divergence.detach(),
        }
