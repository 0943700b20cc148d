"""What a flow's settings leave to be measured: the form of its steps, and how many are drawn."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from synthlift.generators.flow.composing import Gaps
from synthlift.generators.flow.config import FlowConfig
from synthlift.generators.flow.network import FlowNetwork
from synthlift.generators.flow.sampling import draw_images
from synthlift.generators.flow.space import Space
from synthlift.generators.flow.training import FlowLearner
from synthlift.generators.learning.compiling import can_compile
from synthlift.generators.learning.examples import Examples
from synthlift.generators.learning.timing import (
    CALLS,
    HOPELESS,
    MEASURED,
    fastest_chunk,
    left_open,
    median_seconds,
    once,
)
from synthlift.registry import MEASURABLE
from synthlift.types import RunContext


@dataclass(frozen=True)
class Worth:
    """Seconds of a fit from which on other forms of its steps are tried, and compiled ones."""

    trying: float = 60.0
    compiling: float = 600.0


def tuned(
    config: FlowConfig,
    *,
    network: FlowNetwork,
    plan: Mapping[str, Any],
    examples: Examples,
    space: Space,
    run: RunContext,
    worth: Worth = Worth(),
) -> tuple[FlowConfig, dict[str, Any]]:
    """The settings with a value for everything that was left to be measured, and the times.

    Args:
        config: settled settings.
        network: as it begins; it is not changed.
        plan: the network's plan.
        examples: what is learnt from; their values do not matter here.
        space: what the network draws in.
        run: its folder keeps what was found.
        worth: which fits are worth it.

    Returns:
        The settings, and what was found, JSON-able; nothing if nothing was left open.
    """
    if not (left := left_open(config, MEASURABLE)):
        return config, {}
    bench = _Bench(config, network, examples, space, run)
    found = once(lambda: bench.found(worth), left=left, config=config, plan=plan, run=run)
    return config.model_copy(update={name: found[name] for name in left}), found


@dataclass(frozen=True)
class _Bench:
    config: FlowConfig
    network: FlowNetwork
    examples: Examples
    space: Space
    run: RunContext

    def found(self, worth: Worth) -> dict[str, Any]:
        """A value for each setting that is left open, and the seconds behind it."""
        found: dict[str, Any] = {}
        if left_open(self.config, ("precision", "compile")):
            found.update(self._forms(worth))
        if left_open(self.config, ("micro_batch",)):
            network = copy.deepcopy(self.network).eval().requires_grad_(False)
            found.update(fastest_chunk(partial(self._draw, network), device=self.run.device))
        return found

    def _forms(self, worth: Worth) -> dict[str, Any]:
        """The form of a step that takes the least time, the plain one unless it gains a tenth."""
        assert isinstance(self.config.steps, int), "settle() comes first"
        precisions, compiles = _choices(self.config)
        plain = (precisions[0], compiles[0])
        times = {plain: self._step_seconds(*plain, best=float("inf"))}
        fit_seconds = times[plain] * self.config.steps
        compiler = can_compile(self.run.device)
        for form in [(p, c) for c in compiles for p in precisions if (p, c) != plain]:
            enough = worth.compiling if form[1] else worth.trying
            if fit_seconds < enough or (form[1] and not compiler):
                continue
            self.run.progress(0, self.config.steps, f"trying {_words(*form)}")
            times[form] = self._step_seconds(*form, best=min(times.values()))
        best = min(times, key=lambda form: times[form])
        if times[best] > 0.9 * times[plain]:
            best = plain
        seconds = {_words(*form): round(value, 6) for form, value in times.items()}
        return {"precision": best[0], "compile": best[1], "seconds_per_step": seconds}

    def _step_seconds(self, precision: str, compile_: bool, *, best: float) -> float:
        """Median seconds of a training step, of a copy of the network."""
        config = self.config.model_copy(update={"precision": precision, "compile": compile_})
        learner = FlowLearner(
            copy.deepcopy(self.network), examples=self.examples, config=config, seed=0
        )
        with closing(learner.batches(range(CALLS + 2))) as batches:

            def step() -> None:
                learner.step(next(batches), step=0, memory={})

            # The first step of a compiled network compiles it.
            return median_seconds(
                step, device=self.run.device, give_up=float("inf") if compile_ else HOPELESS * best
            )

    def _draw(self, network: FlowNetwork, size: int) -> None:
        config, examples = self.config, self.examples
        draw_images(
            network,
            wanted=np.repeat(examples.wanted_nk[:1].cpu().numpy(), size, axis=0),
            gaps=Gaps(),
            unsaid=examples.unsaid_k.tolist(),
            seeds=range(size),
            space=self.space,
            guidance_scale=config.guidance_scale,
            guidance_interval=config.guidance_interval,
            sampler=config.sampler,
            sampler_steps=config.sampler_steps,
            time_shift=float(config.time_shift),
            chunk=size,
        )


def _choices(config: FlowConfig) -> tuple[list[str], list[bool]]:
    given = str(config.precision)
    precisions = ["float32", "bfloat16"] if given == MEASURED else [given]
    compiles = [False, True] if config.compile == MEASURED else [bool(config.compile)]
    return precisions, compiles


def _words(precision: str, compile_: bool) -> str:
    return f"{precision}, compiled" if compile_ else precision
