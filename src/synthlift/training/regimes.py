"""Regimes: in which order and proportion real and synthetic images are used.

A regime is a pure function of the labels and the arm; one trainer runs all its phases.

Shape letters: n real images, m synthetic images, k classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from synthlift.errors import InputError
from synthlift.spec.arms import Arm
from synthlift.types import Float64, Int64

FINETUNE_LEARNING_RATE = 0.5
PRETRAIN_SHARE = 0.5


@dataclass(frozen=True)
class Phase:
    """A part of the training with one way of composing batches.

    Attributes:
        name: words for progress and history.
        real_weights: float64 [n], how often each real image is drawn relative to the others; sums
            to 1, or to 0 where the phase uses no real images.
        synthetic_weights: float64 [m], the same for synthetic images.
        synthetic_share: expected share of synthetic images among all draws.
        every_batch: the share holds in each batch, not only over an epoch.
        share_of_steps: of the whole training; the phases' shares sum to 1.
        learning_rate_factor: multiplies the peak learning rate.
    """

    name: str
    real_weights: Float64
    synthetic_weights: Float64
    synthetic_share: float
    every_batch: bool = False
    share_of_steps: float = 1.0
    learning_rate_factor: float = 1.0

    def counts(self, real_labels: Int64, synthetic_labels: Int64, classes: int) -> Float64:
        """Distinct images that the phase uses, per class, float64 [k]."""
        used = np.concatenate(
            [real_labels[self.real_weights > 0], synthetic_labels[self.synthetic_weights > 0]]
        )
        return np.bincount(used, minlength=classes).astype(np.float64)

    def effective_counts(
        self, real_labels: Int64, synthetic_labels: Int64, classes: int
    ) -> Float64:
        """Images per class as the sampler shows them, float64 [k] (see ``losses.log_priors``)."""
        share = (1 - self.synthetic_share) * np.bincount(real_labels, self.real_weights, classes)
        share = share + self.synthetic_share * np.bincount(
            synthetic_labels, self.synthetic_weights, classes
        )
        total = self.counts(real_labels, synthetic_labels, classes).sum()
        effective: Float64 = share * total
        return effective


def phases_of(
    arm: Arm, *, real_labels: Int64, synthetic_labels: Int64, classes: int
) -> tuple[Phase, ...]:
    """The phases of an arm.

    Args:
        arm: regime, sampler, duplication and share.
        real_labels: int64 [n].
        synthetic_labels: int64 [m]; m = 0 is plain real training whatever the regime.
        classes: number of classes.

    Raises:
        InputError: the regime needs synthetic images and there are none to train on.
    """
    real = _importance(real_labels, classes, duplicate=arm.duplicate)
    synthetic = np.ones(len(synthetic_labels))
    if arm.regime == "synthetic_only":
        if not len(synthetic_labels):
            raise InputError(
                f"arm '{arm.name}' has no synthetic images left to train on",
                rule="a classifier trained on synthetic images only needs at least one",
                remedy="relax the curation, raise the multiple, or remove the arm",
            )
        return (_synthetic_phase(arm, synthetic_labels, len(real), classes),)
    if not len(synthetic_labels):
        return (_phase("train", arm, real, real_labels, synthetic, synthetic_labels, classes),)
    if arm.regime == "pretrain_finetune":
        none = np.zeros(0, np.int64)
        first = _synthetic_phase(arm, synthetic_labels, len(real), classes, PRETRAIN_SHARE)
        second = _phase("fine-tune", arm, real, real_labels, np.zeros(0), none, classes)
        return (
            first,
            _with_synthetic_rows(second, len(synthetic_labels), share=1 - PRETRAIN_SHARE),
        )
    if arm.regime == "batch_share":
        return (_shared_phase(arm, real, real_labels, synthetic, synthetic_labels, classes),)
    return (_phase("train", arm, real, real_labels, synthetic, synthetic_labels, classes),)


def _importance(labels: Int64, classes: int, *, duplicate: bool) -> Float64:
    """How many times each real image counts: 1, or up to the largest class when duplicated."""
    if not duplicate or not len(labels):
        return np.ones(len(labels))
    counts = np.bincount(labels, minlength=classes).astype(np.float64)
    copies: Float64 = (counts.max() / np.maximum(counts, 1))[labels]
    return copies


def _balance(importance: Float64, labels: Int64, classes: int) -> Float64:
    """Rescale so that every class that occurs has the same sum."""
    mass = np.bincount(labels, importance, classes)
    balanced: Float64 = importance / np.where(mass > 0, mass, 1.0)[labels]
    return balanced


def _normalised(weights: Float64) -> Float64:
    total = weights.sum()
    return weights / total if total else weights


def _phase(
    name: str,
    arm: Arm,
    real: Float64,
    real_labels: Int64,
    synthetic: Float64,
    synthetic_labels: Int64,
    classes: int,
) -> Phase:
    """Both kinds in one pool, drawn by importance, class-balanced where the recipe says so."""
    pool = np.concatenate([real, synthetic])
    if arm.recipe.sampler == "class_balanced":
        pool = _balance(pool, np.concatenate([real_labels, synthetic_labels]), classes)
    pool = _normalised(pool)
    ours, theirs = pool[: len(real)], pool[len(real) :]
    return Phase(name, _normalised(ours), _normalised(theirs), float(theirs.sum()))


def _synthetic_phase(
    arm: Arm, synthetic_labels: Int64, real_count: int, classes: int, share: float = 1.0
) -> Phase:
    weights = np.ones(len(synthetic_labels))
    if arm.recipe.sampler == "class_balanced":
        weights = _balance(weights, synthetic_labels, classes)
    return Phase(
        "synthetic only" if share == 1 else "pretrain",
        np.zeros(real_count),
        _normalised(weights),
        1.0,
        share_of_steps=share,
    )


def _with_synthetic_rows(phase: Phase, rows: int, *, share: float) -> Phase:
    return Phase(
        phase.name,
        phase.real_weights,
        np.zeros(rows),
        0.0,
        share_of_steps=share,
        learning_rate_factor=FINETUNE_LEARNING_RATE,
    )


def _shared_phase(
    arm: Arm,
    real: Float64,
    real_labels: Int64,
    synthetic: Float64,
    synthetic_labels: Int64,
    classes: int,
) -> Phase:
    assert arm.synthetic_share is not None, "batch_share needs synthetic_share"
    if arm.recipe.sampler == "class_balanced":
        real = _balance(real, real_labels, classes)
        synthetic = _balance(synthetic, synthetic_labels, classes)
    return Phase(
        "train",
        _normalised(real),
        _normalised(synthetic),
        arm.synthetic_share,
        every_batch=True,
    )
