from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as reference
from statsmodels.stats.contingency_tables import mcnemar as reference_mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from synthlift.evaluation.influences import (
    count_influences_of,
    rank_influences,
    rank_influences_of,
)
from synthlift.evaluation.mcnemar import mcnemar
from synthlift.evaluation.metrics import (
    class_counts,
    confusion,
    model_metrics,
    rank_scores,
    reliability,
    resampled_metrics,
)
from synthlift.evaluation.multiplicity import holm, max_t_quantile
from synthlift.evaluation.wilson import wilson


def model(classes: int, *, n: int = 300, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Labels and probabilities with many ties."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, n)
    logits = rng.normal(size=(n, classes)) + 1.5 * np.eye(classes)[labels]
    raw = np.maximum(np.round(np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True), 2), 0.01)
    return labels, (raw / raw.sum(axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("classes", [2, 5])
def test_overall_metrics_equal_scikit_learn(classes: int) -> None:
    labels, probabilities = model(classes)
    predicted = probabilities.argmax(axis=1)
    overall, _ = model_metrics(labels, probabilities)
    expected = {
        "accuracy": reference.accuracy_score(labels, predicted),
        "balanced_accuracy": reference.balanced_accuracy_score(labels, predicted),
        "macro_precision": reference.precision_score(labels, predicted, average="macro"),
        "macro_recall": reference.recall_score(labels, predicted, average="macro"),
        "macro_f1": reference.f1_score(labels, predicted, average="macro"),
        "weighted_precision": reference.precision_score(labels, predicted, average="weighted"),
        "weighted_recall": reference.recall_score(labels, predicted, average="weighted"),
        "weighted_f1": reference.f1_score(labels, predicted, average="weighted"),
        "nll": -np.log(probabilities[np.arange(len(labels)), labels]).mean(),
    }
    onehot = np.eye(classes)[labels]
    expected["brier"] = ((probabilities - onehot) ** 2).sum(axis=1).mean()
    if classes == 2:
        score = probabilities[:, 1]
        expected["auroc"] = reference.roc_auc_score(labels, score)
        expected["average_precision"] = reference.average_precision_score(labels, score)
        expected["sensitivity"] = reference.recall_score(labels, predicted)
        expected["specificity"] = reference.recall_score(labels, predicted, pos_label=0)
        expected["ppv"] = reference.precision_score(labels, predicted)
        expected["npv"] = reference.precision_score(labels, predicted, pos_label=0)
    else:
        expected["auroc"] = reference.roc_auc_score(onehot, probabilities, average="macro")
        expected["average_precision"] = reference.average_precision_score(onehot, probabilities)
    for name, value in expected.items():
        assert overall[name] == pytest.approx(value, abs=1e-6), name


def test_per_class_metrics_equal_scikit_learn() -> None:
    labels, probabilities = model(4)
    predicted = probabilities.argmax(axis=1)
    _, per_class = model_metrics(labels, probabilities)
    for name, function in (
        ("recall", reference.recall_score),
        ("precision", reference.precision_score),
        ("f1", reference.f1_score),
    ):
        np.testing.assert_allclose(per_class[name], function(labels, predicted, average=None))
    for k in range(4):
        table = reference.confusion_matrix(labels == k, predicted == k)
        assert per_class["specificity"][k] == pytest.approx(table[0, 0] / table[0].sum())
        assert per_class["npv"][k] == pytest.approx(table[0, 0] / table[:, 0].sum())


def test_sensitivity_at_90_specificity_against_the_roc_curve() -> None:
    labels, probabilities = model(2, seed=4)
    false, true, _ = reference.roc_curve(labels, probabilities[:, 1], drop_intermediate=False)
    found = rank_scores(labels == 1, probabilities[:, 1])["sensitivity_at_90_specificity"]
    assert found == pytest.approx(true[false <= 0.1 + 1e-9].max())


def test_counts_by_hand_and_weighted() -> None:
    labels, predicted = np.array([0, 0, 1, 1, 1]), np.array([0, 1, 1, 1, 0])
    np.testing.assert_array_equal(confusion(labels, predicted, classes=2), [[1, 1], [1, 2]])
    weights = np.array([[2, 0, 1, 1, 1], [0, 0, 0, 0, 3]], dtype=np.float32)
    weighted = class_counts(labels, predicted, classes=2, weights=weights)
    np.testing.assert_array_equal(weighted.hits, [[2, 2], [0, 0]])
    np.testing.assert_array_equal(weighted.support, [[2, 3], [0, 3]])
    np.testing.assert_array_equal(weighted.called, [[3, 2], [3, 0]])


def test_weights_equal_repeated_images() -> None:
    labels, probabilities = model(3, n=60)
    times = np.random.default_rng(1).integers(0, 4, 60)
    rows = np.repeat(np.arange(60), times)
    weighted, per_class = resampled_metrics(
        labels, probabilities, weights=times[None].astype(np.float32)
    )
    repeated, repeated_classes = model_metrics(labels[rows], probabilities[rows])
    for name, value in weighted.items():
        assert value[0] == pytest.approx(repeated[name]), name
    for name, values in per_class.items():
        np.testing.assert_allclose(values[0], repeated_classes[name])


def test_absent_and_never_predicted_classes() -> None:
    labels = np.array([0, 0, 1, 1])
    probabilities = np.array(
        [[0.8, 0.1, 0.1], [0.1, 0.1, 0.8], [0.6, 0.3, 0.1], [0.7, 0.2, 0.1]], dtype=np.float32
    )
    overall, per_class = model_metrics(labels, probabilities)
    np.testing.assert_allclose(per_class["recall"], [0.5, 0.0, np.nan])
    np.testing.assert_allclose(per_class["precision"], [1 / 3, 0.0, np.nan])
    assert overall["balanced_accuracy"] == pytest.approx(0.25)
    assert overall["macro_f1"] == pytest.approx((2 * 1 / 5 + 0) / 2)
    assert np.isnan(per_class["auroc"][2])
    assert overall["auroc"] == pytest.approx(np.mean(per_class["auroc"][:2]))


def test_calibration_by_hand() -> None:
    labels = np.array([0, 0, 0, 1])
    probabilities = np.array([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.6, 0.4]], dtype=np.float32)
    overall, _ = model_metrics(labels, probabilities)
    assert overall["ece"] == pytest.approx((2 * 0.1 + 2 * 0.1) / 4, abs=1e-6)
    bins = reliability(labels, probabilities)
    assert [one["count"] for one in bins] == [2, 2]
    assert [one["accuracy"] for one in bins] == [0.5, 1.0]


@pytest.mark.parametrize("name", ["auroc", "average_precision"])
def test_rank_influences_are_derivatives(name: str) -> None:
    labels, probabilities = model(2, n=80, seed=2)
    positive, score = labels == 1, probabilities[:, 1]
    found = rank_influences(positive, score)[name]
    assert found.sum() == pytest.approx(0, abs=1e-12)
    function = reference.roc_auc_score if name == "auroc" else reference.average_precision_score
    for image in range(0, 80, 9):
        weights = np.ones(80)
        weights[image] += 1e-5
        slope = (
            function(positive, score, sample_weight=weights) - function(positive, score)
        ) / 1e-5
        assert found[image] == pytest.approx(slope, abs=2e-6)


WEIGHTED: dict[str, Callable[..., float]] = {
    "macro_f1": partial(reference.f1_score, average="macro"),
    "macro_precision": partial(reference.precision_score, average="macro"),
    "macro_recall": partial(reference.recall_score, average="macro"),
    "weighted_f1": partial(reference.f1_score, average="weighted"),
    "weighted_precision": partial(reference.precision_score, average="weighted"),
    "accuracy": reference.accuracy_score,
}


@pytest.mark.parametrize("name", WEIGHTED)
def test_count_influences_are_derivatives_of_scikit_learns_scores(name: str) -> None:
    labels, probabilities = model(4, n=60, seed=5)
    found = count_influences_of(labels, probabilities)[0][name]
    assert found.sum() == pytest.approx(0, abs=1e-12)
    function, predicted = WEIGHTED[name], probabilities.argmax(axis=1)
    for image in range(0, 60, 7):
        weights = np.ones(60)
        weights[image] += 1e-5
        slope = (
            function(labels, predicted, sample_weight=weights) - function(labels, predicted)
        ) / 1e-5
        assert found[image] == pytest.approx(slope, abs=2e-6)


def test_influences_of_one_class_and_of_calibration_are_derivatives() -> None:
    labels, probabilities = model(2, n=50, seed=6)
    overall, per_class = count_influences_of(labels, probabilities)
    whole, whole_per_class = resampled_metrics(labels, probabilities, weights=None)
    step = 1e-3
    for image in (0, 11, 23):
        weights = np.ones((1, 50), np.float32)
        weights[0, image] += np.float32(step)
        moved, moved_per_class = resampled_metrics(labels, probabilities, weights=weights)
        for name in ("ppv", "npv", "ece", "balanced_accuracy"):
            slope = (moved[name][0] - whole[name][0]) / step
            assert overall[name][image] == pytest.approx(slope, abs=2e-4), name
        for name in ("recall", "precision", "f1", "specificity", "npv"):
            slope = (moved_per_class[name][0] - whole_per_class[name][0]) / step
            assert per_class[name][image] == pytest.approx(slope, abs=2e-4), name


def test_rank_influences_predict_the_bootstrap_spread() -> None:
    labels, probabilities = model(4, n=400, seed=3)
    influence = rank_influences_of(labels, probabilities)[0]
    rng = np.random.default_rng(0)
    drawn: dict[str, list[float]] = {"auroc": [], "average_precision": []}
    for _ in range(300):
        rows = rng.integers(0, 400, 400)
        overall, _ = model_metrics(labels[rows], probabilities[rows])
        for name, values in drawn.items():
            values.append(overall[name])
    for name, values in drawn.items():
        # A spread of 300 draws is known to about ±8 % (two standard errors).
        assert np.sqrt((influence[name] ** 2).sum()) == pytest.approx(np.std(values), rel=0.12)


def test_wilson_equals_statsmodels() -> None:
    for successes, total in ((0, 7), (3, 9), (9, 9), (40, 100)):
        expected = proportion_confint(successes, total, method="wilson")
        assert wilson(successes, total) == pytest.approx(expected, abs=1e-9)
    assert wilson(0, 0) == (0.0, 1.0)


@pytest.mark.parametrize(("gained", "lost"), [(3, 9), (20, 31), (0, 0), (12, 12)])
def test_mcnemar_equals_statsmodels(gained: int, lost: int) -> None:
    first = np.array([True] * gained + [False] * lost + [True] * 50)
    second = np.array([False] * gained + [True] * lost + [True] * 50)
    table = [[50, gained], [lost, 0]]
    exact = gained + lost < 25
    expected = reference_mcnemar(table, exact=exact, correction=False).pvalue
    result = mcnemar(first, second)
    assert result.method == ("exact" if exact else "chi-squared")
    assert result.p_value == pytest.approx(1.0 if gained == lost == 0 else min(1, expected))
    if gained != lost:
        few, both = min(gained, lost), gained + lost
        mid = 2 * stats.binom.cdf(few - 1, both, 0.5) + stats.binom.pmf(few, both, 0.5)
        assert result.p_mid == pytest.approx(mid)


def test_holm_equals_statsmodels() -> None:
    p_values = [0.04, 0.001, 0.2, 0.013, 0.04]
    expected = multipletests(p_values, method="holm")[1]
    np.testing.assert_allclose(holm(p_values), expected)


def test_max_t_quantile_in_known_cases() -> None:
    one = max_t_quantile(np.eye(1), df=12, seed=0)
    assert one == pytest.approx(stats.t.ppf(0.975, 12), abs=0.06)
    same = max_t_quantile(np.ones((5, 5)), df=12, seed=0)
    assert same == pytest.approx(stats.t.ppf(0.975, 12), abs=0.06)
    apart = max_t_quantile(np.eye(5), df=1e6, seed=0)
    assert apart == pytest.approx(stats.norm.ppf(0.5 + 0.95 ** (1 / 5) / 2), abs=0.04)
