"""The 3 × 3 table (trained on × tested on) and the multiple curve."""

from __future__ import annotations

from typing import Literal

import numpy as np

from synthlift.evaluation.contrasts import estimate
from synthlift.evaluation.crossvalidated import nadeau_bengio
from synthlift.evaluation.folds import FoldTests
from synthlift.evaluation.levels import level
from synthlift.evaluation.panels import Panel, replicate_panels
from synthlift.evaluation.plan import EvaluationPlan
from synthlift.evaluation.predictions import Predictions
from synthlift.evaluation.scores import Scores
from synthlift.spec.facts import Estimate
from synthlift.spec.results import Cell, CurvePoint

Kind = Literal["real", "synthetic", "mixed"]


def table_3x3(predictions: Predictions, scores: Scores, plan: EvaluationPlan) -> list[Cell]:
    """Train on real / synthetic / mixed × test on real / synthetic / mixed (source S3).

    The mixed test is the union of both test sets. Cells that were not measured are left out.
    """
    trained = table_arms(plan)
    cells = [
        Cell(train=kind, test="real", arm=arm, estimate=level(scores, arm, plan.metric))
        for kind, arm in trained.items()
    ]
    synthetic = predictions.select(evaluation_set="synthetic", variant="clean")
    if not len(synthetic):
        return cells
    real = predictions.select(evaluation_set="test", variant="clean")
    both = predictions.where(
        np.isin(_sets(predictions), ("test", "synthetic")) & _clean(predictions)
    )
    for test, rows in (("synthetic", synthetic), ("mixed", both)):
        measured = set(synthetic.arms()) & set(real.arms())
        for kind, arm in trained.items():
            if arm in measured:
                found = _cell(rows, arm, plan.metric, test_train_ratio=scores.test_train_ratio)
                if found is not None:
                    cells.append(Cell(train=kind, test=_kind(test), arm=arm, estimate=found))
    return cells


def table_arms(plan: EvaluationPlan) -> dict[Kind, str]:
    """Which arm stands for each row: the plain rival, the first synthetic-only and mixed arms.

    Without a mixed arm over all classes the primary generative arm stands in.
    """
    arms: dict[Kind, str] = {"real": plan.plain or plan.rival}
    for arm in plan.arms:
        if arm.role == "generative" and arm.regime == "synthetic_only":
            arms.setdefault("synthetic", arm.name)
        elif arm.role == "generative" and (arm.regime, arm.target) == ("joint", "all"):
            arms.setdefault("mixed", arm.name)
    arms.setdefault("mixed", plan.generative)
    return arms


def curve(scores: Scores, plan: EvaluationPlan) -> list[CurvePoint]:
    """The primary metric against the multiple; multiple 0 is the arm without synthetic images."""
    points = []
    origins = {"plain": plan.plain, "best_rival": plan.rival}
    series = dict.fromkeys(
        (arm.target, arm.base)
        for arm in plan.arms
        if arm.role == "generative" and arm.regime == "joint"
    )
    for target, base in series:
        members = [
            (arm.multiple, arm.name)
            for arm in plan.arms
            if arm.role == "generative"
            and not arm.stands_for_choices
            and (arm.regime, arm.target, arm.base) == ("joint", target, base)
        ]
        origin = origins.get(base)
        for multiple, name in [*([(0.0, origin)] if origin else []), *sorted(members)]:
            points.append(
                CurvePoint(
                    arm=name,
                    target=target,
                    base=base,
                    multiple=multiple,
                    estimate=level(scores, name, plan.metric),
                )
            )
    return points


def _cell(rows: Predictions, arm: str, metric: str, *, test_train_ratio: float) -> Estimate | None:
    """None where the metric has no value (AUROC on images of one class).

    Folds have training images in common, whatever they are tested on: the ratio says how many.
    """
    mine = rows.select(arm=arm)
    panels = replicate_panels(mine, arms=[arm])
    by_fit: dict[int, list[Panel]] = {}
    for panel in panels:
        fit = int(panel.fits[0])
        by_fit.setdefault(fit if fit >= 0 else -1 - int(panel.replicates[0]), []).append(panel)
    by_row = [
        FoldTests(tuple(group), test_train_ratio=0.0).values(arm, metric)
        for group in by_fit.values()
    ]
    values = [float(row[np.isfinite(row)].mean()) for row in by_row if np.isfinite(row).any()]
    if not values:
        return None
    if len(values) < 2:
        return Estimate(value=values[0], n=len(panels[0].labels), method="one row, no interval")
    interval = nadeau_bengio(np.array(values), test_train_ratio=test_train_ratio)
    return estimate(interval, n=len(panels[0].labels), share=True)


def _sets(predictions: Predictions) -> np.ndarray:
    codes, names = predictions.codes("evaluation_set")
    return np.array(names)[codes]


def _clean(predictions: Predictions) -> np.ndarray:
    codes, names = predictions.codes("variant")
    clean: np.ndarray = np.array(names)[codes] == "clean"
    return clean


def _kind(text: str) -> Kind:
    return "synthetic" if text == "synthetic" else "mixed"
