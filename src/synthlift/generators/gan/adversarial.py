"""Two networks against each other: what every adversarially trained generator does in a step."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from synthlift.generators.gan.augmentation import adapted, apply_changes, draw_changes
from synthlift.generators.learning.loop import Learner
from synthlift.generators.learning.optimizer import (
    average_decay,
    learning_rate_factor,
    update,
)
from synthlift.registry import ComponentConfig

PENALTY_FALL = 0.1
"""Share of the gradient penalty that is left at the end, as in R3GAN."""
CHANCE = "augmentation_probability"
SURE = "real_above_generated_smoothed"
SMOOTHING = 0.99
SATURATED = 0.98
"""Share of pairs that the discriminator tells apart, from which it teaches nothing any more."""


@dataclass(frozen=True)
class Batch:
    """One step's input.

    Attributes:
        real_nchw: real images in [-1, 1].
        wanted_nk: what they show, int64 [N, 1 + attributes].
        stream: of random numbers.
    """

    real_nchw: Tensor
    wanted_nk: Tensor
    stream: torch.Generator


@dataclass(frozen=True)
class Settings:
    """Settled settings of the contest, named as in :class:`~.config.GANConfig`."""

    steps: int
    batch_size: int
    learning_rate: float
    gradient_penalty: float
    augmentation: float
    ema: float

    @classmethod
    def of(cls, config: ComponentConfig) -> Settings:
        """Read off a Config in which nothing is ``auto`` any more."""
        found = {field.name: getattr(config, field.name) for field in fields(cls)}
        assert "auto" not in found.values(), "settle() comes first"
        return cls(**found)


B = TypeVar("B", bound=Batch)


class AdversarialLearner(Learner[B]):
    """Relativistic pairing with zero-centred penalties on real and generated (Huang 2024, eq. 2–5).

    Args:
        kind: of the generator, for messages and the log.
        synthesis: changed in place.
        discriminator: changed in place; maps images and what they show to scores [N], or [N, P]
            of patches.
        settings: of the contest.
        further: networks that are trained beside the first one, by name.
    """

    def __init__(
        self,
        kind: str,
        synthesis: nn.Module,
        discriminator: nn.Module,
        *,
        settings: Settings,
        **further: nn.Module,
    ) -> None:
        super().__init__(kind, synthesis=synthesis, discriminator=discriminator, **further)
        self._discriminator, self._settings = discriminator, settings
        self._trained_together = ("synthesis", *further)

    @abstractmethod
    def drawn(self, batch: B) -> Tensor:
        """Generated images in place of the batch's real ones [N, C, H, W]."""

    def beside(self, batch: B) -> Tensor | None:
        """What the discriminator is shown beside each image [N, C', H, W]; None = nothing."""
        del batch
        return None

    def further_losses(self, batch: B, drawn: Tensor) -> Mapping[str, Tensor]:
        """What generated images are to reach besides, by name: weighted, added, and noted."""
        del batch, drawn
        return {}

    def step(self, batch: B, *, step: int, memory: Mapping[str, float]) -> dict[str, Tensor]:
        """One step of the discriminator, then one of the generator."""
        chance = memory.get(CHANCE, 0.0)
        found = self._discriminate(batch, step=step, chance=chance)
        return {**self._generate(batch, step=step, chance=chance), **found}

    def remember(
        self, means: Mapping[str, float], memory: Mapping[str, float], *, steps: int
    ) -> dict[str, float]:
        """Adapt the probability of augmentation; remember how sure the discriminator is."""
        kept = SMOOTHING**steps
        sure = kept * memory.get(SURE, 0.5) + (1 - kept) * means["real_above_generated"]
        chance = adapted(
            memory.get(CHANCE, 0.0),
            sign=2 * means["real_above_generated"] - 1,
            images=steps * self._settings.batch_size,
            highest=self._settings.augmentation,
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

    def _discriminate(self, batch: B, *, step: int, chance: float) -> dict[str, Tensor]:
        """Tell each real image from a generated one of its kind, with a flat score around both."""
        with torch.no_grad():
            images = self._judged(batch, self.drawn(batch), chance=chance)
        images.requires_grad_(True)
        scores: Tensor = self._discriminator(images, batch.wanted_nk.repeat(2, 1))
        (slopes,) = torch.autograd.grad(scores.sum(), images, create_graph=True)
        of_real, of_generated = slopes.square().flatten(1).sum(1).chunk(2)
        real, generated = scores.chunk(2)
        gap = real - generated
        loss = F.softplus(-gap).mean()
        weight = self._penalty(step) / 2
        total: Tensor = loss + weight * (of_real.mean() + of_generated.mean())
        torch.autograd.backward(total)
        self._update("discriminator", step=step)
        return {
            "discriminator_loss": loss.detach(),
            "discriminator_gap": gap.detach().mean(),
            "real_above_generated": (gap.detach() > 0).float().mean(),
            "gradient_penalty_real": of_real.detach().mean(),
            "gradient_penalty_generated": of_generated.detach().mean(),
        }

    def _generate(self, batch: B, *, step: int, chance: float) -> dict[str, Tensor]:
        """Draw images that score above the real ones of their kind, and reach what else counts."""
        self._discriminator.requires_grad_(False)
        drawn = self.drawn(batch)
        images = self._judged(batch, drawn, chance=chance)
        real, generated = self._discriminator(images, batch.wanted_nk.repeat(2, 1)).chunk(2)
        loss = F.softplus(real - generated).mean()
        further = self.further_losses(batch, drawn)
        total: Tensor = sum(further.values(), loss)
        torch.autograd.backward(total)
        for name in self._trained_together:
            self._update(name, step=step)
        self._discriminator.requires_grad_(True)
        noted = {name: value.detach() for name, value in further.items()}
        return {"generator_loss": loss.detach(), **noted}

    def _judged(self, batch: B, drawn: Tensor, *, chance: float) -> Tensor:
        """Real images, then generated ones, as the discriminator sees them."""
        images = torch.cat([batch.real_nchw, drawn])
        if (beside := self.beside(batch)) is not None:
            images = torch.cat([images, beside.repeat(2, 1, 1, 1)], dim=1)
        if chance == 0:
            return images
        changes = draw_changes(len(images), probability=chance, stream=batch.stream)
        return apply_changes(images, changes.to(images.device))

    def _penalty(self, step: int) -> float:
        left: float = PENALTY_FALL ** (step / self._settings.steps)
        return self._settings.gradient_penalty * left

    def _update(self, network: str, *, step: int) -> None:
        settings = self._settings
        update(
            self.flats[network],
            step=step,
            learning_rate=settings.learning_rate * learning_rate_factor(step, settings.steps),
            decay=average_decay(step, settings.steps, horizon=settings.ema),
            beta1=0.0,
        )
