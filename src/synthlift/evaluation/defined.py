"""A metric that decides something must have a value to decide with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from synthlift.errors import InputError
from synthlift.evaluation.folds import BY_CLASS, WITHIN_FOLDS, FoldTests
from synthlift.evaluation.scores import Scores
from synthlift.evaluation.words import NAMES


def require_values(
    scores: Scores, arms: Sequence[str], *, metric: str, on: Literal["test", "validation"]
) -> None:
    """Refuse a metric that too few models of an arm have (AUROC where a fold holds one class).

    Or that averages over classes of which folds lack some.

    Raises:
        InputError: some arm has fewer than two values (none, where it has one model).
    """
    for arm in arms:
        if scores.defined(arm, metric):
            continue
        if isinstance(scores, FoldTests):
            names = zip(scores.whole.classes, scores.folds_by_class.tolist(), strict=True)
            require_classes(dict(names), metric=metric, of=scores.rows, on=on)
        values = scores.values(arm, metric)
        counted = f"{on} sets" if len(scores.panels) > 1 else "models"
        raise InputError(
            f"{NAMES[metric]} of '{arm}' has a value in {int(np.isfinite(values).sum())} of "
            f"{len(values)} {counted}",
            rule="the primary metric needs two values for an interval; this one has none where "
            f"all {on} images are of one class",
            remedy="take another primary metric, such as balanced_accuracy, or fewer, larger folds",
        )


def require_classes(
    folds: Mapping[str, int], *, metric: str, of: int, on: Literal["test", "validation"]
) -> None:
    """Refuse an average over classes of which too few folds have images.

    Args:
        folds: by class name, those that have ``on`` images of it; a class without any is not
            averaged over.
        metric: the primary metric.
        of: all folds.
        on: which images.

    Raises:
        InputError: some class is in fewer folds than the metric needs.
    """
    if metric not in (*BY_CLASS, *WITHIN_FOLDS):
        return
    least = of if metric in WITHIN_FOLDS else min(2, of)
    few = [f"{name} (in {n})" for name, n in folds.items() if 0 < n < least]
    if not few:
        return
    everywhere = metric in WITHIN_FOLDS
    other = "balanced_accuracy or accuracy" if everywhere else "accuracy"
    raise InputError(
        f"{NAMES[metric]} over {of} folds, of which some have no {on} image of {', '.join(few)}",
        rule=f"{NAMES[metric]} averages over classes, and needs images of each in "
        + ("every fold" if everywhere else "two folds"),
        remedy=f"take {other} as primary metric, or fewer, larger folds",
    )
