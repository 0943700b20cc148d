"""Labels that are likely wrong: a classifier that never saw an image disagrees with confidence.

Confident learning (Northcutt, Jiang & Chuang 2021, "Confident Learning: Estimating Uncertainty in
Dataset Labels", section 3.1): a class's threshold is the mean probability of that class among the
images that bear its label. An image counts as another class when its probability for that class
reaches the threshold.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from synthlift.data.faults.folds import grouped_folds
from synthlift.types import Float32, Float64, Int64

_STRENGTHS = (0.03, 0.1, 0.3, 1.0, 3.0)
_AT_LEAST_TIMES = 3.0
_FALSE_ALARMS = 0.03
_FOLDS = 5
_TUNED_ON = 4000


@dataclass(frozen=True)
class Suspect:
    """An image whose label is likely wrong.

    Attributes:
        row: which image.
        given, suggested: class indices.
        p_given, p_suggested: out-of-fold probabilities of both.
    """

    row: int
    given: int
    suggested: int
    p_given: float
    p_suggested: float


def likely_label_errors(
    features: Float32, *, labels: Int64, groups: Sequence[str], rounds: int = 2
) -> list[Suspect]:
    """Rank the images whose label a classifier trained on other groups contradicts.

    The second round learns without the suspects of the first, since wrong labels teach wrongly.

    Args:
        features: float32 [N, D].
        labels: class indices int64 [N], each of 0 … K − 1 present.
        groups: the unit that never crosses a fold [N].
        rounds: how often probabilities are computed.

    Returns:
        Suspects, the most certain first (p_given − p_suggested, ties by row). Empty where
        :func:`~synthlift.data.faults.folds.grouped_folds` finds nothing to separate.
    """
    suspects: list[Suspect] = []
    for _ in range(rounds):
        trusted = np.ones(len(labels), dtype=bool)
        trusted[[s.row for s in suspects]] = False
        probabilities = out_of_fold(features, labels=labels, groups=groups, trusted=trusted)
        if probabilities is None:
            return []
        suspects = confident_disagreements(probabilities, labels=labels)
    return suspects


def confident_disagreements(probabilities: Float64, *, labels: Int64) -> list[Suspect]:
    """Images that count as another class than their label says.

    Two rules beyond the paper's keep a weak classifier from flagging a third of all images. The
    other class must be three times as likely as the given one. And no more images are flagged
    than 3 % of all beyond :func:`noise_rate`; the most certain stay.

    Args:
        probabilities: out-of-fold, float64 [N, K]; no image of its own group was learnt from.
        labels: given class indices [N].
    """
    rows = np.arange(len(labels))
    known = np.bincount(labels, minlength=probabilities.shape[1])
    own = probabilities[rows, labels]
    threshold = np.bincount(labels, weights=own, minlength=len(known)) / np.maximum(known, 1)
    beyond = np.where((probabilities >= threshold) & (known > 0), probabilities, -1.0)
    suggested = beyond.argmax(axis=1)
    likely = beyond.max(axis=1)
    wrong = (likely > 0) & (suggested != labels) & (likely >= _AT_LEAST_TIMES * own)
    chosen = np.flatnonzero(wrong)
    order = chosen[np.lexsort((chosen, (own - likely)[chosen]))]
    most = round((noise_rate(probabilities, labels=labels) + _FALSE_ALARMS) * len(labels))
    return [
        Suspect(int(r), int(labels[r]), int(suggested[r]), float(own[r]), float(likely[r]))
        for r in order[:most]
    ]


def noise_rate(probabilities: Float64, *, labels: Int64) -> float:
    """Share of wrong labels, judged where the classifier hardly errs.

    Of the tenth of the images that it is most certain of (at least 100), the share whose label
    disagrees.
    """
    likely = probabilities.max(axis=1)
    count = max(len(labels) // 10, min(100, len(labels)))
    surest = np.lexsort((np.arange(len(labels)), -likely))[:count]
    return float(np.mean(probabilities[surest].argmax(axis=1) != labels[surest]))


def out_of_fold(
    features: Float32,
    *,
    labels: Int64,
    groups: Sequence[str],
    trusted: np.ndarray | None = None,
) -> Float64 | None:
    """Class probabilities from a logistic regression that saw no image of the same group.

    The strength of its regularisation is chosen by log loss out of fold, on at most 4,000 images.

    Args:
        features: float32 [N, D].
        labels: class indices [N].
        groups: [N].
        trusted: boolean [N], what may be learnt from; None = everything.

    Returns:
        float64 [N, K]; None where folds cannot be made.
    """
    folds = grouped_folds(labels, groups=groups, folds=_FOLDS)
    if folds is None:
        return None
    usable = np.ones(len(labels), dtype=bool) if trusted is None else trusted
    scaled = (features - features.mean(axis=0)).astype(np.float32)
    scaled /= np.float32(np.sqrt(np.einsum("nd,nd->", scaled, scaled) / len(scaled)) or 1.0)
    some = np.arange(len(labels))[:: max(1, len(labels) // _TUNED_ON)]
    best, strength = np.inf, _STRENGTHS[0]
    for candidate in _STRENGTHS:
        found = _predicted(scaled[some], labels[some], folds[some], usable[some], candidate)
        own = found[np.arange(len(some)), labels[some]][usable[some]]
        loss = float(-np.log(np.maximum(own, 1e-12)).mean())
        if loss < best:
            best, strength = loss, candidate
    return _predicted(scaled, labels, folds, usable, strength)


def _predicted(
    features: Float32, labels: Int64, folds: Int64, usable: np.ndarray, strength: float
) -> Float64:
    from sklearn.linear_model import LogisticRegression

    out = np.zeros((len(labels), int(labels.max()) + 1))
    for fold in np.unique(folds):
        train, held = usable & (folds != fold), folds == fold
        seen = np.unique(labels[train])
        if len(seen) == 1:
            out[held, seen[0]] = 1
        elif len(seen):
            model = LogisticRegression(C=strength, max_iter=200, tol=1e-3)
            found = model.fit(features[train], labels[train]).predict_proba(features[held])
            out[np.ix_(held, model.classes_)] = found
    return out
