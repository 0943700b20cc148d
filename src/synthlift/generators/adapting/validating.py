"""Looks at an adapter while it is trained: does it explain unseen images, and does it copy?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from synthlift.generators.adapting.learner import Batch, Denoising, require_sound
from synthlift.generators.adapting.parts import Learnt
from synthlift.generators.learning.loop import Look, Seen
from synthlift.generators.pipelines.config import PipelineConfig
from synthlift.seeds import seed_for

LEVELS = 4
"""Noise levels at which each validation image is seen."""


class ValidationLoss:
    """The denoising loss on images that are not learnt: the same noise at each look.

    Args:
        denoising: errors of examples.
        latents_nchw: of validation images, float32.
        prompts: what they show.
        seed: of the noise.
        micro_batch: examples computed together.
    """

    def __init__(
        self,
        denoising: Denoising,
        *,
        latents_nchw: Tensor,
        prompts: Sequence[str],
        seed: int,
        micro_batch: int,
    ) -> None:
        stream = torch.Generator().manual_seed(seed_for(seed, "validation"))
        self._denoising, self._micro_batch = denoising, micro_batch
        rows = latents_nchw.repeat_interleave(LEVELS, 0)
        levels = (torch.arange(LEVELS) + 0.5) / LEVELS
        self._batch = Batch(
            rows,
            tuple(prompt for prompt in prompts for _ in range(LEVELS)),
            torch.randn(rows.shape, generator=stream),
            levels.repeat(len(prompts)),
            torch.full((len(rows),), 1 / len(rows)),
        )

    @torch.no_grad()
    def __call__(self) -> float:
        """The mean over images and noise levels, with what the pipeline has learnt so far."""
        parts = self._batch.parts(self._micro_batch)
        return float(sum((self._denoising.errors(p).cpu() * p.shares_n).sum() for p in parts))


def looks(
    learnt: Learnt, *, config: PipelineConfig, loss: ValidationLoss | None, samples: Look | None
) -> Callable[[int, dict[str, Tensor]], Seen] | None:
    """Judge an adapter by its validation loss and by the samples of the pipeline that wears it.

    Args:
        learnt: the numbers in the pipeline; as before after a look.
        config: of the pipeline.
        loss: on validation images; None = there are none.
        samples: draws samples and has them judged; None = nobody judges them.

    Returns:
        None where there is nothing to judge by. A look before the first step raises InputError
        where the loss is not finite.
    """
    if loss is None and samples is None:
        return None

    def look(step: int, weights: dict[str, Tensor]) -> Seen:
        with learnt.wearing(weights):
            seen = samples(step, weights) if samples else Seen(acceptable=True)
            if loss is None:
                return seen
            value = loss()
        if step == 0:
            require_sound(value, config)
        return replace(seen, score=value, curves={**seen.curves, "validation_loss": value})

    return look
