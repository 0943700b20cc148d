"""How a picture is turned: the orientation that its file states, EXIF's or TIFF's tag 274.

Pillow leaves JPEG, PNG and WebP as they are stored. A TIFF it turns itself while it loads the
pixels, and takes the tag away then; so what is still to be done is asked for after loading.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from synthlift.types import UInt8

if TYPE_CHECKING:
    from PIL.Image import Image

_TAG = 0x0112
_TIFF_WIDTH, _TIFF_HEIGHT = 256, 257


def orientation_of(image: Image) -> int:
    """The orientation 1 to 8 that is still to be undone; 1 = none."""
    try:
        value = image.getexif().get(_TAG, 1)
    except Exception:  # A damaged header beside an intact picture.
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def size_as_shown(image: Image) -> tuple[int, int]:
    """Width and height after turning, of an image that is opened and not yet loaded."""
    width, height = image.size
    if image.format == "TIFF":  # Pillow may have exchanged the two already.
        tags = getattr(image, "tag_v2", {})
        width, height = tags.get(_TIFF_WIDTH, width), tags.get(_TIFF_HEIGHT, height)
    return (height, width) if orientation_of(image) >= 5 else (width, height)


def turned(pixels: UInt8, orientation: int) -> UInt8:
    """Undo the rotation and mirroring that tag 274 states (CIPA DC-008, 4.6.4)."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return pixels
