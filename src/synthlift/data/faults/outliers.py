"""Images unlike all others of their class, and images that hardly show anything."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from synthlift.data.faults.spread import Measures
from synthlift.types import Float32, Float64, Int64

_NEIGHBOURS = 5
_SMALLEST_CLASS = 10
_FAR = 4.0
_BLANK, _DARK, _BRIGHT = 2.0, 12.0, 243.0


class Outlier(NamedTuple):
    """An image far from every other of its class; ``score``: robust z of that distance."""

    row: int
    score: float


class Oddity(NamedTuple):
    """An image that hardly shows anything: blank, very dark, very bright or blurred."""

    row: int
    kind: str
    detail: str


def class_outliers(features: Float32, *, labels: Int64, cut: float = _FAR) -> list[Outlier]:
    """Find images that lie far from every other image of their class.

    The distance is the mean to the 5 nearest of the class, on a log scale, where it is about
    normal; z is taken from the median and the median absolute deviation of the class. Classes
    of fewer than 10 images have no outliers.

    Args:
        features: float32 [N, D].
        labels: class indices [N].
        cut: z beyond which an image counts.

    Returns:
        The farthest first, ties by row.
    """
    from synthlift.vision.neighbours import nearest

    found = []
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        if len(rows) < _SMALLEST_CLASS:
            continue
        own = features[rows]
        distances = nearest(own, references=own, k=_NEIGHBOURS, same=True).distances
        score = robust_z(np.log(distances.mean(axis=1) + 1e-9))
        found += [Outlier(int(rows[i]), float(score[i])) for i in np.flatnonzero(score > cut)]
    return sorted(found, key=lambda outlier: (-outlier.score, outlier.row))


def robust_z(values: Float64) -> Float64:
    """Distance to the median in robust standard deviations (1.4826 × MAD); 0 without spread."""
    gap = values - np.median(values)
    spread = 1.4826 * np.median(np.abs(gap))
    scaled: Float64 = gap / spread if spread > 0 else np.zeros_like(gap)
    return scaled


def oddities(measures: Sequence[Measures]) -> list[Oddity]:
    """Find images that are blank, very dark, very bright or blurred; at most one kind an image.

    Fixed limits but for blur, which depends on what is shown: 4 robust standard deviations below
    the data set's typical ratio of sharpness to contrast, on a log scale.

    Args:
        measures: of all images at one size.
    """
    table = np.array(measures, dtype=np.float64).reshape(-1, 3)
    brightness, contrast, sharpness = table.T
    blank = contrast < _BLANK
    blur = np.zeros(len(table))
    shown = np.flatnonzero(~blank)
    if len(shown) >= _SMALLEST_CLASS:
        blur[shown] = -robust_z(np.log((sharpness[shown] + 1e-3) / contrast[shown]))
    found = []
    for row in range(len(table)):
        if blank[row]:
            found.append(Oddity(row, "blank", f"one grey level, {brightness[row]:.0f} of 255"))
        elif brightness[row] < _DARK:
            found.append(Oddity(row, "very dark", f"mean {brightness[row]:.0f} of 255"))
        elif brightness[row] > _BRIGHT:
            found.append(Oddity(row, "very bright", f"mean {brightness[row]:.0f} of 255"))
        elif blur[row] > _FAR:
            detail = f"{blur[row]:.1f} deviations below typical sharpness"
            found.append(Oddity(row, "blurred", detail))
    return found
