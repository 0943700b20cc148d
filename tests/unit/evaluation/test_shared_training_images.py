"""Training sets that share images tell less of others: design B, external sets, the 3 × 3 table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from synthlift.evaluation.crossed import combine, crossed_interval, layout
from synthlift.evaluation.outcome import evaluate_study
from synthlift.evaluation.plan import Design, EvaluationPlan, PlannedArm
from synthlift.evaluation.predictions import Predictions, concatenate

TableMaker = Callable[..., Predictions]
DRAWS, STUDIES = 5, 2000
ARMS = [PlannedArm("real", "rival"), PlannedArm("mixed@1", "generative", multiple=1)]


def false_alarms(overlap: float, *, allowed_for: bool) -> float:
    """Share of studies without effect whose 95 % interval leaves out 0.

    A draw's difference is the mean of what its images are worth, as in a linear model; two draws
    have a share ``overlap`` of their images in common, and nothing else varies.
    """
    rng = np.random.default_rng(1)
    in_common, own = np.sqrt(overlap), np.sqrt(1 - overlap)
    wrong = 0
    for _ in range(STUDIES):
        draws = in_common * rng.standard_normal() + own * rng.standard_normal(DRAWS)
        interval = combine(
            draws,
            test=0.0,
            test_df=1.0,
            interaction=0.0,
            interaction_df=1.0,
            method="t",
            shared=overlap / (1 - overlap) if allowed_for else 0.0,
        )
        low, high = interval.bounds()
        wrong += low > 0 or high < 0
    return wrong / STUDIES


@pytest.mark.parametrize("overlap", [0.05, 0.45, 0.8])
def test_the_correction_keeps_its_promise_whatever_draws_share(overlap: float) -> None:
    # 2,000 studies know a share of 5 % to ± 1 point.
    assert false_alarms(overlap, allowed_for=True) == pytest.approx(0.05, abs=0.015)


def test_without_it_an_interval_says_nothing_of_other_images() -> None:
    assert false_alarms(0.45, allowed_for=False) > 0.2


def arrays(lift: float, spread: float) -> tuple[np.ndarray, np.ndarray]:
    """Right or wrong [2, 10, 600]; draws differ in how much the second arm gains."""
    rng = np.random.default_rng(4)
    labels = np.repeat(np.arange(3), 200)
    gains = np.tile(lift + spread * np.array([-1.0, -0.5, 0.0, 0.5, 1.0]), 2)
    hard = rng.random(600)
    scores = np.stack([np.tile(hard < 0.6, (10, 1)), hard < 0.6 + gains[:, None]])
    return labels, scores.astype(float)


def answer(
    make_table: TableMaker, *, overlap: float, design: Design = "redrawn", spread: float = 0.06
) -> tuple[EvaluationPlan, Predictions]:
    labels, scores = arrays(lift=0.06, spread=spread)
    table = make_table(scores, labels, names=["real", "mixed@1"], classes=3, fits=DRAWS)
    plan = EvaluationPlan(
        design=design,
        arms=ARMS,
        generative="mixed@1",
        rival="real",
        overlap=overlap,
    )
    return plan, table


def test_a_verdict_on_draws_says_what_would_hold_for_other_images(make_table: TableMaker) -> None:
    plan, table = answer(make_table, overlap=0.5)
    found = evaluate_study(table, plan)
    assert found.verdict.word == "helps"
    assert found.verdict.scope.startswith("for training sets of this size, drawn from these images")
    (warning,) = [text for text in found.verdict.warnings if "50% of their images" in text]
    assert "No effect was detected" in warning.split("2003): ")[1]
    components = found.verdict.contrast.components
    assert components["overlap"] == 0.5
    plain = found.verdict.contrast.standard_error or 0.0
    assert components["standard_error_other_images"] > 1.5 * plain > 0
    alone = evaluate_study(table, replace(plan, overlap=0.0))
    assert alone.verdict.contrast.difference == found.verdict.contrast.difference
    assert "overlap" not in alone.verdict.contrast.components


def test_where_the_word_is_the_same_it_is_a_limitation(make_table: TableMaker) -> None:
    plan, table = answer(make_table, overlap=0.3, spread=0.01)
    found = evaluate_study(table, plan)
    assert found.verdict.warnings == []
    assert any("30% of their images" in text for text in found.limitations)


def test_draws_of_the_same_images_say_that_others_were_not_measured(make_table: TableMaker) -> None:
    plan, table = answer(make_table, overlap=1.0)
    found = evaluate_study(table, plan)
    assert any("of the same images" in text for text in found.limitations)
    fixed, table = answer(make_table, overlap=0.5, design="fixed")
    assert not any("stock" in text for text in evaluate_study(table, fixed).limitations)


def test_folds_share_training_images_on_an_external_set_too(make_table: TableMaker) -> None:
    labels, scores = arrays(lift=0.06, spread=0.06)
    folds = np.arange(10)
    parts = [
        make_table(
            scores[:, fold : fold + 1, fold::10],
            labels[fold::10],
            names=["real", "mixed@1"],
            classes=3,
            images=np.arange(fold, 600, 10),
            folds=np.array([fold]),
        )
        for fold in folds
    ]
    outside = make_table(
        scores, labels, names=["real", "mixed@1"], classes=3, fits=10, evaluation_set="site"
    )
    plan = EvaluationPlan(
        design="cross_validated",
        arms=ARMS,
        generative="mixed@1",
        rival="real",
        external=["site"],
        test_train_ratio=0.28,
    )
    (found,) = evaluate_study(concatenate([*parts, outside]), plan).external
    values = scores[1] - scores[0]
    design = layout(labels, np.arange(600), by="classes")
    expected = crossed_interval(values, design, shared=0.28)
    assert found.contrast.standard_error == pytest.approx(expected.standard_error)
    assert expected.standard_error > 1.3 * crossed_interval(values, design).standard_error
