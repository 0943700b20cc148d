"""Adapting a pretrained pipeline to the training images: low-rank additions, or new words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from synthlift.generators.pipelines.adapters import Adapter
from synthlift.generators.pipelines.config import PipelineConfig
from synthlift.types import FitInputs, RunContext


def adapted(
    config: PipelineConfig, inputs: FitInputs, *, facts: Mapping[str, Any], run: RunContext
) -> tuple[dict[str, Any], Adapter | None]:
    """Adapt a pipeline to the training images where its settings say so.

    Args:
        config: the settings.
        inputs: of the fit; validation images choose between check-points, and teach nothing.
        facts: of the generator, see :mod:`~synthlift.generators.pipelines.noting`.
        run: folder for check-points, seed, device, monitor.

    Returns:
        The facts, with how the pipeline was adapted, and what was learnt.

    Raises:
        InputError: the pipeline cannot be adapted, or a LoRA file does not fit.
        SynthliftError: the loss is not finite.
    """
    if config.adapt is None:
        return dict(facts), None
    # What it needs is imported where something is to be learnt.
    from synthlift.generators.adapting.adapt import adapt

    return adapt(config, inputs, facts=facts, run=run)
