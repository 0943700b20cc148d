"""Where the lowest values of each class are cut off."""

from __future__ import annotations

import math

import numpy as np

from synthlift.types import Float64, Int64


def lowest_kept(
    values: Float64, labels: Int64, *, classes: int, keep: float, unseen: float
) -> Float64:
    """The lowest value of each class that stays when the share ``keep`` of it does [K].

    A cut over all classes would starve those that are found hard (METHOD §7).

    Args:
        values, labels: of the images that decide [n].
        classes: their number.
        keep: share of each class, in (0, 1].
        unseen: for a class without an image among them.
    """
    lowest = np.full(classes, unseen)
    for label in np.unique(labels):
        ordered = np.sort(values[labels == label])
        # Rounded first: (1 − 0.9)·10 is a hair below 1.
        lowest[label] = ordered[math.floor(round((1 - keep) * len(ordered), 9))]
    return lowest
