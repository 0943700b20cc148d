"""How much each test image moves a metric: its derivative by the image's weight.

The infinitesimal jackknife (Jaeckel 1972): the influences of all images add up to 0, and the
variance of their sums over test groups is the metric's variance due to the test set, to first
order. Shares of counts (precision, F1) and ranks (AUROC, average precision) both have them; where a
metric is undefined they are 0.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from synthlift.evaluation.metrics import (
    BINS,
    FROM_RANKS,
    POSITIVE,
    Ranking,
    bins_of,
    divide,
    rank_scores,
)
from synthlift.types import Float32, Float64, Int64

Influences = tuple[dict[str, Float64], dict[str, Float64]]
"""By metric, each [n], and per class by metric, each [n, K]."""


def rank_influences(positive: NDArray[np.bool_], score: Float32) -> dict[str, Float64]:
    """How much each image moves AUROC and average precision, float64 [n], adding up to 0.

    The derivative with respect to the image's weight (infinitesimal jackknife, Jaeckel 1972). For
    AUROC these are the structural components of DeLong et al. 1988; for average precision
    AP = Σ_pos prec(s_i) / P, an image at score s moves every precision at thresholds ≤ s.
    Zeros where the metric is undefined.
    """
    curve = Ranking.of(positive, score)
    positives, negatives = curve.true[-1], curve.false[-1]
    if not positives or not negatives:
        return {name: np.zeros(len(score)) for name in FROM_RANKS}
    value = rank_scores(positive, score)
    below = (negatives - curve.false + curve.misses / 2) / negatives
    above = (curve.true - curve.hits / 2) / positives
    placed = np.where(positive, below[curve.run] / positives, above[curve.run] / negatives)
    auroc = placed - value["auroc"] / np.where(positive, positives, negatives)
    called = curve.true + curve.false
    tail_one = _sum_from(curve.hits / called)[curve.run]
    tail_precision = _sum_from(curve.hits * curve.precision / called)[curve.run]
    moved = np.where(positive, tail_one, 0.0) - tail_precision
    own = np.where(positive, curve.precision[curve.run] - value["average_precision"], 0.0)
    return {"auroc": auroc, "average_precision": (own + moved) / positives}


def rank_influences_of(labels: Int64, probabilities: Float32) -> Influences:
    """Influences on AUROC and average precision of ``metrics.model_metrics``.

    Args:
        labels: class indices [n].
        probabilities: [n, K].
    """
    classes = probabilities.shape[1]
    parts = [rank_influences(labels == k, probabilities[:, k]) for k in range(classes)]
    per_class = {name: np.stack([p[name] for p in parts], axis=1) for name in FROM_RANKS}
    chosen = [POSITIVE] if classes == 2 else list(np.unique(labels))
    return {name: one[:, chosen].mean(axis=1) for name, one in per_class.items()}, per_class


def count_influences_of(labels: Int64, probabilities: Float32) -> Influences:
    """Influences on the metrics of ``metrics.resampled_metrics``, which are ratios of counts.

    A ratio a/b moves by (da − (a/b)·db)/b. A class without test images moves nothing, as it is
    left out of averages.

    Args:
        labels: class indices [n].
        probabilities: [n, K].
    """
    n, classes = probabilities.shape
    predicted, every = probabilities.argmax(axis=1), np.arange(classes)
    support = (labels[:, None] == every).astype(np.float64)
    called = (predicted[:, None] == every).astype(np.float64)
    hits = support * called
    rest, uncalled = 1 - support, 1 - called
    per_class = {
        "recall": _of_ratio(hits, support),
        "precision": _of_ratio(hits, called),
        "f1": _of_ratio(2 * hits, support + called),
        "specificity": _of_ratio(rest * uncalled, rest),
        "npv": _of_ratio(rest * uncalled, uncalled),
    }
    present = support.any(axis=0)
    for name in ("precision", "f1"):
        per_class[name] = np.where(present, per_class[name], 0.0)
    share, overall = support.mean(axis=0), dict[str, Float64]()
    for name in ("recall", "precision", "f1"):
        own = per_class[name]
        overall[f"macro_{name}"] = own[:, present].mean(axis=1)
        values = _ratio(name, hits, support, called)
        average = float(share @ values)
        overall[f"weighted_{name}"] = own @ share + (values[labels] - average) / n
    overall["balanced_accuracy"] = overall["macro_recall"]
    overall["accuracy"] = overall["weighted_recall"]
    if classes == 2:
        overall["ppv"] = per_class["precision"][:, POSITIVE]
        overall["npv"] = per_class["precision"][:, 1 - POSITIVE]
    overall["ece"] = _calibration(labels, probabilities)
    return overall, per_class


def _of_ratio(top: Float64, bottom: Float64) -> Float64:
    """Influences on Σ top / Σ bottom, column by column, [n, K]; 0 where nothing is below."""
    below = bottom.sum(axis=0)
    return divide(top - divide(top.sum(axis=0), below) * bottom, below)


def _ratio(name: str, hits: Float64, support: Float64, called: Float64) -> Float64:
    right, there, said = hits.sum(axis=0), support.sum(axis=0), called.sum(axis=0)
    values = {
        "recall": divide(right, there),
        "precision": divide(right, said),
        "f1": divide(2 * right, there + said),
    }
    return values[name]


def _calibration(labels: Int64, probabilities: Float32) -> Float64:
    """Influences on the expected calibration error: a bin's gap counts by its sign."""
    n = len(labels)
    confidence = probabilities.max(axis=1).astype(np.float64)
    gap = (probabilities.argmax(axis=1) == labels) - confidence
    bins = bins_of(confidence)
    sums = np.bincount(bins, gap, minlength=BINS)
    error = np.abs(sums).sum() / n
    result: Float64 = (np.sign(sums)[bins] * gap - error) / n
    return result


def _sum_from(values: Float64) -> Float64:
    """Sum of this and all later entries."""
    result: Float64 = np.cumsum(values[::-1])[::-1]
    return result
