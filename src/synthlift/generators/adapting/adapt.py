"""Adapt a pipeline to the training images of a fit, and to nothing else."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from synthlift.generators.adapting.drawing import PromptedDraws
from synthlift.generators.adapting.latents import Half, Latents, balanced_rows, kept_latents
from synthlift.generators.adapting.learner import AdapterLearner, Denoising, Prompting
from synthlift.generators.adapting.noise import noising_of
from synthlift.generators.adapting.parts import Learnt, LearntLora, LearntWords
from synthlift.generators.adapting.prior import Preserved, preserved
from synthlift.generators.adapting.telling import Shape, Telling, denoiser
from synthlift.generators.adapting.validating import ValidationLoss, looks
from synthlift.generators.conditions import Vocabulary
from synthlift.generators.learning.drawing import deterministic_kernels
from synthlift.generators.learning.examples import Examples, in_memory
from synthlift.generators.learning.looking import looks_at_samples
from synthlift.generators.learning.loop import history, train
from synthlift.generators.pipelines.adapter_settings import (
    Adaptation,
    LoraAdaptation,
)
from synthlift.generators.pipelines.adapters import (
    LEARNT,
    Adapter,
    activate,
    add_loras,
    class_adapter,
    given_weights,
)
from synthlift.generators.pipelines.config import PipelineConfig
from synthlift.generators.pipelines.noting import wording_of
from synthlift.generators.pipelines.opening import open_pipeline
from synthlift.seeds import seed_for
from synthlift.types import FitInputs, ImageSet, RunContext

LARGE = 100_000_000
"""Weights of a network from which on layers are computed again rather than kept."""


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


@dataclass(frozen=True)
class _Bench:
    """The pipeline with what all its adapters are trained with."""

    pipeline: Any
    latents: Latents
    denoising: Denoising
    draws: PromptedDraws
    side: tuple[int, int]


def adapt(
    config: PipelineConfig, inputs: FitInputs, *, facts: Mapping[str, Any], run: RunContext
) -> tuple[dict[str, Any], Adapter]:
    """Learn what ``config.adapt`` says; see :func:`~synthlift.generators.adapting.adapted`."""
    settings = config.adapt
    assert settings is not None, "ask only where something is to be learnt"
    vocabulary = Vocabulary.from_json(facts)
    each = isinstance(settings, LoraAdaptation) and settings.per_class
    present = [label for label, count in enumerate(vocabulary.counts) if count]
    groups = [(label,) for label in present] if each else [tuple(present)]
    steps = config.automatic_steps(examples=sum(vocabulary.counts), image_shape=(0, 0, 0))
    assert steps is not None
    files: dict[str, bytes] = {}
    told = []
    bench = _bench(config, facts=facts, run=run)
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
            run=replace(run, folder=run.folder / name, seed=seed_for(run.seed, name)),
        )
        for file, content in adapter.files.items():
            files[f"{name}/{file}" if each else file] = content
        told.append(history_)
    adapter = Adapter(files)
    return _facts(adapter, told, facts=facts, settings=settings, vocabulary=vocabulary), adapter


def _bench(config: PipelineConfig, *, facts: Mapping[str, Any], run: RunContext) -> _Bench:
    # Gradients fall below what half precision can say; bfloat16 has the range.
    dtype = "bfloat16" if config.dtype == "float16" else config.dtype
    opened = config.model_copy(update={"dtype": dtype})
    pipeline = open_pipeline(opened, task="text_to_image", device=run.device)
    for network in pipeline.components.values():
        if isinstance(network, torch.nn.Module):
            network.eval().requires_grad_(False)
    add_loras(pipeline, config.loras)
    settings = config.adapt
    assert settings is not None
    network: Any = denoiser(pipeline)
    again = settings.gradient_checkpointing
    large = sum(weight.numel() for weight in network.parameters()) > LARGE
    if (large if again == "auto" else again) and hasattr(network, "enable_gradient_checkpointing"):
        network.enable_gradient_checkpointing()
    # What text encoders say of a prompt is kept where they do not change.
    cached = isinstance(settings, LoraAdaptation) and not settings.text_encoder
    with deterministic_kernels():
        telling = Telling(
            pipeline,
            size=None if config.size == "auto" else config.size,
            guidance_scale=config.guidance_scale,
            cached=cached,
        )
        side = _side(pipeline, telling.shape)
        latents = Latents(pipeline, shape=telling.shape, side=side)
    noising = noising_of(pipeline, min_snr=settings.min_snr)
    denoising = Denoising(network, telling=telling, noising=noising, latents=latents)
    draws = PromptedDraws(facts, config, pipeline)
    return _Bench(pipeline, latents, denoising, draws, side)


def _side(pipeline: Any, shape: Shape) -> tuple[int, int]:
    """Height and width at which the pipeline draws."""
    factor = int(getattr(pipeline, "vae_scale_factor", 1))
    if len(shape.size) == 3:
        return shape.size[1] * factor, shape.size[2] * factor
    # A row of patches, two latents a side, as many to either side.
    side = 2 * math.isqrt(shape.size[0]) * factor
    return side, side


def _past(
    config: PipelineConfig, bench: _Bench, *, vocabulary: Vocabulary, run: RunContext
) -> Preserved | None:
    """Images of the pipeline before it is adapted, where they are to be learnt, too."""
    prior = config.adapt.prior if config.adapt else None
    if prior is None:
        return None
    with deterministic_kernels():
        return preserved(
            prior, bench.draws, bench.latents, config=config, vocabulary=vocabulary, run=run
        )


def _one(
    bench: _Bench,
    schedule: Schedule,
    *,
    inputs: FitInputs,
    vocabulary: Vocabulary,
    facts: Mapping[str, Any],
    past: Preserved | None,
    name: str,
    run: RunContext,
) -> tuple[Adapter, dict[str, Any]]:
    """Train one adapter, on the images of the classes that the vocabulary counts."""
    settings, config = schedule.settings, schedule.config
    with deterministic_kernels():
        examples, prompting = _examples(
            inputs.train, bench, schedule, vocabulary=vocabulary, facts=facts, run=run
        )
        learnt = _learnt(bench.pipeline, config, facts=facts, name=name, seed=run.seed)
        learner = AdapterLearner(
            learnt,
            bench.denoising,
            settings=settings,
            steps=schedule.steps,
            seed=run.seed,
            micro_batch=config.micro_batch,
            examples=(examples, prompting),
            beside=None if past is None else _plain_examples(past, device=run.device),
        )
        look = looks(
            learnt,
            loss=_validation(bench, schedule, inputs, vocabulary=vocabulary, facts=facts, run=run),
            samples=looks_at_samples(
                lambda _weights: bench.draws,
                vocabulary=vocabulary,
                images=settings.monitor_images,
                run=run,
            ),
        )
        weights, progress = train(learner, examples=examples, config=schedule, run=run, look=look)
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


def _examples(
    train: ImageSet,
    bench: _Bench,
    schedule: Schedule,
    *,
    vocabulary: Vocabulary,
    facts: Mapping[str, Any],
    run: RunContext,
) -> tuple[Examples, Prompting]:
    """The training images of the vocabulary's classes as latents, with their prompts."""
    settings, config = schedule.settings, schedule.config
    counts = np.array(vocabulary.counts)
    rows = np.flatnonzero((train.labels >= 0) & (counts[train.labels] > 0))
    versions = 2 if settings.flip else 1
    latents = kept_latents(
        train.pixels(rows),
        bench.latents,
        flip=settings.flip,
        part=config.micro_batch,
        folder=run.folder / "latents",
    )
    weights = torch.from_numpy(counts[train.labels[rows]].astype(np.float64))
    weights = (weights**-settings.class_balance).repeat_interleave(versions)
    source = _source(latents, weights / weights.sum(), device=run.device)
    return source, _prompting(train, rows.tolist(), config, facts=facts, versions=versions)


def _prompting(
    images: ImageSet,
    rows: Sequence[int],
    config: PipelineConfig,
    *,
    facts: Mapping[str, Any],
    versions: int = 1,
) -> Prompting:
    wording = wording_of(config, seed=facts["seed"], words=facts.get("words"))
    names = tuple(facts["attributes"])
    values = {name: images.attributes[name] for name in names}

    def prompting(place: int, number: int) -> str:
        row = rows[place // versions]
        label = images.classes[int(images.labels[row])]
        said = {name: str(values[name][row]) for name in names}
        return wording.phrasing(label, number).says(said)

    return prompting


def _plain_examples(past: Preserved, *, device: str) -> tuple[Examples, Prompting]:
    weights = torch.full((len(past.prompts),), 1 / len(past.prompts), dtype=torch.float64)
    source = _source(past.latents, weights, device=device)
    return source, lambda place, _number: past.prompts[place]


def _source(latents: Half, weights: torch.Tensor, *, device: str) -> Examples:
    return Examples(
        source=latents,
        pixels_nchw=in_memory(latents, bytes_each=latents[0].nbytes, device=device),
        # What is wanted of an example is said in its prompt.
        wanted_nk=torch.zeros((len(latents), 1), dtype=torch.int64),
        unsaid_k=torch.zeros(1, dtype=torch.int64),
        weights_n=weights,
        seen=torch.Tensor.float,
    )


def _validation(
    bench: _Bench,
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
    size = schedule.config.micro_batch
    latents = kept_latents(
        images.pixels(np.array(rows)),
        bench.latents,
        flip=False,
        part=size,
        folder=run.folder / "validation",
    )
    prompting = _prompting(images, rows, schedule.config, facts=facts)
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
