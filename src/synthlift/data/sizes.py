"""The size at which images are trained on, and bringing images to it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np

from synthlift.types import UInt8

Fit = Literal["pad", "crop", "stretch"]
CANDIDATES = (8, 16, 28, 32, 48, 64, 96, 128)


def choose_size(
    widths: Sequence[int] | np.ndarray,
    heights: Sequence[int] | np.ndarray,
    *,
    ceiling: int | None = None,
) -> tuple[int, str]:
    """Choose the square training size and say why.

    The largest of :data:`CANDIDATES` that neither exceeds the median shorter side of the
    originals, so that at least half of the images are not enlarged, nor ``ceiling``.

    Args:
        widths, heights: original sizes in pixels [N].
        ceiling: largest size that the budget allows; None = no limit besides 128.

    Returns:
        Size in pixels, and the reason in words with the original size.
    """
    shorter = float(np.median(np.minimum(widths, heights)))
    original = f"originals are {_typical(widths)} × {_typical(heights)} pixels (median)"
    limit = shorter if ceiling is None else min(shorter, ceiling)
    fitting = [size for size in CANDIDATES if size <= limit]
    size = max(fitting, default=CANDIDATES[0])
    if not fitting:
        return size, f"{size} pixels, the smallest size there is; {original}"
    if ceiling is not None and ceiling < min(shorter, CANDIDATES[-1]):
        return size, f"{size} pixels, the largest size that the budget allows; {original}"
    if size == CANDIDATES[-1] and shorter > size:
        return size, f"{size} pixels, the largest size chosen unasked; {original}"
    return size, f"{size} pixels, the largest size that enlarges no typical image; {original}"


def _typical(values: Sequence[int] | np.ndarray) -> str:
    return f"{float(np.median(values)):g}"


def choose_channels(grey: Sequence[bool] | np.ndarray, *, wanted: str) -> tuple[int, str]:
    """Number of channels (1 or 3) and the reason.

    Args:
        grey: whether each original is grey [N].
        wanted: "auto" (grey when every image is), "grey" or "rgb".
    """
    if wanted != "auto":
        return (1, "grey, as asked for") if wanted == "grey" else (3, "colour, as asked for")
    coloured = len(grey) - int(np.sum(grey))
    if coloured == 0:
        return 1, "grey: every image is"
    return 3, f"colour: {coloured:,} of {len(grey):,} images are in colour"


def resize(image: UInt8, *, size: int, fit: Fit, channels: int) -> UInt8:
    """Bring one image to ``size`` × ``size`` pixels.

    - ``pad``: the whole image, its longer side becoming ``size``; the rest is filled with the
      median colour of the image's border, which draws no edge that a classifier could learn;
    - ``crop``: the central square;
    - ``stretch``: the whole image, its proportions given up.

    Shrinking uses Lanczos filtering over the whole area (antialiased), enlarging bicubic;
    an image that has the size already is returned unchanged. Colour becomes grey by ITU-R
    BT.601 luma.

    Args:
        image: uint8 [H, W, C], C = 1 or 3.
        size: target in pixels.
        fit: see above.
        channels: 1 or 3.

    Returns:
        uint8 [size, size, channels].
    """
    image = _to_channels(image, channels)
    return _fit(image, size=size, fit=fit, scale=_scale, padding=border_colour)


def resize_mask(mask: UInt8, *, size: int, fit: Fit) -> UInt8:
    """Bring a mask to where :func:`resize` brings its image, by nearest neighbour.

    Args:
        mask: uint8 [H, W], 0 = background.
        size, fit: as for the image; what is padded is background.

    Returns:
        uint8 [size, size], with values of the mask only.
    """
    return _fit(
        mask[:, :, None], size=size, fit=fit, scale=_nearest, padding=lambda _: np.uint8(0)
    )[:, :, 0]


def _fit(
    image: UInt8,
    *,
    size: int,
    fit: Fit,
    scale: Callable[..., UInt8],
    padding: Callable[[UInt8], UInt8 | np.uint8],
) -> UInt8:
    height, width = image.shape[:2]
    if fit == "crop":
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        image = image[top : top + side, left : left + side]
    if fit != "pad":
        return scale(image, width=size, height=size)
    longer = max(height, width)
    inner_width = max(1, round(width * size / longer))
    inner_height = max(1, round(height * size / longer))
    inner = scale(image, width=inner_width, height=inner_height)
    if (inner_height, inner_width) == (size, size):
        return inner
    canvas = np.empty((size, size, image.shape[2]), np.uint8)
    canvas[:] = padding(image)
    top, left = (size - inner_height) // 2, (size - inner_width) // 2
    canvas[top : top + inner_height, left : left + inner_width] = inner
    return canvas


def border_colour(image: UInt8) -> UInt8:
    """Median of the outermost pixels per channel, uint8 [C]; ties go to the darker value."""
    edges = [image[0], image[-1], image[:, 0], image[:, -1]]
    border = np.concatenate(edges)
    colour: UInt8 = np.sort(border, axis=0)[(len(border) - 1) // 2]
    return colour


def _to_channels(image: UInt8, channels: int) -> UInt8:
    from PIL import Image

    if image.shape[2] == channels:
        return image
    if channels == 3:
        return np.repeat(image, 3, axis=2)
    return np.asarray(Image.fromarray(image).convert("L"))[:, :, None]


def _scale(image: UInt8, *, width: int, height: int) -> UInt8:
    from PIL import Image
    from PIL.Image import Resampling

    if image.shape[:2] == (height, width):
        return image
    picture = Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image)
    shrinks = width * height < image.shape[0] * image.shape[1]
    how = Resampling.LANCZOS if shrinks else Resampling.BICUBIC
    # A box reduction first, to three times the target, costs little quality and saves most time.
    scaled = np.asarray(picture.resize((width, height), how, reducing_gap=3.0))
    return scaled.reshape(height, width, image.shape[2])


def _nearest(image: UInt8, *, width: int, height: int) -> UInt8:
    from PIL import Image
    from PIL.Image import Resampling

    picture = Image.fromarray(image[:, :, 0])
    return np.asarray(picture.resize((width, height), Resampling.NEAREST))[:, :, None]
