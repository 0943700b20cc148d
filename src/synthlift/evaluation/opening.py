"""From a predictions table to scores, in the form that the design asks for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from synthlift.errors import InputError
from synthlift.evaluation.folds import FoldTests, distinct_folds
from synthlift.evaluation.panels import fold_panels, shared_panel
from synthlift.evaluation.plan import EvaluationPlan
from synthlift.evaluation.predictions import Predictions
from synthlift.evaluation.scores import Scores, SharedTest


def open_scores(predictions: Predictions, plan: EvaluationPlan) -> Scores:
    """The test predictions of all planned arms, in the form that the design asks for."""
    test = predictions.select(evaluation_set="test", variant="clean")
    arms = [arm.name for arm in plan.arms]
    if plan.design == "cross_validated":
        return _open_folds(test, plan, arms)
    panel = shared_panel(test, arms=arms)
    if plan.fits is not None:
        missing = [int(r) for r in panel.replicates if int(r) not in plan.fits]
        assert not missing, f"the plan names no fit for replicates {missing}"
        fits = np.array([plan.fits[int(r)] for r in panel.replicates], dtype=np.int64)
        panel = replace(panel, fits=fits)
    return SharedTest(panel, seed=plan.seed, draws=plan.draws)


def _open_folds(test: Predictions, plan: EvaluationPlan, arms: Sequence[str]) -> FoldTests:
    panels = distinct_folds(fold_panels(test, arms=arms))
    if len(panels) < 2 or (test.whole("fold") < 0).any():
        raise InputError(
            f"the table has {len(panels)} fold(s)",
            rule="a cross-validated study numbers its folds 0 … J−1 in column 'fold', J ≥ 2",
            remedy="number the folds, or evaluate as one common test set (fold -1)",
        )
    ratio = plan.test_train_ratio
    if ratio is None:
        tested = sum(len(panel.labels) for panel in panels)
        distinct = len(np.unique(np.concatenate([panel.image_ids for panel in panels])))
        folds = len(panels) / (tested / distinct)
        ratio = 1 / max(folds - 1, 1)
    return FoldTests(panels, test_train_ratio=ratio)
