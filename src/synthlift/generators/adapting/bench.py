"""A pipeline with what all its adapters are trained with."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from synthlift.generators.adapting.calls import Shape, denoiser
from synthlift.generators.adapting.drawing import PromptedDraws
from synthlift.generators.adapting.latents import Latents
from synthlift.generators.adapting.learner import Denoising
from synthlift.generators.adapting.noise import noising_of, require_own_times
from synthlift.generators.adapting.telling import Telling
from synthlift.generators.learning.drawing import deterministic_kernels
from synthlift.generators.pipelines.adapter_settings import LoraAdaptation, spelling
from synthlift.generators.pipelines.adapters import add_loras
from synthlift.generators.pipelines.config import PipelineConfig
from synthlift.generators.pipelines.opening import open_pipeline
from synthlift.types import RunContext

LARGE = 100_000_000
"""Weights of a network from which on layers are computed again rather than kept."""


@dataclass(frozen=True)
class Bench:
    """What adapters of one pipeline share.

    Attributes:
        pipeline: in memory, frozen; adapters are put into it.
        latents: images as its network sees them.
        denoising: errors of its network.
        draws: images as it draws them.
        keeps_layers: whether the network keeps layers that it could compute again.
    """

    pipeline: Any
    latents: Latents
    denoising: Denoising
    draws: PromptedDraws
    keeps_layers: bool = False


def open_bench(config: PipelineConfig, *, facts: Mapping[str, Any], run: RunContext) -> Bench:
    """Open a pipeline for training: frozen, with its LoRA files.

    Raises:
        InputError: it cannot be opened or adapted, or a LoRA file does not fit.
    """
    settings = config.adapt
    assert settings is not None
    # Gradients fall below what half precision can say; bfloat16 has the range.
    dtype = "bfloat16" if config.dtype == "float16" else config.dtype
    opened = config.model_copy(update={"dtype": dtype})
    pipeline = open_pipeline(opened, task="text_to_image", device=run.device)
    for part in pipeline.components.values():
        if isinstance(part, torch.nn.Module):
            part.eval().requires_grad_(False)
    add_loras(pipeline, config.loras)
    network: Any = denoiser(pipeline)
    again = settings.gradient_checkpointing
    large = sum(weight.numel() for weight in network.parameters()) > LARGE
    able = getattr(network, "_supports_gradient_checkpointing", False)
    again = able and (large if again == "auto" else again)
    if again:
        network.enable_gradient_checkpointing()
    noising = noising_of(pipeline, min_snr=settings.min_snr)
    # What text encoders say of a prompt is kept where they do not change.
    cached = isinstance(settings, LoraAdaptation) and not settings.text_encoder
    with deterministic_kernels():
        telling = Telling(
            pipeline,
            size=None if config.size == "auto" else config.size,
            guidance_scale=config.guidance_scale,
            cached=cached,
            spelled=spelling(settings, facts.get("words", {})),
        )
        require_own_times(pipeline)
        latents = Latents(pipeline, shape=telling.shape, side=_side(pipeline, telling.shape))
    denoising = Denoising(network, telling=telling, noising=noising, latents=latents)
    draws = PromptedDraws(facts, config, pipeline)
    return Bench(pipeline, latents, denoising, draws, keeps_layers=able and not again)


def _side(pipeline: Any, shape: Shape) -> tuple[int, int]:
    """Height and width at which the pipeline draws."""
    factor = int(getattr(pipeline, "vae_scale_factor", 1))
    if len(shape.size) > 2:
        return shape.size[-2] * factor, shape.size[-1] * factor
    # A row of patches, two latents a side, as many to either side.
    side = 2 * math.isqrt(shape.size[0]) * factor
    return side, side
