"""Per-model metrics.

Those made of counts take image weights [B, n], so that one code serves estimates and bootstrap:
row b holds one resample's multiplicities of the n images; the estimate itself is the row of ones.

Undefined cases, everywhere the same: a class without test images has no recall and is left out of
every average; precision, PPV and F1 of a class that is never predicted are 0 (as in scikit-learn's
default); AUROC, average precision and sensitivity at a specificity need both kinds of images and
are NaN, and left out of averages, otherwise.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from synthlift.types import Float32, Float64, Int64

BINS = 15
SPECIFICITY = 0.9
FROM_RANKS = ("auroc", "average_precision")
PER_CLASS_RANKS = ("auroc", "average_precision", "sensitivity_at_90_specificity")
# The class counted as positive when there are two: the second by name.
POSITIVE = 1


@dataclass(frozen=True)
class Counts:
    """Weighted counts per class, each float64 [B, K]: a confusion matrix's diagonal and margins.

    Attributes:
        hits: images of the class that were called so.
        support: images of the class.
        called: images that were called so.
    """

    hits: Float64
    support: Float64
    called: Float64


def confusion(labels: Int64, predicted: Int64, *, classes: int) -> Int64:
    """Confusion matrix, int64 [K, K]; rows = true class."""
    cells = np.bincount(labels * classes + predicted, minlength=classes**2)
    return cells.reshape(classes, classes).astype(np.int64)


def class_counts(
    labels: Int64, predicted: Int64, *, classes: int, weights: Float32 | None = None
) -> Counts:
    """Count per class, for each row of ``weights`` [B, n] (None = one row of ones)."""
    rows = np.ones((1, len(labels)), dtype=np.float32) if weights is None else weights
    right = predicted == labels
    return Counts(
        hits=_by_class(rows[:, right], labels[right], classes),
        support=_by_class(rows, labels, classes),
        called=_by_class(rows, predicted, classes),
    )


def class_scores(counts: Counts) -> dict[str, Float64]:
    """One-vs-rest scores, each [B, K]: recall, precision, f1, specificity, npv.

    Recall is the class's sensitivity, precision its PPV.
    """
    hits, support, called = counts.hits, counts.support, counts.called
    total = support.sum(axis=1, keepdims=True)
    correct_rest = total - support - called + hits
    absent = support == 0
    return {
        "recall": divide(hits, support, empty=np.nan),
        "precision": np.where(absent, np.nan, divide(hits, called)),
        "f1": np.where(absent, np.nan, divide(2 * hits, support + called)),
        "specificity": divide(correct_rest, total - support, empty=np.nan),
        "npv": divide(correct_rest, total - called),
    }


def count_metrics(counts: Counts, scores: Mapping[str, Float64]) -> dict[str, Float64]:
    """Overall metrics, each [B], from counts and their class scores."""
    share = counts.support / counts.support.sum(axis=1, keepdims=True)

    def weighted(name: str) -> Float64:
        result: Float64 = np.nansum(share * scores[name], axis=1)
        return result

    accuracy = weighted("recall")
    balanced = _mean(scores["recall"])
    return {
        "accuracy": accuracy,
        "balanced_accuracy": balanced,
        "macro_recall": balanced,
        "macro_precision": _mean(scores["precision"]),
        "macro_f1": _mean(scores["f1"]),
        "weighted_precision": weighted("precision"),
        "weighted_recall": accuracy,
        "weighted_f1": weighted("f1"),
    }


def rank_scores(positive: NDArray[np.bool_], score: Float32) -> dict[str, float]:
    """Threshold-free scores of one class against the rest.

    AUROC counts ties as one half (Mann–Whitney); average precision is Σ (R_i − R_{i−1}) P_i over
    distinct thresholds, without interpolation; sensitivity at 90 % specificity is the largest
    over the observed thresholds whose specificity is at least 0.9.

    Args:
        positive: whether an image belongs to the class [n].
        score: its probability for the class [n].
    """
    curve = Ranking.of(positive, score)
    positives, negatives = curve.true[-1], curve.false[-1]
    if not positives or not negatives:
        return dict.fromkeys(PER_CLASS_RANKS, np.nan)
    below = negatives - curve.false + curve.misses / 2
    enough = curve.false <= (1 - SPECIFICITY) * negatives + 1e-9
    return {
        "auroc": float(curve.hits @ below / (positives * negatives)),
        "average_precision": float(curve.hits @ curve.precision / positives),
        "sensitivity_at_90_specificity": float(np.where(enough, curve.true, 0).max() / positives),
    }


@dataclass(frozen=True)
class Ranking:
    """Runs of equal scores, highest first.

    Attributes:
        run: of each image [n].
        hits, misses: positives and negatives in each run.
        true, false: their running sums.
        precision: of calling all so far positive.
    """

    run: Int64
    hits: Float64
    misses: Float64
    true: Float64
    false: Float64
    precision: Float64

    @classmethod
    def of(cls, positive: NDArray[np.bool_], score: Float32) -> Ranking:
        """Rank images [n], positive or not, by their scores [n]."""
        distinct, ascending = np.unique(score, return_inverse=True)
        run = len(distinct) - 1 - ascending
        hits = np.bincount(run[positive], minlength=len(distinct)).astype(np.float64)
        misses = np.bincount(run[~positive], minlength=len(distinct)).astype(np.float64)
        true, false = np.cumsum(hits), np.cumsum(misses)
        return cls(run, hits, misses, true, false, true / (true + false))


def calibration_error(
    labels: Int64, probabilities: Float32, *, weights: Float32 | None = None
) -> Float64:
    """Expected calibration error [B]: Σ_bins share · |accuracy − confidence|, 15 equal bins.

    Guo et al. 2017, eq. 3; bins (i/15, (i+1)/15] over the largest probability.
    """
    n = len(labels)
    rows = np.ones((1, n)) if weights is None else weights
    confidence = probabilities.max(axis=1).astype(np.float64)
    gap = (probabilities.argmax(axis=1) == labels) - confidence
    cells = sparse.csr_matrix((gap, (np.arange(n), bins_of(confidence))), shape=(n, BINS))
    result: Float64 = np.abs(np.asarray(cells.T @ rows.T)).sum(axis=0) / rows.sum(axis=1)
    return result


def reliability(labels: Int64, probabilities: Float32) -> list[dict[str, float]]:
    """Reliability diagram: per bin its borders, count, mean confidence and accuracy.

    Args:
        labels: [n].
        probabilities: [n, K], or [R, n, K] pooled over replicates.
    """
    flat = probabilities.reshape(-1, probabilities.shape[-1])
    truth = np.tile(labels, len(flat) // len(labels))
    confidence = flat.max(axis=1).astype(np.float64)
    right = flat.argmax(axis=1) == truth
    bins = bins_of(confidence)
    count = np.bincount(bins, minlength=BINS)
    mean_confidence = np.bincount(bins, confidence, minlength=BINS)
    mean_right = np.bincount(bins, right, minlength=BINS)
    return [
        {
            "low": i / BINS,
            "high": (i + 1) / BINS,
            "count": float(count[i]),
            "confidence": float(mean_confidence[i] / count[i]),
            "accuracy": float(mean_right[i] / count[i]),
        }
        for i in range(BINS)
        if count[i]
    ]


def image_losses(labels: Int64, probabilities: Float32) -> dict[str, Float64]:
    """Per-image scores whose mean is a metric, each [..., n].

    ``nll`` is −log p(true class), p not below 1e-7; ``brier`` is Σ_k (p_k − y_k)² over all
    classes (Brier 1950; in [0, 2]).
    """
    chosen = probabilities[..., np.arange(len(labels)), labels].astype(np.float64)
    squares = (probabilities.astype(np.float64) ** 2).sum(axis=-1)
    return {
        "nll": -np.log(np.maximum(chosen, 1e-7)),
        "brier": squares - 2 * chosen + 1,
    }


def model_metrics(
    labels: Int64, probabilities: Float32
) -> tuple[dict[str, float], dict[str, Float64]]:
    """All metrics of one model.

    Args:
        labels: [n].
        probabilities: [n, K].

    Returns:
        Metrics by name, and per-class metrics by name, each [K].
    """
    classes = probabilities.shape[1]
    drawn, drawn_per_class = resampled_metrics(labels, probabilities, weights=None)
    overall = {name: float(values[0]) for name, values in drawn.items()}
    per_class = {name: values[0] for name, values in drawn_per_class.items()}
    ranks = [rank_scores(labels == k, probabilities[:, k]) for k in range(classes)]
    per_class |= {name: np.array([r[name] for r in ranks]) for name in PER_CLASS_RANKS}
    for name in FROM_RANKS:
        values = per_class[name]
        overall[name] = float(values[POSITIVE] if classes == 2 else _mean(values[None])[0])
    if classes == 2:
        overall |= _binary(per_class)
    for name, losses in image_losses(labels, probabilities).items():
        overall[name] = float(losses.mean())
    return overall, per_class


def resampled_metrics(
    labels: Int64, probabilities: Float32, *, weights: Float32 | None
) -> tuple[dict[str, Float64], dict[str, Float64]]:
    """The metrics without a linear form, over resamples of the test set.

    Args:
        labels: [n].
        probabilities: [n, K].
        weights: [B, n]; None = one row of ones.

    Returns:
        Metrics by name, each [B], and per-class metrics by name, each [B, K].
    """
    classes = probabilities.shape[1]
    counts = class_counts(labels, probabilities.argmax(axis=1), classes=classes, weights=weights)
    per_class = class_scores(counts)
    overall = count_metrics(counts, per_class)
    if classes == 2:
        overall |= {
            "ppv": per_class["precision"][:, POSITIVE],
            "npv": per_class["precision"][:, 1 - POSITIVE],
        }
    overall["ece"] = calibration_error(labels, probabilities, weights=weights)
    return overall, per_class


def _binary(per_class: Mapping[str, Float64]) -> dict[str, float]:
    chosen = {
        "sensitivity": per_class["recall"][POSITIVE],
        "specificity": per_class["recall"][1 - POSITIVE],
        "sensitivity_at_90_specificity": per_class["sensitivity_at_90_specificity"][POSITIVE],
    }
    return {name: float(value) for name, value in chosen.items()}


def _by_class(weights: Float32, classes_of_images: Int64, classes: int) -> Float64:
    n = len(classes_of_images)
    members = sparse.csr_matrix(
        (np.ones(n, np.float32), (np.arange(n), classes_of_images)), shape=(n, classes)
    )
    counts: Float64 = np.asarray(members.T @ weights.T, dtype=np.float64).T
    return counts


def bins_of(confidence: Float64) -> Int64:
    """Calibration bin of each confidence, 0 … ``BINS`` − 1."""
    return np.clip(np.ceil(confidence * BINS).astype(np.int64) - 1, 0, BINS - 1)


def divide(top: Float64, bottom: Float64, *, empty: float = 0.0) -> Float64:
    """The quotient, or ``empty`` where the divisor is 0."""
    result: Float64 = np.full(np.broadcast_shapes(top.shape, bottom.shape), empty)
    np.divide(top, bottom, out=result, where=bottom > 0)
    return result


def _mean(values: Float64) -> Float64:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        result: Float64 = np.nanmean(values, axis=1)
    return result
