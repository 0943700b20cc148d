from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.formula.api import ols
from statsmodels.stats.anova import anova_lm

from synthlift.errors import InputError
from synthlift.evaluation.crossed import (
    bootstrap_interval,
    crossed_interval,
    draw_groups,
    image_influences,
    layout,
    row_means,
    whole_rounds,
)
from synthlift.evaluation.crossvalidated import nadeau_bengio
from synthlift.evaluation.intervals import Interval
from synthlift.evaluation.metrics import resampled_metrics


def table(rows: int, images: int, *, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    effects = 0.3 * rng.standard_normal((rows, 1)) + rng.standard_normal(images)
    values: np.ndarray = effects + 0.5 * rng.standard_normal((rows, images))
    return values


def test_accuracy_form_equals_a_two_way_analysis_of_variance() -> None:
    rows, images = 5, 40
    values = table(rows, images)
    design = layout(np.zeros(images, int), np.arange(images), by="images")
    found = crossed_interval(values, design, floor=False)
    row, image = np.indices(values.shape)
    data = pd.DataFrame({"y": values.ravel(), "row": row.ravel(), "image": image.ravel()})
    anova = anova_lm(ols("y ~ C(row) + C(image)", data).fit())
    squares = anova["sum_sq"] / anova["df"]
    fit, test, rest = (squares[name] for name in ("C(row)", "C(image)", "Residual"))
    cells = rows * images
    assert found.value == pytest.approx(values.mean())
    assert found.standard_error**2 == pytest.approx((fit + test - rest) / cells)
    df = (fit + test - rest) ** 2 / (fit**2 / 4 + test**2 / 39 + rest**2 / (4 * 39))
    assert found.degrees_of_freedom == pytest.approx(max(df, 4))


def test_standard_error_never_falls_below_either_component() -> None:
    rng = np.random.default_rng(5)
    design = layout(np.zeros(30, int), np.arange(30), by="images")
    for _ in range(50):
        found = crossed_interval(rng.standard_normal((5, 30)), design, floor=False)
        least = max(found.components["fit"], found.components["test"])
        assert found.standard_error**2 >= least * (1 - 1e-12)
        assert found.degrees_of_freedom >= 4


def test_balanced_form_by_hand_without_fits() -> None:
    """One row: the variance of a stratified mean, Σ_k s_k² / (K² n_k)."""
    labels = np.array([0] * 4 + [1] * 9)
    values = np.random.default_rng(1).standard_normal((1, 13))
    design = layout(labels, np.arange(13), by="classes")
    found = crossed_interval(values, design, floor=False)
    parts = [values[0, labels == k] for k in (0, 1)]
    variances = [part.var(ddof=1) / len(part) / 4 for part in parts]
    assert found.value == pytest.approx(np.mean([part.mean() for part in parts]))
    assert found.standard_error**2 == pytest.approx(sum(variances))
    df = sum(variances) ** 2 / (variances[0] ** 2 / 3 + variances[1] ** 2 / 8)
    assert found.degrees_of_freedom == pytest.approx(df)


def test_balanced_form_equals_the_plain_one_where_classes_are_equal() -> None:
    """With K classes of equal size and equal means both forms are nearly the same."""
    values, labels = table(5, 400, seed=2), np.tile(np.arange(4), 100)
    plain = crossed_interval(values, layout(labels, np.arange(400), by="images"))
    classes = crossed_interval(values, layout(labels, np.arange(400), by="classes"))
    assert classes.value == pytest.approx(plain.value)
    assert classes.standard_error == pytest.approx(plain.standard_error, rel=0.03)


def test_images_of_one_group_count_as_one() -> None:
    """Every image twice, in one group: nothing may change but the floor."""
    values, labels = table(5, 60, seed=3), np.repeat([0, 1, 2], 20)
    twice, groups = np.repeat(values, 2, axis=1), np.repeat(np.arange(60), 2)
    for by in ("images", "classes", 1):
        one = crossed_interval(values, layout(labels, np.arange(60), by=by), floor=False)
        two = crossed_interval(twice, layout(np.repeat(labels, 2), groups, by=by), floor=False)
        assert two.value == pytest.approx(one.value)
        assert two.standard_error == pytest.approx(one.standard_error)
        assert two.degrees_of_freedom == pytest.approx(one.degrees_of_freedom)


def test_unequal_groups_against_a_ratio_bootstrap() -> None:
    rng = np.random.default_rng(0)
    sizes = rng.integers(1, 9, 150)
    groups = np.repeat(np.arange(150), sizes)
    values = (rng.standard_normal(150)[groups] + rng.standard_normal(len(groups)))[None]
    labels = rng.integers(0, 3, len(groups))
    for by in ("images", "classes"):
        design = layout(labels, groups, by=by)
        assert design.strata.max() == 0  # groups hold images of several classes
        found = crossed_interval(values, design, floor=False)
        drawn = []
        for _ in range(600):
            times = np.bincount(rng.integers(0, 150, 150), minlength=150)[groups]
            if by == "images":
                drawn.append(np.average(values[0], weights=times))
            else:
                means = [
                    np.average(values[0, labels == k], weights=times[labels == k]) for k in range(3)
                ]
                drawn.append(float(np.mean(means)))
        assert found.standard_error == pytest.approx(np.std(drawn), rel=0.1)


def test_a_class_of_one_group_borrows_the_spread_of_the_others() -> None:
    values, labels = table(5, 41, seed=6), np.array([0] * 20 + [1] * 20 + [2])
    design = layout(labels, np.arange(41), by="classes")
    alone = crossed_interval(values, design, floor=False)
    without = crossed_interval(
        values[:, :40], layout(labels[:40], np.arange(40), by="classes"), floor=False
    )
    # The single group weighs a third; with spread of about 1 its variance is about 1/9.
    assert alone.components["test"] > 0.05 > without.components["test"]


def test_identical_models_on_few_images_are_not_certain() -> None:
    few = layout(np.zeros(12, int), np.arange(12), by="images")
    many = layout(np.zeros(900, int), np.arange(900), by="images")
    assert crossed_interval(np.zeros((5, 12)), few).standard_error == pytest.approx(1 / 12)
    assert crossed_interval(np.zeros((5, 900)), many).standard_error == pytest.approx(1 / 900)


def test_influences_add_up_to_zero_and_rows_to_the_metric() -> None:
    values, labels = table(3, 50), np.random.default_rng(0).integers(0, 4, 50)
    estimates, influence = image_influences(values, layout(labels, np.arange(50), by="classes"))
    np.testing.assert_allclose(influence.sum(axis=1), 0, atol=1e-12)
    expected = [np.mean([row[labels == k].mean() for k in range(4)]) for row in values]
    np.testing.assert_allclose(estimates, expected)


def test_whole_rounds_leave_surplus_replicates_out() -> None:
    np.testing.assert_array_equal(whole_rounds(np.array([0, 1, 2, 0, 1])), [[0], [1], [2]])
    np.testing.assert_array_equal(whole_rounds(np.array([0, 1, 0, 1])), [[0, 2], [1, 3]])
    np.testing.assert_array_equal(whole_rounds(np.full(3, -1)), [[0], [1], [2]])
    np.testing.assert_array_equal(whole_rounds(np.full(3, 4)), [[0], [1], [2]])
    with pytest.raises(InputError, match="some replicates have a generator fit"):
        whole_rounds(np.array([0, -1, 1]))
    values = np.arange(8.0).reshape(4, 2)
    means = row_means(values, whole_rounds(np.array([0, 1, 0, 1])))
    np.testing.assert_allclose(means, [[2, 3], [4, 5]])


def test_drawn_groups_keep_classes_and_serve_all() -> None:
    labels, groups = np.repeat([0, 1], [30, 10]), np.repeat(np.arange(20), 2)
    weights = draw_groups(layout(labels, groups, by="classes"), images=40, draws=50, seed=1)
    np.testing.assert_allclose(weights[:, labels == 0].sum(axis=1), 30, rtol=1e-5)
    np.testing.assert_allclose(weights[:, labels == 1].sum(axis=1), 10, rtol=1e-5)
    np.testing.assert_array_equal(weights[:, ::2], weights[:, 1::2])
    again = draw_groups(layout(labels, groups, by="classes"), images=40, draws=50, seed=1)
    np.testing.assert_array_equal(weights, again)


def correct_probabilities(right: np.ndarray, labels: np.ndarray) -> np.ndarray:
    predicted = np.where(right, labels, (labels + 1) % 3)
    return np.eye(3, dtype=np.float32)[predicted]


def test_bootstrap_agrees_with_the_linear_form() -> None:
    """Balanced accuracy has both; the bootstrap must reproduce the formula."""
    rng = np.random.default_rng(0)
    labels, rows = np.repeat([0, 1, 2], [60, 40, 20]), 5
    latent = rng.standard_normal(120) + 0.7 + 0.2 * rng.standard_normal((rows, 1))
    right = latent + 0.5 * rng.standard_normal((rows, 120)) > 0
    design = layout(labels, np.arange(120), by="classes")
    exact = crossed_interval(right.astype(float), design)
    weights = draw_groups(design, images=120, draws=2000, seed=0)
    models = [
        resampled_metrics(labels, correct_probabilities(row, labels), weights=weights)[0]
        for row in right
    ]
    drawn = np.stack([one["balanced_accuracy"] for one in models])
    estimates = np.array([np.mean([row[labels == k].mean() for k in range(3)]) for row in right])
    found = bootstrap_interval(estimates, drawn, design, seed=0)
    assert found.value == pytest.approx(exact.value)
    for part in ("fit", "test", "interaction"):
        assert found.components[part] == pytest.approx(exact.components[part], rel=0.1)
    assert found.standard_error == pytest.approx(exact.standard_error, rel=0.06)
    # The plain pigeonhole bootstrap lacks the factor F/(F−1) and counts interaction again.
    assert found.components["pigeonhole_standard_error"] == pytest.approx(
        exact.standard_error, rel=0.3
    )


def test_bootstrapped_f1_spread_is_that_of_fresh_test_sets() -> None:
    """One fixed model; new test sets against the bootstrap within one of them."""
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], [80, 80, 40])

    def fresh() -> np.ndarray:
        right: np.ndarray = rng.random(200) < np.array([0.9, 0.7, 0.6])[labels]
        return right

    fresh_sets = (correct_probabilities(fresh(), labels) for _ in range(1000))
    truth = np.std(
        [resampled_metrics(labels, one, weights=None)[0]["macro_f1"] for one in fresh_sets]
    )
    design = layout(labels, np.arange(200), by="classes")
    weights = draw_groups(design, images=200, draws=500, seed=0)
    spreads = []
    for _ in range(20):
        probabilities = correct_probabilities(fresh(), labels)
        drawn = resampled_metrics(labels, probabilities, weights=weights)[0]["macro_f1"]
        found = bootstrap_interval(drawn.mean(keepdims=True), drawn[None], design, seed=0)
        spreads.append(found.standard_error)
    assert np.mean(spreads) == pytest.approx(truth, rel=0.08)


def test_nadeau_bengio_by_hand() -> None:
    values = np.array([0.02, 0.05, -0.01, 0.03, 0.01])
    found = nadeau_bengio(values, test_train_ratio=0.25)
    spread = values.var(ddof=1)
    assert found.standard_error == pytest.approx(np.sqrt((1 / 5 + 0.25) * spread))
    assert found.degrees_of_freedom == 4
    with_gap = nadeau_bengio(np.append(values, np.nan), test_train_ratio=0.25)
    assert with_gap.standard_error == found.standard_error
    plain = nadeau_bengio(values, test_train_ratio=0.0)
    assert plain.p_value == pytest.approx(stats.ttest_1samp(values, 0).pvalue)
    assert nadeau_bengio(np.zeros(5), test_train_ratio=0.2, floor=0.01).standard_error == 0.1


def test_interval_quantities_against_scipy() -> None:
    interval = Interval(0.03, 0.01, 7.0, "t")
    t = stats.t(7)
    assert interval.bounds() == pytest.approx(
        (0.03 - t.ppf(0.975) * 0.01, 0.03 + t.ppf(0.975) * 0.01)
    )
    assert interval.p_value == pytest.approx(2 * t.sf(3))
    assert interval.minimal_detectable_effect == pytest.approx((t.ppf(0.975) + t.ppf(0.8)) * 0.01)
    # TOST: the larger of the two one-sided p-values is at the nearer bound.
    assert interval.equivalence_p_value(0.05) == pytest.approx(t.sf(2))
    low, high = interval.bounds(0.92)
    for margin in (0.02, 0.045, 0.055):
        inside = -margin < low and high < margin
        assert (interval.equivalence_p_value(margin) < 0.04) == inside
    assert Interval(0.0, 0.0, 3.0, "t").p_value == 1.0
