"""Domain randomisation: rendered or imported images under many lights, weathers and cameras.

A classifier that learnt under conditions drawn far and wide takes real ones for one draw more
(Tobin 2017, "Domain Randomization for Transferring Deep Neural Networks from Simulation to the Real
World"; Hendrycks & Dietterich 2019, "Benchmarking Neural Network Robustness to Common Corruptions",
for the kinds of change). Every parameter has a name and a range, and is drawn from a request's own
seed, so that an image can be made again. Lengths are shares of the image's longer side.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from synthlift.generators.pool.config import Randomisation, Range
from synthlift.seeds import generator_for
from synthlift.types import Float64, UInt8

STYLE = "style"
_AIR = 235.0
"""Grey level of fog, and of snow a little above it."""
_FLAKE = 250.0


@dataclass(frozen=True)
class Drawn:
    """A changed image and what was drawn for it, by parameter; what was not drawn is missing."""

    pixels: UInt8
    parameters: dict[str, float]


def randomise(image: UInt8, given: Randomisation, *, seed: int, look: UInt8 | None = None) -> Drawn:
    """Change an image as the ranges say: scene first, then light, then camera, then file.

    Args:
        image: uint8 [H, W, C].
        given: ranges; what is left out changes nothing.
        seed: of this image alone. The numbers drawn for one parameter do not depend on which
            others are asked for.
        look: a training image [H, W, C] whose tones ``style`` goes towards; needed where that is
            given.
    """
    pixels = image.astype(np.float64)
    parameters: dict[str, float] = {}
    assert look is not None or given.style is None, "style goes towards a training image"
    for name in (STYLE, *CHANGES):
        limits: Range | None = getattr(given, name)
        if limits is None:
            continue
        stream = generator_for(seed, "randomise", name)
        if stream.random() >= given.share:
            continue
        amount = float(stream.uniform(*limits))
        if name != STYLE:
            pixels = CHANGES[name](pixels, amount, stream)
        elif look is not None:
            pixels = _styled(pixels, amount, look)
        parameters[name] = amount
    return Drawn(np.clip(np.rint(pixels), 0, 255).astype(np.uint8), parameters)


Change = Callable[[Float64, float, np.random.Generator], Float64]


def _side(pixels: Float64) -> int:
    return int(max(pixels.shape[:2]))


# ── scene ─────────────────────────────────────────────────────────────────────────────────────


def _fog(pixels: Float64, amount: float, rng: np.random.Generator) -> Float64:
    """Scattered light (Koschmieder 1924): I·t + A·(1 − t), t = exp(−3·amount·depth).

    Depth grows towards one edge, with clouds; at 1 the far edge is nearly gone.
    """
    height, width = pixels.shape[:2]
    down, across = np.mgrid[0 : max(height, 1), 0 : max(width, 1)]
    angle = rng.uniform(0, 2 * math.pi)
    slope = math.sin(angle) * down / height + math.cos(angle) * across / width
    slope = (slope - slope.min()) / (np.ptp(slope) or 1.0)
    depth = 0.3 + 0.7 * slope * (0.5 + _clouds((height, width), rng))
    through = np.exp(-3 * amount * depth)[:, :, None]
    out: Float64 = pixels * through + _AIR * (1 - through)
    return out


def _clouds(shape: tuple[int, int], rng: np.random.Generator) -> Float64:
    """Smooth noise in [0, 1]."""
    coarse = rng.random((5, 5))
    zoomed: Float64 = ndimage.zoom(
        coarse, (shape[0] / 5, shape[1] / 5), order=3, grid_mode=True, mode="nearest"
    )
    return np.clip(zoomed[: shape[0], : shape[1]], 0, 1)


def _rain(pixels: Float64, amount: float, rng: np.random.Generator) -> Float64:
    """Streaks in one direction; at 1 a tenth of the pixels carries one."""
    drops = _scattered(pixels, 0.02 * amount, rng)
    streaks = _smeared(drops, length=0.2, angle=rng.normal(math.pi / 2, 0.2))
    return _laid_over(pixels, np.clip(4 * streaks, 0, 0.7), _AIR)


def _snow(pixels: Float64, amount: float, rng: np.random.Generator) -> Float64:
    """Blurred flakes; at 1 they hide a fifth of the picture."""
    flakes = _scattered(pixels, 0.08 * amount, rng)
    spread = ndimage.gaussian_filter(flakes, 0.012 * _side(pixels))
    return _laid_over(pixels, np.clip(spread / (spread.max() or 1.0), 0, 0.9), _FLAKE)


def _scattered(pixels: Float64, share: float, rng: np.random.Generator) -> Float64:
    return (rng.random(pixels.shape[:2]) < share).astype(np.float64)


def _laid_over(pixels: Float64, cover: Float64, level: float) -> Float64:
    return pixels * (1 - cover[:, :, None]) + level * cover[:, :, None]


# ── light ─────────────────────────────────────────────────────────────────────────────────────


def _light(pixels: Float64, amount: float, rng: np.random.Generator) -> Float64:
    """A factor of brightness."""
    del rng
    return pixels * amount


def _contrast(pixels: Float64, amount: float, rng: np.random.Generator) -> Float64:
    """A factor of the distance to the mean."""
    del rng
    mean = float(np.mean(pixels))
    out: Float64 = mean + (pixels - mean) * amount
    return out


def _colour(pixels: Float64, amount: float, rng: np.random.Generator) -> Float64:
    """A tint: factors of the channels up to ``amount`` from 1, whose mean is 1."""
    channels = pixels.shape[2]
    if channels == 1:
        return pixels
    factors: Float64 = rng.uniform(-1, 1, size=(channels,))
    factors -= factors.mean()
    out: Float64 = pixels * (1 + amount * factors / (np.abs(factors).max() or 1.0))
    return out


def _shadow(pixels: Float64, amount: float, rng: np.random.Generator) -> Float64:
    """One side of a line across the picture is darker by the share ``amount``, with a soft edge."""
    height, width = pixels.shape[:2]
    down, across = np.mgrid[0:height, 0:width]
    angle = rng.uniform(0, 2 * math.pi)
    away = math.sin(angle) * (down - rng.uniform(0.2, 0.8) * height)
    away = away + math.cos(angle) * (across - rng.uniform(0.2, 0.8) * width)
    inside = 1 / (1 + np.exp(np.clip(-away / (0.05 * _side(pixels)), -50, 50)))
    out: Float64 = pixels * (1 - amount * inside[:, :, None])
    return out


def _styled(pixels: Float64, amount: float, look: UInt8) -> Float64:
    """Mean and deviation of each channel go towards those of another image (Reinhard 2001)."""
    wanted = look.astype(np.float64)
    axes = (0, 1)
    mean, spread = pixels.mean(axis=axes), pixels.std(axis=axes)
    target = wanted.std(axis=axes) / np.maximum(spread, 1e-6)
    # A flat picture has no tones to stretch.
    target = np.where(spread < 1, 1.0, target)
    styled = (pixels - mean) * target + wanted.mean(axis=axes)
    out: Float64 = (1 - amount) * pixels + amount * styled
    return out


# ── camera ────────────────────────────────────────────────────────────────────────────────────


def _motion_blur(pixels: Float64, amount: float, rng: np.random.Generator) -> Float64:
    """Smeared along a line of this length, in any direction."""
    angle = rng.uniform(0, math.pi)
    parts = [_smeared(channel, length=amount, angle=angle) for channel in np.moveaxis(pixels, 2, 0)]
    return np.stack(parts, axis=2)


def _smeared(plane: Float64, *, length: float, angle: float) -> Float64:
    """Mean of a plane over a line, its samples at most half a pixel apart."""
    reach = length * max(plane.shape)
    count = max(1, math.ceil(2 * reach) | 1)
    if count == 1:
        return plane
    total = np.zeros_like(plane)
    for place in np.linspace(-reach / 2, reach / 2, count):
        shift = (math.sin(angle) * place, math.cos(angle) * place)
        total += ndimage.shift(plane, shift, order=1, mode="nearest")
    out: Float64 = total / count
    return out


def _blur(pixels: Float64, amount: float, rng: np.random.Generator) -> Float64:
    """Out of focus: a Gaussian of this standard deviation."""
    del rng
    sigma = amount * _side(pixels)
    blurred: Float64 = ndimage.gaussian_filter(pixels, (sigma, sigma, 0), mode="nearest")
    return blurred


def _resolution(pixels: Float64, amount: float, rng: np.random.Generator) -> Float64:
    """Taken with this share of the pixels a side, and enlarged again."""
    del rng
    from PIL import Image

    height, width = pixels.shape[:2]
    small = (max(1, round(width * amount)), max(1, round(height * amount)))
    planes = []
    for channel in np.moveaxis(pixels, 2, 0):
        plane = Image.fromarray(channel.astype(np.float32))
        fewer = plane.resize(small, Image.Resampling.BOX)
        planes.append(np.asarray(fewer.resize((width, height), Image.Resampling.BILINEAR)))
    return np.stack(planes, axis=2).astype(np.float64)


def _vignette(pixels: Float64, amount: float, rng: np.random.Generator) -> Float64:
    """The corners are darker by the share ``amount``."""
    del rng
    height, width = pixels.shape[:2]
    down = np.linspace(-1, 1, height)[:, None]
    across = np.linspace(-1, 1, width)[None]
    return pixels * (1 - amount * ((down**2 + across**2) / 2))[:, :, None]


def _noise(pixels: Float64, amount: float, rng: np.random.Generator) -> Float64:
    """Noise of this standard deviation in grey levels, half of it growing with the light."""
    steady = rng.normal(0, amount / math.sqrt(2), pixels.shape)
    of_light = rng.normal(0, amount / math.sqrt(2), pixels.shape)
    return pixels + steady + of_light * np.sqrt(np.clip(pixels, 0, 255) / 128)


def _jpeg(pixels: Float64, amount: float, rng: np.random.Generator) -> Float64:
    """Compressed at this quality."""
    del rng
    from PIL import Image

    whole = np.clip(np.rint(pixels), 0, 255).astype(np.uint8)
    image = Image.fromarray(whole[:, :, 0] if whole.shape[2] == 1 else whole)
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=round(amount))
    found = np.asarray(Image.open(stream), dtype=np.float64)
    return found.reshape(pixels.shape)


CHANGES: dict[str, Change] = {
    "fog": _fog,
    "rain": _rain,
    "snow": _snow,
    "shadow": _shadow,
    "light": _light,
    "contrast": _contrast,
    "colour": _colour,
    "motion_blur": _motion_blur,
    "blur": _blur,
    "resolution": _resolution,
    "vignette": _vignette,
    "noise": _noise,
    "jpeg": _jpeg,
}
"""By name, in the order in which they act, after ``style``."""
