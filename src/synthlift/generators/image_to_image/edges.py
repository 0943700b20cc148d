"""Edges of an image, as ControlNets are trained to follow them (Canny 1986). No torch here."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from synthlift.types import UInt8

SMOOTHING = 1.0
LOW, HIGH = 0.1, 0.2
"""Of the largest gradient: where an edge may go on, and where it may begin."""


def edges(image: UInt8) -> UInt8:
    """Thin edges, uint8 [H, W], 255 or 0.

    The gradient of the smoothed grey image is kept where it is larger than on both sides across
    the edge; of these, what is strong, and what touches it and is not weak.

    Args:
        image: uint8 [H, W, C].
    """
    grey = ndimage.gaussian_filter(image.astype(np.float64).mean(axis=2), SMOOTHING)
    down, right = ndimage.sobel(grey, axis=0), ndimage.sobel(grey, axis=1)
    size = np.hypot(down, right)
    if size.max() == 0:
        return np.zeros(size.shape, np.uint8)
    thin = np.where(_is_ridge(size, down, right), size, 0) / size.max()
    parts, _ = ndimage.label(thin > LOW, structure=np.ones((3, 3)))
    strong = np.unique(parts[thin > HIGH])
    return np.where(np.isin(parts, strong[strong > 0]), 255, 0).astype(np.uint8)


def _is_ridge(size: np.ndarray, down: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Where the gradient is as large as one pixel before and after, in its own direction."""
    length = np.where(size > 0, size, 1)
    rows, columns = np.indices(size.shape)
    before, after = (
        ndimage.map_coordinates(
            size, (rows + sign * down / length, columns + sign * right / length), order=1
        )
        for sign in (-1, 1)
    )
    ridge: np.ndarray = (size >= before) & (size >= after)
    return ridge
