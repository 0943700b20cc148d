"""The training loop: resumable, watched, refusing to go on with numbers that are not finite."""

from __future__ import annotations

import hashlib
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, Literal, Protocol, TypeVar

import torch
from torch import Tensor, nn

from synthlift.errors import SynthliftError
from synthlift.generators.learning.checkpoints import (
    Progress,
    TrainingState,
    read_checkpoint,
    write_checkpoint,
)
from synthlift.generators.learning.examples import Examples, as_nchw
from synthlift.generators.learning.optimizer import FlatState, flatten, unflatten
from synthlift.rows import in_blocks
from synthlift.types import MonitorReading, RunContext

PATIENCE = 2
LONGEST_WINDOW = 25

B = TypeVar("B")


@dataclass(frozen=True)
class Seen:
    """What a look at samples found.

    Attributes:
        acceptable: whether weights of this step may be kept.
        copying: reading of the training monitor, where there is one.
        curves: further numbers for the history, by name.
        problem: what else is wrong with the samples, in words.
        score: what weights are compared by, lower is better; None = later ones are better.
    """

    acceptable: bool
    copying: MonitorReading | None = None
    curves: Mapping[str, float] = field(default_factory=dict)
    problem: str = ""
    score: float | None = None


Look = Callable[[int, dict[str, Tensor]], Seen]
"""Draws samples with the averaged weights (by parameter name) of a step, and judges them."""


class Schedule(Protocol):
    """Settings that the loop itself reads; a learner's Config has them."""

    @property
    def steps(self) -> int | Literal["auto"]:
        """Optimiser steps."""
        ...

    @property
    def readings(self) -> int | Literal["auto"]:
        """Looks at samples, evenly spaced."""
        ...

    @property
    def learning_rate(self) -> float:
        """Its peak."""
        ...

    @property
    def checkpoint_seconds(self) -> float:
        """Time between check-points."""
        ...

    def model_dump_json(self) -> str:
        """All settings."""
        ...


class Learner(ABC, Generic[B]):
    """What is trained: networks as flat vectors, the first one being kept, and how to step.

    Args:
        kind: of the generator, for messages and the log.
        networks: by name; moved into flat vectors.
    """

    draws_from_the_start: ClassVar[bool] = False
    """Whether samples are of use before the first step, so that a look there is, too."""

    def __init__(self, kind: str, **networks: nn.Module) -> None:
        self.kind = kind
        self.networks = networks
        self.flats: Mapping[str, FlatState] = {n: flatten(net) for n, net in networks.items()}

    @abstractmethod
    def batches(self, steps: range) -> Generator[B, None, None]:
        """The batches of some steps, each a function of the seed and its step alone."""

    @abstractmethod
    def step(self, batch: B, *, step: int, memory: Mapping[str, float]) -> Mapping[str, Tensor]:
        """Update the weights; returns the numbers of this step by name, detached scalars."""

    def remember(
        self, means: Mapping[str, float], memory: Mapping[str, float], *, steps: int
    ) -> Mapping[str, float]:
        """What to carry on, after ``steps`` steps with these mean numbers; it is noted, too."""
        del means, steps
        return memory

    def trouble(self, memory: Mapping[str, float]) -> str:
        """What has gone wrong, in words, as far as what is carried on tells it; "" = nothing."""
        del memory
        return ""


def train(
    learner: Learner[Any],
    *,
    examples: Examples,
    config: Schedule,
    run: RunContext,
    look: Look | None,
    beside: Examples | None = None,
    keeps_end: bool = False,
) -> tuple[dict[str, Tensor], Progress]:
    """Train to the end of the schedule, or until samples have gone wrong for good.

    Args:
        learner: its networks are changed in place.
        examples: what is learnt from.
        config: settled settings.
        run: folder for check-points, seed, progress, log.
        look: draws samples and has them judged.
        beside: what else is learnt from.
        keeps_end: write a check-point of the end, too: of a run that goes on to train others.

    Returns:
        The weights to keep – the first network's average at the last look that was acceptable, or
        at the one of the lowest score among these; if none was, at the last one that did not copy,
        or else the first; at the end without looks – and the history.

    Raises:
        SynthliftError: a loss is not finite.
    """
    steps = config.steps
    assert isinstance(steps, int), "settle() comes first"
    state = TrainingState(learner.flats)
    learnt = [examples, *([beside] if beside else [])]
    fingerprint = _fingerprint(learner.kind, config, seed=run.seed, learnt=learnt)
    if read_checkpoint(run.folder, state, fingerprint=fingerprint):
        run.log(f"{learner.kind}.resumed", step=state.progress.step)
    progress, looks = state.progress, _looking_steps(config if look else None)
    window = max(1, min(LONGEST_WINDOW, steps // 100))
    saved, noted, resumed = time.monotonic(), progress.step, progress.step
    totals: dict[str, Tensor] = {}
    if look and learner.draws_from_the_start and looks and progress.step == 0:
        _look(learner, state, look=look, run=run)
    with closing(learner.batches(range(progress.step, steps))) as batches:
        while progress.step < steps and progress.refused < PATIENCE:
            found = learner.step(next(batches), step=progress.step, memory=progress.memory)
            totals = {name: totals[name] + v if totals else v for name, v in found.items()}
            progress.step += 1
            if progress.step % window and progress.step not in looks and progress.step < steps:
                continue
            means = {name: float(v) / (progress.step - noted) for name, v in totals.items()}
            _note(learner, progress, means, steps=progress.step - noted, config=config)
            totals, noted = {}, progress.step
            if look and progress.step in looks:
                _look(learner, state, look=look, run=run)
            if time.monotonic() - saved > config.checkpoint_seconds:
                write_checkpoint(run.folder, state, fingerprint=fingerprint)
                saved = time.monotonic()
            run.progress(progress.step, steps, _words(means))
    if keeps_end and progress.step > resumed:
        write_checkpoint(run.folder, state, fingerprint=fingerprint)
    best = state.main.average if state.kept is None else state.kept
    return _named(learner, best), progress


def history(progress: Progress, *, steps: int | str) -> dict[str, Any]:
    """What happened in training, for the facts that are kept with a generator.

    Further curves than the loss, and warnings, are told where there are any.
    """
    kept = progress.step if progress.kept_step is None else progress.kept_step
    verdicts = [bool(one["acceptable"]) for one in progress.readings if one["step"] == kept]
    further = {name: points for name, points in progress.curves.items() if name != "loss"}
    warnings = _warnings(progress)
    return {
        "steps_planned": steps,
        "steps_done": progress.step,
        "kept_step": kept,
        "copying_watched": bool(progress.readings),
        "copying_acceptable": verdicts[0] if verdicts else None,
        "losses": progress.curves.get("loss", []),
        "readings": progress.readings,
        **({"curves": further} if further else {}),
        **({"warnings": warnings} if warnings else {}),
    }


def _warnings(progress: Progress) -> list[str]:
    """The last thing found wrong, and what came of it; nothing if later samples were fine."""
    if not progress.problems:
        return []
    step, words = progress.problems[-1]
    if not progress.kept_acceptable:
        return [f"At step {step:,} of its training, {words}. No step was better."]
    if (kept := progress.kept_step or 0) > step:
        return []
    return [f"At step {step:,} of its training, {words}. The weights of step {kept:,} are kept."]


def _looking_steps(config: Schedule | None) -> frozenset[int]:
    if config is None or config.readings == 0:
        return frozenset()
    assert config.readings != "auto"
    assert config.steps != "auto"
    count = config.readings
    return frozenset(math.ceil(config.steps * (i + 1) / count) for i in range(count))


def _note(
    learner: Learner[Any],
    progress: Progress,
    means: Mapping[str, float],
    *,
    steps: int,
    config: Schedule,
) -> None:
    for name, mean in means.items():
        if not math.isfinite(mean):
            raise SynthliftError(
                f"training the {learner.kind} generator failed: the {name.replace('_', ' ')} is "
                f"not finite at step {progress.step}. Remedy: lower 'learning_rate' (now "
                f"{config.learning_rate:g}), for instance to {config.learning_rate / 4:g}"
            )
        progress.note(name, mean)
    progress.memory = dict(learner.remember(means, progress.memory, steps=steps))
    for name, value in progress.memory.items():
        progress.note(name, value)


def _words(means: Mapping[str, float]) -> str:
    name, value = next(iter(means.items()))
    return f"{name.replace('_', ' ')} {value:.3f}"


def _named(learner: Learner[Any], vector: Tensor) -> dict[str, Tensor]:
    return unflatten(next(iter(learner.networks.values())), vector)


def _look(learner: Learner[Any], state: TrainingState, *, look: Look, run: RunContext) -> None:
    """Have samples judged; keep these weights if they are accepted, or are the first ones."""
    progress = state.progress
    seen = look(progress.step, _named(learner, state.main.average))
    for name, value in seen.curves.items():
        progress.note(name, value)
    if (reading := seen.copying) is not None:
        record = {"step": progress.step, "value": reading.value, "acceptable": reading.acceptable}
        progress.readings.append({**record, "detail": dict(reading.detail)})
        run.log(f"{learner.kind}.reading", **record)
    problem = "; ".join(
        words for words in (seen.problem, learner.trouble(progress.memory)) if words
    )
    if problem:
        progress.problems.append((progress.step, problem))
        run.log(f"{learner.kind}.problem", step=progress.step, problem=problem)
    acceptable = seen.acceptable and not problem
    # Where nothing was acceptable yet, later weights are better ones, unless they copy more.
    copies = seen.copying is not None and not seen.copying.acceptable
    if acceptable:
        keep = not progress.kept_acceptable or _lower(seen.score, progress.kept_score)
    else:
        keep = state.kept is None or not (progress.kept_acceptable or copies)
    if keep:
        state.kept = state.main.average.clone()
        progress.kept_step, progress.kept_acceptable = progress.step, acceptable
        progress.kept_score = seen.score
    # Samples of the first steps may be refused too: only what follows an accepted look shows that
    # copying, or a collapse, has begun.
    begun = progress.kept_acceptable and not acceptable
    progress.refused = progress.refused + 1 if begun else 0


def _lower(score: float | None, kept: float | None) -> bool:
    return score is None or kept is None or score < kept


def _fingerprint(kind: str, config: Schedule, *, seed: int, learnt: Sequence[Examples]) -> str:
    sha = hashlib.sha256(f"{kind}:{config.model_dump_json()}:{seed}".encode())
    for examples in learnt:
        sha.update(examples.wanted_nk.cpu().numpy().tobytes())
        for block in in_blocks(examples.source):
            sha.update(as_nchw(torch.from_numpy(block)).numpy().data)
    return sha.hexdigest()
