"""Laying an object onto a background."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.sparse import csr_matrix
from scipy.sparse.linalg import factorized

from synthlift.types import Float64, UInt8

Bools = NDArray[np.bool_]
Blend = Literal["alpha", "poisson", "mixed"]
STEPS = ((0, 1), (0, -1), (1, 0), (-1, 0))


def blend(background: UInt8, layer: Float64, mask: Bools, *, how: Blend, feather: float) -> UInt8:
    """Lay ``layer`` onto ``background`` where ``mask`` is set.

    Args:
        background: uint8 [H, W, C].
        layer: the object at its place, float64 [H, W, C] in grey levels; known wherever the mask
            is set and one pixel around.
        mask: [H, W].
        how: see :class:`~synthlift.generators.cut_paste.config.CutPasteConfig`.
        feather: width of the soft edge in pixels, for ``alpha``.
    """
    ground = background.astype(np.float64)
    if how == "alpha":
        weight = soft(mask, width=feather)[:, :, None]
        out = weight * layer + (1 - weight) * ground
    else:
        out = poisson(ground, layer, mask, mixed=how == "mixed")
    return np.clip(np.rint(out), 0, 255).astype(np.uint8)


def soft(mask: Bools, *, width: float) -> Float64:
    """Weights in [0, 1], float64 [H, W]: 1 inside, falling to 0 over ``width`` pixels within."""
    if width <= 0:
        return mask.astype(np.float64)
    depth = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    weights: Float64 = np.clip(depth / (width + 0.5), 0.0, 1.0).astype(np.float64)
    return weights


def poisson(ground: Float64, layer: Float64, mask: Bools, *, mixed: bool) -> Float64:
    """Solve for the pixels under the mask whose gradients are the layer's (Pérez 2003, eq. 7).

    Where the object touches the image's border, the equation ends there (no flow across it).

    Args:
        ground: float64 [H, W, C], kept outside the mask.
        layer: float64 [H, W, C], whose gradients are taken on.
        mask: [H, W].
        mixed: take the stronger gradient of both, pixel by pixel (eq. 12).
    """
    rows, columns = np.nonzero(mask)
    out = ground.copy()
    count = len(rows)
    if not count:
        return out
    height, width = mask.shape
    index = np.full(mask.shape, -1)
    index[rows, columns] = np.arange(count)
    diagonal = np.zeros(count)
    wanted = np.zeros((count, ground.shape[2]))
    ties: list[tuple[NDArray[np.intp], NDArray[np.intp]]] = []
    for down, right in STEPS:
        r, c = rows + down, columns + right
        there = (r >= 0) & (r < height) & (c >= 0) & (c < width)
        mine, r, c = np.flatnonzero(there), r[there], c[there]
        here = rows[mine], columns[mine]
        flow = layer[here] - layer[r, c]
        if mixed:
            other = ground[here] - ground[r, c]
            flow = np.where(np.abs(flow) >= np.abs(other), flow, other)
        wanted[mine] += flow
        diagonal[mine] += 1
        inner = mask[r, c]
        ties.append((mine[inner], index[r[inner], c[inner]]))
        wanted[mine[~inner]] += ground[r[~inner], c[~inner]]
    if not (diagonal > sum(np.bincount(a, minlength=count) for a, _ in ties)).any():
        out[rows, columns] = layer[rows, columns]  # the mask is the whole image: nothing to fit to
        return out
    first = np.concatenate([np.arange(count), *(a for a, _ in ties)])
    second = np.concatenate([np.arange(count), *(b for _, b in ties)])
    values = np.concatenate([diagonal, *(np.full(len(a), -1.0) for a, _ in ties)])
    solve = factorized(csr_matrix((values, (first, second)), shape=(count, count)).tocsc())
    for channel in range(ground.shape[2]):
        out[rows, columns, channel] = solve(wanted[:, channel])
    return out
