"""The primary pair within each value of each attribute, and the gap between values.

What is compared is the share of a subgroup's images that are right: classes may be missing in a
subgroup, and both arms see the same images. Secondary, Holm-corrected within each attribute.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from synthlift.evaluation.contrasts import Question, contrast, estimate
from synthlift.evaluation.multiplicity import holm
from synthlift.evaluation.opening import open_scores
from synthlift.evaluation.plan import EvaluationPlan
from synthlift.evaluation.predictions import Predictions
from synthlift.evaluation.scores import Scores
from synthlift.evaluation.verdict import MINIMUM_GROUPS, judge_adjusted
from synthlift.evaluation.wilson import wilson
from synthlift.evaluation.worst import worst_change
from synthlift.spec.facts import Estimate
from synthlift.spec.results import SubgroupGap, SubgroupVerdict
from synthlift.types import Strings

METRIC = "accuracy"
MISSING = "missing"


def subgroup_verdicts(predictions: Predictions, plan: EvaluationPlan) -> list[SubgroupVerdict]:
    """One verdict for each value of each attribute of ``plan.attributes``."""
    pair = (plan.generative, plan.rival)
    test = predictions.select(evaluation_set="test", variant="clean")
    codes, names = test.codes("arm")
    test = test.where(np.isin(codes, [names.index(arm) for arm in pair]))
    images, ids = test.codes("image_id")
    narrow = replace(plan, arms=[plan.arm(arm) for arm in pair])
    found: list[SubgroupVerdict] = []
    for attribute, values in plan.attributes.items():
        of_id = np.array([values.get(name) or MISSING for name in ids], dtype=str)
        found += _within(test, narrow, attribute, of_id[images])
    return found


def _within(
    test: Predictions, plan: EvaluationPlan, attribute: str, of_row: Strings
) -> list[SubgroupVerdict]:
    opened = {str(value): _open(test.where(of_row == value), plan) for value in np.unique(of_row)}
    question = Question(plan.generative, plan.rival, METRIC)
    large = {
        value: question.interval(scores)
        for value, scores in opened.items()
        if scores is not None and scores.whole.group_count >= MINIMUM_GROUPS
    }
    differs = holm([interval.p_value for interval in large.values()])
    same = holm([interval.equivalence_p_value(plan.margin) for interval in large.values()])
    adjusted = dict(zip(large, zip(differs, same, strict=True), strict=True))
    results = []
    for value, scores in opened.items():
        rows = test.where(of_row == value)
        one = None
        if scores is not None and value in large:
            one = contrast(
                question, large[value], n=scores.whole.group_count, family=f"subgroups:{attribute}"
            ).model_copy(update={"p_holm": adjusted[value][0]})
        results.append(
            SubgroupVerdict(
                attribute=attribute,
                value=value,
                test_images=len(rows.codes("image_id")[1]),
                test_groups=len(rows.codes("group")[1]),
                rival=_level(rows, scores if one else None, plan.rival),
                generative=_level(rows, scores if one else None, plan.generative),
                contrast=one,
                word="too_small"
                if one is None
                else judge_adjusted(
                    one.difference.value,
                    p_adjusted=adjusted[value][0],
                    p_equivalent=adjusted[value][1],
                ),
            )
        )
    return results


def _open(rows: Predictions, plan: EvaluationPlan) -> Scores | None:
    """None where a cross-validated subgroup lies in a single fold."""
    if plan.design == "cross_validated" and len(np.unique(rows.whole("fold"))) < 2:
        return None
    return open_scores(rows, plan)


def _level(rows: Predictions, scores: Scores | None, arm: str) -> Estimate:
    groups = len(rows.codes("group")[1])
    if scores is None:
        mine = rows.select(arm=arm)
        right = float((mine.probabilities().argmax(axis=1) == mine.whole("label")).mean())
        low, high = wilson(right * groups, groups)
        return Estimate(value=right, low=low, high=high, n=groups, method="Wilson, test groups")
    return estimate(scores.interval({arm: 1.0}, METRIC), n=groups, share=True)


def subgroup_gaps(
    verdicts: Sequence[SubgroupVerdict], scores: Scores, plan: EvaluationPlan
) -> list[SubgroupGap]:
    """Worst value and best minus worst of each attribute, over values that are large enough."""
    found = []
    for attribute in dict.fromkeys(one.attribute for one in verdicts):
        large = [o for o in verdicts if o.attribute == attribute and o.contrast is not None]
        if len(large) < 2:
            continue
        rival = {one.value: one.rival.value for one in large}
        generative = {one.value: one.generative.value for one in large}
        found.append(
            SubgroupGap(
                attribute=attribute,
                worst_with_rival=min(rival, key=rival.__getitem__),
                worst_with_generative=min(generative, key=generative.__getitem__),
                worst_accuracy_rival=min(rival.values()),
                worst_accuracy_generative=min(generative.values()),
                gap_rival=max(rival.values()) - min(rival.values()),
                gap_generative=max(generative.values()) - min(generative.values()),
                worst_change=_worst_change(scores, plan, attribute, list(rival)),
            )
        )
    return found


def _worst_change(
    scores: Scores, plan: EvaluationPlan, attribute: str, values: Sequence[str]
) -> Estimate:
    known, codes = plan.attributes[attribute], {value: code for code, value in enumerate(values)}
    parts = [
        np.array([codes.get(known.get(str(name)) or MISSING, -1) for name in panel.image_ids])
        for panel in scores.panels
    ]
    pair = {"arm": plan.generative, "reference": plan.rival}
    return estimate(worst_change(scores, parts, **pair, seed=plan.seed), n=scores.whole.group_count)
