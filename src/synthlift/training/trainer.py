"""The one trainer: runs the phases of every regime with equal steps for all arms.

Every step is a function of the seeds and the step's number, so that a run that was killed and
resumed gives the same bits as an undisturbed one.

Shape letters: n images, c channels, h height, w width, k classes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from synthlift.errors import InputError, StageError
from synthlift.registry import ComponentConfig, Descriptor
from synthlift.rows import PixelRows, in_blocks
from synthlift.seeds import seed_for
from synthlift.spec.arms import Arm
from synthlift.training.batches import Batch, Batches, TrainingSeeds
from synthlift.training.calibration import fit_temperature, negative_log_likelihood
from synthlift.training.heads import HeadImages, require_head
from synthlift.training.images import TrainingImages, training_images
from synthlift.training.inputs import augmented, make_tables
from synthlift.training.losses import SoftCrossEntropy
from synthlift.training.regimes import Phase, boundaries, filled_labels, phases_of
from synthlift.training.settings import ResolvedTraining
from synthlift.training.state import (
    TrainingState,
    average,
    learning_rate,
    restore,
    save_checkpoint,
    start_state,
)
from synthlift.types import Float32, ImageSet, Int64, RunContext
from synthlift.vision.classifiers.base import (
    ImageClassifier,
    ImageNetwork,
    ImageTask,
    build_network,
    channel_statistics,
    reseed,
    seeded,
)
from synthlift.vision.prediction import ClassifierFacts, compute

HISTORY_POINTS = 20
CHECKPOINT_SECONDS = 30.0
Prepare = Callable[[Batch, Tensor], tuple[Tensor, Tensor]]
"""From a batch and its images, or features, to inputs and targets."""


@dataclass(frozen=True)
class Numerics:
    """Choices that change the last digits; part of a model's key.

    Attributes:
        channels_last: memory layout of images and weights; faster at every size tried.
        bf16: autocast to bfloat16; weights stay float32.
    """

    channels_last: bool = True
    bf16: bool = False


@dataclass(frozen=True)
class TrainingJob:
    """Everything that defines one model.

    Attributes:
        real: real training images; normalisation comes from them, whatever the arm.
        validation: watched for early stopping and temperature, never learnt from.
        arm: resolved (its recipe is final).
        classifier, config: the network.
        settings: equal for all arms.
        seeds: see ``TrainingSeeds``.
        synthetic_pixels: uint8 [m, h, w, c] of the same shape as the real ones, in memory or
            where they lie, or None.
        synthetic_labels: int64 [m], or None.
        synthetic_targets: float32 [m, k], class probabilities of images that mix classes, or None
            where each is of its class alone.
        numerics: layout and precision.
    """

    real: ImageSet
    validation: ImageSet
    arm: Arm
    classifier: Descriptor
    config: ComponentConfig
    settings: ResolvedTraining
    seeds: TrainingSeeds
    synthetic_pixels: PixelRows | None = field(default=None, repr=False)
    synthetic_labels: Int64 | None = field(default=None, repr=False)
    synthetic_targets: Float32 | None = field(default=None, repr=False)
    numerics: Numerics = Numerics()


@dataclass(frozen=True)
class TrainedClassifier:
    """A trained model, ready for ``vision.prediction.save_classifier``.

    Attributes:
        network: final (averaged, or best) weights, in evaluation mode, float32, on the CPU.
        facts: what is saved beside the weights, temperature included.
        history: about 20 points: step, phase, learning_rate, loss (mean since the last point) and,
            with early stopping, validation_balanced_accuracy and validation_nll.
        steps: that were taken; 0 for a classifier that learns nothing.
        best_step: the step whose weights were kept.
        validation_logits: float32 [n, k] of ``network`` on the validation images.
        seconds: wall time of the steps, resumed parts included.
    """

    network: ImageNetwork
    facts: ClassifierFacts
    history: list[dict[str, float | str]]
    steps: int
    best_step: int
    validation_logits: Float32
    seconds: float


def train(
    job: TrainingJob, *, run: RunContext, checkpoint_seconds: float = CHECKPOINT_SECONDS
) -> TrainedClassifier:
    """Train one model; bit-identical for the same job, numerics and kind of device at one thread.

    Args:
        job: what to train on what.
        run: ``folder`` receives check-points, from which a second call resumes.
        checkpoint_seconds: time between check-points.

    Raises:
        InputError: the job cannot be trained (no synthetic images, no validation to stop on, no
            head to train).
        StageError: the loss is no longer finite.
    """
    _check(job)
    job = _within_reach(job)
    labels = _synthetic_labels(job)
    phases = phases_of(
        job.arm,
        real_labels=job.real.labels,
        synthetic_labels=labels,
        classes=len(job.real.classes),
    )
    task = _task(job)
    network = build_network(job.classifier, job.config, task=task, seed=job.seeds.initialisation)
    if any(phase.interpolation for phase in phases):
        require_head(network, kind=job.classifier.kind)
    state = start_state(network, job.settings, device=run.device, numerics=job.numerics)
    restore(state, run.folder)
    _run_phases(state, job, phases, run, checkpoint_seconds)
    return _finish(state, job, task, run)


def _check(job: TrainingJob) -> None:
    assert (job.real.labels >= 0).all(), "training images need labels"
    if job.synthetic_pixels is not None:
        assert job.synthetic_pixels.shape[1:] == job.real.image_shape
    if job.settings.early_stopping and not len(job.validation):
        raise InputError(
            "early stopping without validation images",
            rule="'early_stopping' keeps the best step on validation",
            remedy="set training.early_stopping=false, or give a validation share",
        )


def _within_reach(job: TrainingJob) -> TrainingJob:
    """A classifier that learns nothing takes no step."""
    if job.config.trains():
        return job
    return replace(job, settings=job.settings.model_copy(update={"steps": 0}))


def _synthetic_labels(job: TrainingJob) -> Int64:
    none = np.zeros(0, np.int64)
    return none if job.synthetic_labels is None else job.synthetic_labels


def _task(job: TrainingJob) -> ImageTask:
    mean, std = channel_statistics(in_blocks(job.real.source))
    classes = job.real.classes
    return ImageTask(job.real.image_shape, len(classes), mean, std, names=classes)


def _run_phases(
    state: TrainingState,
    job: TrainingJob,
    phases: tuple[Phase, ...],
    run: RunContext,
    checkpoint_seconds: float,
) -> None:
    steps = job.settings.steps
    if state.step >= steps:
        return
    layout = torch.channels_last if job.numerics.channels_last else torch.contiguous_format
    images = training_images(
        job.real.source, job.synthetic_pixels, layout=layout, device=run.device
    )
    labels = np.concatenate([job.real.labels, _synthetic_labels(job)])
    tables = make_tables(
        labels,
        mixed=job.synthetic_targets,
        real=len(job.real),
        classes=len(job.real.classes),
        seed=job.seeds.augmentation,
        device=run.device,
    )
    assemble = partial(
        augmented,
        tables=tables,
        strength=job.arm.recipe.augmentation,
        flip=job.settings.flip,
        channels_last=job.numerics.channels_last,
    )
    saved = time.perf_counter()
    every = max(1, steps // HISTORY_POINTS)
    with seeded(job.seeds.augmentation, device=run.device):
        for phase, start, end in boundaries(phases, steps):
            batches = Batches(phase, seeds=job.seeds, batch_size=job.settings.batch_size)
            loss = _loss(job, phase, run.device)
            began = time.perf_counter()
            source: TrainingImages | HeadImages = images
            prepare: Prepare = assemble
            if phase.interpolation and state.step < end:
                source, prepare = _head(state, job, phase, start, run)
            with closing(source.feed(_upcoming(state, batches, (start, end)))) as fed:
                for batch, values in fed:
                    _step(state, job, phase, (start, end), batch, values, prepare, loss)
                    state.seconds += time.perf_counter() - began
                    if state.step % every == 0 or state.step == steps:
                        _record(state, job, phase, run)
                    if time.perf_counter() - saved >= checkpoint_seconds:
                        _check_finite(state, job)
                        save_checkpoint(state, run.folder)
                        saved = time.perf_counter()
                    run.progress(state.step, steps, phase.name)
                    began = time.perf_counter()


def _head(
    state: TrainingState, job: TrainingJob, phase: Phase, start: int, run: RunContext
) -> tuple[HeadImages, Prepare]:
    """The averaged network's features, from which training goes on with the head alone."""
    assert phase.interpolation is not None
    if state.step == start:
        state.network.load_state_dict(state.averaged.state_dict())
    head = HeadImages(
        state.averaged,
        job.real.source,
        job.real.labels,
        classes=len(job.real.classes),
        interpolation=phase.interpolation,
        seed=seed_for(job.seeds.augmentation, "features"),
        device=run.device,
        folder=run.folder,
    )
    return head, lambda batch, features: (features, head.targets(batch))


def _upcoming(state: TrainingState, batches: Batches, span: tuple[int, int]) -> Iterator[Batch]:
    """The batches from the state's step to the end of a phase, whatever the state does since."""
    start, end = span
    real, synthetic = state.real_seen, state.synthetic_seen
    for step in range(state.step - start, end - start):
        batch = batches.take(step, real_start=real, synthetic_start=synthetic)
        real, synthetic = real + len(batch.real), synthetic + len(batch.synthetic)
        yield batch


def _loss(job: TrainingJob, phase: Phase, device: str) -> SoftCrossEntropy:
    real, classes = job.real.labels, len(job.real.classes)
    real = filled_labels(real, classes) if phase.interpolation else real
    labels = (real, _synthetic_labels(job), classes)
    return SoftCrossEntropy(
        job.arm.recipe.loss,
        effective_counts=phase.effective_counts(*labels),
        counts=phase.counts(*labels),
        label_smoothing=job.settings.label_smoothing,
        device=device,
    )


def _step(
    state: TrainingState,
    job: TrainingJob,
    phase: Phase,
    span: tuple[int, int],
    batch: Batch,
    values: Tensor,
    prepare: Prepare,
    loss_function: SoftCrossEntropy,
) -> None:
    start, end = span
    # Dropout draws from torch's global state; seeding it per step makes any step resumable.
    reseed(seed_for(job.seeds.augmentation, "dropout", state.step), device=state.loss_sum.device)
    inputs, targets = prepare(batch, values)
    rate = job.settings.learning_rate * phase.learning_rate_factor
    state.optimizer.learning_rate = learning_rate(state.step - start, end - start, peak=rate)
    with torch.autocast(inputs.device.type, torch.bfloat16, enabled=job.numerics.bf16):
        logits = (state.network.classify if phase.interpolation else state.network)(inputs)
    loss = loss_function(logits.float(), targets)
    state.optimizer.zero_grad()
    torch.autograd.backward(loss)
    state.optimizer.step()
    average(state, decay=job.settings.ema, steps_in_phase=state.step - start)
    state.loss_sum += loss.detach()
    state.loss_count += 1
    state.step += 1
    state.real_seen += len(batch.real)
    state.synthetic_seen += len(batch.synthetic)


def _check_finite(state: TrainingState, job: TrainingJob) -> None:
    if not torch.isfinite(state.loss_sum):
        raise StageError(
            f"the loss of arm '{job.arm.name}' is no longer finite at step {state.step} "
            f"(learning rate {job.settings.learning_rate:g}); nothing of this model was kept. "
            f"Lower it, e.g. --set training.learning_rate={job.settings.learning_rate / 5:g}"
        )


def _record(state: TrainingState, job: TrainingJob, phase: Phase, run: RunContext) -> None:
    _check_finite(state, job)
    point: dict[str, float | str] = {
        "step": state.step,
        "phase": phase.name,
        "learning_rate": state.optimizer.learning_rate,
        "loss": float(state.loss_sum) / state.loss_count,
    }
    state.loss_sum.zero_()
    state.loss_count = 0
    if job.settings.early_stopping:
        accuracy, nll = _validate(state, job, run.device)
        point |= {"validation_balanced_accuracy": accuracy, "validation_nll": nll}
        state.keep_if_best(accuracy, nll)
    state.history.append(point)


def _validate(state: TrainingState, job: TrainingJob, device: str) -> tuple[float, float]:
    state.averaged.eval()
    logits = compute(state.averaged, job.validation.source, what="logits", device=device)
    state.averaged.train()
    labels = job.validation.labels
    right = logits.argmax(axis=1) == labels
    recall = [float(right[labels == label].mean()) for label in np.unique(labels)]
    return float(np.mean(recall)), negative_log_likelihood(logits, labels)


def _finish(
    state: TrainingState, job: TrainingJob, task: ImageTask, run: RunContext
) -> TrainedClassifier:
    network = state.final_network().to("cpu").to(memory_format=torch.contiguous_format).eval()
    logits = compute(network, job.validation.source, what="logits")
    temperature = fit_temperature(logits, job.validation.labels)
    component: ImageClassifier = job.classifier.build(job.config)
    run.log("trained", arm=job.arm.name, steps=state.step, seconds=state.seconds)
    facts = ClassifierFacts(
        kind=job.classifier.kind,
        config=job.config.model_dump(mode="json"),
        identity=job.classifier.identity(),
        classes=job.real.classes,
        image_shape=task.image_shape,
        mean=task.mean,
        std=task.std,
        temperature=temperature.value,
        temperature_note=temperature.note,
        initialisation=component.initialisation,
    )
    best = state.best_step if state.best_step is not None else state.step
    return TrainedClassifier(
        network=network,
        facts=facts,
        history=state.history,
        steps=state.step,
        best_step=best,
        validation_logits=logits,
        seconds=state.seconds,
    )
