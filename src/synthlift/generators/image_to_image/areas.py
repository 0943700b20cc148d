"""Which part of an image is repainted, at the study's size and at a pipeline's. No torch here."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from synthlift.types import UInt8

Marked = NDArray[np.bool_]
LEAST_KEPT = 0.5
"""Share of an object that its margin leaves, where the background around it is repainted."""


def repainted(mask: UInt8, *, repaint: Literal["object", "background"], margin: int) -> Marked:
    """The part that is repainted, bool [H, W].

    Args:
        mask: of the object, uint8 [H, W], 0 outside.
        repaint: the object, or all around it.
        margin: pixels by which it reaches beyond the mask's edge; into an object only so far that
            half of it stays, since an image without it would not show its class.
    """
    marked = mask > 0
    if repaint == "object":
        return _wider(marked, margin)
    most = (1 - LEAST_KEPT) * marked.sum()
    around = ~marked
    for _ in range(margin):
        wider = _wider(around, 1)
        if (wider & marked).sum() > most:
            break
        around = wider
    return around


def shown(area: Marked, size: tuple[int, int], *, cell: int) -> Image.Image:
    """The same at a pipeline's size, as a picture of 255 and 0.

    It grows to whole cells, since a pipeline looks at one pixel of each: a thin object between
    those that it looks at would not be repainted at all.

    Args:
        area: bool [H, W].
        size: width and height in pixels.
        cell: pixels a side that become one latent.
    """
    small = Image.fromarray(np.where(area, 255, 0).astype(np.uint8))
    large = np.asarray(small.resize(size, Image.Resampling.BOX)) > 0
    height, width = large.shape
    padded = np.pad(large, ((0, -height % cell), (0, -width % cell)))
    cells = padded.reshape(padded.shape[0] // cell, cell, padded.shape[1] // cell, cell)
    whole = cells.any(axis=(1, 3)).repeat(cell, axis=0).repeat(cell, axis=1)
    return Image.fromarray(np.where(whole[:height, :width], 255, 0).astype(np.uint8))


def _wider(marked: Marked, margin: int) -> Marked:
    if not margin:
        return marked
    wider: Marked = ndimage.binary_dilation(marked, iterations=margin)
    return wider
