from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from synthlift.spec.arms import Loss
from synthlift.training.losses import (
    SoftCrossEntropy,
    effective_number_weights,
    log_priors,
)

COUNTS = np.array([40.0, 10.0, 3.0])


def _batch() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(7, 3, generator=generator) * 3, torch.tensor([0, 1, 2, 2, 0, 1, 0])


def _loss(kind: Loss, smoothing: float = 0.0) -> SoftCrossEntropy:
    return SoftCrossEntropy(kind, effective_counts=COUNTS, counts=COUNTS, label_smoothing=smoothing)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy_equals_torch(smoothing: float) -> None:
    logits, labels = _batch()
    ours = _loss("cross_entropy", smoothing)(logits, functional.one_hot(labels, 3).float())
    theirs = functional.cross_entropy(logits, labels, label_smoothing=smoothing)
    torch.testing.assert_close(ours, theirs)


def test_soft_targets_equal_torch() -> None:
    logits, _ = _batch()
    targets = torch.softmax(torch.arange(21.0).view(7, 3).sin(), dim=1)
    ours = _loss("cross_entropy")(logits, targets)
    torch.testing.assert_close(ours, functional.cross_entropy(logits, targets))


def test_logit_adjustment_is_menons_pairwise_form() -> None:
    # Menon 2021, eq. 10: log(1 + Σ_{y'≠y} (π_y'/π_y)·exp(z_y' − z_y)).
    logits, labels = _batch()
    priors = COUNTS / COUNTS.sum()
    by_hand = []
    for z, y in zip(logits.double().numpy(), labels.numpy(), strict=True):
        others = [k for k in range(3) if k != y]
        by_hand.append(np.log1p(sum(priors[k] / priors[y] * np.exp(z[k] - z[y]) for k in others)))
    ours = _loss("logit_adjusted")(logits, functional.one_hot(labels, 3).float())
    assert ours.item() == pytest.approx(np.mean(by_hand), rel=1e-5)


def test_log_priors_of_a_balanced_set_shift_nothing() -> None:
    assert np.ptp(log_priors(np.full(4, 25.0))) == 0
    assert np.isfinite(log_priors(np.array([10.0, 0.0]))).all()


def test_effective_number_weights_by_hand() -> None:
    # E_n = 1 + β + … + β^(n−1), summed term by term (Cui 2019, eq. 2).
    effective = np.array([sum(0.999**i for i in range(int(n))) for n in COUNTS])
    weights = effective_number_weights(COUNTS)
    np.testing.assert_allclose(weights, 3 / effective / (1 / effective).sum())
    assert weights.sum() == pytest.approx(3)
    assert weights[2] > weights[1] > weights[0]


def test_effective_number_weighs_each_images_loss() -> None:
    logits, labels = _batch()
    weights = torch.from_numpy(effective_number_weights(COUNTS)).float()
    each = functional.cross_entropy(logits, labels, reduction="none")
    ours = _loss("effective_number")(logits, functional.one_hot(labels, 3).float())
    torch.testing.assert_close(ours, (weights[labels] * each).mean())
