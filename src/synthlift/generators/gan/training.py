"""What the adversarial networks do in a training step."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import closing
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from synthlift.generators.gan.augmentation import adapted, apply_changes, draw_changes
from synthlift.generators.gan.config import GANConfig
from synthlift.generators.gan.networks import Discriminator, GANSynthesis
from synthlift.generators.learning.examples import Examples, draw_dropout, drawn_images, to_unit
from synthlift.generators.learning.loop import Learner
from synthlift.generators.learning.optimizer import (
    average_decay,
    learning_rate_factor,
    update,
)

PENALTY_FALL = 0.1
"""Share of the gradient penalty that is left at the end, as in R3GAN."""
CHANCE = "augmentation_probability"
SURE = "real_above_generated_smoothed"
SMOOTHING = 0.99
SATURATED = 0.98
"""Share of pairs that the discriminator tells apart, from which it teaches nothing any more."""


@dataclass(frozen=True)
class Batch:
    """One step's input: real images, what they show, and the stream of random numbers."""

    real_nchw: Tensor
    wanted_nk: Tensor
    stream: torch.Generator


class GANLearner(Learner[Batch]):
    """Relativistic pairing with zero-centred penalties on real and generated (Huang 2024, eq. 2–5).

    Args:
        synthesis, discriminator: changed in place.
        examples: what is learnt from.
        config: settled settings.
        seed: of the batches.
    """

    def __init__(
        self,
        synthesis: GANSynthesis,
        discriminator: Discriminator,
        *,
        examples: Examples,
        config: GANConfig,
        seed: int,
    ) -> None:
        super().__init__("gan", synthesis=synthesis, discriminator=discriminator)
        self._synthesis, self._discriminator = synthesis, discriminator
        self._examples, self._config, self._seed = examples, config, seed

    def batches(self, steps: range) -> Generator[Batch, None, None]:
        """See :class:`~synthlift.generators.learning.loop.Learner`."""
        config, examples = self._config, self._examples
        assert isinstance(config.batch_size, int), "settle() comes first"
        images = drawn_images(examples, batch_size=config.batch_size, seed=self._seed, steps=steps)
        with closing(images) as found:
            for drawn, pixels in found:
                wanted = examples.wanted_nk[drawn.rows.to(examples.device)]
                dropped = draw_dropout(
                    wanted.shape,
                    everything=0.0,
                    attribute=config.attribute_dropout,
                    stream=drawn.stream,
                ).to(examples.device)
                yield Batch(
                    real_nchw=to_unit(pixels),
                    wanted_nk=torch.where(dropped, examples.unsaid_k, wanted),
                    stream=drawn.stream,
                )

    def step(self, batch: Batch, *, step: int, memory: Mapping[str, float]) -> dict[str, Tensor]:
        """One step of the discriminator, then one of the generator."""
        found = self._discriminate(batch, step=step, chance=memory.get(CHANCE, 0.0))
        loss = self._generate(batch, step=step, chance=memory.get(CHANCE, 0.0))
        return {"generator_loss": loss, **found}

    def remember(
        self, means: Mapping[str, float], memory: Mapping[str, float], *, steps: int
    ) -> dict[str, float]:
        """Adapt the probability of augmentation; remember how sure the discriminator is."""
        assert isinstance(self._config.batch_size, int), "settle() comes first"
        kept = SMOOTHING**steps
        sure = kept * memory.get(SURE, 0.5) + (1 - kept) * means["real_above_generated"]
        chance = adapted(
            memory.get(CHANCE, 0.0),
            sign=2 * means["real_above_generated"] - 1,
            images=steps * self._config.batch_size,
            highest=self._config.augmentation,
        )
        return {CHANCE: chance, SURE: sure}

    def trouble(self, memory: Mapping[str, float]) -> str:
        """Whether the discriminator is saturated."""
        if memory[SURE] < SATURATED:
            return ""
        return (
            f"the discriminator was saturated: it told {memory[SURE]:.0%} of all generated images "
            "from real ones, so that the generator learnt nothing from it"
        )

    def _discriminate(self, batch: Batch, *, step: int, chance: float) -> dict[str, Tensor]:
        """Tell each real image from a generated one of its kind, with a flat score around both."""
        with torch.no_grad():
            images = torch.cat([batch.real_nchw, self._drawn(batch)])
            images = self._changed(images, batch, chance=chance)
        images.requires_grad_(True)
        scores: Tensor = self._discriminator(images, batch.wanted_nk.repeat(2, 1))
        (slopes,) = torch.autograd.grad(scores.sum(), images, create_graph=True)
        of_real, of_generated = slopes.square().flatten(1).sum(1).chunk(2)
        real, generated = scores.chunk(2)
        gap = real - generated
        loss = F.softplus(-gap).mean()
        weight = self._penalty(step) / 2
        total: Tensor = loss + weight * (of_real.mean() + of_generated.mean())
        total.backward()  # type: ignore[no-untyped-call]
        self._update("discriminator", step=step)
        return {
            "discriminator_loss": loss.detach(),
            "discriminator_gap": gap.detach().mean(),
            "real_above_generated": (gap.detach() > 0).float().mean(),
            "gradient_penalty_real": of_real.detach().mean(),
            "gradient_penalty_generated": of_generated.detach().mean(),
        }

    def _generate(self, batch: Batch, *, step: int, chance: float) -> Tensor:
        """Draw images that score above the real ones of their kind."""
        self._discriminator.requires_grad_(False)
        images = torch.cat([batch.real_nchw, self._drawn(batch)])
        images = self._changed(images, batch, chance=chance)
        real, generated = self._discriminator(images, batch.wanted_nk.repeat(2, 1)).chunk(2)
        loss = F.softplus(real - generated).mean()
        loss.backward()  # type: ignore[no-untyped-call]
        self._update("synthesis", step=step)
        self._discriminator.requires_grad_(True)
        return loss.detach()

    def _drawn(self, batch: Batch) -> Tensor:
        count = len(batch.real_nchw)
        assert isinstance(self._config.latent, int), "settle() comes first"
        noise = torch.randn(count, self._config.latent, generator=batch.stream)
        return self._synthesis.draw(noise.to(batch.real_nchw.device), batch.wanted_nk)

    def _changed(self, images: Tensor, batch: Batch, *, chance: float) -> Tensor:
        if chance == 0:
            return images
        changes = draw_changes(len(images), probability=chance, stream=batch.stream)
        return apply_changes(images, changes.to(images.device))

    def _penalty(self, step: int) -> float:
        assert self._config.gradient_penalty != "auto", "settle() comes first"
        assert isinstance(self._config.steps, int), "settle() comes first"
        left: float = PENALTY_FALL ** (step / self._config.steps)
        return self._config.gradient_penalty * left

    def _update(self, network: str, *, step: int) -> None:
        config = self._config
        assert isinstance(config.steps, int), "settle() comes first"
        update(
            self.flats[network],
            step=step,
            learning_rate=config.learning_rate * learning_rate_factor(step, config.steps),
            decay=average_decay(step, config.steps, horizon=config.ema),
            beta1=0.0,
        )
