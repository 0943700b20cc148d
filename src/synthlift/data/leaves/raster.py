"""Polygons and soft noise in NumPy: the same pixels whatever drawing library is installed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from synthlift.types import Float64

FINE = 4
"""Sub-pixels a side: edges are smooth in :data:`FINE` × :data:`FINE` + 1 steps."""


def coverage(polygon: Float64, size: int) -> Float64:
    """How much of each pixel lies inside a closed polygon.

    Args:
        polygon: corners (x, y) [n, 2] in units of pixels, x to the right, y down.
        size: of the square picture.

    Returns:
        Shares in 0..1 [size, size]; a point is inside where a ray crosses an odd number of edges.
    """
    shares = np.zeros((size, size))
    low = np.clip(np.floor(polygon.min(axis=0)), 0, size).astype(np.intp)
    high = np.clip(np.ceil(polygon.max(axis=0)), 0, size).astype(np.intp)
    (left, top), (width, height) = low, high - low
    if width <= 0 or height <= 0:
        return shares
    inside = _inside((polygon - low) * FINE, height * FINE, width * FINE)
    parts = inside.reshape(height, FINE, width, FINE).sum(axis=(1, 3), dtype=np.int64)
    shares[top : top + height, left : left + width] = parts / FINE**2
    return shares


def _inside(start: Float64, height: int, width: int) -> NDArray[np.uint8]:
    """1 where the middle of a sub-pixel lies inside [height, width]."""
    end = np.roll(start, -1, axis=0)
    centres = np.arange(height) + 0.5
    edge, row = np.nonzero((start[:, 1, None] <= centres) != (end[:, 1, None] <= centres))
    share = (centres[row] - start[edge, 1]) / (end[edge, 1] - start[edge, 1])
    crossing = start[edge, 0] + share * (end[edge, 0] - start[edge, 0])
    column = np.clip(np.ceil(crossing - 0.5), 0, width).astype(np.intp)
    flips = np.zeros((height, width + 1), np.uint8)
    np.bitwise_xor.at(flips, (row, column), np.uint8(1))
    return np.bitwise_xor.accumulate(flips[:, :width], axis=1)


def stroke(points: Float64, widths: Float64) -> Float64:
    """The outline of a line of changing width.

    Args:
        points: of the line (x, y) [n, 2].
        widths: of the line at the points [n].

    Returns:
        Corners of a closed polygon [2n, 2].
    """
    along = np.gradient(points, axis=0)
    along /= np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-9)
    across = np.stack([-along[:, 1], along[:, 0]], axis=1) * (widths[:, None] / 2)
    return np.concatenate([points + across, (points - across)[::-1]])


def smooth(points: Float64, *, steps: int = 6) -> Float64:
    """A closed curve through all points (Catmull and Rom 1974) [n · steps, 2]."""
    before, after = np.roll(points, 1, axis=0), np.roll(points, -1, axis=0)
    beyond = np.roll(points, -2, axis=0)
    t = (np.arange(steps) / steps)[None, :, None]
    a, b, c, d = (p[:, None, :] for p in (before, points, after, beyond))
    curve = 0.5 * (
        2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3
    )
    return curve.reshape(-1, 2)


def straight(points: Float64, *, steps: int = 6) -> Float64:
    """The same number of points along straight edges, so that corners stay sharp."""
    t = (np.arange(steps) / steps)[None, :, None]
    return (points[:, None, :] * (1 - t) + np.roll(points, -1, axis=0)[:, None, :] * t).reshape(
        -1, 2
    )


def noise(rng: np.random.Generator, cells: int, size: int) -> Float64:
    """Soft noise with a grain of ``size / cells`` pixels: mean 0, values about -1..1."""
    grid = rng.uniform(-1, 1, (cells + 1, cells + 1))
    place = np.linspace(0, cells, size, endpoint=False)
    low = place.astype(np.intp)
    part = place - low
    part = part * part * (3 - 2 * part)
    rows = grid[low] * (1 - part)[:, None] + grid[low + 1] * part[:, None]
    soft: Float64 = rows[:, low] * (1 - part) + rows[:, low + 1] * part
    return soft


def blurred(values: Float64, radius: int) -> Float64:
    """A box blur twice, with the edge's values beyond the edge."""
    width = 2 * radius + 1
    for _ in range(2):
        for axis in (0, 1):
            padded = np.pad(
                values, [(radius, radius) if a == axis else (0, 0) for a in (0, 1)], "edge"
            )
            total = np.cumsum(padded, axis=axis)
            total = np.concatenate([np.zeros_like(np.take(total, [0], axis)), total], axis=axis)
            count = values.shape[axis]
            upper = np.take(total, np.arange(width, width + count), axis)
            values = (upper - np.take(total, np.arange(count), axis)) / width
    return values
