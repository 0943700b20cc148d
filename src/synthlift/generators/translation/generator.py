"""Translation as a generator: fit, sample, save, reload."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from synthlift.generators.conditions import Vocabulary
from synthlift.generators.gan.collapse import FEWEST_COMPARED, diversity_judge, unjudged
from synthlift.generators.learning.drawing import deterministic_kernels
from synthlift.generators.learning.examples import Examples, load_examples, to_pixels
from synthlift.generators.learning.folders import read_network
from synthlift.generators.learning.looking import looks_at_samples
from synthlift.generators.learning.loop import Look, Seen, history, train
from synthlift.generators.learning.timing import with_chunk
from synthlift.generators.translation.config import TranslationConfig, settle
from synthlift.generators.translation.fitted import TranslationFitted
from synthlift.generators.translation.likeness import signal_to_noise, similarity
from synthlift.generators.translation.networks import (
    build_heads,
    build_judge,
    build_translator,
    plan_network,
)
from synthlift.generators.translation.new_masks import fit_masks, read_masks
from synthlift.generators.translation.sources import Sources, find_sources
from synthlift.generators.translation.training import Lesson, PairedLearner, UnpairedLearner
from synthlift.seeds import seed_for
from synthlift.types import FitInputs, ImageSet, InputsGenerator, RunContext, UInt8

COMPARED = 256
"""Validation pairs that are compared, at most."""
MOST_DECIBELS = 100.0
"""Of two images that are equal."""
NAMED = 5
SIMILARITY = "structural_similarity_on_validation_pairs"
NOISE_RATIO = "peak_signal_to_noise_on_validation_pairs"

Pairs = tuple[ImageSet, ImageSet]
"""Source images, and the images that they belong to."""
Fitted = Callable[[Mapping[str, Tensor]], TranslationFitted]


class TranslationGenerator(InputsGenerator):
    """Translates source images or masks; from scratch, with pairs or without."""

    def __init__(self, config: TranslationConfig) -> None:
        self.config = config

    def fit(self, inputs: FitInputs, *, run: RunContext) -> TranslationFitted:
        """Learn to translate; see :class:`~synthlift.types.Generator`.

        Raises:
            InputError: no training image with a label; besides as :func:`find_sources`.
            SynthliftError: a loss is not finite.
        """
        sources = find_sources(self.config, inputs)
        data = inputs.train.subset(sources.learnt)
        vocabulary = Vocabulary.of(inputs.train)
        config = settle(self.config, examples=len(data), image_shape=data.image_shape)
        plan = plan_network(config, image_shape=data.image_shape, conditions=vocabulary.sizes)
        config, timed = with_chunk(config, _drawing(plan, device=run.device), plan=plan, run=run)
        lesson = _lesson(config, sources, data, vocabulary, device=run.device)
        facts: dict[str, Any] = {
            "kind": "translation",
            "config": config.model_dump(mode="json"),
            "seed": run.seed,
            **vocabulary.as_json(),
        }
        if timed:
            facts["measured"] = timed

        new = None
        if config.masks:
            assert isinstance(config.micro_batch, int), "with_chunk() comes first"
            new = fit_masks(config.masks, sources, inputs, together=config.micro_batch, run=run)

        def fitted(weights: Mapping[str, Tensor]) -> TranslationFitted:
            return TranslationFitted(
                sources,
                plan=plan,
                weights=weights,
                history=facts,
                new_masks=new,
                device=run.device,
            )

        learner = _learner(plan, lesson, config, seed=run.seed, device=run.device)
        compared = _at_most(sources.held_out) if sources.held_out else None
        with deterministic_kernels():
            weights, progress = train(
                learner,
                examples=lesson.real,
                config=config,
                run=run,
                look=_look(fitted, data, vocabulary, compared, config=config, run=run),
                beside=lesson.source,
            )
        facts.update(history(progress, steps=config.steps))
        found = fitted(weights)
        stock = found.stock()
        facts |= {"stock": stock, "left_out": sources.left_out}
        if config.paired:
            facts["pairs"] = _on_pairs(config, found, sources, compared)
        further = [] if config.paired else unjudged(data, least=config.least_diversity)
        if missing := _without(stock):
            further.append(missing)
        if further:
            facts["warnings"] = [*facts.get("warnings", []), *further]
        return fitted(weights)

    def reload(self, folder: Path, *, inputs: FitInputs, device: str = "cpu") -> TranslationFitted:
        """Read back the translator; what it translates comes with the inputs."""
        plan, weights, facts = read_network(folder, kind="translation", classes=("Translator",))
        facts = {name: value for name, value in facts.items() if name != "format"}
        sources = find_sources(TranslationConfig.model_validate(facts["config"]), inputs)
        config = TranslationConfig.model_validate(facts["config"])
        new = None
        if config.masks:
            new = read_masks(config.masks, sources, folder, device=device)
        return TranslationFitted(
            sources, plan=plan, weights=weights, history=facts, new_masks=new, device=device
        )


def _drawing(plan: Mapping[str, Any], *, device: str) -> Callable[[int], object]:
    """What translates so many images of nothing in particular, to be timed."""
    network = cache(lambda: build_translator(plan, seed=0).to(device).eval())
    height, width, _ = plan["image_shape"]
    channels = plan["source_channels"] + plan["noise_channels"]

    def draw(size: int) -> object:
        images = torch.zeros(size, channels, height, width, device=device)
        wanted = torch.zeros(size, 1, dtype=torch.int64, device=device)
        return to_pixels(network()(images, wanted)).cpu()

    return draw


def _lesson(
    config: TranslationConfig,
    sources: Sources,
    data: ImageSet,
    vocabulary: Vocabulary,
    *,
    device: str,
) -> Lesson:
    """Training images, and their partners or the source images of their classes."""
    images = sources.images.subset(sources.partners) if config.paired else sources.images

    def examples(one: ImageSet) -> Examples:
        balance = config.class_balance
        return load_examples(one, vocabulary, class_balance=balance, device=device)

    return Lesson(examples(data), examples(images))


def _learner(
    plan: Mapping[str, Any], lesson: Lesson, config: TranslationConfig, *, seed: int, device: str
) -> PairedLearner | UnpairedLearner:
    translator = build_translator(plan, seed=seed_for(seed, "network")).to(device)
    judge = build_judge(plan, beside=config.paired, seed=seed_for(seed, "discriminator"))
    if config.paired:
        return PairedLearner(
            translator,
            judge.to(device),
            lesson=lesson,
            config=config,
            seed=seed,
            noise=plan["noise_channels"],
        )
    return UnpairedLearner(
        translator,
        judge.to(device),
        build_heads(plan, seed=seed_for(seed, "heads")).to(device),
        lesson=lesson,
        config=config,
        seed=seed,
    )


def _look(
    fitted: Fitted,
    data: ImageSet,
    vocabulary: Vocabulary,
    compared: Pairs | None,
    *,
    config: TranslationConfig,
    run: RunContext,
) -> Look | None:
    """Whether translations copy; whether they have become alike, or like their partners."""
    judge = None
    if not config.paired:
        judge = diversity_judge(data, least=config.least_diversity, seed=run.seed)
    if run.monitor is None and judge is None and compared is None:
        return None

    def look(step: int, weights: dict[str, Tensor]) -> Seen:
        found = fitted(weights)
        stock = tuple(found.stock().values())
        watch = looks_at_samples(
            lambda _: found,
            vocabulary=replace(vocabulary, counts=stock),
            images=config.monitor_images,
            run=run,
            judge=judge,
            each=0 if judge is None else FEWEST_COMPARED,
            stock=stock,
        )
        seen = watch(step, weights) if watch else Seen(acceptable=True)
        if compared is None:
            return seen
        told = likeness(found, compared)
        curves = {SIMILARITY: told["ssim"], NOISE_RATIO: told["psnr"]}
        return replace(seen, curves={**seen.curves, **curves})

    return look


def likeness(fitted: TranslationFitted, compared: Pairs) -> dict[str, float]:
    """Mean structural similarity, and peak signal-to-noise ratio in decibels, of translations.

    Args:
        fitted: the translator.
        compared: source images, and their partners.
    """
    source, wanted = compared
    made = fitted.translate(source.pixels(), source.labels)
    return _figures(made, wanted.pixels())


def _figures(made: UInt8, wanted: UInt8) -> dict[str, float]:
    ratio = np.minimum(signal_to_noise(made, wanted), MOST_DECIBELS)
    return {"ssim": float(similarity(made, wanted).mean()), "psnr": float(ratio.mean())}


def _on_pairs(
    config: TranslationConfig, fitted: TranslationFitted, sources: Sources, compared: Pairs | None
) -> dict[str, float]:
    """How many pairs there were, and what became of those that were held out."""
    found: dict[str, float] = {"training": len(sources.learnt)}
    if compared is None:
        return {**found, "validation": 0}
    found |= {"validation": len(compared[0]), **likeness(fitted, compared)}
    if config.wants_masks():
        return found
    before = _figures(compared[0].pixels(), compared[1].pixels())
    return {**found, **{f"{name}_untranslated": value for name, value in before.items()}}


def _at_most(held_out: Pairs) -> Pairs:
    """At most :data:`COMPARED` pairs, evenly over all."""
    count = len(held_out[0])
    rows = np.unique(np.linspace(0, count - 1, min(count, COMPARED)).round().astype(np.intp))
    return held_out[0].subset(rows), held_out[1].subset(rows)


def _without(stock: Mapping[str, int]) -> str:
    """Classes that no image can be made of, in words."""
    missing = [name for name, count in stock.items() if not count]
    if not missing:
        return ""
    named = ", ".join(f"'{name}'" for name in missing[:NAMED])
    more = f" and {len(missing) - NAMED} more" if len(missing) > NAMED else ""
    return f"There is nothing to translate into images of {named}{more}: they get none."
