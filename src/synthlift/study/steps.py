"""How long classifiers and generators are trained when the study file leaves it open."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from synthlift.registry import descriptor
from synthlift.spec.study import Component, Study
from synthlift.study.components import settings_of

if TYPE_CHECKING:
    from synthlift.training.settings import ResolvedTraining


def training_settings(
    study: Study,
    *,
    counts: Mapping[int, int],
    image_size: int,
    flip: bool,
    steps: int | None = None,
) -> ResolvedTraining:
    """Training settings of one training set.

    Args:
        study: the study file.
        counts: real training images per class index.
        image_size: side in pixels.
        flip: whether flips keep the class, used where ``training.flip`` is auto.
        steps: cut to a budget; None = the file's own, or the automatic rule.
    """
    from synthlift.training.settings import resolve_training

    training = study.training
    if steps is not None and training.steps == "auto":
        training = training.model_copy(update={"steps": steps})
    return resolve_training(
        training,
        train_count=sum(counts.values()),
        image_size=image_size,
        classes=len(counts),
        flip_keeps_class=flip,
        learning_rate_factor=settings_of("classifiers", study.classifier).learning_rate_factor(),
    )


def generator_effort(
    component: Component, *, counts: Mapping[int, int], image_shape: tuple[int, int, int]
) -> tuple[int | None, int]:
    """A generator's steps (None = cannot be cut) and the images that its training samples."""
    found = descriptor("generators", component.kind)
    config = found.config.model_validate(component.settings())
    examples = sum(counts.values())
    monitored = config.monitored_images(examples=examples, image_shape=image_shape)
    models = config.models_learnt(sum(count > 0 for count in counts.values()))
    return (
        config.automatic_steps(examples=examples, image_shape=image_shape),
        models * monitored + config.images_before(),
    )
