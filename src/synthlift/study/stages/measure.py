"""Stages that look at a training set before anything is planned: speed, and flips."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from synthlift.registry import ComponentConfig
from synthlift.spec.arms import Arm, Recipe
from synthlift.store import StageContext, StageRequest, Summary
from synthlift.study.components import build, rebuild
from synthlift.study.stages.common import load_plugins, part, run_context
from synthlift.types import (
    FitInputs,
    FittedGenerator,
    GuardedPixels,
    ImageSet,
    LockedTest,
    SampleRequest,
    SamplesInChunks,
)

if TYPE_CHECKING:
    from synthlift.vision.classifiers.base import ImageNetwork

PROBE_STEPS = 8
PROBE_IMAGES = 64
FEW_IMAGES = 16
LONG_SECONDS, PATIENT_SECONDS = 1.0, 30.0
"""One image that takes longer than the first says enough by itself; than the second, once."""


def flip(request: StageRequest, context: StageContext) -> Summary:
    """Stage: whether horizontal flips keep the class, tested on training images only."""
    from synthlift.vision.transforms import flip_keeps_class

    keeps, reason = flip_keeps_class(part(request, context.store, "train"))
    return {"keeps_class": bool(keeps), "reason": reason}


def classifier_speed(request: StageRequest, context: StageContext) -> Summary:
    """Stage: seconds per classifier step at one size, and a model's bytes on disk.

    Noise images of the wanted shape are enough: time does not depend on what they show.
    """
    load_plugins(request)
    images = _noise(request, ())
    step, network = _classifier_step(request, context, images)
    state = network.state_dict().values()
    return {"classifier_step": step, "model_bytes": sum(one.nbytes for one in state)}


def generator_speed(request: StageRequest, context: StageContext) -> Summary:
    """Stage: seconds per training step and sampled image of one generator, and its fit's bytes."""
    load_plugins(request)
    config = request.config
    attributes = config["generator"]["config"].get("attributes", ())
    images = _noise(request, attributes)
    return dict(_generator_seconds(request, context, images))


def sampling_speed(request: StageRequest, context: StageContext) -> Summary:
    """Stage: seconds per sampled image of a generator that learns nothing, at one size."""
    load_plugins(request)
    config = request.config
    attributes = config["generator"]["config"].get("attributes", ())
    images = _noise(request, attributes)
    _, settings = rebuild("generators", config["generator"])
    fitted = build("generators", config["generator"]).fit(
        _inputs(images, settings), run=run_context(request, context)
    )
    return {
        "step": 0.0,
        "sampled_image": sampling_seconds(fitted, images, count=FEW_IMAGES),
        "fit_bytes": _saved_bytes(fitted, context),
    }


def packed_sizes(request: StageRequest, context: StageContext) -> Summary:
    """Stage: bytes of the pictures that a preview drew, as it says; a measurement, as speed is."""
    del context
    sizes = request.local["sizes"]
    return {"mean": float(np.mean(sizes)), "largest": max(sizes), "pictures": len(sizes)}


def _noise(request: StageRequest, attributes: Sequence[str]) -> ImageSet:
    """Noise of the wanted shape and classes, under their names where settings may name them."""
    classes: int = request.config["classes"]
    count = max(64, 2 * classes)
    shape = (count, *request.config["shape"])
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    names = request.local.get("classes") or [str(k) for k in range(classes)]
    images = ImageSet.from_arrays(pixels, np.arange(count) % classes, names)
    return replace(images, attributes=dict.fromkeys(attributes, images.ids))


def _classifier_step(
    request: StageRequest, context: StageContext, images: ImageSet
) -> tuple[float, ImageNetwork]:
    from synthlift.training.batches import TrainingSeeds
    from synthlift.training.settings import ResolvedTraining
    from synthlift.training.trainer import Numerics, TrainingJob, train

    descriptor, component = rebuild("classifiers", request.config["classifier"])
    network, turns = None, count()
    settings = ResolvedTraining.model_validate(request.config["training"])
    arm = Arm(name="probe", role="rival", recipe=Recipe(augmentation="medium"))

    def seconds(steps: int) -> float:
        nonlocal network
        job = TrainingJob(
            real=images,
            validation=images.subset(np.arange(0)),
            arm=arm,
            classifier=descriptor,
            config=component,
            settings=settings.model_copy(update={"steps": steps}),
            seeds=TrainingSeeds(0, 0, 0, 0),
            numerics=Numerics(bf16=request.numerics["bf16"]),
        )
        folder = context.work / f"classifier-{next(turns)}"
        folder.mkdir(parents=True, exist_ok=True)
        began = time.perf_counter()
        network = train(job, run=replace(run_context(request, context), folder=folder)).network
        return time.perf_counter() - began

    step = _difference(seconds)
    assert network is not None
    return step, network


def _generator_seconds(
    request: StageRequest, context: StageContext, images: ImageSet
) -> dict[str, Any]:
    component = request.config["generator"]
    _, settings = rebuild("generators", component)
    inputs, turns = _inputs(images, settings), count()
    fitted = None

    def seconds(steps: int) -> float:
        nonlocal fitted
        short = {**component, "config": {**component["config"], **settings.shortened(steps)}}
        # A folder of its own: nothing goes on from what was timed before.
        folder = context.work / f"generator-{next(turns)}"
        folder.mkdir(parents=True, exist_ok=True)
        began = time.perf_counter()
        run = replace(run_context(request, context), folder=folder)
        fitted = build("generators", short).fit(inputs, run=run)
        return time.perf_counter() - began

    step = _difference(seconds)
    assert fitted is not None
    return {
        "step": step,
        "sampled_image": sampling_seconds(fitted, images, count=PROBE_IMAGES),
        "fit_bytes": _saved_bytes(fitted, context),
    }


def _saved_bytes(fitted: FittedGenerator, context: StageContext) -> int:
    with TemporaryDirectory(dir=context.work) as folder:
        fitted.save(Path(folder) / "fit")
        return sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())


def _inputs(images: ImageSet, settings: ComponentConfig) -> FitInputs:
    everything = np.arange(len(images))
    return FitInputs(
        train=images,
        validation=images.subset(everything[:0]),
        test=LockedTest(ids=images.ids[:0], groups=images.groups[:0], hashes=images.ids[:0]),
        sources=dict.fromkeys(settings.pools(), images),
        masks=GuardedPixels(images.pixels()[..., :1], everything),
    )


def sampling_seconds(fitted: FittedGenerator, images: ImageSet, *, count: int) -> float:
    """Seconds that one of many images takes, without what it takes to begin.

    A generator that computes several images together does so however few are asked for. One alone
    is therefore drawn alone; where that is slow, it is an upper bound of what it takes beside
    others, and known soon.

    Args:
        fitted: the generator.
        images: of the classes that are asked for.
        count: images to measure by, at least, where they are quick.
    """
    together = fitted.micro_batch if isinstance(fitted, SamplesInChunks) else 1
    alone = fitted.with_micro_batch(1) if isinstance(fitted, SamplesInChunks) else fitted
    first = _seconds_an_image(alone, images, 1)  # reads weights, too
    if first > PATIENT_SECONDS:
        return first
    one = _seconds_an_image(alone, images, 1)
    if one > LONG_SECONDS:
        return one
    # Whole chunks, the first of which may still begin something.
    _seconds_an_image(fitted, images, together)
    return _seconds_an_image(fitted, images, -(-count // together) * together)


def _seconds_an_image(fitted: FittedGenerator, images: ImageSet, count: int) -> float:
    classes = len(images.classes)
    requests = [SampleRequest(index=i // classes, label=i % classes, seed=i) for i in range(count)]
    began = time.perf_counter()
    made = sum(len(batch) for batch in fitted.sample(requests))
    return (time.perf_counter() - began) / max(1, made)


def _difference(seconds: Any) -> float:
    """Seconds per step without the fixed cost of starting."""
    seconds(2)
    few, many = seconds(2), seconds(2 + PROBE_STEPS)
    return float(max(many - few, many / 50) / PROBE_STEPS)
