from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.datasets import load_digits

from synthlift.data.faults.features import simple_features
from synthlift.data.faults.folds import grouped_folds
from synthlift.data.faults.labels import (
    disagreements,
    fit_noise,
    likely_label_errors,
    out_of_fold,
)
from synthlift.types import Float32, Float64, Int64


def clouds(count: int, *, seed: int = 0) -> tuple[Float32, Int64]:
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 3
    centres = np.eye(3, 8) * 6
    return (centres[labels] + rng.normal(size=(count, 8))).astype(np.float32), labels


def noisy(count: int, *, wrong: float, seed: int) -> tuple[Float64, Int64, NDArray[np.bool_]]:
    """Calibrated probabilities of four classes, labels drawn from them, some made wrong."""
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet([0.15] * 4, count)
    true = (rng.random(count)[:, None] > probabilities.cumsum(axis=1)).sum(axis=1).clip(0, 3)
    swapped = rng.random(count) < wrong
    given = np.where(swapped, (true + rng.integers(1, 4, count)) % 4, true)
    return probabilities, given, swapped


@pytest.mark.parametrize("wrong", [0.02, 0.1, 0.3])
def test_the_share_of_wrong_labels_is_estimated(wrong: float) -> None:
    probabilities, labels, _ = noisy(6000, wrong=wrong, seed=0)
    found = fit_noise(probabilities, labels=labels)
    assert found.share == pytest.approx(wrong, rel=0.15)
    assert found.probabilities == pytest.approx(probabilities, abs=0.1)


def test_an_overconfident_classifier_is_calibrated() -> None:
    probabilities, labels, _ = noisy(6000, wrong=0.05, seed=1)
    sharp = probabilities**2 / (probabilities**2).sum(axis=1, keepdims=True)
    found = fit_noise(sharp, labels=labels)
    assert found.share == pytest.approx(0.05, rel=0.2)
    assert found.probabilities == pytest.approx(probabilities, abs=0.1)


@pytest.mark.parametrize("wrong", [0.0, 0.02, 0.1, 0.3])
def test_false_alarms_are_bounded_and_recall_is_estimated(wrong: float) -> None:
    probabilities, labels, swapped = noisy(6000, wrong=wrong, seed=2)
    errors = disagreements(probabilities, labels=labels)
    flagged = np.isin(np.arange(6000), [suspect.row for suspect in errors.suspects])
    assert flagged[~swapped].mean() <= 0.05
    if wrong:
        assert flagged[swapped].mean() == pytest.approx(errors.found_share, abs=0.08)
        assert flagged[swapped].mean() > 0.4
        believed = np.array([suspect.p_wrong for suspect in errors.suspects])
        assert believed.mean() == pytest.approx(swapped[flagged].mean(), abs=0.08)


def test_a_tie_is_no_evidence() -> None:
    probabilities = np.full((60, 2), 0.5)
    assert disagreements(probabilities, labels=np.arange(60) % 2).suspects == ()


def test_swapped_labels_lead_the_list_and_name_the_right_class() -> None:
    features, labels = clouds(300)
    given = labels.copy()
    given[:12] = (labels[:12] + 1) % 3
    errors = likely_label_errors(features, labels=given, groups=[str(i) for i in range(300)])
    suspects = errors.suspects
    assert {s.row for s in suspects} == set(range(12))
    assert errors.wrong_share == pytest.approx(0.04, abs=0.01)
    assert errors.found_share > 0.95
    assert all(s.suggested == labels[s.row] and s.given == given[s.row] for s in suspects)
    assert [s.p_given for s in suspects] == sorted(s.p_given for s in suspects)


def test_an_image_is_never_judged_by_its_own_group() -> None:
    rng = np.random.default_rng(1)
    # Nothing but the group's own mark tells the class: whoever learns from it looks perfect.
    marks = np.repeat(np.eye(100), 3, axis=0).astype(np.float32) * 10
    labels = np.repeat(rng.integers(0, 2, 100), 3)
    marks += rng.normal(size=marks.shape).astype(np.float32) * 0.01
    found = out_of_fold(
        marks, labels=labels, groups=np.repeat(np.arange(100), 3).astype(str).tolist()
    )
    alone = out_of_fold(marks, labels=labels, groups=np.arange(300).astype(str).tolist())
    assert found is not None
    assert alone is not None
    assert np.mean(found.argmax(axis=1) == labels) < 0.65
    assert np.mean(alone.argmax(axis=1) == labels) > 0.95


def test_a_weak_classifier_flags_few() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(600, 20)).astype(np.float32)
    # A third is clear, the rest a toss-up: what is not seen in the features is no error.
    features[:200, 0] = rng.choice([-4, 4], 200)
    labels = np.where(features[:, 0] > 0, 1, 0)
    labels[200:] = rng.integers(0, 2, 400)
    groups = [str(i) for i in range(600)]
    found = out_of_fold(features, labels=labels, groups=groups)
    assert found is not None
    assert np.mean(found.argmax(axis=1) != labels) > 0.3
    errors = likely_label_errors(features, labels=labels, groups=groups)
    assert len(errors.suspects) <= 0.06 * 600


@pytest.mark.parametrize(
    ("labels", "groups"),
    [([0, 0, 0, 0], "abcd"), ([0, 0, 1, 1], "aabb"), ([], "")],
)
def test_nothing_is_said_where_folds_are_impossible(labels: list[int], groups: str) -> None:
    features = np.zeros((len(labels), 3), dtype=np.float32)
    given = np.array(labels, dtype=np.int64)
    assert grouped_folds(given, groups=list(groups), folds=5) is None
    assert likely_label_errors(features, labels=given, groups=list(groups)).suspects == ()


def test_folds_keep_groups_whole_and_spread_classes() -> None:
    rng = np.random.default_rng(0)
    groups = rng.integers(0, 40, 200).astype(str)
    labels = np.array([int(g) % 4 for g in groups])
    folds = grouped_folds(labels, groups=groups.tolist(), folds=5)
    assert folds is not None
    for group in np.unique(groups):
        assert len(set(folds[groups == group].tolist())) == 1
    assert all(len(set(folds[labels == k].tolist())) == 5 for k in range(4))


def test_a_class_of_one_image_is_no_obstacle() -> None:
    features, labels = clouds(90)
    labels[0] = 3
    errors = likely_label_errors(features, labels=labels, groups=[str(i) for i in range(90)])
    assert all(s.suggested != 3 for s in errors.suspects)


def test_simple_features_tell_digits_apart_and_repeat() -> None:
    digits = load_digits()
    pixels = (digits.images[:400] * 15.9).astype(np.uint8)[..., None]
    features = simple_features(pixels, dimensions=64)
    assert features.shape == (400, 64)
    assert features.dtype == np.float32
    few = simple_features(pixels[:100])
    assert np.sqrt(np.square(few).sum(axis=1).mean()) == pytest.approx(1, abs=0.1)
    assert np.array_equal(few, simple_features(pixels[:100]))
    found = out_of_fold(features, labels=digits.target[:400], groups=[str(i) for i in range(400)])
    assert found is not None
    assert np.mean(found.argmax(axis=1) == digits.target[:400]) > 0.93


def test_features_of_many_images_are_fitted_on_some(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("synthlift.data.faults.features._FITTED_ON", 100)
    pixels = np.random.default_rng(0).integers(0, 256, (300, 8, 8, 1), dtype=np.uint8)
    pixels[1] = pixels[0]
    features = simple_features(pixels, dimensions=8)
    assert features.shape == (300, 8)
    assert np.allclose(features[0], features[1], atol=1e-5)
    assert not np.allclose(features[0], features[2], atol=1e-3)
