"""Test sets in which classes, subgroups or folds are not what intervals would like them to be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from synthlift.errors import InputError
from synthlift.evaluation.crossed import bootstrap_interval, layout
from synthlift.evaluation.folds import class_averages
from synthlift.evaluation.outcome import evaluate_study
from synthlift.evaluation.panels import Panel
from synthlift.evaluation.plan import EvaluationPlan, PlannedArm
from synthlift.evaluation.predictions import Predictions, concatenate
from synthlift.evaluation.scores import SharedTest

TableMaker = Callable[..., Predictions]
ARMS = [PlannedArm("real", "rival"), PlannedArm("mixed@1", "generative", multiple=1)]
NAMES = ["real", "mixed@1"]
PLAN = EvaluationPlan(design="cross_validated", arms=ARMS, generative="mixed@1", rival="real")


def right(*shares: float, of: int = 20) -> np.ndarray:
    """One row an arm: so many of the images are right."""
    return np.stack([[np.arange(of) < round(share * of)] for share in shares]).astype(float)


def patients(make_table: TableMaker, *, repeats: int = 1) -> Predictions:
    """Twelve patients with 20 images each, left out one at a time: nine have a, three b."""
    tables = []
    for repeat in range(repeats):
        for patient in range(12):
            label = int(patient >= 9)
            scores = right(0.4, 0.5) if label else right(0.9, 0.85)
            tables.append(
                make_table(
                    scores,
                    np.full(20, label),
                    names=NAMES,
                    classes=2,
                    images=20 * patient + np.arange(20),
                    groups=np.full(20, patient),
                    folds=np.array([12 * repeat + patient]),
                )
            )
    return concatenate(tables)


def test_classes_count_alike_however_many_patients_have_them(make_table: TableMaker) -> None:
    found = evaluate_study(patients(make_table), PLAN)
    rival = next(arm for arm in found.arms if arm.name == "real")
    assert rival.metrics["balanced_accuracy"].value == pytest.approx((0.9 + 0.4) / 2)
    contrast = found.verdict.contrast
    assert contrast.difference.value == pytest.approx((-0.05 + 0.10) / 2)
    # All patients of a class agree here: what classes differ by is no spread between folds.
    assert contrast.components["between_folds"] == pytest.approx(0, abs=1e-12)
    accuracy = evaluate_study(patients(make_table), replace(PLAN, metric="accuracy"))
    assert accuracy.verdict.contrast.difference.value == pytest.approx((-0.05 * 9 + 0.3) / 12)


def test_where_all_folds_have_all_classes_the_average_is_the_folds_own() -> None:
    recalls = np.random.default_rng(0).random((6, 3))
    assert class_averages(recalls) == pytest.approx(recalls.mean(axis=1))
    recalls[2, 1] = np.nan
    assert class_averages(recalls).mean() == pytest.approx(np.nanmean(recalls, axis=0).mean())


def test_averages_that_a_fold_of_one_class_cannot_have_are_refused(make_table: TableMaker) -> None:
    table = patients(make_table)
    with pytest.raises(InputError, match="macro F1 over 12 folds") as refused:
        evaluate_study(table, replace(PLAN, metric="macro_f1"))
    assert "balanced_accuracy or accuracy" in refused.value.remedy
    contrasts = evaluate_study(table, PLAN).contrasts
    assert "macro_f1" not in {one.metric for one in contrasts}


def test_the_same_patients_again_are_no_further_folds(make_table: TableMaker) -> None:
    once = evaluate_study(patients(make_table), PLAN).verdict.contrast
    again = evaluate_study(patients(make_table, repeats=4), PLAN).verdict.contrast
    assert again.degrees_of_freedom == once.degrees_of_freedom == 11
    assert again.standard_error == pytest.approx(once.standard_error)


def test_a_fold_without_any_large_subgroup_leaves_the_worst_one_out(
    make_table: TableMaker,
) -> None:
    rng = np.random.default_rng(2)
    device = np.repeat(["A", "A", "B", "B", "C"], 40)
    tables = [
        make_table(
            (rng.random((2, 1, 40)) < np.array([0.6, 0.7])[:, None, None]).astype(float),
            np.tile([0, 1], 20),
            names=NAMES,
            classes=2,
            images=40 * fold + np.arange(40),
            folds=np.array([fold]),
        )
        for fold in range(5)
    ]
    attributes = {"device": {f"test-{i}": str(name) for i, name in enumerate(device)}}
    found = evaluate_study(concatenate(tables), replace(PLAN, attributes=attributes))
    (gap,) = found.gaps
    assert gap.worst_change is not None
    assert np.isfinite(gap.worst_change.value)
    assert "over 4 folds" in gap.worst_change.method


def lone_class(seed: int) -> Panel:
    """Three classes of 60 images and one of one, which no other is taken for; no arm is better."""
    rng = np.random.default_rng(seed)
    labels = np.repeat([0, 1, 2, 3], [60, 60, 60, 1])
    right = rng.random((2, 181)) < 0.7
    predicted = np.where(right, labels, (labels + 1) % 3)
    probabilities = 0.7 * np.eye(4, dtype=np.float32)[predicted] + np.float32(0.075)
    return Panel(
        classes=("a", "b", "c", "rare"),
        image_ids=np.arange(181).astype(str),
        labels=labels,
        groups=np.arange(181),
        group_names=np.arange(181).astype(str),
        replicates=np.zeros(1, np.int64),
        fits=np.full(1, -1),
        probabilities={name: probabilities[i][None] for i, name in enumerate(NAMES)},
    )


def test_a_class_of_one_group_is_not_known_with_certainty() -> None:
    wrong = 0
    for seed in range(200):
        scores = SharedTest(lone_class(seed), seed=0, draws=200)
        found = scores.interval({"mixed@1": 1.0, "real": -1.0}, "macro_f1")
        low, high = found.bounds()
        wrong += low > 0 or high < 0
        assert found.method == "crossed components of influences, t"
    # As if it were certain, 45 % of 300 such studies without effect were called one.
    assert wrong / 200 < 0.1


def test_resamples_without_a_class_are_left_out_and_counted() -> None:
    rng = np.random.default_rng(0)
    design = layout(np.tile([0, 1], 30), np.arange(60), by="images")
    drawn = rng.normal(size=(3, 400))
    whole = bootstrap_interval(np.zeros(3), drawn, design, seed=0)
    drawn[:, ::50] = np.nan
    found = bootstrap_interval(np.zeros(3), drawn, design, seed=0)
    assert found.standard_error == pytest.approx(whole.standard_error, rel=0.05)
    assert found.components["undefined_draws"] == 8
    assert "undefined_draws" not in whole.components
