"""What counts as tiny and as few; no torch."""

from __future__ import annotations

SMALL_SIDE = 16
"""Up to this many pixels on the longer side, networks are dense."""
FEW = 400
"""Up to this many training images, networks are narrow and augmentation is strong."""


def tiny(image_shape: tuple[int, int, int]) -> bool:
    """Whether a dense network suits images of this height, width and channels."""
    return max(image_shape[:2]) <= SMALL_SIDE
