"""From the study file's training section to numbers."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import BaseModel, ConfigDict

from synthlift.spec.study import Training

FEWEST_STEPS, MOST_STEPS, STEPS_PER_ROOT = 200, 10_000, 20
LEARNING_RATES: dict[str, float] = {"adam": 2e-3, "sgd": 0.05}


class ResolvedTraining(BaseModel):
    """Training settings without anything left to choose; equal for all arms.

    Attributes:
        steps: optimiser steps, all phases together.
        batch_size: images per step, real and synthetic together.
        optimizer: adam (AdamW) or sgd (Nesterov 0.9).
        learning_rate: peak of the cosine schedule.
        weight_decay: on weights, not on biases and normalisation.
        label_smoothing: in [0, 1).
        ema: decay of the averaged weights; 0 = off.
        flip: horizontal flips are part of augmentation.
        early_stopping: keep the best step on validation.
        reason: how ``steps`` was chosen, in words.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    steps: int
    batch_size: int
    optimizer: Literal["adam", "sgd"]
    learning_rate: float
    weight_decay: float
    label_smoothing: float
    ema: float
    flip: bool
    early_stopping: bool
    reason: str = ""


def resolve_training(
    training: Training,
    *,
    train_count: int,
    image_size: int,
    classes: int,
    flip_keeps_class: bool = False,
) -> ResolvedTraining:
    """Fill in everything that is ``auto``.

    Args:
        training: the study file's section.
        train_count: real training images (the smallest of several training sets).
        image_size: side in pixels.
        classes: number of classes.
        flip_keeps_class: outcome of ``transforms.flip_keeps_class``; used where flip is auto.
    """
    steps, reason = training.steps, "given in the study file"
    if steps == "auto":
        steps, reason = automatic_steps(train_count, image_size=image_size, classes=classes)
    rate = training.learning_rate
    return ResolvedTraining(
        steps=steps,
        batch_size=training.batch_size,
        optimizer=training.optimizer,
        learning_rate=LEARNING_RATES[training.optimizer] if rate == "auto" else rate,
        weight_decay=training.weight_decay,
        label_smoothing=training.label_smoothing,
        ema=training.ema,
        flip=flip_keeps_class if training.flip == "auto" else training.flip == "yes",
        early_stopping=training.early_stopping,
        reason=reason,
    )


def automatic_steps(train_count: int, *, image_size: int, classes: int) -> tuple[int, str]:
    """Steps after which longer training hardly helped in trials, and the reason in words."""
    steps = round(min(max(FEWEST_STEPS, STEPS_PER_ROOT * math.sqrt(train_count)), MOST_STEPS))
    return steps, f"{STEPS_PER_ROOT} × √{train_count} training images"
