"""Adapt a pipeline to the training images of a fit, and to nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from synthlift.generators.adapting.bench import Bench, open_bench
from synthlift.generators.adapting.examples import past_examples, prompting_of, training_examples
from synthlift.generators.adapting.latents import balanced_rows, kept_latents
from synthlift.generators.adapting.learner import AdapterLearner
from synthlift.generators.adapting.memory import Heard, with_less_memory
from synthlift.generators.adapting.parts import Learnt, LearntLora, LearntWords
from synthlift.generators.adapting.prior import Preserved, preserved
from synthlift.generators.adapting.validating import ValidationLoss, looks
from synthlift.generators.conditions import Vocabulary
from synthlift.generators.learning.drawing import deterministic_kernels
from synthlift.generators.learning.eight_bit import require_eight_bit
from synthlift.generators.learning.looking import looks_at_samples
from synthlift.generators.learning.loop import history, train
from synthlift.generators.pipelines.adapter_settings import (
    Adaptation,
    LoraAdaptation,
    prior_of,
)
from synthlift.generators.pipelines.adapters import (
    LEARNT,
    Adapter,
    activate,
    class_adapter,
    given_weights,
)
from synthlift.generators.pipelines.config import PipelineConfig
from synthlift.generators.pipelines.noting import wording_of
from synthlift.seeds import seed_for
from synthlift.types import FitInputs, RunContext


@dataclass(frozen=True)
class Schedule:
    """What the training loop reads; all settings take part in a check-point's identity.

    Attributes:
        steps: optimiser steps.
        settings: of the adaptation.
        config: of the pipeline.
    """

    steps: int
    settings: Adaptation
    config: PipelineConfig

    @property
    def readings(self) -> int:
        """Looks, beside the one before the first step."""
        return self.settings.readings

    @property
    def learning_rate(self) -> float:
        """Its peak."""
        return self.settings.learning_rate

    @property
    def checkpoint_seconds(self) -> float:
        """Time between check-points."""
        return self.settings.checkpoint_seconds

    def model_dump_json(self) -> str:
        """All settings."""
        return f"{self.steps} {self.config.model_dump_json()}"


def adapt(
    config: PipelineConfig, inputs: FitInputs, *, facts: Mapping[str, Any], run: RunContext
) -> tuple[dict[str, Any], Adapter]:
    """Learn what ``config.adapt`` says; see :func:`~synthlift.generators.adapting.adapted`."""
    (found, adapter), lowered = with_less_memory(
        lambda able, heard: _adapted(able, inputs, facts=facts, run=run, heard=heard),
        config,
        folder=run.folder,
    )
    if lowered:
        found = {**found, "warnings": [*found.get("warnings", []), lowered]}
    return found, adapter


def _adapted(
    config: PipelineConfig,
    inputs: FitInputs,
    *,
    facts: Mapping[str, Any],
    run: RunContext,
    heard: Heard,
) -> tuple[dict[str, Any], Adapter]:
    settings = config.adapt
    assert settings is not None, "ask only where something is to be learnt"
    if settings.optimizer == "adam8bit":
        require_eight_bit(torch.device(run.device))
    vocabulary = Vocabulary.from_json(facts)
    each = isinstance(settings, LoraAdaptation) and settings.per_class
    present = [label for label, count in enumerate(vocabulary.counts) if count]
    groups = [(label,) for label in present] if each else [tuple(present)]
    steps = config.automatic_steps(examples=sum(vocabulary.counts), image_shape=(0, 0, 0))
    assert steps is not None
    files: dict[str, bytes] = {}
    told = []
    bench = open_bench(config, facts=facts, run=run)
    heard.keeps_layers = bench.keeps_layers
    past = _past(config, bench, vocabulary=vocabulary, run=run)
    for group in groups:
        name = class_adapter(group[0]) if each else LEARNT
        adapter, history_ = _one(
            bench,
            Schedule(max(1, steps // len(groups)), settings, config),
            inputs=inputs,
            vocabulary=_only(vocabulary, group),
            facts=facts,
            past=past,
            name=name,
            keeps_end=each,
            run=replace(run, folder=run.folder / name, seed=seed_for(run.seed, name)),
        )
        for file, content in adapter.files.items():
            files[f"{name}/{file}" if each else file] = content
        told.append(history_)
    adapter = Adapter(files)
    if past is not None and past.warnings:
        facts = {**facts, "warnings": [*facts.get("warnings", []), *past.warnings]}
    return _facts(adapter, told, facts=facts, settings=settings, vocabulary=vocabulary), adapter


def _past(
    config: PipelineConfig, bench: Bench, *, vocabulary: Vocabulary, run: RunContext
) -> Preserved | None:
    """Images of the pipeline before it is adapted, where they are to be learnt, too."""
    prior = prior_of(config.adapt)
    if prior is None:
        return None
    with deterministic_kernels():
        return preserved(
            prior, bench.draws, bench.latents, config=config, vocabulary=vocabulary, run=run
        )


def _one(
    bench: Bench,
    schedule: Schedule,
    *,
    inputs: FitInputs,
    vocabulary: Vocabulary,
    facts: Mapping[str, Any],
    past: Preserved | None,
    name: str,
    keeps_end: bool,
    run: RunContext,
) -> tuple[Adapter, dict[str, Any]]:
    """Train one adapter, on the images of the classes that the vocabulary counts."""
    settings, config = schedule.settings, schedule.config
    with deterministic_kernels():
        examples, prompting = training_examples(
            inputs.train,
            bench.latents,
            config=config,
            vocabulary=vocabulary,
            facts=facts,
            run=run,
        )
        learnt = _learnt(bench.pipeline, config, facts=facts, name=name, seed=run.seed)
        learner = AdapterLearner(
            learnt,
            bench.denoising,
            config=config,
            steps=schedule.steps,
            seed=run.seed,
            examples=(examples, prompting),
            beside=None if past is None else past_examples(past, device=run.device),
        )
        look = looks(
            learnt,
            config=config,
            loss=_validation(bench, schedule, inputs, vocabulary=vocabulary, facts=facts, run=run),
            samples=looks_at_samples(
                lambda _weights: bench.draws,
                vocabulary=vocabulary,
                images=settings.monitor_images,
                run=run,
            ),
        )
        weights, progress = train(
            learner,
            examples=examples,
            config=schedule,
            run=run,
            look=look,
            keeps_end=keeps_end,
        )
    learnt.take(weights)
    adapter = learnt.adapter()
    # Out of the way of the next one.
    activate(bench.pipeline, given_weights(config.loras))
    numbers = sum(parameter.numel() for parameter in learnt.parameters())
    return adapter, {**history(progress, steps=schedule.steps), "parameters": numbers}


def _learnt(
    pipeline: Any, config: PipelineConfig, *, facts: Mapping[str, Any], name: str, seed: int
) -> Learnt:
    settings = config.adapt
    assert settings is not None
    if settings.kind == "lora":
        given = given_weights(config.loras)
        return LearntLora(
            pipeline, settings, name=name, given=given, seed=seed_for(seed, "adapter")
        )
    known = wording_of(config, seed=seed)
    words = {word: known.words(label)[0] for label, word in facts["words"].items()}
    return LearntWords(pipeline, settings, words=words)


def _validation(
    bench: Bench,
    schedule: Schedule,
    inputs: FitInputs,
    *,
    vocabulary: Vocabulary,
    facts: Mapping[str, Any],
    run: RunContext,
) -> ValidationLoss | None:
    images, settings = inputs.validation, schedule.settings
    counted = [
        row
        for row, label in enumerate(images.labels.tolist())
        if label >= 0 and vocabulary.counts[label]
    ]
    places = balanced_rows(images.labels[counted].tolist(), settings.validation_images)
    rows = [counted[place] for place in places]
    if not rows or not settings.readings:
        return None
    size = schedule.config.fixed_chunk()
    latents = kept_latents(
        images.pixels(np.array(rows)),
        bench.latents,
        flip=False,
        part=size,
        folder=run.folder / "validation",
    )
    prompting = prompting_of(images, rows, schedule.config, facts=facts)
    return ValidationLoss(
        bench.denoising,
        latents_nchw=torch.from_numpy(latents).permute(0, 3, 1, 2).float(),
        prompts=[prompting(place, place) for place in range(len(rows))],
        seed=run.seed,
        micro_batch=size,
    )


def _only(vocabulary: Vocabulary, labels: Sequence[int]) -> Vocabulary:
    """The same, as if other classes had no images."""
    counts = tuple(n if k in labels else 0 for k, n in enumerate(vocabulary.counts))
    return replace(vocabulary, counts=counts)


def _facts(
    adapter: Adapter,
    told: Sequence[Mapping[str, Any]],
    *,
    facts: Mapping[str, Any],
    settings: Adaptation,
    vocabulary: Vocabulary,
) -> dict[str, Any]:
    """The generator's facts with what to tell of all adapters: sums, and the first one's curves."""
    first = told[0]
    losses = first.get("curves", {}).get("validation_loss", [])
    by_step = {int(step): value for step, value in losses}
    adaptation = {
        "kind": getattr(settings, "kind", ""),
        "adapters": len(told),
        "images": sum(vocabulary.counts),
        "steps_done": sum(one["steps_done"] for one in told),
        "steps_kept": sum(one["kept_step"] for one in told),
        "sha256": adapter.sha256,
        **({"loss_before": losses[0][1]} if losses else {}),
        **({"loss_after": by_step[first["kept_step"]]} if losses else {}),
    }
    warnings = [*facts.get("warnings", [])]
    warnings += [words for one in told for words in one.get("warnings", [])]
    if any(one["copying_watched"] and not one["copying_acceptable"] for one in told):
        warnings.append("No step of its adaptation drew samples that do not copy.")
    elif not adaptation["steps_kept"]:
        warnings.append(
            "No step of its adaptation was better than the pretrained pipeline: what is sampled "
            "is the pipeline as it was."
        )
    return {
        **facts,
        **first,
        "parameters": sum(one["parameters"] for one in told),
        "adaptation": adaptation,
        **({"warnings": warnings} if warnings else {}),
    }
