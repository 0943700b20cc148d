"""Masks beside images: where something is, as a picture of the same size."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from synthlift.data.decode import UnusableImageError, decode_file
from synthlift.types import UInt8

MAX_PIXELS = 400_000_000


def read_mask(path: Path) -> UInt8:
    """Read a mask, uint8 [H, W]: 0 = background, the stored grey value elsewhere.

    Raises:
        UnusableImageError: no such file, no image, or a colour picture.
    """
    pixels = decode_file(path, max_pixels=MAX_PIXELS).pixels
    if pixels.shape[2] != 1:
        raise UnusableImageError("mask", "a colour picture; a mask has one channel")
    return np.ascontiguousarray(pixels[:, :, 0])
