"""Stages around a classifier: train one model, let it predict generated images."""

from __future__ import annotations

import numpy as np

from synthlift.errors import InputError
from synthlift.rows import PixelRows
from synthlift.seeds import generator_for, seed_for
from synthlift.spec.arms import Arm
from synthlift.store import StageContext, StageRequest, Store, Summary
from synthlift.store.images import generated_rows, generated_targets
from synthlift.study.components import rebuild
from synthlift.study.open_test import PREDICTIONS
from synthlift.study.stages.common import load_plugins, part, run_context
from synthlift.types import ImageSet, Int64

Images = tuple[PixelRows, Int64]
SEED_PURPOSES = ("initialisation", "order", "augmentation", "synthetic_order")


def train_model(request: StageRequest, context: StageContext) -> Summary:
    """Stage: train one model of one arm and replicate; also predicts the validation images.

    The four seeds derive from the replicate's; the arm's name is in none of them.
    """
    from synthlift.training.batches import TrainingSeeds
    from synthlift.training.settings import ResolvedTraining
    from synthlift.training.trainer import Numerics, TrainingJob, train
    from synthlift.vision.prediction import load_classifier, save_classifier

    load_plugins(request)
    arm = Arm.model_validate({"name": "model", "role": "rival", **request.config["arm"]})
    real, validation = (part(request, context.store, name) for name in ("train", "validation"))
    descriptor, config = rebuild("classifiers", request.config["classifier"])
    pixels, labels = _beside(request, context.store, arm, real)
    settings = ResolvedTraining.model_validate(request.config["training"])
    trained = train(
        TrainingJob(
            real=real,
            synthetic_pixels=pixels,
            synthetic_labels=labels,
            synthetic_targets=generated_targets(
                context.store, request.config["manifest"], classes=len(real.classes)
            ),
            validation=validation,
            arm=arm,
            classifier=descriptor,
            config=config,
            settings=settings,
            seeds=TrainingSeeds(
                *(seed_for(request.seed, purpose) for purpose in SEED_PURPOSES),
            ),
            numerics=Numerics(
                channels_last=request.numerics["channels_last"], bf16=request.numerics["bf16"]
            ),
        ),
        run=run_context(request, context),
    )
    white = context.store.open(request.one("pixels")).record["config"]["white"]
    known: dict[str, object] = {"fit": request.config["fit"], "white": white}
    if "temperature" in request.config:
        known["temperature"] = request.config["temperature"]
        known["temperature_note"] = "the mean over the folds' models of this arm"
    facts = trained.facts.model_copy(update=known)
    save_classifier(context.out, network=trained.network, facts=facts)
    classifier = load_classifier(context.out)
    probabilities = classifier.probabilities(validation.source)
    _save(context, validation, probabilities)
    correct = probabilities.argmax(1) == validation.labels if len(validation) else np.array([])
    return {
        "steps": trained.steps,
        "temperature": facts.temperature,
        "initialisation": facts.initialisation,
        "real_images": len(real),
        "synthetic_images": 0 if labels is None else len(labels),
        "validation_accuracy": float(correct.mean()) if len(correct) else None,
        "history": trained.history,
    }


def check_head(request: StageRequest, context: StageContext) -> Summary:
    """Stage: whether a classifier has a head that can be trained alone; computes nothing else.

    Raises:
        InputError: it has none.
    """
    from synthlift.training.heads import require_head
    from synthlift.vision.classifiers.base import ImageTask, build_network

    del context
    load_plugins(request)
    descriptor, config = rebuild("classifiers", request.config["classifier"])
    height, width, channels = request.config["image_shape"]
    level = (0.5,) * channels
    task = ImageTask((height, width, channels), request.config["classes"], level, level)
    network = build_network(descriptor, config, task=task, seed=0, pretrained=False)
    require_head(network, kind=descriptor.kind)
    return {}


def _beside(
    request: StageRequest, store: Store, arm: Arm, real: ImageSet
) -> Images | tuple[None, None]:
    """What is trained on beside the real images: generated, or posing as generated."""
    if request.config["manifest"]:
        return generated_rows(store, request.config["manifest"])
    if arm.posing is None:
        return None, None
    source = real if arm.posing == "resampled" else part(request, store, "pool")
    return _posing(arm, source, {int(k): n for k, n in request.config["posing"].items()}, request)


def _posing(arm: Arm, source: ImageSet, wanted: dict[int, int], request: StageRequest) -> Images:
    rng = generator_for(request.seed, "posing", arm.posing)
    rows: list[np.ndarray] = []
    for label, count in wanted.items():
        members = rng.permutation(np.flatnonzero(source.labels == label))
        if arm.posing != "resampled" and len(members) < count:
            raise InputError(
                f"arm '{arm.posing}' wants {count} fresh images of class "
                f"'{source.classes[label]}', the pool holds {len(members)}",
                rule="fresh images come from the part of the pool that no training set uses",
                remedy="lower the multiple, or use design 'redrawn' with smaller training sets",
            )
        rows.append(np.resize(members, count))
    chosen = np.concatenate(rows).astype(np.intp)
    labels = source.labels[chosen]
    if arm.posing == "shuffled":
        labels = rng.permutation(labels)
    return source.source.narrowed(chosen), labels


def predict_generated(request: StageRequest, context: StageContext) -> Summary:
    """Stage: one model's probabilities on generated images of the reserved test stream."""
    from synthlift.vision.prediction import load_classifier

    load_plugins(request)
    pixels, labels = generated_rows(context.store, request.config["manifest"])
    classifier = load_classifier(context.store.open(request.one("model")).folder)
    ids = np.array(
        [
            f"{entry['chunk'][:20]}/{row}"
            for entry in request.config["manifest"]
            for row in entry["rows"]
        ]
    )
    np.savez(
        context.out / PREDICTIONS,
        ids=ids,
        groups=ids,
        labels=labels,
        probabilities=classifier.probabilities(pixels),
    )
    return {"images": len(labels)}


def _save(context: StageContext, images: ImageSet, probabilities: np.ndarray) -> None:
    np.savez(
        context.out / PREDICTIONS,
        ids=images.ids,
        groups=images.groups,
        labels=images.labels,
        probabilities=probabilities,
    )


def model_seed(study_seed: int, replicate: int) -> int:
    """The seed that all arms of a replicate share (METHOD §1, "Replicate")."""
    return seed_for(study_seed, "replicate", replicate)
