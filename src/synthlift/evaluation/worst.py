"""The worst of several parts of the test set, with either arm, and an interval for the change.

Which part is the worst differs from model to model, and the least of several shares is biased
downwards: both arms are measured the same way, by the mean over models of each model's own worst
part, so that neither part nor model is picked by looking at the difference.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from synthlift.evaluation.crossed import bootstrap_interval, draw_groups, layout, whole_rounds
from synthlift.evaluation.crossvalidated import nadeau_bengio
from synthlift.evaluation.intervals import Interval
from synthlift.evaluation.panels import Panel
from synthlift.evaluation.scores import Scores
from synthlift.types import Float32, Float64, Int64

DRAWS = 1000


def worst_change(
    scores: Scores, parts: Sequence[Int64], *, arm: str, reference: str, seed: int
) -> Interval:
    """Accuracy of the worst part with ``arm`` minus that with ``reference``.

    Args:
        scores: of the study; one panel, or one a fold.
        parts: the part of each image of each panel; -1 = of none.
        arm, reference: two of its arms.
        seed: of resampled test groups.

    Returns:
        Designs A and B: crossed bootstrap over test groups and rows (METHOD §4). Design C:
        Nadeau–Bengio over folds, in each the worst of the parts that it has test images of; a
        fold without any is left out.
    """
    panels = scores.panels
    if len(panels) > 1:
        changes = [
            float(np.mean(_worst(panel, part, arm) - _worst(panel, part, reference)))
            for panel, part in zip(panels, parts, strict=True)
        ]
        whole = layout(scores.whole.labels, scores.whole.groups, by="classes")
        return nadeau_bengio(
            np.array(changes),
            test_train_ratio=scores.test_train_ratio,
            floor=whole.variance_floor,
        )
    ((panel,), (part,)) = panels, parts
    rows = whole_rounds(panel.fits)
    design = layout(panel.labels, panel.groups, by="classes")
    weights = draw_groups(design, images=len(panel.labels), draws=DRAWS, seed=seed)
    drawn = _worst(panel, part, arm, weights) - _worst(panel, part, reference, weights)
    plain = _worst(panel, part, arm)[:, 0] - _worst(panel, part, reference)[:, 0]
    return bootstrap_interval(plain[rows].mean(axis=1), drawn[rows].mean(axis=1), design, seed=seed)


def _worst(panel: Panel, part: Int64, arm: str, weights: Float32 | None = None) -> Float64:
    """The least accuracy over the parts, per replicate and draw [R, B]; NaN where it has none."""
    within = part >= 0
    if not within.any():
        rows = len(panel.probabilities[arm])
        return np.full((rows, 1 if weights is None else len(weights)), np.nan)
    present, codes = np.unique(part[within], return_inverse=True)
    member = (codes[:, None] == np.arange(len(present))).astype(np.float64)
    if weights is None:
        weights = np.ones((1, len(part)), dtype=np.float32)
    used = weights[:, within].astype(np.float64)
    sizes = used @ member
    right = panel.probabilities[arm].argmax(axis=2) == panel.labels
    least = []
    for one in right[:, within]:
        with np.errstate(invalid="ignore", divide="ignore"):
            shares = (used @ (member * one[:, None])) / sizes
        least.append(np.nanmin(shares, axis=1))
    return np.stack(least)
