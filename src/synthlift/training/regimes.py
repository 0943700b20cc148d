"""Regimes: in which order and proportion real and synthetic images are used.

A regime is a pure function of the labels and the arm; one trainer runs all its phases.

Shape letters: n real images, m synthetic images, k classes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from synthlift.errors import InputError
from synthlift.spec.arms import Arm
from synthlift.types import Float64, Int64

FINETUNE_LEARNING_RATE = 0.5
PRETRAIN_SHARE = 0.5
HEAD_SHARE = 0.2
"""Of the steps, where the head is trained alone at last."""

Interpolation = Literal["smote", "mixup"]


@dataclass(frozen=True)
class Phase:
    """A part of the training with one way of composing batches.

    Attributes:
        name: words for progress and history.
        real_weights: float64 [n], how often each real image is drawn relative to the others; sums
            to 1, or to 0 where the phase uses no real images. With ``interpolation`` [m], of the
            points between them (``filled_labels``).
        synthetic_weights: float64 [m], the same for synthetic images.
        synthetic_share: expected share of synthetic images among all draws.
        every_batch: the share holds in each batch, not only over an epoch.
        share_of_steps: of the whole training; the phases' shares sum to 1.
        learning_rate_factor: multiplies the peak learning rate.
        interpolation: the head alone is trained, on points between features (see ``heads``).
    """

    name: str
    real_weights: Float64
    synthetic_weights: Float64
    synthetic_share: float
    every_batch: bool = False
    share_of_steps: float = 1.0
    learning_rate_factor: float = 1.0
    interpolation: Interpolation | None = None

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
        InputError: ``synthetic_only`` without synthetic images.
    """
    pool = _Pool(arm, real_labels, synthetic_labels, classes)
    real = _copies(real_labels, classes) if arm.duplicate else np.ones(len(real_labels))
    synthetic = np.ones(len(synthetic_labels))
    if arm.regime == "synthetic_only":
        if not len(synthetic_labels):
            raise InputError(
                f"arm '{arm.name}' has no synthetic images left to train on",
                rule="a classifier trained on synthetic images only needs at least one",
                remedy="relax the curation, raise the multiple, or remove the arm",
            )
        return (pool.phase("synthetic only", 0 * real, synthetic),)
    if arm.in_feature_space:
        points = len(filled_labels(real_labels, classes))
        head = Phase(
            "head",
            np.full(points, 1 / points),
            0 * synthetic,
            0.0,
            share_of_steps=HEAD_SHARE,
            learning_rate_factor=FINETUNE_LEARNING_RATE,
            interpolation="smote" if arm.regime == "feature_smote" else "mixup",
        )
        return (
            replace(pool.phase("train", real, 0 * synthetic), share_of_steps=1 - HEAD_SHARE),
            head,
        )
    if arm.regime == "pretrain_finetune" and len(synthetic_labels):
        first = pool.phase("pretrain", 0 * real, synthetic)
        second = pool.phase("fine-tune", real, 0 * synthetic)
        return (
            replace(first, share_of_steps=PRETRAIN_SHARE),
            replace(
                second,
                share_of_steps=1 - PRETRAIN_SHARE,
                learning_rate_factor=FINETUNE_LEARNING_RATE,
            ),
        )
    if arm.regime == "batch_share" and len(synthetic_labels):
        assert arm.synthetic_share is not None, "batch_share needs synthetic_share"
        ours = pool.phase("train", real, 0 * synthetic).real_weights
        theirs = pool.phase("train", 0 * real, synthetic).synthetic_weights
        return (Phase("train", ours, theirs, arm.synthetic_share, every_batch=True),)
    return (pool.phase("train", real, synthetic),)


def boundaries(phases: tuple[Phase, ...], steps: int) -> Iterator[tuple[Phase, int, int]]:
    """Each phase with its first step and the step after its last; together exactly ``steps``."""
    start, share = 0, 0.0
    for phase in phases:
        share += phase.share_of_steps
        end = round(steps * share)
        yield phase, start, end
        start = end


def filled_labels(labels: Int64, classes: int) -> Int64:
    """Labels of all images, then those that each class present lacks of the largest, in order.

    Args:
        labels: class indices [n].
        classes: number of classes.

    Returns:
        int64 [m], every class present as often as the largest.
    """
    counts = np.bincount(labels, minlength=classes)
    lacking = np.where(counts > 0, counts.max() - counts, 0)
    return np.concatenate([labels, np.repeat(np.arange(classes), lacking)]).astype(np.int64)


@dataclass(frozen=True)
class _Pool:
    """Real and synthetic images from which a phase draws."""

    arm: Arm
    real_labels: Int64
    synthetic_labels: Int64
    classes: int

    def phase(self, name: str, real: Float64, synthetic: Float64) -> Phase:
        """Draw by importance, class-balanced over both kinds where the recipe says so."""
        weights = np.concatenate([real, synthetic])
        if self.arm.recipe.sampler == "class_balanced":
            labels = np.concatenate([self.real_labels, self.synthetic_labels])
            mass = np.bincount(labels, weights, self.classes)
            weights = weights / np.where(mass > 0, mass, 1.0)[labels]
        ours, theirs = weights[: len(real)], weights[len(real) :]
        share = float(theirs.sum() / weights.sum())
        return Phase(name, _normalised(ours), _normalised(theirs), share)


def _copies(labels: Int64, classes: int) -> Float64:
    """How many times each image counts when its class is repeated up to the largest."""
    counts = np.bincount(labels, minlength=classes).astype(np.float64)
    copies: Float64 = (counts.max() / np.maximum(counts, 1))[labels]
    return copies


def _normalised(weights: Float64) -> Float64:
    total = weights.sum()
    return weights / total if total else weights
