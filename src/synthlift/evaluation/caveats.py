"""What is said beside a verdict that its two arms alone do not tell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from synthlift.evaluation.plan import EvaluationPlan
from synthlift.evaluation.scores import Scores
from synthlift.spec.results import VerdictWord

HELPED = ("helps", "helps_less_than_margin")
TRAINED_BY = ("augmentation", "loss", "sampler", "duplicate", "tuning")
"""Parts of an arm's recipe that are not about its images."""
REGIME, IN_FEATURES = "regime", "feature_"
"""Part of a recipe, and how the values begin by which the head is trained apart."""


def differing_recipes(plan: EvaluationPlan) -> list[str]:
    """A warning where the verdict's arms differ in more than synthetic images.

    Not of arms that stand for what each fold chose: folds may have chosen different recipes.
    """
    ours, theirs = plan.arm(plan.generative), plan.arm(plan.rival)
    if ours.stands_for_choices or theirs.stands_for_choices:
        return []
    differs = [
        f"{name} {_told(one)} and {_told(other)}"
        for name in (*TRAINED_BY, REGIME)
        if (one := _way(ours.recipe, name)) != (other := _way(theirs.recipe, name))
    ]
    if not differs:
        return []
    pair = f"'{plan.label(plan.generative)}' and '{plan.label(plan.rival)}'"
    told = f"{pair} also differ in how they train ({'; '.join(differs)}): what synthetic images do "
    return [told + "by themselves, this comparison does not tell."]


def outdoing(scores: Scores, plan: EvaluationPlan, word: VerdictWord) -> str:
    """The best rival that does as well as the arm that helps, beside the verdict's own.

    Returns:
        Its name; "" = the arm does not help, or does best.
    """
    if word not in HELPED:
        return ""
    found = {
        arm.name: _score(scores, arm.name, plan)
        for arm in plan.arms
        if arm.role == "rival" and not arm.stands_for_choices and arm.name != plan.rival
    }
    best = max(found, key=lambda name: found[name], default="")
    return best if best and found[best] >= _score(scores, plan.generative, plan) else ""


def said_of_outdone(name: str, scores: Scores, plan: EvaluationPlan) -> str:
    """The warning about the rival of :func:`outdoing`."""
    reached, better = _score(scores, plan.generative, plan), _score(scores, name, plan)
    return (
        f"Without synthetic images '{plan.label(name)}' does as well or better: "
        f"{100 * better:.1f} against {100 * reached:.1f} %. They help beside "
        f"'{plan.label(plan.rival)}', which is what was asked before the test was opened."
    )


def _score(scores: Scores, arm: str, plan: EvaluationPlan) -> float:
    values = scores.values(arm, plan.metric)
    return float(np.nanmean(values)) if np.isfinite(values).any() else -np.inf


def _way(recipe: Mapping[str, Any], name: str) -> object:
    """One part of a recipe; in what order images are used is about images."""
    value = recipe.get(name)
    return None if name == REGIME and not str(value).startswith(IN_FEATURES) else value


def _told(value: object) -> str:
    return "none" if value is None else str(value)
