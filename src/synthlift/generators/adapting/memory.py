"""Adapt a pipeline with less memory, where memory does not suffice."""

from __future__ import annotations

import gc
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch

from synthlift.errors import is_out_of_memory
from synthlift.generators.pipelines.adapter_settings import prior_of
from synthlift.generators.pipelines.config import PipelineConfig
from synthlift.store.files import write_json_atomic

T = TypeVar("T")

NOTED = "memory.json"
"""What an earlier attempt has found, beside its check-points, for one that resumes it."""


@dataclass
class Heard:
    """What an attempt has found out.

    Attributes:
        keeps_layers: whether the network's layers are kept that could be computed again.
    """

    keeps_layers: bool = True


def with_less_memory(
    attempt: Callable[[PipelineConfig, Heard], T], config: PipelineConfig, *, folder: Path
) -> tuple[T, str]:
    """Attempt with fewer examples at once, as often as memory runs out; then keeping less of them.

    Gradients of a batch are summed over its parts, so that smaller parts change rounding alone.
    When one example at a time is too much, the network's layers are computed again rather than
    kept.

    Args:
        attempt: what is done with settings; notes what it finds out.
        config: the settings to begin with.
        folder: of the run, that what was found out is noted in.

    Returns:
        What the last attempt gave, and what of the settings was lowered, in words; "" = nothing.
    """
    noted = folder / NOTED
    lowered = _applied(config, *json.loads(noted.read_text())) if noted.is_file() else config
    while True:
        heard = Heard()
        try:
            return attempt(lowered, heard), _in_words(config, lowered)
        except Exception as error:
            further = _further(lowered, heard) if is_out_of_memory(error) else None
            if further is None:
                raise
        # Not above: an error holds what was in memory when it was raised.
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        lowered = further
        folder.mkdir(parents=True, exist_ok=True)
        write_json_atomic(noted, [lowered.fixed_chunk(), _computes_again(lowered)])


def _further(config: PipelineConfig, heard: Heard) -> PipelineConfig | None:
    if config.fixed_chunk() > 1:
        return _applied(config, max(1, _at_once(config) // 2), _computes_again(config))
    kept = heard.keeps_layers and not _computes_again(config)
    return _applied(config, 1, True) if kept else None


def _at_once(config: PipelineConfig) -> int:
    """Examples whose gradients are computed together: no more than a step has."""
    assert config.adapt is not None
    step = config.adapt.batch_size * (1 if prior_of(config.adapt) is None else 2)
    return min(config.fixed_chunk(), step)


def _computes_again(config: PipelineConfig) -> bool:
    assert config.adapt is not None
    return config.adapt.gradient_checkpointing is True


def _applied(config: PipelineConfig, size: int, again: bool) -> PipelineConfig:
    assert config.adapt is not None
    adapt = config.adapt
    if again:
        adapt = adapt.model_copy(update={"gradient_checkpointing": True})
    return config.model_copy(update={"micro_batch": size, "adapt": adapt})


def _in_words(before: PipelineConfig, after: PipelineConfig) -> str:
    now, then = _at_once(after), _at_once(before)
    what = "gradients were computed for"
    if now == then:
        now, then = after.fixed_chunk(), before.fixed_chunk()
        what = "images were encoded and drawn"
    told = [f"{what} at most {now} at a time in place of {then}"] if now < then else []
    if _computes_again(after) and not _computes_again(before):
        told.append("layers were computed again rather than kept")
    return (
        f"Memory was short while the pipeline was adapted: {', and '.join(told)}." if told else ""
    )
