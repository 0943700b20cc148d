"""Labels that are likely wrong: a classifier that never saw an image disagrees with confidence.

Out-of-fold probabilities are compared with the given labels under a model of label noise, as
confident learning does (Northcutt, Jiang & Chuang 2021, "Confident Learning: Estimating Uncertainty
in Dataset Labels"), here of its simplest kind: a share of the labels is wrong, and a wrong label is
any other class alike (Angluin & Laird 1988). With that, the threshold of suspicion follows from the
share of false alarms that is accepted, and how many of the wrong labels it finds is estimated too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from synthlift.data.faults.folds import grouped_folds
from synthlift.types import Float32, Float64, Int64

_STRENGTHS = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
_WORSE = 0.01
_SHARPER = tuple(np.geomspace(0.5, 2.5, 17).tolist())
_FIRST_SHARE, _ROUNDS, _MOST_WRONG = 0.05, 60, 0.5
_FALSE_ALARMS = 0.04
_LEAST_LIKELY, _LEAST_SHARE = 0.05, 0.01
_FOLDS = 5
_TUNED_ON = 4000


@dataclass(frozen=True)
class Suspect:
    """An image whose label is likely wrong.

    Attributes:
        row: which image.
        given, suggested: class indices.
        p_given, p_suggested: out-of-fold probabilities of both, calibrated.
        p_wrong: how likely the label is wrong, were one label in a hundred wrong or, where more
            are, the estimated share.
    """

    row: int
    given: int
    suggested: int
    p_given: float
    p_suggested: float
    p_wrong: float


@dataclass(frozen=True)
class LabelErrors:
    """Suspects and what is to be thought of them.

    Attributes:
        suspects: the least likely given label first (ties by row).
        wrong_share: estimated share of wrong labels among all, 0 to 0.5.
        found_share: estimated share of the wrong labels that are among the suspects, 0 to 1.
    """

    suspects: tuple[Suspect, ...] = ()
    wrong_share: float = 0.0
    found_share: float = 0.0


@dataclass(frozen=True)
class Noise:
    """The model of label noise as fitted: a share of wrong labels, and how far to trust p.

    Attributes:
        share: of wrong labels, 0 to 0.5.
        probabilities: calibrated, float64 [N, K]: raised to the power under which the given labels
            are likeliest, and normalised.
    """

    share: float
    probabilities: Float64


def likely_label_errors(features: Float32, *, labels: Int64, groups: Sequence[str]) -> LabelErrors:
    """Find the images whose label a classifier that learnt from other groups contradicts.

    Args:
        features: float32 [N, D].
        labels: class indices int64 [N], each of 0 … K − 1 present.
        groups: the unit that never crosses a fold [N].

    Returns:
        No suspects where :func:`~synthlift.data.faults.folds.grouped_folds` finds nothing to
        separate.
    """
    probabilities = out_of_fold(features, labels=labels, groups=groups)
    if probabilities is None:
        return LabelErrors()
    return disagreements(probabilities, labels=labels)


def disagreements(probabilities: Float64, *, labels: Int64) -> LabelErrors:
    """Images that are suspect while about 4 % of the right labels are.

    Of the images whose given label is no likelier than a threshold, the share F is counted. A wrong
    label is any other class, so the share R of all other classes' probabilities below the threshold
    says how many wrong labels it finds. With the share e of wrong labels, F = e R + (1 − e) A: the
    false alarms A follow, and the largest threshold with A ≤ 4 % is taken. A label is suspect only
    where another class is likelier and where it is wrong with 5 % at least.

    Args:
        probabilities: out-of-fold, float64 [N, K], K ≥ 2; no image of its own group was learnt
            from.
        labels: given class indices [N].
    """
    count, classes = probabilities.shape
    rows = np.arange(count)
    noise = fit_noise(probabilities, labels=labels)
    own = noise.probabilities[rows, labels]
    others = np.ones((count, classes), dtype=bool)
    others[rows, labels] = False
    order = np.lexsort((rows, own))
    below = np.searchsorted(np.sort(noise.probabilities[others]), own[order], side="right")
    found_share = below / (count * (classes - 1))
    alarms = ((rows + 1) / count - noise.share * found_share) / (1 - noise.share)
    share = max(noise.share, _LEAST_SHARE)
    wrong = _wrong(own, classes, share)
    suspect = (
        (np.maximum.accumulate(alarms) <= _FALSE_ALARMS)
        & (wrong[order] >= _LEAST_LIKELY)
        & (noise.probabilities.argmax(axis=1) != labels)[order]
    )
    places = np.flatnonzero(suspect)
    suspects = []
    for row in order[places].tolist():
        suggested = int(noise.probabilities[row].argmax())
        suspects.append(
            Suspect(
                row,
                int(labels[row]),
                suggested,
                float(own[row]),
                float(noise.probabilities[row, suggested]),
                float(wrong[row]),
            )
        )
    if not suspects:
        return LabelErrors((), noise.share, 0.0)
    # A wrong label is found up to where the next image would be, unless it looks likeliest.
    end = own[order[min(places[-1] + 1, count - 1)]]
    others[rows, noise.probabilities.argmax(axis=1)] = False
    found = int(np.sum(noise.probabilities[others] < end))
    return LabelErrors(tuple(suspects), noise.share, found / (count * (classes - 1)))


def fit_noise(probabilities: Float64, *, labels: Int64) -> Noise:
    """Fit the share of wrong labels, and a power that calibrates, by maximum likelihood.

    The share e maximises the likelihood of the given labels, Σ log((1 − e) p + e (1 − p)/(K − 1))
    with p the probability of the given label (by expectation maximisation), for each power of a
    grid; the likeliest pair stays.

    Args:
        probabilities: float64 [N, K], K ≥ 2.
        labels: given class indices [N].
    """
    rows, classes = np.arange(len(labels)), probabilities.shape[1]
    logs = np.log(np.maximum(probabilities, 1e-9))
    logs -= logs.max(axis=1, keepdims=True)
    best, likeliest = Noise(0.0, probabilities), -np.inf
    for power in _SHARPER:
        sharpened = np.exp(power * logs)
        sharpened /= sharpened.sum(axis=1, keepdims=True)
        own = sharpened[rows, labels]
        share = _FIRST_SHARE
        for _ in range(_ROUNDS):
            share = min(float(_wrong(own, classes, share).mean()), _MOST_WRONG)
        likelihood = float(np.log(_mixed(own, classes, share) + 1e-300).sum())
        if likelihood > likeliest:
            best, likeliest = Noise(share, sharpened), likelihood
    return best


def _mixed(own: Float64, classes: int, share: float) -> Float64:
    """Probability of the given labels where a share is wrong."""
    return (1 - share) * own + share * (1 - own) / (classes - 1)


def _wrong(own: Float64, classes: int, share: float) -> Float64:
    """Posterior probability that each label is wrong."""
    out: Float64 = share * (1 - own) / (classes - 1) / (_mixed(own, classes, share) + 1e-300)
    return out


def out_of_fold(features: Float32, *, labels: Int64, groups: Sequence[str]) -> Float64 | None:
    """Class probabilities from a logistic regression that saw no image of the same group.

    The strength of its regularisation is chosen by log loss out of fold, on at most 4,000 images.

    Args:
        features: float32 [N, D].
        labels: class indices [N].
        groups: [N].

    Returns:
        float64 [N, K]; None where folds cannot be made.
    """
    folds = grouped_folds(labels, groups=groups, folds=_FOLDS)
    if folds is None:
        return None
    scaled = (features - features.mean(axis=0)).astype(np.float32)
    scaled /= np.float32(np.sqrt(np.einsum("nd,nd->", scaled, scaled) / len(scaled)) or 1.0)
    some = np.arange(len(labels))[:: max(1, len(labels) // _TUNED_ON)]
    best, strength = np.inf, _STRENGTHS[0]
    for candidate in _STRENGTHS:
        found = _predicted(scaled[some], labels[some], folds[some], candidate)
        own = found[np.arange(len(some)), labels[some]]
        loss = float(-np.log(np.maximum(own, 1e-12)).mean())
        if loss < best:
            best, strength = loss, candidate
        elif loss > best + _WORSE:
            break  # weaker still takes longest to fit, and is worse still
    return _predicted(scaled, labels, folds, strength)


def _predicted(features: Float32, labels: Int64, folds: Int64, strength: float) -> Float64:
    from sklearn.linear_model import LogisticRegression

    out = np.zeros((len(labels), int(labels.max()) + 1))
    for fold in np.unique(folds):
        train, held = folds != fold, folds == fold
        seen = np.unique(labels[train])
        if len(seen) == 1:
            out[held, seen[0]] = 1
        elif len(seen):
            model = LogisticRegression(C=strength, max_iter=200, tol=1e-3)
            found = model.fit(features[train], labels[train]).predict_proba(features[held])
            out[np.ix_(held, model.classes_)] = found
    return out
