"""The lines of digits and shapes, as points: what a pen of any thickness follows.

Points lie in a square from -1 to 1, x to the right and y down.
"""

from __future__ import annotations

import functools
import importlib.util
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import KDTree

from synthlift.drawings.traits import SHAPES
from synthlift.types import Float64

HELD_OUT = 360
"""The last digits of scikit-learn's 1,797: the embedded models never saw them."""

Strokes = NDArray[np.float32]
"""Points of a drawing's lines [P, 2]."""

ZOOM = 5
"""Enlargement of the 8 × 8 pixels before their middle line is sought."""

INK = 0.15
"""Share of a digit's darkest grey below which a pixel is paper."""

BLUR = 1.0
"""A pixel is ink where it is darker than its surroundings so many original pixels wide: that opens
loops which 8 × 8 pixels nearly close."""

SMOOTH = 2.5
"""Points within so many enlarged pixels are averaged: pens do not follow steps."""

SPACING = 0.03
"""Distance of neighbouring points on a shape's lines."""


def digits_table() -> Float64:
    """Grey levels 0..16 of 8 × 8 pixels, then the digit: float64 [1797, 65].

    The file is read as ``load_digits`` does: importing scikit-learn for it takes a second or two.
    """
    spec = importlib.util.find_spec("sklearn")
    assert spec is not None
    assert spec.origin is not None
    file = Path(spec.origin).parent / "datasets" / "data" / "digits.csv.gz"
    if file.is_file():
        return np.loadtxt(file, delimiter=",")
    from sklearn.datasets import load_digits

    bunch = load_digits()
    return np.column_stack([bunch.data, bunch.target])


@functools.lru_cache(maxsize=1)
def digit_strokes() -> tuple[tuple[Strokes, ...], tuple[int, ...]]:
    """Middle lines of scikit-learn's handwritten digits, upright, and which digit each is.

    Returns:
        1,797 sets of points, and as many digits; those of the last ``HELD_OUT`` are for tests.
    """
    table = digits_table()
    images, digits = table[:, :-1].reshape(-1, 8, 8) / 16, table[:, -1].astype(int)
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1)))
    large = ndimage.zoom(padded, (1, ZOOM, ZOOM), order=3, mode="nearest", grid_mode=True)
    around = ndimage.gaussian_filter(large, (0, BLUR * ZOOM, BLUR * ZOOM))
    ink = large > np.maximum(INK * large.max(axis=(1, 2), keepdims=True), around)
    lines = [_smooth(np.argwhere(line)[:, ::-1]) for line in _middle_lines(ink)]
    lean = np.array([_lean(points) for points in lines])
    usual = np.array([np.median(lean[digits == digit]) for digit in range(10)])
    # A seven leans by its nature: only what its writer added to that is taken away.
    upright = [
        np.column_stack([points[:, 0] - (own - usual[digit]) * points[:, 1], points[:, 1]])
        for points, own, digit in zip(lines, lean, digits, strict=True)
    ]
    return tuple(_fitted(points) for points in upright), tuple(digits.tolist())


def shape_strokes(name: str, rng: np.random.Generator) -> Strokes:
    """Outline of a shape, its proportions slightly varied.

    Args:
        name: one of ``SHAPES``.
        rng: decides how it varies.
    """
    wide = rng.uniform(0.88, 1.12)
    corners = _corners(name, rng) * np.array([wide, 1.0])
    return _fitted(_along(corners.astype(np.float32)))


def _corners(name: str, rng: np.random.Generator) -> Float64:
    """Corners of a closed line [C, 2]; round shapes have many."""
    turn = np.linspace(0, 2 * np.pi, 49)[:-1]
    if name == "circle":
        return np.column_stack([np.cos(turn), np.sin(turn)])
    if name == "square":
        return np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]], dtype=np.float64)
    if name == "triangle":
        return np.array([[rng.uniform(-0.1, 0.1), -1], [1, 0.9], [-1, 0.9]])
    if name == "star":
        spokes = np.arange(10) * np.pi / 5 - np.pi / 2
        reach = np.where(np.arange(10) % 2, rng.uniform(0.36, 0.46), 1.0)
        return np.column_stack([reach * np.cos(spokes), reach * np.sin(spokes)])
    if name == "cross":
        arm = rng.uniform(0.28, 0.4)
        quarter = np.array([[-arm, -1], [arm, -1], [arm, -arm]])
        turns = [np.array([[np.cos(a), np.sin(a)], [-np.sin(a), np.cos(a)]]) for a in _QUARTERS]
        return np.concatenate([quarter @ rotation for rotation in turns])
    assert name == SHAPES[-1], name
    x = np.sin(turn) ** 3
    y = 13 * np.cos(turn) - 5 * np.cos(2 * turn) - 2 * np.cos(3 * turn) - np.cos(4 * turn)
    return np.column_stack([x, -y / 15])


_QUARTERS = np.arange(4) * np.pi / 2


def _along(corners: NDArray[np.float32]) -> Strokes:
    """Points at even distances along a closed line."""
    ends = np.roll(corners, -1, axis=0)
    pieces = []
    for start, end in zip(corners, ends, strict=True):
        count = max(1, round(float(np.hypot(*(end - start))) / SPACING))
        share = np.arange(count, dtype=np.float32)[:, None] / count
        pieces.append(start + share * (end - start))
    return np.concatenate(pieces)


def _fitted(points: NDArray[np.float32] | Float64) -> Strokes:
    """Centred, and 2 high or wide, whichever comes first."""
    low, high = points.min(axis=0), points.max(axis=0)
    half = max(float((high - low).max()) / 2, 1e-6)
    fitted: Strokes = ((points - (low + high) / 2) / half).astype(np.float32)
    return fitted


def _smooth(points: NDArray[np.intp]) -> NDArray[np.float32]:
    near = KDTree(points).query_ball_point(points, SMOOTH)
    counts = np.array([len(one) for one in near])
    first = np.concatenate([[0], np.cumsum(counts)[:-1]])
    sums = np.add.reduceat(points[np.concatenate(near).astype(np.intp)], first, axis=0)
    means: Strokes = (sums / counts[:, None]).astype(np.float32)
    return means


def _lean(points: NDArray[np.float32]) -> float:
    """Sideways movement on the way down, by second moments."""
    x, y = (points - points.mean(axis=0)).T
    return float((x * y).sum() / max(float((y * y).sum()), 1e-6))


def _middle_lines(ink: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Thin strokes to one pixel, bool [N, H, W].

    Zhang and Suen 1984, "A fast parallel algorithm for thinning digital patterns": the rim is
    taken off from the south-east and the north-west by turns, while strokes stay connected.
    """
    kept = ink.copy()
    moving = np.arange(len(ink))
    while len(moving):
        before = kept[moving]
        now = _without_rim(_without_rim(before, first=True), first=False)
        kept[moving] = now
        moving = moving[(now != before).any(axis=(1, 2))]
    return kept


def _without_rim(kept: NDArray[np.bool_], *, first: bool) -> NDArray[np.bool_]:
    n, ne, e, se, s, sw, w, nw = (
        np.roll(kept, shift, axis=(1, 2))
        for shift in ((1, 0), (1, -1), (0, -1), (-1, -1), (-1, 0), (-1, 1), (0, 1), (1, 1))
    )
    ring = (n, ne, e, se, s, sw, w, nw)
    neighbours = np.zeros(kept.shape, dtype=np.int8)
    starts = np.zeros(kept.shape, dtype=np.int8)
    for here, following in zip(ring, (*ring[1:], n), strict=True):
        neighbours += here
        starts += ~here & following
    pair = (~(n & e & s) & ~(e & s & w)) if first else (~(n & e & w) & ~(n & s & w))
    rim: NDArray[np.bool_] = (neighbours >= 2) & (neighbours <= 6) & (starts == 1) & pair
    return kept & ~rim
