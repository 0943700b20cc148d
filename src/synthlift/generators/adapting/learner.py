"""What an adaptation does in a training step."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from synthlift.errors import InputError
from synthlift.generators.adapting.calls import Shape
from synthlift.generators.adapting.latents import Latents
from synthlift.generators.adapting.noise import Noising
from synthlift.generators.adapting.parts import Learnt
from synthlift.generators.adapting.telling import Telling
from synthlift.generators.learning.examples import Examples, drawn_images
from synthlift.generators.learning.loop import Learner
from synthlift.generators.learning.optimizer import (
    average_decay,
    flatten,
    learning_rate_factor,
    update,
)
from synthlift.generators.pipelines.adapter_settings import prior_of
from synthlift.generators.pipelines.config import PipelineConfig

WORDINGS = 2**16
"""Of each image; which one a step takes is drawn."""

Prompting = Callable[[int, int], str]
"""The prompt of an example's row in its wording of some number."""


@dataclass(frozen=True)
class Batch:
    """Examples of one step, those of the prior last.

    Attributes:
        latents_nchw: without noise, float32.
        prompts: what they show.
        noise_nchw: standard normal, float32.
        levels_n: ranks of noise levels in (0, 1).
        shares_n: what each adds to the loss.
    """

    latents_nchw: Tensor
    prompts: tuple[str, ...]
    noise_nchw: Tensor
    levels_n: Tensor
    shares_n: Tensor

    def parts(self, size: int) -> Iterator[Batch]:
        """The same in parts of at most so many."""
        for start in range(0, len(self.prompts), size):
            cut = slice(start, start + size)
            yield Batch(
                self.latents_nchw[cut],
                self.prompts[cut],
                self.noise_nchw[cut],
                self.levels_n[cut],
                self.shares_n[cut],
            )


class Denoising:
    """A pipeline's network with what it is told: from examples to their errors.

    Args:
        network: removes noise.
        telling: what it is told.
        noising: what is added, and to be predicted.
        latents: how the network takes latents.
    """

    def __init__(
        self, network: nn.Module, *, telling: Telling, noising: Noising, latents: Latents
    ) -> None:
        self._network: Any = network
        self._telling, self._noising, self._latents = telling, noising, latents

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        found: torch.device = next(self._network.parameters()).device
        return found

    @property
    def shape(self) -> Shape:
        """How the network takes images and times."""
        return self._telling.shape

    def errors(self, batch: Batch) -> Tensor:
        """Weighted mean squared error of each example, float32 [n]."""
        device = self.device
        clean, noise = batch.latents_nchw.to(device), batch.noise_nchw.to(device)
        noised = self._noising(clean, noise, batch.levels_n)
        told, shape = self._telling(batch.prompts), self.shape
        packed = self._latents.packed(noised.x_nchw)
        shape.tells(told, images=packed, times_n=noised.times_n)
        told["return_dict"] = False
        predicted = shape.heard(self._network(**told)[0])
        target = self._latents.packed(noised.target_nchw)
        if predicted.dim() == 4 and predicted.shape[1] == 2 * target.shape[1]:
            # The second half is a variance, which samplers of diffusers do not use.
            predicted = predicted.chunk(2, dim=1)[0]
        errors: Tensor = (predicted - target).square().flatten(1).mean(1)
        return errors * noised.weights_n


def require_sound(loss: float, config: PipelineConfig) -> None:
    """Refuse a pipeline whose loss is not finite before it has learnt anything.

    Raises:
        InputError: it is not.
    """
    if not math.isfinite(loss):
        raise InputError(
            f"the text-to-image model '{config.model}' gave numbers that are not finite, before "
            "anything was learnt",
            rule="only a pipeline whose own loss is finite can be adapted; the number format was "
            f"{config.dtype}",
            remedy="set dtype: float32, or else download the model again",
        )


class AdapterLearner(Learner[Batch]):
    """The denoising loss of a few images, with the prior's beside it.

    Args:
        learnt: the numbers to learn; changed.
        denoising: errors of examples under them.
        config: of the pipeline, with how it is adapted.
        steps: in all.
        seed: of the batches.
        examples: what is learnt, with their prompts.
        beside: images of the prior with their prompts, if there are any.
    """

    draws_from_the_start = True

    def __init__(
        self,
        learnt: Learnt,
        denoising: Denoising,
        *,
        config: PipelineConfig,
        steps: int,
        seed: int,
        examples: tuple[Examples, Prompting],
        beside: tuple[Examples, Prompting] | None = None,
    ) -> None:
        super().__init__("adapted", learnt=learnt)
        settings = config.adapt
        assert settings is not None, "ask only where something is to be learnt"
        if settings.optimizer == "adam8bit":
            self.flats = {"learnt": flatten(learnt, eight_bit=True)}
        self._denoising, self._settings, self._steps = denoising, settings, steps
        self._seed, self._micro_batch, self._config = seed, config.fixed_chunk(), config
        self._examples, self._beside = examples, beside

    def batches(self, steps: range) -> Generator[Batch, None, None]:
        """See :class:`~synthlift.generators.learning.loop.Learner`."""
        examples, prompting = self._examples
        size = self._settings.batch_size
        for drawn, latents in drawn_images(examples, batch_size=size, seed=self._seed, steps=steps):
            wordings = torch.randint(WORDINGS, (size,), generator=drawn.stream).tolist()
            prompts = tuple(map(prompting, drawn.rows.tolist(), wordings))
            rows, shares = latents.float(), torch.full((size,), 1 / size)
            if self._beside is not None:
                more, told = self._drawn_beside(drawn.stream)
                rows, prompts = torch.cat([rows, more]), (*prompts, *told)
                prior = prior_of(self._settings)
                assert prior is not None
                shares = torch.cat([shares, prior.weight * shares])
            noise = torch.randn(rows.shape, generator=drawn.stream)
            levels = torch.rand(len(prompts), generator=drawn.stream)
            yield Batch(rows, prompts, noise, levels, shares)

    def _drawn_beside(self, stream: torch.Generator) -> tuple[Tensor, Sequence[str]]:
        assert self._beside is not None
        examples, prompting = self._beside
        size = self._settings.batch_size
        rows = torch.multinomial(examples.weights_n, size, replacement=True, generator=stream)
        images = examples.images(rows).to(examples.device).float()
        return images, [prompting(row, 0) for row in rows.tolist()]

    def step(self, batch: Batch, *, step: int, memory: Mapping[str, float]) -> dict[str, Tensor]:
        """One step on the weighted mean squared error of what the scheduler has predicted."""
        del memory
        total = torch.zeros(())
        with torch.enable_grad():
            for part in batch.parts(self._micro_batch):
                errors = self._denoising.errors(part)
                loss = (errors * part.shares_n.to(errors.device)).sum()
                torch.autograd.backward(loss)
                total += loss.detach().cpu()
        if step == 0:  # before the update: nothing was learnt yet
            require_sound(float(total), self._config)
        update(
            self.flats["learnt"],
            step=step,
            learning_rate=self._settings.learning_rate * learning_rate_factor(step, self._steps),
            decay=average_decay(step, self._steps, horizon=self._settings.ema),
        )
        return {"loss": total}
