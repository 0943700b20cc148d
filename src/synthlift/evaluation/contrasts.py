"""Contrasts in the form of ``results.json``, singly and in families."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from synthlift.evaluation.intervals import Interval
from synthlift.evaluation.multiplicity import holm, max_t_quantile
from synthlift.evaluation.scores import Scores
from synthlift.spec.facts import Estimate
from synthlift.spec.results import EQUIVALENCE_LEVEL, Contrast


@dataclass(frozen=True)
class Question:
    """One comparison: ``arm`` minus ``reference`` in one metric (of one class).

    Attributes:
        arm, reference: names for the record.
        metric: its name.
        coefficients: of arms; None = arm minus reference.
        of_class: class index for per-class metrics.
    """

    arm: str
    reference: str
    metric: str
    coefficients: Mapping[str, float] | None = None
    of_class: int | None = None

    @property
    def weights(self) -> Mapping[str, float]:
        """Coefficient of each arm."""
        return self.coefficients or {self.arm: 1.0, self.reference: -1.0}

    def interval(self, scores: Scores) -> Interval:
        """The answer."""
        return scores.interval(self.weights, self.metric, of_class=self.of_class)


def estimate(interval: Interval, *, n: int, share: bool = False) -> Estimate:
    """An interval for the results file; with ``share`` its bounds are kept within [0, 1]."""
    low, high = interval.bounds()
    if share:
        low, high = max(low, 0.0), min(high, 1.0)
    return Estimate(value=interval.value, low=low, high=high, n=n, method=interval.method)


def contrast(question: Question, interval: Interval, *, n: int, family: str) -> Contrast:
    """One contrast for the results file, unadjusted."""
    equivalence_low, equivalence_high = interval.bounds(EQUIVALENCE_LEVEL)
    return Contrast(
        arm=question.arm,
        reference=question.reference,
        metric=question.metric,
        family=family,
        difference=estimate(interval, n=n),
        equivalence_low=equivalence_low,
        equivalence_high=equivalence_high,
        standard_error=interval.standard_error,
        degrees_of_freedom=interval.degrees_of_freedom,
        p_value=interval.p_value,
        minimal_detectable_effect=interval.minimal_detectable_effect,
        components=dict(interval.components),
    )


def family(
    scores: Scores, questions: Sequence[Question], *, name: str, n: Sequence[int], seed: int
) -> list[Contrast]:
    """Several contrasts with Holm's p-values and max-T simultaneous intervals.

    Args:
        scores: of the study.
        questions: all in metrics of one kind, so that their estimates can be correlated.
        name: of the family.
        n: test groups behind each.
        seed: of the max-T draws.
    """
    if not questions:
        return []
    intervals = [question.interval(scores) for question in questions]
    adjusted = holm([interval.p_value for interval in intervals])
    signatures = [scores.signature(q.weights, q.metric, of_class=q.of_class) for q in questions]
    critical = max_t_quantile(
        correlation(signatures),
        df=min(interval.degrees_of_freedom for interval in intervals),
        seed=seed,
    )
    return [
        contrast(question, interval, n=count, family=name).model_copy(
            update={
                "p_holm": p,
                "simultaneous_low": interval.value - critical * interval.standard_error,
                "simultaneous_high": interval.value + critical * interval.standard_error,
            }
        )
        for question, interval, count, p in zip(questions, intervals, n, adjusted, strict=True)
    ]


def correlation(signatures: Sequence[np.ndarray]) -> np.ndarray:
    """Correlation [C, C] of estimates from their signatures; constants correlate with nothing."""
    length = max(len(signature) for signature in signatures)
    matrix = np.stack([np.pad(s, (0, length - len(s))) for s in signatures])
    norms = np.linalg.norm(matrix, axis=1)
    unit = matrix / np.where(norms > 0, norms, 1.0)[:, None]
    result: np.ndarray = unit @ unit.T
    np.fill_diagonal(result, 1.0)
    return result
