from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from synthlift.vision.membership import attack, matched_images


def test_the_attack_agrees_with_scikit_learn_and_with_its_own_spread() -> None:
    """Ties count one half; DeLong's error is the spread of the AUC over draws of images."""
    rng = np.random.default_rng(0)
    drawn = [(rng.normal(-0.5, 1, 80).round(1), rng.normal(0, 1, 120).round(1)) for _ in range(400)]
    found = [attack(mine.astype("f4"), theirs.astype("f4")) for mine, theirs in drawn]
    mine, theirs = drawn[0]
    truth = roc_auc_score([1] * 80 + [0] * 120, -np.concatenate([mine, theirs]))
    assert found[0].auc == pytest.approx(truth)
    spread = np.std([one.auc for one in found], ddof=1)
    assert np.mean([one.error for one in found]) == pytest.approx(spread, rel=0.12)


def test_what_is_caught_at_one_per_cent_false_alarms() -> None:
    unseen = np.arange(200, dtype=np.float32)
    training = np.array([-1, 0.5, 1.5, 2.5], np.float32)
    # At most 2 of 200 may be taken for training images: those below a loss of 2.
    assert attack(training, unseen).caught == 0.75
    # Of 50 none may be.
    assert attack(training, unseen[:50]).caught == 0.25


def test_both_sides_have_the_same_classes() -> None:
    training, unseen = np.repeat([0, 1, 2, 3], [50, 30, 5, 9]), np.repeat([0, 1, 2], [25, 40, 3])
    for most, count in ((1000, 25 + 30 + 3), (20, 20)):
        mine, theirs = matched_images(training, unseen, most=most, seed=1)
        assert len(mine) == count == len(np.unique(mine))
        np.testing.assert_array_equal(
            np.bincount(training[mine], minlength=4), np.bincount(unseen[theirs], minlength=4)
        )
