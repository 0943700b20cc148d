"""Quantiles of real images class by class: what new images are measured by."""

from __future__ import annotations

import numpy as np

from synthlift.types import Float64, Int64

FEWEST = 20
"""Classes with fewer images take their quantiles from all such classes together (METHOD §5)."""


def class_quantiles(
    values: Float64, *, labels: Int64, classes: int, quantile: float, fewest: int = FEWEST
) -> Float64:
    """One quantile of every class, so that no cut of all classes starves a hard one (METHOD §7).

    Args:
        values: measured on real images [n] or [n, M], n ≥ 1.
        labels: their class indices [n].
        classes: K.
        quantile: in [0, 1].
        fewest: a class with fewer images shares the quantile of all such classes, or that of all
            images where those are fewer, too.

    Returns:
        [K] or [K, M]; classes without images share as well.
    """
    sizes = np.bincount(labels[labels >= 0], minlength=classes)
    shared = np.isin(labels, np.flatnonzero(sizes < fewest))
    common = values[shared] if shared.sum() >= fewest else values
    found = np.empty((classes, *values.shape[1:]))
    for label in range(classes):
        own = values[labels == label] if sizes[label] >= fewest else common
        found[label] = np.quantile(own, quantile, axis=0)
    return found
