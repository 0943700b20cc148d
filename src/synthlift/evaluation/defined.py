"""A metric that decides something must have a value to decide with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from synthlift.errors import InputError
from synthlift.evaluation.scores import Scores
from synthlift.evaluation.words import NAMES


def require_values(
    scores: Scores, arms: Sequence[str], *, metric: str, on: Literal["test", "validation"]
) -> None:
    """Refuse a metric that too few models of an arm have (AUROC where a fold holds one class).

    Raises:
        InputError: some arm has fewer than two values (none, where it has one model).
    """
    for arm in arms:
        if scores.defined(arm, metric):
            continue
        values = scores.values(arm, metric)
        counted = f"{on} sets" if len(scores.panels) > 1 else "models"
        raise InputError(
            f"{NAMES[metric]} of '{arm}' has a value in {int(np.isfinite(values).sum())} of "
            f"{len(values)} {counted}",
            rule="the primary metric needs two values for an interval; this one has none where "
            f"all {on} images are of one class",
            remedy="take another primary metric, such as balanced_accuracy, or fewer, larger folds",
        )
