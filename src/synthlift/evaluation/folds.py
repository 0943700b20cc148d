"""Design C: one test set a fold, and other sets that differ from row to row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import final

import numpy as np

from synthlift.evaluation.crossed import layout
from synthlift.evaluation.crossvalidated import nadeau_bengio
from synthlift.evaluation.intervals import Interval
from synthlift.evaluation.metrics import model_metrics
from synthlift.evaluation.panels import Panel
from synthlift.evaluation.scores import (
    LOSSES,
    Coefficients,
    Results,
    Scores,
    linear_form,
    merged,
    stacked,
)
from synthlift.types import Float64, Int64

BY_CLASS = {"balanced_accuracy": "recall", "macro_recall": "recall"}
"""Averages over classes, and of what: each class has its value in a fold whatever else it holds."""
WITHIN_FOLDS = ("macro_precision", "macro_f1")
"""Averages over classes that mean little in a fold without images of some: nothing else there
could have been called them wrongly."""


@final
class FoldTests(Scores):
    """Design C, and other sets that differ from row to row (validation, synthetic tests).

    A fold that lacks a class – a patient who is held out has one disease – says nothing of it.
    Balanced accuracy is the mean over classes of each class's recall, averaged over the folds that
    have it, never the mean over folds of what each averages over its own classes: that would weigh
    a class by how many folds it is in.

    Args:
        panels: one per fold or row; several models of an arm in one panel are averaged.
        test_train_ratio: images tested over images trained on, per fold; 0 for plain t.
    """

    def __init__(self, panels: tuple[Panel, ...], *, test_train_ratio: float) -> None:
        self.panels, self.test_train_ratio = panels, test_train_ratio

    @property
    def rows(self) -> int:
        """Folds."""
        return len(self.panels)

    @property
    def replicates(self) -> int:
        """Models of each arm: folds, or more where folds were tested repeatedly."""
        return sum(len(panel.replicates) for panel in self.panels)

    @cached_property
    def whole(self) -> Panel:
        """All distinct test images, without predictions."""
        identifiers = np.concatenate([panel.image_ids for panel in self.panels])
        _, first = np.unique(identifiers, return_index=True)
        names = np.concatenate([panel.group_names[panel.groups] for panel in self.panels])[first]
        group_names, groups = np.unique(names, return_inverse=True)
        return Panel(
            classes=self.panels[0].classes,
            image_ids=identifiers[first],
            labels=np.concatenate([panel.labels for panel in self.panels])[first],
            groups=groups.astype(np.int64),
            group_names=group_names,
            replicates=np.zeros(0, dtype=np.int64),
            fits=np.zeros(0, dtype=np.int64),
            probabilities={},
        )

    def defined(self, arm: str, metric: str, *, of_class: int | None = None) -> bool:
        """See :class:`Scores`; averages over classes need each class in several folds."""
        if of_class is None and metric in (*BY_CLASS, *WITHIN_FOLDS):
            folds = self.folds_by_class
            there = folds[folds > 0]
            if metric in WITHIN_FOLDS and (there < self.rows).any():
                return False
            if (there < min(2, self.rows)).any():
                return False
        known = int(np.isfinite(self.values(arm, metric, of_class=of_class)).sum())
        return known >= min(2, self.rows)

    @cached_property
    def folds_by_class(self) -> Int64:
        """Folds that have test images of each class, int64 [K]."""
        there = np.stack([panel.class_images() > 0 for panel in self.panels])
        counts: Int64 = there.sum(axis=0, dtype=np.int64)
        return counts

    def interval(
        self, coefficients: Coefficients, metric: str, *, of_class: int | None = None
    ) -> Interval:
        """See :class:`Scores`."""
        by = linear_form(metric, of_class)
        design = layout(self.whole.labels, self.whole.groups, by="classes" if by is None else by)
        return nadeau_bengio(
            self._combined(coefficients, metric, of_class),
            test_train_ratio=self.test_train_ratio,
            floor=0.0 if metric in LOSSES else design.variance_floor,
        )

    def signature(
        self, coefficients: Coefficients, metric: str, *, of_class: int | None = None
    ) -> Float64:
        """See :class:`Scores`."""
        values = self._combined(coefficients, metric, of_class)
        return np.nan_to_num(values - np.nanmean(values))

    def _combined(self, coefficients: Coefficients, metric: str, of_class: int | None) -> Float64:
        total = np.zeros(len(self.panels))
        for arm, coefficient in coefficients.items():
            total += coefficient * self.values(arm, metric, of_class=of_class)
        return total

    @cached_property
    def _models(self) -> dict[str, Results]:
        found = {
            arm: stacked([_panel_means(panel, arm) for panel in self.panels])
            for arm in self.panels[0].probabilities
        }
        folds = self.folds_by_class
        if (folds[folds > 0] < self.rows).any():
            for overall, per_class in found.values():
                for name, of_classes in BY_CLASS.items():
                    overall[name] = class_averages(per_class[of_classes])
        return found


def class_averages(of_classes: Float64) -> Float64:
    """The mean over classes, as one value a fold whose mean it is and whose spread it has [J].

    With r̄_k the mean of class k over the J_k folds that have it, the average θ is the mean of the
    K r̄_k, and fold j has θ + (J/K) Σ_k (r_jk − r̄_k)/J_k: the linearised ratio. Where all folds have
    all classes that is the fold's own mean.

    Args:
        of_classes: [J, K]; NaN where a fold lacks the class.
    """
    known = np.isfinite(of_classes)
    there = known.any(axis=0)
    values, known = of_classes[:, there], known[:, there]
    folds, classes = known.shape
    counts = known.sum(axis=0)
    means = np.where(known, values, 0.0).sum(axis=0) / counts
    apart = np.where(known, values - means, 0.0) / counts
    result: Float64 = means.mean() + (folds / classes) * apart.sum(axis=1)
    return result


def distinct_folds(panels: Sequence[Panel]) -> tuple[Panel, ...]:
    """Panels of the same test images as one, with the models of all: they are no further folds.

    Folds that are not dealt anew – one patient left out, folds that were published – come again
    when a study has several repeats of them.
    """
    found: dict[tuple[str, ...], Panel] = {}
    for panel in panels:
        key = tuple(panel.image_ids.tolist())
        before = found.get(key)
        found[key] = panel if before is None else _joined(before, panel)
    return tuple(found.values())


def _joined(first: Panel, second: Panel) -> Panel:
    return replace(
        first,
        replicates=np.concatenate([first.replicates, second.replicates]),
        fits=np.concatenate([first.fits, second.fits]),
        probabilities={
            arm: np.concatenate([one, second.probabilities[arm]])
            for arm, one in first.probabilities.items()
        },
    )


def _panel_means(panel: Panel, arm: str) -> Results:
    """A panel's metrics, averaged over its replicates."""
    models = [model_metrics(panel.labels, one) for one in panel.probabilities[arm]]
    return merged(models, np.mean)
