"""Losses over soft targets: cross entropy, logit adjustment, effective-number weights.

Shape letters: n images, k classes.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from synthlift.spec.arms import Loss
from synthlift.types import Float64

EFFECTIVE_NUMBER_BETA = 0.999
LOGIT_ADJUSTMENT_TAU = 1.0
# A class that a phase never shows counts as half an image: its log prior stays finite.
_ABSENT_IMAGES = 0.5


def log_priors(effective_counts: Float64, *, tau: float = LOGIT_ADJUSTMENT_TAU) -> Float64:
    """τ·log π, added to the logits while training (Menon 2021, eq. 10).

    Args:
        effective_counts: images per class as the sampler shows them, float64 [k] ≥ 0: the share of
            draws that fall on the class times the number of images, real and synthetic.
        tau: τ.

    Returns:
        float64 [k].
    """
    counts = np.maximum(np.asarray(effective_counts, np.float64), _ABSENT_IMAGES)
    adjusted: Float64 = tau * np.log(counts / counts.sum())
    return adjusted


def effective_number_weights(counts: Float64, *, beta: float = EFFECTIVE_NUMBER_BETA) -> Float64:
    """Class weights ∝ (1 − β)/(1 − β^n), summing to the number of classes (Cui 2019, eq. 10).

    Args:
        counts: images per class, float64 [k]; a class without images counts as one.
        beta: β in [0, 1).

    Returns:
        float64 [k].
    """
    counts = np.maximum(np.asarray(counts, np.float64), 1.0)
    weights = (1 - beta) / (1 - beta**counts)
    normalised: Float64 = weights * (len(counts) / weights.sum())
    return normalised


class SoftCrossEntropy:
    """Cross entropy of soft targets with label smoothing, logit adjustment and class weights.

    The loss of an image is −Σ_k t_k·w_k·log softmax(z + a)_k, with t smoothed toward 1/K
    (Szegedy 2016, §7), a from :func:`log_priors` and w from :func:`effective_number_weights`;
    the batch's loss is the plain mean.

    Args:
        loss: which of the three.
        effective_counts: per class as the sampler shows them, float64 [k] (logit adjustment).
        counts: distinct images per class, float64 [k] (effective number).
        label_smoothing: in [0, 1).
        device: torch device of the logits.
    """

    def __init__(
        self,
        loss: Loss,
        *,
        effective_counts: Float64,
        counts: Float64,
        label_smoothing: float = 0.0,
        device: str = "cpu",
    ) -> None:
        self._smoothing = label_smoothing
        self._shift: Tensor | None = None
        self._weights: Tensor | None = None
        if loss == "logit_adjusted":
            self._shift = _tensor(log_priors(effective_counts), device)
        elif loss == "effective_number":
            self._weights = _tensor(effective_number_weights(counts), device)

    def __call__(self, logits_nk: Tensor, targets_nk: Tensor) -> Tensor:
        """Mean loss (scalar) of logits [n, k] against targets [n, k] whose rows sum to 1."""
        if self._shift is not None:
            logits_nk = logits_nk + self._shift
        if self._smoothing:
            share = self._smoothing / targets_nk.shape[1]
            targets_nk = targets_nk * (1 - self._smoothing) + share
        if self._weights is not None:
            targets_nk = targets_nk * self._weights
        return -(targets_nk * torch.log_softmax(logits_nk, dim=1)).sum() / len(logits_nk)


def _tensor(values: Float64, device: str) -> Tensor:
    return torch.from_numpy(values.astype(np.float32)).to(device)
