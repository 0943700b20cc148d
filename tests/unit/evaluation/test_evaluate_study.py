from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from synthlift.errors import InputError
from synthlift.evaluation.crossed import crossed_interval, layout, row_means, whole_rounds
from synthlift.evaluation.crossvalidated import nadeau_bengio
from synthlift.evaluation.folds import FoldTests
from synthlift.evaluation.outcome import Outcome, evaluate_study
from synthlift.evaluation.plan import EvaluationPlan, PlannedArm, plan_from_table
from synthlift.evaluation.predictions import Predictions, concatenate
from synthlift.evaluation.scores import SharedTest
from synthlift.evaluation.simulate import World, study_arrays
from synthlift.evaluation.verdict import judge
from synthlift.spec.study import METRICS

TableMaker = Callable[..., Predictions]
NAMES = ("real", "augmented", "logit_adjusted", "mixed@1", "mixed@1+rival", "synthetic_only@1")
CLASSES = 5
WORLD = World(per_class=(60, 50, 40, 25, 7), effect=0.06, fit=0.03)


def arrays() -> tuple[np.ndarray, np.ndarray]:
    _, _, labels, scores = study_arrays(WORLD, np.random.default_rng(3))
    return labels, scores


def plan(**changes: object) -> EvaluationPlan:
    names = [f"class {k}" for k in range(CLASSES)]
    counts = dict.fromkeys(names, 20.0)
    arms = [
        PlannedArm("real", "rival"),
        PlannedArm("augmented", "rival"),
        PlannedArm("logit_adjusted", "rival"),
        PlannedArm("mixed@1", "generative", multiple=1, generator="flow"),
        PlannedArm(
            "mixed@1+rival",
            "generative",
            base="best_rival",
            multiple=1,
            generator="flow",
            real=counts,
            synthetic=counts,
        ),
        PlannedArm(
            "synthetic_only@1",
            "generative",
            multiple=1,
            generator="flow",
            regime="synthetic_only",
        ),
    ]
    base = EvaluationPlan(
        design="fixed",
        arms=arms,
        generative="mixed@1+rival",
        rival="augmented",
        plain="real",
        run="runs/x",
        draws=200,
    )
    return replace(base, **changes)  # type: ignore[arg-type]


@pytest.fixture
def table(make_table: TableMaker) -> Predictions:
    labels, scores = arrays()
    return make_table(scores, labels, names=NAMES, classes=CLASSES, fits=5)


@pytest.fixture
def outcome(table: Predictions) -> Outcome:
    return evaluate_study(table, plan())


def test_primary_contrast_is_the_simulations_own(outcome: Outcome) -> None:
    """The simulated operating characteristics hold for what users see."""
    labels, scores = arrays()
    rows = whole_rounds(np.tile(np.arange(5), 2))
    design = layout(labels, np.arange(len(labels)), by="classes")
    expected = crossed_interval(row_means(scores[4] - scores[1], rows), design)
    found = outcome.verdict.contrast
    assert found.family == "primary"
    assert found.p_holm is None
    assert found.difference.value == pytest.approx(expected.value)
    assert found.standard_error == pytest.approx(expected.standard_error)
    assert found.degrees_of_freedom == pytest.approx(expected.degrees_of_freedom)
    assert outcome.verdict.word == judge(expected, margin=0.01)
    assert not outcome.verdict.exploratory


def test_small_class_gets_counts_and_wilson_only(outcome: Outcome) -> None:
    small = outcome.classes[4]
    assert (small.word, small.contrast, small.test_groups) == ("too_small", None, 7)
    assert small.rival.method == "Wilson, test groups"
    assert small.rival.low is not None
    assert 0 <= small.rival.low < small.rival.value
    assert any("'class 4' (7)" in warning for warning in outcome.verdict.warnings)
    for arm in outcome.arms:
        assert list(arm.per_class[4].metrics) == ["recall"]
        assert "f1" in arm.per_class[0].metrics
    assert any(action.title == "Collect images of: 'class 4'" for action in outcome.actions)


def test_accuracy_does_not_average_over_small_classes(table: Predictions) -> None:
    found = evaluate_study(table, plan(metric="accuracy"))
    assert found.verdict.warnings == []


def test_families_are_corrected_each_in_itself(outcome: Outcome) -> None:
    families: dict[str, list[str]] = {}
    for one in outcome.contrasts:
        families.setdefault(one.family, []).append(f"{one.arm}-{one.reference}-{one.metric}")
    assert families["primary"] == ["mixed@1+rival-augmented-balanced_accuracy"]
    assert len(families["generative_against_other_rivals"]) == 2
    assert len(families["other_arms_against_rival"]) == 2
    assert len(families["other_metrics"]) == 4
    for one in outcome.contrasts[1:]:
        assert one.p_holm is not None
        assert one.p_value is not None
        assert one.p_holm >= one.p_value
        assert one.simultaneous_low is not None
        assert one.difference.low is not None
        assert one.simultaneous_low <= one.difference.low + 0.02 * (one.standard_error or 0)


def test_arms_carry_every_metric_with_an_interval(outcome: Outcome) -> None:
    labels, scores = arrays()
    for index, arm in enumerate(outcome.arms):
        assert set(METRICS) <= set(arm.metrics)
        for name, estimate in arm.metrics.items():
            assert estimate.low is not None, name
            assert estimate.high is not None, name
            assert estimate.low <= estimate.value <= estimate.high, name
        assert arm.metrics["accuracy"].value == pytest.approx(scores[index].mean())
        assert np.sum(arm.confusion) == scores[index].size
        assert np.trace(arm.confusion) == scores[index].sum()
        assert sum(one["count"] for one in arm.reliability) == scores[index].size
        assert arm.replicates == 10
    assert len(labels) == outcome.arms[0].metrics["accuracy"].n


def test_interaction_curve_and_table(outcome: Outcome) -> None:
    _, scores = arrays()
    labels, _ = arrays()
    weights = layout(labels, np.arange(len(labels)), by="classes").weights
    level = (scores.mean(axis=1) @ weights).tolist()
    assert outcome.interaction is not None
    expected = (level[4] - level[1]) - (level[3] - level[0])
    assert outcome.interaction.difference.value == pytest.approx(expected)
    found = [(p.arm, p.base, p.multiple) for p in outcome.curve]
    assert found == [
        ("real", "plain", 0.0),
        ("mixed@1", "plain", 1.0),
        ("augmented", "best_rival", 0.0),
        ("mixed@1+rival", "best_rival", 1.0),
    ]
    assert [(c.train, c.test, c.arm) for c in outcome.table_3x3] == [
        ("real", "real", "real"),
        ("mixed", "real", "mixed@1"),
        ("synthetic", "real", "synthetic_only@1"),
    ]


def test_synthetic_test_sets_fill_the_table(make_table: TableMaker, table: Predictions) -> None:
    labels, scores = arrays()
    parts = []
    for fit in range(5):
        part = make_table(
            scores[:, [fit]] if fit % 2 else scores[:, [fit]] * 0 + 1,
            labels,
            names=NAMES,
            classes=CLASSES,
            evaluation_set="synthetic",
            images=np.arange(len(labels)) + 10_000 * (fit + 1),
        ).table
        for column in ("replicate", "fit"):
            where = part.column_names.index(column)
            part = part.set_column(where, column, pa.array(np.full(len(part), fit)))
        parts.append(Predictions(part, table.classes))
    found = evaluate_study(concatenate([table, *parts]), plan())
    cells = {(c.train, c.test): c.estimate for c in found.table_3x3}
    assert len(cells) == 9
    assert cells["mixed", "synthetic"].value > cells["mixed", "mixed"].value
    assert cells["mixed", "mixed"].value > cells["mixed", "real"].value
    assert cells["real", "synthetic"].method == "t over 5 rows"
    # What is tested on synthetic images never moves the verdict.
    assert found.verdict == evaluate_study(table, plan()).verdict


@pytest.mark.parametrize(
    ("fits", "replicates", "reason"),
    [
        (4, 10, "4 generator fits; a verdict needs at least 5"),
        (1, 10, "1 generator fit; a verdict needs at least 5"),
        (5, 5, "5 replicates; a verdict needs at least 10"),
        (0, 9, "9 replicates; a verdict needs at least 10"),
    ],
)
def test_too_little_is_exploratory(
    make_table: TableMaker, fits: int, replicates: int, reason: str
) -> None:
    labels, scores = arrays()
    small = make_table(scores[:, :replicates], labels, names=NAMES, classes=CLASSES, fits=fits)
    found = evaluate_study(small, plan(exploratory=["second study on this test set"]))
    assert found.verdict.exploratory
    assert reason in found.verdict.exploratory_reasons
    assert found.verdict.exploratory_reasons[-1] == "second study on this test set"
    assert found.actions[0].title == "Treat this as exploratory"
    assert found.actions[0].command == "synthlift run runs/x --more 2h"


def test_fits_of_the_plan_override_the_table(make_table: TableMaker) -> None:
    labels, scores = arrays()
    bare = make_table(scores, labels, names=NAMES, classes=CLASSES)
    given = evaluate_study(bare, plan(fits={r: r % 5 for r in range(10)}))
    assert given.verdict.contrast.components["rows"] == 5
    pool = evaluate_study(bare, plan())
    assert pool.verdict.contrast.components["rows"] == 10
    assert "given this pool" in pool.verdict.scope


@pytest.mark.parametrize("metric", METRICS)
def test_every_primary_metric_gives_a_verdict(table: Predictions, metric: str) -> None:
    found = evaluate_study(table, plan(metric=metric))
    assert found.verdict.metric == metric
    # A true gain of 6 points that ten replicates on 182 images can see.
    assert found.verdict.contrast.difference.value > 0
    assert found.verdict.contrast.standard_error is not None
    assert 0.001 < found.verdict.contrast.standard_error < 0.1


def test_same_table_same_outcome(table: Predictions) -> None:
    shuffled = table.table.take(np.random.default_rng(0).permutation(len(table)))
    other = evaluate_study(Predictions(shuffled, table.classes), plan())
    assert other == evaluate_study(table, plan())


def folded_table(make_table: TableMaker) -> tuple[Predictions, np.ndarray]:
    """Two repeats of five folds over 200 images, dealt anew; differences known per fold."""
    rng = np.random.default_rng(0)
    labels = np.tile(np.arange(4), 50)
    again = (rng.permutation(50)[:, None] * 4 + np.arange(4)).ravel()  # each within its class
    parts, differences = [], []
    for fold in range(10):
        images = np.arange(fold % 5, 200, 5)
        images = images if fold < 5 else np.sort(again[images])
        right = (rng.random((2, 1, len(images))) < np.array([0.6, 0.8])[:, None, None]).astype(
            float
        )
        per_class = [(right[1, 0] - right[0, 0])[labels[images] == k].mean() for k in range(4)]
        differences.append(float(np.mean(per_class)))
        part = make_table(
            right, labels[images], names=("real", "mixed"), classes=4, images=images
        ).table
        for column in ("replicate", "fold"):
            where = part.column_names.index(column)
            part = part.set_column(where, column, pa.array(np.full(len(part), fold)))
        parts.append(Predictions(part, tuple(f"class {k}" for k in range(4))))
    return concatenate(parts), np.array(differences)


def test_cross_validated_design(make_table: TableMaker) -> None:
    table, differences = folded_table(make_table)
    question = plan_from_table(table, generative="mixed", rival="real")
    assert question.design == "cross_validated"
    found = evaluate_study(table, question)
    expected = nadeau_bengio(differences, test_train_ratio=0.25)
    assert found.verdict.contrast.difference.value == pytest.approx(expected.value)
    assert found.verdict.contrast.standard_error == pytest.approx(expected.standard_error)
    assert found.verdict.contrast.degrees_of_freedom == 9
    assert not found.verdict.exploratory
    assert found.verdict.scope.startswith("for data like yours")
    assert np.sum(found.arms[0].confusion) == 400
    assert found.classes[0].test_images == 50
    assert any("taken on trust" in warning for warning in found.verdict.warnings)
    assert all(not action.command for action in found.actions)
    given = evaluate_study(table, replace(question, test_train_ratio=0.3))
    wider = nadeau_bengio(differences, test_train_ratio=0.3)
    assert given.verdict.contrast.standard_error == pytest.approx(wider.standard_error)


@pytest.mark.parametrize(("mixed_folds", "said"), [(0, "in 0 of 4 test sets"), (1, "in 1 of 4")])
def test_area_under_the_curve_needs_two_folds_with_two_classes(
    make_table: TableMaker, mixed_folds: int, said: str
) -> None:
    rng = np.random.default_rng(0)
    parts = []
    for fold in range(4):
        labels = np.full(20, fold % 2)
        if fold < mixed_folds:
            labels[:10] = 1 - labels[0]
        right = (rng.random((2, 1, 20)) < 0.7).astype(float)
        images = np.arange(20 * fold, 20 * fold + 20)
        part = make_table(right, labels, names=("real", "mixed"), classes=2, images=images).table
        for column in ("replicate", "fold"):
            where = part.column_names.index(column)
            part = part.set_column(where, column, pa.array(np.full(len(part), fold)))
        parts.append(Predictions(part, ("class 0", "class 1")))
    table = concatenate(parts)
    question = plan_from_table(table, generative="mixed", rival="real", metric="auroc")
    with pytest.raises(InputError, match=said) as caught:
        evaluate_study(table, question)
    assert "balanced_accuracy" in caught.value.remedy
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = evaluate_study(table, replace(question, metric="balanced_accuracy"))
    assert ("sensitivity_at_90_specificity" in found.arms[0].metrics) == bool(mixed_folds)


def test_one_pair_of_models_gets_mcnemar(make_table: TableMaker) -> None:
    labels, scores = arrays()
    single = make_table(scores[:, :1], labels, names=NAMES, classes=CLASSES)
    found = evaluate_study(single, plan(metric="accuracy"))
    parts = found.verdict.contrast.components
    gained = ((scores[4, 0] == 1) & (scores[1, 0] == 0)).sum()
    assert parts["mcnemar_gained"] == gained
    assert 0 <= parts["mcnemar_mid_p"] <= 1
    assert parts["mcnemar_p"] == pytest.approx(parts["mcnemar_mid_p"], abs=0.1)
    assert found.verdict.exploratory


def test_two_classes(make_table: TableMaker) -> None:
    world = World(per_class=(60, 40), effect=0.05)
    _, _, labels, scores = study_arrays(world, np.random.default_rng(0))
    table = make_table(scores, labels, names=NAMES, classes=2, fits=5)
    found = evaluate_study(table, plan(metric="auroc"))
    binary = found.arms[0].metrics
    assert binary["sensitivity"].value == pytest.approx(scores[0][:, labels == 1].mean())
    assert binary["specificity"].value == pytest.approx(scores[0][:, labels == 0].mean())
    assert binary["sensitivity_at_90_specificity"].low is None
    assert {"ppv", "npv"} <= set(binary)


def test_wrong_plans_are_refused(table: Predictions) -> None:
    with pytest.raises(InputError, match="did you mean 'accuracy'"):
        plan(metric="acuracy")
    with pytest.raises(InputError, match="is compared with itself"):
        plan(generative="augmented")
    with pytest.raises(InputError, match="did you mean 'augmented'"):
        plan(rival="augmentd")
    with pytest.raises(InputError, match="margin 2"):
        plan(margin=2)
    with pytest.raises(InputError, match="numbers its folds"):
        evaluate_study(table, plan(design="cross_validated"))
    with pytest.raises(InputError, match="no row has evaluation_set 'test'"):
        plan_from_table(table.select(evaluation_set="nowhere"), generative="mixed@1", rival="real")


def test_score_kinds_report_their_rows(table: Predictions, make_table: TableMaker) -> None:
    from synthlift.evaluation.opening import open_scores

    assert isinstance(open_scores(table, plan()), SharedTest)
    folded, _ = folded_table(make_table)
    question = plan_from_table(folded, generative="mixed", rival="real")
    scores = open_scores(folded, question)
    assert isinstance(scores, FoldTests)
    assert (scores.rows, scores.replicates) == (10, 10)
