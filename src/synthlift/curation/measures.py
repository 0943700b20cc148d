"""What can be read off the pixels of one image, whatever it shows."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from synthlift.rows import PixelRows, in_blocks
from synthlift.seeds import generator_for
from synthlift.types import Float64, ImageSet, Int64, UInt8

MOST_MEASURED = 5000
"""Of more training images, so many are drawn by a seed: their quantiles say the same."""
_LUMA = np.array([0.299, 0.587, 0.114])
_TINY = 1e-3


class Measures(NamedTuple):
    """What is measured.

    Attributes:
        contrast: standard deviation of the luma, in grey levels of 255.
        light: how far its 99th percentile lies above black, in grey levels.
        dark: how far its 1st percentile lies below white, in grey levels.
        sharpness: log of the standard deviation of its Laplacian (Pech-Pacheco 2000, eq. 2).
        detail: log of the share of its power above half the highest frequency.
        slope: of log power over log frequency, the exponent of a 1/f spectrum (van der Schaaf and
            van Hateren 1996).
    """

    contrast: float
    light: float
    dark: float
    sharpness: float
    detail: float
    slope: float


def measure(image: UInt8) -> Measures:
    """Measure one image, uint8 [H, W, C] with sides of 4 pixels at least.

    The power spectrum is that of the luma under a Hann window, averaged over rings of equal
    frequency (Durall 2020, eq. 3): generators that upsample badly leave their mark there.
    """
    grey = luma(image)
    low, high = np.quantile(grey, (0.01, 0.99))
    inner = grey[1:-1, 1:-1]
    laplacian = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:] - 4 * inner
    detail, slope = _spectrum(grey)
    return Measures(
        contrast=float(grey.std()),
        light=float(high),
        dark=float(255 - low),
        sharpness=float(np.log(laplacian.std() + _TINY)),
        detail=detail,
        slope=slope,
    )


def luma(image: UInt8) -> Float64:
    """The luma of uint8 [H, W, C] (ITU-R BT.601), float64 [H, W] in [0, 255]."""
    values = image.astype(np.float64)
    grey: Float64 = values @ _LUMA if image.shape[2] == 3 else values[..., 0]
    return grey


def _spectrum(grey: Float64) -> tuple[float, float]:
    height, width = grey.shape
    window = np.hanning(height + 2)[1:-1, None] * np.hanning(width + 2)[None, 1:-1]
    power = np.abs(np.fft.rfft2((grey - grey.mean()) * window)) ** 2
    down, right = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None]
    frequency = np.hypot(down, right)
    inside = (frequency > 0) & (frequency <= 0.5)
    total = power[inside].sum() + _TINY
    detail = float(np.log(power[inside & (frequency > 0.25)].sum() / total + 1e-6))
    rings = max(3, min(height, width) // 2)
    ring = np.minimum((frequency[inside] * 2 * rings).astype(int), rings - 1)
    count = np.bincount(ring, minlength=rings)
    mean = np.bincount(ring, weights=power[inside], minlength=rings)
    used = count > 0
    x = np.log(np.flatnonzero(used) + 1.0)
    y = np.log(mean[used] / count[used] + _TINY)
    x = x - x.mean()
    return detail, float((x * y).sum() / (x * x).sum())


def measured(pixels: PixelRows) -> Float64:
    """Measures [N, M] of images that need not be in memory together; each depends on one image."""
    rows = [measure(image) for block in in_blocks(pixels) for image in block]
    return np.array(rows, dtype=np.float64).reshape(-1, len(Measures._fields))


def measured_of(images: ImageSet) -> tuple[Float64, Int64]:
    """Measures [n, M] and classes [n] of at most :data:`MOST_MEASURED` labelled images."""
    rows = np.flatnonzero(images.labels >= 0)
    if len(rows) > MOST_MEASURED:
        drawn = generator_for("curation", "measured").permutation(len(rows))[:MOST_MEASURED]
        rows = rows[np.sort(drawn)]
    chosen = images.subset(rows)
    return measured(chosen.source), chosen.labels
