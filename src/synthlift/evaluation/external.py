"""Test sets from elsewhere: how far every arm falls there, and whether the difference stays."""

from __future__ import annotations

from math import hypot

from synthlift.evaluation.contrasts import Question, contrast, estimate
from synthlift.evaluation.intervals import Interval
from synthlift.evaluation.multiplicity import holm
from synthlift.evaluation.panels import shared_panel
from synthlift.evaluation.plan import EvaluationPlan
from synthlift.evaluation.predictions import Predictions
from synthlift.evaluation.scores import Scores, SharedTest
from synthlift.spec.results import ExternalArm, ExternalResult

FALLBACK = "accuracy"


def external_results(
    predictions: Predictions, plan: EvaluationPlan, internal: Scores
) -> list[ExternalResult]:
    """One result for each set of ``plan.external``; secondary, never the verdict.

    All models are tested on the same images there, with cross-validation too; then they share
    training images, which the interval allows for as that of the folds does.
    """
    found = [_result(predictions, plan, internal, name) for name in plan.external]
    adjusted = holm([one.contrast.p_value or 0.0 for one in found])
    for one, p in zip(found, adjusted, strict=True):
        one.contrast.p_holm = p
    return found


def _result(
    predictions: Predictions, plan: EvaluationPlan, internal: Scores, name: str
) -> ExternalResult:
    rows = predictions.select(evaluation_set=name, variant="clean")
    arms = [arm.name for arm in plan.arms]
    scores = SharedTest(
        shared_panel(rows, arms=arms),
        seed=plan.seed,
        draws=plan.draws,
        shared=internal.test_train_ratio,
    )
    missing = [
        known
        for known, groups in zip(scores.whole.classes, scores.class_groups, strict=True)
        if not groups
    ]
    metric = FALLBACK if missing else plan.metric
    question = Question(plan.generative, plan.rival, metric)
    groups = scores.whole.group_count
    return ExternalResult(
        name=name,
        metric=metric,
        images=len(scores.whole.labels),
        groups=groups,
        missing_classes=missing,
        arms=[_arm(scores, internal, arm, metric) for arm in arms],
        contrast=contrast(question, question.interval(scores), n=groups, family="external"),
    )


def _arm(scores: Scores, internal: Scores, arm: str, metric: str) -> ExternalArm:
    here = scores.interval({arm: 1.0}, metric)
    there = internal.interval({arm: 1.0}, metric)
    drop = Interval(
        value=there.value - here.value,
        standard_error=hypot(here.standard_error, there.standard_error),
        degrees_of_freedom=min(here.degrees_of_freedom, there.degrees_of_freedom),
        method="difference of two sets, t with the smaller degrees of freedom",
    )
    groups = scores.whole.group_count
    return ExternalArm(
        name=arm,
        estimate=estimate(here, n=groups, share=True),
        drop=estimate(drop, n=groups),
    )
