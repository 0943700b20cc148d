"""One composed image: an object turned, scaled and lit, and a place for it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from synthlift.generators.cut_paste.blending import Bools, blend
from synthlift.generators.cut_paste.config import CutPasteConfig, Range
from synthlift.types import Float64, UInt8

MARGIN = 2
"""Pixels around an object that are cut with it, for gradients and soft edges."""


@dataclass(frozen=True)
class Cutout:
    """An object cut out of its image.

    Attributes:
        pixels: uint8 [h, w, C], with a margin around the object.
        mask: [h, w].
        centre: of the object in its image, (down, right) in pixels.
    """

    pixels: UInt8
    mask: Bools
    centre: tuple[float, float]


@dataclass(frozen=True)
class Composed:
    """A new image and where its objects are: uint8 [H, W, C] and [H, W] (255 = object)."""

    pixels: UInt8
    mask: UInt8


def cut(image: UInt8, mask: Bools) -> Cutout:
    """Cut out the smallest box around a mask, with a margin (border pixels repeated)."""
    rows, columns = np.nonzero(mask)
    top, left = rows.min(), columns.min()
    bottom, right = rows.max() + 1, columns.max() + 1
    pad = ((MARGIN, MARGIN), (MARGIN, MARGIN))
    wide = np.pad(image, (*pad, (0, 0)), mode="edge")
    box = (slice(top, bottom + 2 * MARGIN), slice(left, right + 2 * MARGIN))
    return Cutout(wide[box], np.pad(mask, pad)[box], ((top + bottom) / 2, (left + right) / 2))


def compose(
    background: UInt8,
    occupied: Bools,
    cutouts: list[Cutout],
    config: CutPasteConfig,
    rng: np.random.Generator,
) -> Composed | None:
    """Paste objects onto a background; None where one finds no place.

    Args:
        background: uint8 [H, W, C].
        occupied: [H, W], where the background has objects of its own.
        cutouts: the objects, in order.
        config: ranges and rules.
        rng: of this image.
    """
    image, whole, taken = background, np.zeros(occupied.shape, np.bool_), occupied.copy()
    for cutout in cutouts:
        pixels, mask = vary(cutout, config, rng)
        place = _find_place(mask, taken, cutout, config, rng)
        if place is None:
            return None
        layer, there = _laid(pixels, mask, place, image.shape)
        image = blend(image, layer, there, how=config.blend, feather=config.feather)
        whole |= there
        taken |= there
    return Composed(image, np.where(whole, 255, 0).astype(np.uint8))


def vary(cutout: Cutout, config: CutPasteConfig, rng: np.random.Generator) -> tuple[Float64, Bools]:
    """The object turned, scaled, mirrored, lit, blurred and grained; float64 [h, w, C], [h, w]."""
    pixels, mask = cutout.pixels.astype(np.float64), cutout.mask
    if config.flip and rng.random() < 0.5:
        pixels, mask = pixels[:, ::-1], mask[:, ::-1]
    angle = np.deg2rad(_draw(config.rotation, rng))
    scale = _draw(config.scale, rng)
    gain, offset = _draw(config.gain, rng), _draw(config.offset, rng)
    blur, noise = _draw(config.blur, rng), _draw(config.noise, rng)
    pixels, mask = _turned(pixels, mask, angle=angle, scale=scale)
    mean = pixels[mask].mean(axis=0) if mask.any() else 0.0
    pixels = (pixels - mean) * gain + mean * gain + offset
    if blur > 0:
        pixels = ndimage.gaussian_filter(pixels, (blur, blur, 0), mode="nearest")
    if noise > 0:
        pixels = pixels + rng.normal(0, noise, pixels.shape)
    return pixels, mask


def _turned(pixels: Float64, mask: Bools, *, angle: float, scale: float) -> tuple[Float64, Bools]:
    height, width = mask.shape
    cos, sin = np.cos(angle), np.sin(angle)
    size = (
        int(np.ceil(scale * (abs(height * cos) + abs(width * sin)))) + 2,
        int(np.ceil(scale * (abs(width * cos) + abs(height * sin)))) + 2,
    )
    matrix = np.array([[cos, sin], [-sin, cos]]) / scale
    middle = np.array([height - 1, width - 1]) / 2
    shift = middle - matrix @ ((np.array(size) - 1) / 2)
    turned = np.stack(
        [
            ndimage.affine_transform(
                pixels[:, :, channel], matrix, shift, output_shape=size, order=1, mode="nearest"
            )
            for channel in range(pixels.shape[2])
        ],
        axis=2,
    )
    soft = ndimage.affine_transform(
        mask.astype(np.float64), matrix, shift, output_shape=size, order=1, mode="constant"
    )
    found = soft >= 0.5
    # A hairline crack must not vanish between pixels.
    return turned, found if found.any() else soft >= max(soft.max(), 1e-6)


def _find_place(
    mask: Bools,
    taken: Bools,
    cutout: Cutout,
    config: CutPasteConfig,
    rng: np.random.Generator,
) -> tuple[int, int] | None:
    """Where the upper left corner of the object's box goes; None after ``tries`` failures."""
    height, width = taken.shape
    for _ in range(config.tries):
        if config.place == "as_seen":
            reach = config.shift * np.array([height, width])
            middle = np.array(cutout.centre) + rng.uniform(-1, 1, 2) * reach
        else:
            middle = rng.uniform(0, 1, 2) * np.array([height, width])
        top, left = (int(v) for v in np.rint(middle - np.array(mask.shape) / 2))
        there = _placed(mask, (top, left), taken.shape)
        enough = there.sum() >= config.inside * mask.sum() and there.any()
        if enough and not (config.apart and (there & taken).any()):
            return top, left
    return None


def _placed(mask: Bools, place: tuple[int, int], shape: tuple[int, ...]) -> Bools:
    out = np.zeros(shape[:2], dtype=np.bool_)
    target, source = _overlap(mask.shape, place, shape)
    out[target] = mask[source]
    return out


def _laid(
    pixels: Float64, mask: Bools, place: tuple[int, int], shape: tuple[int, ...]
) -> tuple[Float64, Bools]:
    """Object and mask on an empty image of the background's size; its border pixels repeated."""
    height, width = shape[:2]
    rows = np.clip(np.arange(height) - place[0], 0, pixels.shape[0] - 1)
    columns = np.clip(np.arange(width) - place[1], 0, pixels.shape[1] - 1)
    return pixels[np.ix_(rows, columns)], _placed(mask, place, shape)


def _overlap(
    size: tuple[int, ...], place: tuple[int, int], shape: tuple[int, ...]
) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    target, source = [], []
    for extent, start, limit in zip(size, place, shape[:2], strict=True):
        first, last = max(0, start), max(max(0, start), min(limit, start + extent))
        target.append(slice(first, last))
        source.append(slice(first - start, last - start))
    return (target[0], target[1]), (source[0], source[1])


def _draw(limits: Range, rng: np.random.Generator) -> float:
    return float(rng.uniform(*limits))
