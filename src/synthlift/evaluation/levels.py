"""Every arm by itself: metrics with intervals, per class, confusion, reliability."""

from __future__ import annotations

import numpy as np

from synthlift.evaluation.contrasts import estimate
from synthlift.evaluation.metrics import confusion, reliability
from synthlift.evaluation.plan import EvaluationPlan, PlannedArm
from synthlift.evaluation.predictions import Predictions
from synthlift.evaluation.scores import Scores
from synthlift.evaluation.selection import validation_scores
from synthlift.evaluation.verdict import MINIMUM_GROUPS
from synthlift.evaluation.wilson import wilson
from synthlift.spec.facts import Estimate
from synthlift.spec.results import ArmResult, ClassResult
from synthlift.types import Int64

OVERALL = (
    "accuracy",
    "balanced_accuracy",
    "macro_precision",
    "macro_recall",
    "macro_f1",
    "weighted_precision",
    "weighted_recall",
    "weighted_f1",
    "auroc",
    "average_precision",
    "ece",
    "nll",
    "brier",
)
BINARY = ("sensitivity", "specificity", "ppv", "npv")
PER_CLASS = ("recall", "precision", "f1", "specificity", "npv", "auroc", "average_precision")
# Neither a linear form nor counts: the mean over models is shown without an interval.
WITHOUT_INTERVAL = "sensitivity_at_90_specificity"
UNBOUNDED = ("nll", "brier")


def arm_results(predictions: Predictions, scores: Scores, plan: EvaluationPlan) -> list[ArmResult]:
    """One ``ArmResult`` for each planned arm, in the plan's order."""
    validated = set(predictions.select(evaluation_set="validation", variant="clean").arms())
    return [
        _arm_result(scores, arm).model_copy(
            update={
                "validation": (
                    _validation(predictions, arm.name, plan) if arm.name in validated else {}
                )
            }
        )
        for arm in plan.arms
    ]


def level(scores: Scores, arm: str, metric: str) -> Estimate:
    """One metric of one arm, mean over its models, with its interval."""
    groups = scores.whole.group_count
    interval = scores.interval({arm: 1.0}, metric)
    return estimate(interval, n=groups, share=metric not in UNBOUNDED)


def class_level(scores: Scores, arm: str, metric: str, *, of_class: int) -> Estimate:
    """One metric of one class of one arm; Wilson's interval for recall in a small class."""
    groups = int(scores.class_groups[of_class])
    values = scores.values(arm, metric, of_class=of_class)
    known = values[np.isfinite(values)]
    if groups == 0:
        return Estimate(value=0.0, low=0.0, high=1.0, n=0, method="no test images")
    if groups < MINIMUM_GROUPS or not scores.defined(arm, metric, of_class=of_class):
        value = float(known.mean())
        low, high = wilson(value * groups, groups)
        return Estimate(value=value, low=low, high=high, n=groups, method="Wilson, test groups")
    interval = scores.interval({arm: 1.0}, metric, of_class=of_class)
    return estimate(interval, n=groups, share=True)


def _arm_result(scores: Scores, arm: PlannedArm) -> ArmResult:
    names = OVERALL + (BINARY if len(scores.whole.classes) == 2 else ())
    metrics = {
        name: level(scores, arm.name, name) for name in names if scores.defined(arm.name, name)
    }
    if len(scores.whole.classes) == 2:
        values = scores.values(arm.name, WITHOUT_INTERVAL)
        known = values[np.isfinite(values)]
        if len(known):
            metrics[WITHOUT_INTERVAL] = Estimate(
                value=float(known.mean()), n=scores.whole.group_count, method="mean over models"
            )
    return ArmResult(
        name=arm.name,
        role=arm.role,
        recipe=dict(arm.recipe),
        replicates=scores.replicates,
        real=dict(arm.real),
        synthetic=dict(arm.synthetic),
        metrics=metrics,
        per_class=_per_class(scores, arm.name),
        confusion=summed_confusion(scores, arm.name).tolist(),
        reliability=_reliability(scores, arm.name),
        seconds=arm.seconds,
    )


def _per_class(scores: Scores, arm: str) -> list[ClassResult]:
    results = []
    for index, name in enumerate(scores.whole.classes):
        groups = int(scores.class_groups[index])
        # Counts and Wilson only, where a class is too small for anything else.
        metrics = ("recall",) if groups < MINIMUM_GROUPS else PER_CLASS
        results.append(
            ClassResult(
                name=name,
                test_images=int(scores.class_images[index]),
                test_groups=groups,
                metrics={
                    metric: class_level(scores, arm, metric, of_class=index)
                    for metric in metrics
                    if groups
                    and (metric == "recall" or scores.defined(arm, metric, of_class=index))
                },
            )
        )
    return results


def summed_confusion(scores: Scores, arm: str) -> Int64:
    """Confusion matrix [K, K] summed over all models of ``arm``; rows = true class."""
    classes = len(scores.whole.classes)
    total = np.zeros((classes, classes), dtype=np.int64)
    for panel in scores.panels:
        for one in panel.probabilities[arm]:
            total += confusion(panel.labels, one.argmax(axis=1), classes=classes)
    return total


def _reliability(scores: Scores, arm: str) -> list[dict[str, float]]:
    labels = np.concatenate([np.tile(p.labels, len(p.probabilities[arm])) for p in scores.panels])
    classes = len(scores.whole.classes)
    flat = np.concatenate([p.probabilities[arm].reshape(-1, classes) for p in scores.panels])
    return reliability(labels, flat)


def _validation(predictions: Predictions, arm: str, plan: EvaluationPlan) -> dict[str, Estimate]:
    scores = validation_scores(predictions, arms=[arm], seed=plan.seed)
    names = dict.fromkeys((plan.metric, "accuracy", "balanced_accuracy"))
    return {name: level(scores, arm, name) for name in names if scores.defined(arm, name)}
