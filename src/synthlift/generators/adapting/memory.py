"""Adapt a pipeline with less memory, where memory does not suffice."""

from __future__ import annotations

import gc
import json
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import torch

from synthlift.errors import is_out_of_memory
from synthlift.generators.pipelines.config import PipelineConfig
from synthlift.store.files import write_json_atomic

T = TypeVar("T")

NOTED = "memory.json"
"""What an earlier attempt has found, beside its check-points, for one that resumes it."""


def with_less_memory(
    attempt: Callable[[PipelineConfig], T], config: PipelineConfig, *, folder: Path
) -> tuple[T, str]:
    """Attempt with fewer examples at once, as often as memory runs out; then keeping less of them.

    Gradients of a batch are summed over its parts, so that smaller parts change rounding alone.
    When one example at a time is too much, the network's layers are computed again rather than
    kept.

    Args:
        attempt: what is done with settings.
        config: the settings to begin with.
        folder: of the run, that what was found out is noted in.

    Returns:
        What the last attempt gave, and what of the settings was lowered, in words; "" = nothing.
    """
    noted = folder / NOTED
    lowered = _applied(config, *json.loads(noted.read_text())) if noted.is_file() else config
    while True:
        try:
            return attempt(lowered), _in_words(config, lowered)
        except Exception as error:
            further = _further(lowered) if is_out_of_memory(error) else None
            if further is None:
                raise
        # Not above: an error holds what was in memory when it was raised.
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        lowered = further
        folder.mkdir(parents=True, exist_ok=True)
        write_json_atomic(noted, [lowered.fixed_chunk(), _computes_again(lowered)])


def _further(config: PipelineConfig) -> PipelineConfig | None:
    size = config.fixed_chunk()
    if size > 1:
        return _applied(config, size // 2, _computes_again(config))
    return None if _computes_again(config) else _applied(config, 1, True)


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
    if after is before:
        return ""
    now, then = after.fixed_chunk(), before.fixed_chunk()
    again = _computes_again(after) and not _computes_again(before)
    more = ", and layers were computed again rather than kept" if again else ""
    return (
        "Memory was short while the pipeline was adapted: gradients were computed for at most "
        f"{now} at a time in place of {then}{more}."
    )
