"""Choices on validation: the best rival, and the best multiple by the one-standard-error rule."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from synthlift.evaluation.defined import require_values
from synthlift.evaluation.folds import FoldTests
from synthlift.evaluation.panels import Panel, fold_panels, shared_panel
from synthlift.evaluation.predictions import Predictions
from synthlift.evaluation.scores import Scores, SharedTest
from synthlift.types import Int64

MINIMUM_GROUPS = 20


@dataclass(frozen=True)
class Choice:
    """What validation says.

    Attributes:
        arm: the arm for the primary contrast.
        recommended: the arm for use; the rival itself where multiple 0 is as good.
        values: the metric of each candidate, mean over replicates.
        reason: in words, for the recorded decision.
    """

    arm: str
    recommended: str
    values: Mapping[str, float]
    reason: str


def enough_to_select(class_groups: Int64) -> bool:
    """Whether every class has the 20 validation groups that a choice needs (METHOD §2)."""
    return bool((class_groups >= MINIMUM_GROUPS).all())


def validation_scores(predictions: Predictions, *, arms: Sequence[str], seed: int = 0) -> Scores:
    """Scores over the rows of ``evaluation_set == "validation"``.

    One common validation set is crossed with the replicates; sets that differ from draw to draw,
    or from fold to fold, give one value each.
    """
    rows = predictions.select(evaluation_set="validation", variant="clean")
    codes, names = rows.codes("arm")
    rows = rows.where(np.isin(codes, [names.index(arm) for arm in arms if arm in names]))
    if (rows.whole("fold") >= 0).any():
        panels = fold_panels(rows, arms=arms)
    else:
        panels = _by_draw(rows, arms=arms)
    if len(panels) == 1:
        return SharedTest(panels[0], seed=seed)
    return FoldTests(panels, test_train_ratio=0.0)


def best_rival(predictions: Predictions, *, rivals: Sequence[str], metric: str) -> Choice:
    """The rival with the highest mean metric on validation; the first named wins a tie.

    Raises:
        InputError: the metric has no value on these validation images.
    """
    scores = validation_scores(predictions, arms=rivals)
    require_values(scores, rivals, metric=metric, on="validation")
    values = {arm: float(np.nanmean(scores.values(arm, metric))) for arm in rivals}
    arm = rivals[highest(list(values.values()))]
    reason = f"highest {metric} on validation ({values[arm]:.4f}) of {len(rivals)} rivals"
    return Choice(arm=arm, recommended=arm, values=values, reason=reason)


def best_multiple(
    predictions: Predictions, *, rival: str, candidates: Mapping[str, float], metric: str
) -> Choice:
    """The generative arm by the one-standard-error rule toward the smaller multiple.

    Args:
        predictions: with validation rows of all these arms.
        rival: the best rival; it is the candidate with multiple 0.
        candidates: multiple (> 0) by arm.
        metric: the primary metric.

    Returns:
        ``arm``: the choice among multiples > 0, which the primary contrast tests;
        ``recommended``: the choice with multiple 0 as a candidate.

    Raises:
        InputError: the metric has no value on these validation images.
    """
    arms = [rival, *candidates]
    multiples = [0.0, *candidates.values()]
    scores = validation_scores(predictions, arms=arms)
    require_values(scores, arms, metric=metric, on="validation")
    values = [float(np.nanmean(scores.values(arm, metric))) for arm in arms]

    def spread(one: int, other: int) -> float:
        return scores.interval({arms[one]: 1.0, arms[other]: -1.0}, metric).standard_error

    chosen, recommended = choose_multiple(multiples, values, spread)
    best = arms[highest(values)]
    reason = (
        f"smallest multiple within one standard error of the best on validation ('{best}', "
        f"{metric} {max(values):.4f}); with multiple 0 as a candidate the choice is "
        f"'{arms[recommended]}'"
    )
    return Choice(
        arm=arms[chosen],
        recommended=arms[recommended],
        values=dict(zip(arms, values, strict=True)),
        reason=reason,
    )


def weakest_of_the_best(predictions: Predictions, *, arms: Sequence[str], metric: str) -> Choice:
    """The first arm within one standard error of the best on validation (Breiman et al. 1984).

    Args:
        predictions: with validation rows of all these arms.
        arms: from the weakest to the strongest.
        metric: the primary metric.

    Raises:
        InputError: the metric has no value on these validation images.
    """
    scores = validation_scores(predictions, arms=arms)
    require_values(scores, arms, metric=metric, on="validation")
    values = [float(np.nanmean(scores.values(arm, metric))) for arm in arms]

    def spread(one: int, other: int) -> float:
        return scores.interval({arms[one]: 1.0, arms[other]: -1.0}, metric).standard_error

    _, weakest = choose_multiple(range(len(arms)), values, spread)
    reason = f"weakest within one standard error of the best on validation ({metric})"
    return Choice(
        arm=arms[weakest],
        recommended=arms[weakest],
        values=dict(zip(arms, values, strict=True)),
        reason=reason,
    )


def highest(values: Sequence[float]) -> int:
    """Index of the largest value; the first one wins a tie."""
    return int(np.argmax(values))


def choose_multiple(
    multiples: Sequence[float], values: Sequence[float], spread: Callable[[int, int], float]
) -> tuple[int, int]:
    """The one-standard-error rule (Breiman et al. 1984), with paired standard errors.

    Args:
        multiples: of each candidate; the first is 0.
        values: the metric of each.
        spread: standard error of the difference between two candidates.

    Returns:
        The choice among multiples > 0 and the choice among all.
    """

    def choose(allowed: Sequence[int]) -> int:
        best = allowed[highest([values[i] for i in allowed])]
        good = [i for i in allowed if i == best or values[best] - values[i] <= spread(best, i)]
        return min(good, key=lambda i: (multiples[i], -values[i], i))

    every = range(len(multiples))
    return choose(every[1:]), choose(every)


def _by_draw(rows: Predictions, *, arms: Sequence[str]) -> tuple[Panel, ...]:
    """One panel for each distinct set of validation images, with the replicates that share it."""
    images, replicates = rows.codes("image_id")[0], rows.whole("replicate")
    sharing: dict[frozenset[int], list[int]] = {}
    for one in np.unique(replicates):
        sharing.setdefault(frozenset(images[replicates == one].tolist()), []).append(int(one))
    return tuple(
        shared_panel(rows.where(np.isin(replicates, members)), arms=arms)
        for members in sharing.values()
    )
