from __future__ import annotations

import numpy as np
import pytest

from synthlift.training.calibration import fit_temperature, negative_log_likelihood
from synthlift.types import Float32, Int64


def _overconfident(count: int, factor: float) -> tuple[Float32, Int64]:
    random = np.random.default_rng(1)
    honest = random.normal(size=(count, 4)) * 1.5
    odds = np.exp(honest) / np.exp(honest).sum(axis=1, keepdims=True)
    labels = np.array([random.choice(4, p=row) for row in odds], dtype=np.int64)
    return (honest * factor).astype(np.float32), labels


@pytest.mark.parametrize("factor", [0.4, 3.0])
def test_finds_the_factor_by_which_logits_are_off(factor: float) -> None:
    logits, labels = _overconfident(4000, factor)
    fitted = fit_temperature(logits, labels)
    assert fitted.note == ""
    assert fitted.value == pytest.approx(factor, rel=0.08)
    before = negative_log_likelihood(logits, labels)
    assert negative_log_likelihood(logits, labels, temperature=fitted.value) < before - 0.01


def test_nll_equals_scikit_learns_log_loss() -> None:
    from sklearn.metrics import log_loss

    logits, labels = _overconfident(200, 1.0)
    odds = np.exp(logits.astype(np.float64))
    expected = log_loss(labels, odds / odds.sum(axis=1, keepdims=True), labels=range(4))
    assert negative_log_likelihood(logits, labels) == pytest.approx(expected, rel=1e-6)


def test_too_little_validation_leaves_one_and_says_so() -> None:
    logits, labels = _overconfident(19, 3.0)
    few = fit_temperature(logits, labels)
    assert (few.value, few.note) == (1.0, "not calibrated: only 19 validation images")
    logits, labels = _overconfident(50, 3.0)
    single = fit_temperature(logits, np.zeros_like(labels))
    assert (single.value, single.note) == (1.0, "not calibrated: validation holds one class")
    assert fit_temperature(logits[:0], labels[:0]).value == 1.0


def test_perfectly_separated_validation_stays_bounded() -> None:
    labels = np.arange(40) % 2
    logits = np.where(np.eye(2, dtype=bool)[labels], 8.0, -8.0).astype(np.float32)
    assert fit_temperature(logits, labels.astype(np.int64)).value >= 0.05
