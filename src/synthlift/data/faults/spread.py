"""What can be read off each image: brightness, contrast, sharpness, background, skin tone, size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from synthlift.data.sizes import border_colour
from synthlift.types import Float32, Float64, UInt8

_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)

BINS = {
    "brightness": ("dark", "medium", "bright"),
    "sharpness": ("blurred", "medium", "sharp"),
    "size": ("small", "medium", "large"),
}
"""Words for the thirds of what has no standard classes."""

SKIN_TONES = (
    (55.0, "very light"),
    (41.0, "light"),
    (28.0, "intermediate"),
    (10.0, "tan"),
    (-30.0, "brown"),
    (-math.inf, "dark"),
)
"""ITA° above which a skin tone begins (Chardon 1991; Del Bino & Bernerd 2013, table 1)."""

_BASIC_COLOURS = {
    "black": (0, 0, 0),
    "blue": (30, 80, 200),
    "brown": (120, 75, 35),
    "green": (50, 140, 60),
    "grey": (128, 128, 128),
    "orange": (255, 140, 0),
    "pink": (255, 170, 190),
    "purple": (130, 40, 150),
    "red": (200, 25, 30),
    "white": (255, 255, 255),
    "yellow": (250, 225, 40),
}
_SKIN_FRAME = 0.2
_SHADOW = 40


class Measures(NamedTuple):
    """Brightness: mean luma; contrast: its standard deviation; sharpness: see :func:`measure`."""

    brightness: float
    contrast: float
    sharpness: float


def measure(image: UInt8) -> Measures:
    """Brightness, contrast (both 0 to 255) and sharpness of uint8 [H, W, C].

    Sharpness is the standard deviation of the Laplacian of the luma (Pech-Pacheco 2000, eq. 2, as
    a root, in grey levels). It depends on the size: compare images at one size.
    """
    grey = _luma(image)
    inner = grey[1:-1, 1:-1]
    laplacian = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:] - 4 * inner
    sharpness = float(laplacian.std()) if laplacian.size else 0.0
    return Measures(float(grey.mean()), float(grey.std()), sharpness)


def _luma(image: UInt8) -> Float32:
    values = image.astype(np.float32)
    grey: Float32 = values @ _LUMA if image.shape[2] == 3 else values[..., 0]
    return grey


def derive(image: UInt8, name: str, *, mask: UInt8 | None = None) -> float | str:
    """An attribute read off the pixels.

    Args:
        image: uint8 [H, W, C] as decoded.
        name: brightness (0 to 255), sharpness (:func:`measure`), size (shorter side in pixels),
            background (one of the 11 basic colour words), skin_tone (one of 6 classes).
        mask: uint8 [H, W], 0 = background; where there is one, skin is what lies outside it.

    Returns:
        A number, to be binned by :func:`bin_words`, or the word itself; "" where there is none
        (the skin tone of a grey image).
    """
    match name:
        case "brightness":
            return measure(image).brightness
        case "sharpness":
            return measure(image).sharpness
        case "size":
            return float(min(image.shape[:2]))
        case "background":
            return colour_word(border_colour(image))
        case "skin_tone":
            angle = skin_tone_angle(image, mask=mask)
            return "" if angle is None else skin_tone(angle)
    raise AssertionError(f"no derived attribute is called {name}")


def bin_words(values: Sequence[float | str], name: str) -> list[str]:
    """The words of an attribute for all images: thirds of the numbers, or the words themselves.

    Equal values get the same word: that of the third which the middle one of them lies in.
    """
    if name not in BINS:
        return [str(value) for value in values]
    numbers = np.array([float(value) for value in values])
    if not len(numbers):
        return []
    _, value, count = np.unique(numbers, return_inverse=True, return_counts=True)
    # Twice the rank of the middle of equal values, so that all is whole numbers.
    middle = 2 * np.cumsum(count) - count
    third = 3 * middle // (2 * len(numbers))
    return [BINS[name][place] for place in third[value]]


def skin_tone_angle(image: UInt8, *, mask: UInt8 | None = None) -> float | None:
    """Individual typology angle in degrees: atan((L* − 50) / b*) (Chardon 1991).

    Taken from the median L* and b* of the skin: what lies outside the mask or, without one, the
    outer fifth of the image on each side, where the skin around a lesion is. Shadows (luma below
    40: vignettes, hair) do not count.

    Returns:
        Degrees in [−180, 180]; None for a grey image or where no skin is left.
    """
    if image.shape[2] != 3 or bool(np.ptp(image, axis=2).max() == 0):
        return None
    skin = _frame(image.shape[0], image.shape[1]) if mask is None else mask == 0
    chosen = image[skin & (_luma(image) >= _SHADOW)]
    if not len(chosen):
        return None
    lightness, _, yellow = np.median(lab(chosen), axis=0)
    return math.degrees(math.atan2(lightness - 50, yellow))


def _frame(height: int, width: int) -> np.ndarray:
    outside = np.ones((height, width), dtype=bool)
    top, left = max(1, round(height * _SKIN_FRAME)), max(1, round(width * _SKIN_FRAME))
    outside[top : height - top, left : width - left] = False
    return outside


def skin_tone(angle: float) -> str:
    """One of the six classes of :data:`SKIN_TONES`."""
    return next(word for above, word in SKIN_TONES if angle > above)


def colour_word(colour: UInt8) -> str:
    """The nearest of the 11 basic colours (Berlin & Kay 1969) in CIELAB, of uint8 [1] or [3]."""
    rgb = np.broadcast_to(colour, 3)
    own = lab(np.array([rgb]))
    words = list(_BASIC_COLOURS)
    gaps = np.linalg.norm(lab(np.array([_BASIC_COLOURS[w] for w in words])) - own, axis=1)
    return words[int(gaps.argmin())]


def lab(rgb: np.ndarray) -> Float64:
    """CIELAB (D65, 2°) of sRGB in 0 to 255 [n, 3] (IEC 61966-2-1; CIE 15)."""
    unit = np.asarray(rgb, dtype=np.float64) / 255
    linear = np.where(unit <= 0.04045, unit / 12.92, ((unit + 0.055) / 1.055) ** 2.4)
    to_xyz = np.array(
        [
            [0.4124564, 0.3575761, 0.1804375],
            [0.2126729, 0.7151522, 0.0721750],
            [0.0193339, 0.1191920, 0.9503041],
        ]
    )
    xyz = linear @ to_xyz.T / np.array([0.95047, 1.0, 1.08883])
    root = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    x, y, z = root[..., 0], root[..., 1], root[..., 2]
    out: Float64 = np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)
    return out
