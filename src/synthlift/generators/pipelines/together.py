"""How many images a pipeline draws together, where its settings leave that to be measured."""

from __future__ import annotations

import importlib.metadata
from typing import Any, TypeVar

from synthlift.generators.learning.timing import left_open, with_chunk
from synthlift.generators.pipelines.config import PipelineConfig
from synthlift.generators.pipelines.fitted import PipelineFitted
from synthlift.generators.pipelines.wishes import Wish
from synthlift.types import RunContext, SampleRequest

SIZES = (1, 2, 4, 8, 16, 32, 64)
FEW_STEPS = 2
"""From noise to image: steps take their time however many there are."""
WORDS = (
    "prompt",
    "class_prompts",
    "negative_prompt",
    "class_negative_prompts",
    "phrases",
    "combine",
    "attributes",
    "names",
    "synonyms",
)
"""Settings that change no time."""

F = TypeVar("F", bound=PipelineFitted[Any])


def with_measured_chunk(fitted: F, *, run: RunContext) -> F:
    """The generator with a number for ``micro_batch`` where it is left open, and the times.

    The pipeline draws one image several times together, at its own size and in few steps. It wears
    its adapter if it has one, and is not compiled: that would be done anew for each size.

    Args:
        fitted: as it was noted and adapted.
        run: its folder keeps what was found.
    """
    config: PipelineConfig = fitted._config
    request = _possible(fitted)
    if request is None or not left_open(config, ["micro_batch"]):
        return fitted
    trial = fitted.uncompiled()
    wish = Wish(request, trial.prompt(request), config.negative_prompt, request.seed)
    chosen, found = with_chunk(
        _wordless(config),
        # What a chunk lacks is filled up with the last wish.
        lambda size: trial.with_micro_batch(size)._drawn([wish], trial._settings(request)),
        plan={"task": fitted.task, "diffusers": importlib.metadata.version("diffusers")},
        run=run,
        sizes=SIZES,
    )
    measured = fitted.with_micro_batch(chosen.fixed_chunk())
    settings = {**fitted._facts["config"], "micro_batch": measured.micro_batch}
    measured._facts = {**fitted._facts, "config": settings, "measured": found}
    return measured


def _possible(fitted: PipelineFitted[Any]) -> SampleRequest | None:
    """A request for an image that can be drawn, in few steps."""
    steps = min(FEW_STEPS, fitted._config.sampler_steps)
    counts = fitted._vocabulary.counts
    requests = [
        SampleRequest(index=0, label=label, seed=0, params={"sampler_steps": steps})
        for label, count in enumerate(counts)
        if count
    ]
    return next((request for request in requests if fitted.can_draw(request)), None)


def _wordless(config: PipelineConfig) -> PipelineConfig:
    """The settings without those that change no time, so that what was found serves for others."""
    fields = type(config).model_fields
    usual = {name: fields[name].get_default(call_default_factory=True) for name in WORDS}
    return config.model_copy(update=usual)
