"""Intervals for any metric of any arm, or of any linear combination of arms.

A contrast is a mapping from arm to coefficient, such as ``{"mixed@1": 1, "augmented": -1}``; an
arm's own level is ``{arm: 1}``. Designs A and B share one test set (:class:`SharedTest`), design C
has one per fold (``folds.FoldTests``).
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, final

import numpy as np

from synthlift.evaluation.crossed import (
    Layout,
    bootstrap_interval,
    crossed_interval,
    draw_groups,
    image_influences,
    influence_interval,
    layout,
    row_means,
    whole_rounds,
)
from synthlift.evaluation.influences import (
    Influences,
    count_influences_of,
    rank_influences_of,
)
from synthlift.evaluation.intervals import Interval
from synthlift.evaluation.metrics import (
    FROM_RANKS,
    POSITIVE,
    image_losses,
    model_metrics,
    resampled_metrics,
)
from synthlift.evaluation.panels import Panel
from synthlift.types import Float32, Float64, Int64

Coefficients = Mapping[str, float]
Results = tuple[dict[str, Float64], dict[str, Float64]]
LINEAR: dict[str, str | int] = {
    "accuracy": "images",
    "weighted_recall": "images",
    "balanced_accuracy": "classes",
    "macro_recall": "classes",
    "sensitivity": POSITIVE,
    "specificity": 1 - POSITIVE,
}
LOSSES = ("nll", "brier")
MAXIMUM_DRAWS, MINIMUM_DRAWS = 1000, 200
# Weighted predictions that may be counted in all; above it draws are saved, to the minimum.
WORK = 2e9
# Arms whose influences per image and class are kept in memory.
KEPT = 4


class Scores(ABC):
    """What the outcome asks of a design.

    Attributes:
        panels: one, or one a fold.
        test_train_ratio: of folds, images tested over images trained on.
    """

    panels: tuple[Panel, ...]
    test_train_ratio: float = 0.0

    def values(self, arm: str, metric: str, *, of_class: int | None = None) -> Float64:
        """The metric of each model of ``arm``: per replicate [R], or per fold [J]."""
        overall, per_class = self._models[arm]
        return overall[metric] if of_class is None else per_class[metric][:, of_class]

    @property
    @abstractmethod
    def _models(self) -> dict[str, Results]:
        """By arm every metric of each model, and per class."""

    @abstractmethod
    def interval(
        self, coefficients: Coefficients, metric: str, *, of_class: int | None = None
    ) -> Interval:
        """Interval of a linear combination of arms in one metric (of one class)."""

    @abstractmethod
    def signature(
        self, coefficients: Coefficients, metric: str, *, of_class: int | None = None
    ) -> Float64:
        """A vector; two contrasts' estimates covary (about) as their vectors' product."""

    def defined(self, arm: str, metric: str, *, of_class: int | None = None) -> bool:
        """Whether enough models have a value for an interval: two, or the only one."""
        known = int(np.isfinite(self.values(arm, metric, of_class=of_class)).sum())
        return known >= min(2, self.replicates)

    @property
    @abstractmethod
    def rows(self) -> int:
        """Independent rows: fits, draws, replicates given a pool, or folds."""

    @property
    @abstractmethod
    def replicates(self) -> int:
        """Models of each arm that count."""

    @cached_property
    def class_groups(self) -> Int64:
        """Distinct test groups of each class, int64 [K]."""
        return self.whole.class_groups()

    @cached_property
    def class_images(self) -> Int64:
        """Distinct test images of each class, int64 [K]."""
        return self.whole.class_images()

    @property
    @abstractmethod
    def whole(self) -> Panel:
        """All distinct test images as one panel (without predictions in design C)."""


@final
class SharedTest(Scores):
    """Designs A and B.

    Args:
        panel: all arms on the one test set.
        seed: of the bootstrap.
        draws: of test groups; None = 1,000, fewer where that would take minutes.
        shared: ρ/(1 − ρ) of rows that share ρ of their training images, where the interval is to
            speak of other training images, too (see :mod:`~synthlift.evaluation.crossed`).
    """

    def __init__(
        self, panel: Panel, *, seed: int, draws: int | None = None, shared: float = 0.0
    ) -> None:
        self.panels, self._panel, self._seed, self._shared = (panel,), panel, seed, shared
        self._rows = whole_rounds(panel.fits)
        work = len(panel.labels) * len(panel.probabilities)
        affordable = int(WORK / (work * len(panel.replicates)))
        self._draws = draws or min(MAXIMUM_DRAWS, max(MINIMUM_DRAWS, affordable))
        self._layouts: dict[str | int, Layout] = {}
        self._cache: dict[str, Results] = {}
        self._influence_cache: dict[str, Results] = {}

    def sharing(self, shared: float) -> SharedTest:
        """The same scores, with intervals that speak of other training images, too."""
        other = copy.copy(self)
        other._shared = shared
        return other

    @property
    def rows(self) -> int:
        """Fits, draws, or replicates given a pool."""
        return len(self._rows)

    @property
    def replicates(self) -> int:
        """Replicates in whole rounds of fits."""
        return int(self._rows.size)

    @property
    def whole(self) -> Panel:
        """The test set."""
        return self._panel

    def interval(
        self, coefficients: Coefficients, metric: str, *, of_class: int | None = None
    ) -> Interval:
        """See :class:`Scores`."""
        by = linear_form(metric, of_class)
        if by is not None:
            scores = self._scores(coefficients, metric)
            floor = metric not in LOSSES
            return crossed_interval(scores, self._layout(by), floor=floor, shared=self._shared)
        design = self._layout("classes")
        if self._is_linearised(metric):
            return influence_interval(
                self._estimates(coefficients, metric, of_class),
                self._influences(coefficients, metric, of_class)[:, design.images],
                design,
                floor=design.variance_floor,
                method="crossed components of influences, t",
                shared=self._shared,
            )
        return bootstrap_interval(
            self._estimates(coefficients, metric, of_class),
            self._resampled(coefficients, metric, of_class),
            design,
            seed=self._seed,
            shared=self._shared,
        )

    def signature(
        self, coefficients: Coefficients, metric: str, *, of_class: int | None = None
    ) -> Float64:
        """See :class:`Scores`."""
        estimates = self._estimates(coefficients, metric, of_class)
        rows = len(estimates)
        fit = (estimates - estimates.mean()) / np.sqrt(max(rows * (rows - 1), 1))
        by = linear_form(metric, of_class)
        if by is None and not self._is_linearised(metric):
            mean = self._resampled(coefficients, metric, of_class).mean(axis=0)
            spread = np.nan_to_num(mean - np.nanmean(mean))
            return np.concatenate([fit, spread / np.sqrt(len(mean) - 1)])
        groups = self._panel.groups
        if by is None:
            influences = self._influences(coefficients, metric, of_class)
        else:
            design = self._layout(by)
            groups = groups[design.images]
            _, influences = image_influences(self._scores(coefficients, metric), design)
        test = np.bincount(groups, influences.mean(axis=0), minlength=self._panel.group_count)
        return np.concatenate([fit, test])

    def _estimates(self, coefficients: Coefficients, metric: str, of_class: int | None) -> Float64:
        """The metric per row, combined over arms [F]."""
        total = np.zeros(self.rows)
        for arm, coefficient in coefficients.items():
            values = self.values(arm, metric, of_class=of_class)
            total += coefficient * row_means(values, self._rows)
        return total

    def _scores(self, coefficients: Coefficients, metric: str) -> Float64:
        """Per-image scores combined over arms, averaged over the seeds of each row [F, n]."""
        labels = self._panel.labels
        total = np.zeros((len(self._panel.replicates), len(labels)))
        for arm, coefficient in coefficients.items():
            probabilities = self._panel.probabilities[arm]
            if metric in LOSSES:
                total += coefficient * image_losses(labels, probabilities)[metric]
            else:
                total += coefficient * (probabilities.argmax(axis=2) == labels)
        return row_means(total, self._rows)

    def _is_linearised(self, metric: str) -> bool:
        """Whether influences of images stand for the test set, rather than resamples of it.

        Ratios of counts are resampled, unless a class has one test group only: it would be in
        every resample, as if it were known with certainty.
        """
        return metric in FROM_RANKS or self._layout("classes").has_lone_groups

    def _influences(self, coefficients: Coefficients, metric: str, of_class: int | None) -> Float64:
        """Influences on a metric without a linear form, combined over arms [F, n]."""
        total = np.zeros((self.rows, len(self._panel.labels)))
        for arm, coefficient in coefficients.items():
            overall, per_class = self._influences_of(arm)
            influences = overall[metric] if of_class is None else per_class[metric][..., of_class]
            total += coefficient * influences
        return total

    def _influences_of(self, arm: str) -> Results:
        """One arm's influences per row: [F, n], per class [F, n, K]."""
        if arm not in self._influence_cache:
            while len(self._influence_cache) >= KEPT:
                del self._influence_cache[next(iter(self._influence_cache))]
            probabilities = self._panel.probabilities[arm]
            self._influence_cache[arm] = stacked(
                [
                    merged([self._of_model(probabilities[r]) for r in row], np.mean)
                    for row in self._rows
                ]
            )
        return self._influence_cache[arm]

    def _of_model(self, probabilities: Float32) -> Influences:
        labels = self._panel.labels
        overall, per_class = rank_influences_of(labels, probabilities)
        if self._layout("classes").has_lone_groups:
            counted, counted_per_class = count_influences_of(labels, probabilities)
            overall, per_class = overall | counted, per_class | counted_per_class
        return overall, per_class

    def _resampled(self, coefficients: Coefficients, metric: str, of_class: int | None) -> Float64:
        """The metric per row and draw of test groups, combined over arms [F, B]."""
        total = np.zeros((self.rows, self._draws))
        for arm, coefficient in coefficients.items():
            overall, per_class = self._resample(arm)
            drawn = overall[metric] if of_class is None else per_class[metric][..., of_class]
            total += coefficient * drawn
        return total

    def _layout(self, by: str | int) -> Layout:
        if by not in self._layouts:
            self._layouts[by] = layout(self._panel.labels, self._panel.groups, by=by)
        return self._layouts[by]

    @cached_property
    def _models(self) -> dict[str, Results]:
        return {
            arm: stacked([model_metrics(self._panel.labels, one) for one in probabilities])
            for arm, probabilities in self._panel.probabilities.items()
        }

    @cached_property
    def _weights(self) -> Float32:
        return draw_groups(
            self._layout("classes"),
            images=len(self._panel.labels),
            draws=self._draws,
            seed=self._seed,
        )

    def _resample(self, arm: str) -> Results:
        """Every count metric of one arm per row and draw: [F, B], per class [F, B, K]."""
        if arm not in self._cache:
            labels, probabilities = self._panel.labels, self._panel.probabilities[arm]
            rows = []
            for row in self._rows:
                drawn = [
                    resampled_metrics(labels, probabilities[r], weights=self._weights) for r in row
                ]
                rows.append(merged(drawn, np.mean))
            self._cache[arm] = stacked(rows)
        return self._cache[arm]


def linear_form(metric: str, of_class: int | None) -> str | int | None:
    """How a metric is a mean over images, see ``crossed.layout``; None where it is not."""
    if of_class is not None:
        return of_class if metric == "recall" else None
    return "images" if metric in LOSSES else LINEAR.get(metric)


def stacked(results: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]]) -> Results:
    """Metrics of several models along a new first axis."""
    return merged(results, np.stack)


def merged(
    results: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]],
    function: Callable[..., Any],
) -> Results:
    """Join the same metric of several models along a new first axis (stack), or average it."""
    return (
        {name: function([r[0][name] for r in results], axis=0) for name in results[0][0]},
        {name: function([r[1][name] for r in results], axis=0) for name in results[0][1]},
    )
