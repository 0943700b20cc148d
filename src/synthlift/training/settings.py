"""From the study file's training section to numbers."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from synthlift.spec.study import Training

# Steps = factor × images ** exponent. Trials (medium augmentation, balanced accuracy): 150 digits
# 0.92 / 0.94 at 1× / 2× these steps; 1,000 flowers at 32 px 0.64 / 0.65 at 1.3× / 2.6×.
STEPS_FACTOR, STEPS_EXPONENT = 12, 0.6
FEWEST_STEPS, MOST_STEPS = 200, 10_000
# Trials on long-tailed digits (150 images) and flowers (300 at 32 px): 1e-3 to 8e-3 gain with the
# rate at these short schedules; half of the best leaves room for deeper networks.
LEARNING_RATES: dict[str, float] = {"adam": 4e-3, "sgd": 0.05}


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
    learning_rate_factor: float = 1.0,
) -> ResolvedTraining:
    """Fill in everything that is ``auto``.

    Args:
        training: the study file's section.
        train_count: real training images (the smallest of several training sets).
        image_size, classes: side in pixels and number of classes, named in the reason; in trials
            the number of images decided how long training kept gaining, not these.
        flip_keeps_class: outcome of ``transforms.flip_keeps_class``; used where flip is auto.
        learning_rate_factor: of the classifier; multiplies the rate where it is auto.
    """
    steps, reason = training.steps, "given in the study file"
    if steps == "auto":
        steps, reason = automatic_steps(train_count)
        reason += f" ({classes} classes at {image_size} pixels)"
    rate = training.learning_rate
    if rate == "auto":
        rate = LEARNING_RATES[training.optimizer] * learning_rate_factor
    return ResolvedTraining(
        steps=steps,
        batch_size=training.batch_size,
        optimizer=training.optimizer,
        learning_rate=rate,
        weight_decay=training.weight_decay,
        label_smoothing=training.label_smoothing,
        ema=training.ema,
        flip=flip_keeps_class if training.flip == "auto" else training.flip == "yes",
        early_stopping=training.early_stopping,
        reason=reason,
    )


def automatic_steps(train_count: int) -> tuple[int, str]:
    """Steps after which longer training gained little in trials, and the reason in words."""
    wanted = STEPS_FACTOR * train_count**STEPS_EXPONENT
    steps = round(min(max(FEWEST_STEPS, wanted), MOST_STEPS))
    return steps, (
        f"{steps} steps ≈ {STEPS_FACTOR} × {train_count} training images to the power "
        f"{STEPS_EXPONENT}, between {FEWEST_STEPS} and {MOST_STEPS}"
    )
