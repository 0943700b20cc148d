"""How alike an image and the one that it should be are."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from synthlift.types import Float64, UInt8

WINDOW = 7
K1, K2 = 0.01, 0.03
GREY = 255.0


def similarity(first: UInt8, second: UInt8) -> Float64:
    """Structural similarity of pairs (Wang 2004, eq. 13), averaged over places and channels.

    Windows are squares of 7 pixels, evenly weighted, that lie inside the image – of the largest
    odd side that does, in smaller images – with unbiased variances.

    Args:
        first, second: uint8 [n, H, W, C].

    Returns:
        float64 [n] in [-1, 1]; 1 = equal.
    """
    height, width = first.shape[1:3]
    side = min(WINDOW, min(height, width) - (min(height, width) + 1) % 2)
    a, b = first.astype(np.float64), second.astype(np.float64)
    edge, count = side // 2, side**2

    def mean(values: Float64) -> Float64:
        found: NDArray[np.float64] = ndimage.uniform_filter(values, (1, side, side, 1))
        return found[:, edge : height - edge, edge : width - edge]

    of_a, of_b = mean(a), mean(b)
    unbiased = count / max(1, count - 1)
    spread_a, spread_b = ((mean(x * x) - m * m) * unbiased for x, m in ((a, of_a), (b, of_b)))
    together = (mean(a * b) - of_a * of_b) * unbiased
    c1, c2 = (K1 * GREY) ** 2, (K2 * GREY) ** 2
    alike = (2 * of_a * of_b + c1) * (2 * together + c2)
    whole = (of_a**2 + of_b**2 + c1) * (spread_a + spread_b + c2)
    values: Float64 = (alike / whole).mean(axis=(1, 2, 3))
    return values


def signal_to_noise(first: UInt8, second: UInt8) -> Float64:
    """Peak signal-to-noise ratio of pairs in decibels, float64 [n]; infinite where equal."""
    apart = (first.astype(np.float64) - second.astype(np.float64)) ** 2
    with np.errstate(divide="ignore"):
        found: Float64 = 10 * np.log10(GREY**2 / apart.mean(axis=(1, 2, 3)))
    return found
