"""Features of small images without any downloaded weights, for finding faults.

Seven views side by side, each of equal weight. At 32 px: gradients in cells (HOG; Dalal & Triggs
2005), colour histograms, and responses to whitened patches of the data set's own images (Coates,
Lee & Ng 2011; with random patches instead of learnt ones, Coates & Ng 2011). At 64 px: Fisher
vectors of gradients and of colours at two scales (:mod:`synthlift.data.faults.fisher`), which see
parts wherever they lie. Few labelled images suffice for a linear classifier on them.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from synthlift.data.faults import fisher
from synthlift.data.faults.fisher import Mixture, descriptors, fisher_vectors, fit_mixture
from synthlift.data.sizes import resize
from synthlift.seeds import generator_for
from synthlift.types import Float32, UInt8

SIDE = 32

_CELLS, _ANGLES = 8, 9
_COLOURS = (4, 6, 6)
_PATCH, _STRIDE, _POOLS = 6, 2, 3
_FILTERS, _DRAWN = 256, 5000
_THRESHOLD = 0.5
_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)
_BLOCK = 64
_FITTED_ON, _DESCRIBED = 2000, 200
_COLUMNS = 2048


@dataclass(frozen=True)
class _Learnt:
    """What the views need to know of the data set: patches and mixtures of descriptors."""

    filters: tuple[Float32, Float32]
    mixtures: list[Mixture]


def simple_features(pixels: UInt8, *, dimensions: int = 256, seed: int = 0) -> Float32:
    """Features that tell classes of small images apart, in about 4 ms an image.

    Args:
        pixels: uint8 [N, H, W, C]; other sizes than 64 are brought to 64 × 64 first.
        dimensions: principal components kept, at most N − 1.
        seed: of the patches and the mixtures.

    Returns:
        float32 [N, D], D = min(dimensions, N − 1, 1999), centred; a row's typical length is 1.
    """
    assert len(pixels) >= 2, "features need at least 2 images"
    learnt = _learn(pixels, seed)
    sample = _evenly(len(pixels), _FITTED_ON)
    views = _views(pixels[sample], learnt)
    means = [view.mean(axis=0) for view in views]
    scales = [_typical_length(view - mean) for view, mean in zip(views, means, strict=True)]
    fitted = _joined(views, means, scales)
    del views
    axes = _principal_axes(fitted, min(dimensions, len(sample) - 1))
    if len(sample) == len(pixels):
        return fitted @ axes
    out = np.empty((len(pixels), axes.shape[1]), dtype=np.float32)
    for start in range(0, len(pixels), _BLOCK):
        part = slice(start, start + _BLOCK)
        out[part] = _joined(_views(pixels[part], learnt), means, scales) @ axes
    return out


def _evenly(count: int, most: int) -> np.ndarray:
    """At most so many of ``count`` rows, evenly spread."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(np.intp))


def _learn(pixels: UInt8, seed: int) -> _Learnt:
    rng = generator_for(seed, "fault_descriptors")
    some = pixels[_evenly(len(pixels), _DESCRIBED)]
    mixtures = [fit_mixture(found, rng) for found in descriptors(_resized(some))]
    return _Learnt(_filters(pixels, seed), mixtures)


def _principal_axes(centred: Float32, count: int) -> Float32:
    """Axes of most variance [D, count], by way of the Gram matrix [n, n]: n is the smaller."""
    from scipy.linalg import eigh

    gram = np.zeros((len(centred), len(centred)))
    for start in range(0, centred.shape[1], _COLUMNS):
        columns = centred[:, start : start + _COLUMNS].astype(np.float64)
        gram += columns @ columns.T
    last = len(gram) - 1
    power, sides = eigh(gram, subset_by_index=[last - count + 1, last])
    weights = (sides / np.sqrt(np.maximum(power, power[-1] * 1e-12))).astype(np.float32)
    axes = centred.T @ weights
    # The sign of an axis is arbitrary; its largest entry is made positive.
    axes *= np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(count)])
    return np.ascontiguousarray(axes[:, ::-1], dtype=np.float32)


def _typical_length(centred: Float32) -> float:
    return float(np.sqrt(np.square(centred).sum(axis=1).mean())) or 1.0


def _joined(views: list[Float32], means: list[Float32], scales: list[float]) -> Float32:
    each = np.sqrt(len(views))
    parts = [(v - m) / np.float32(each * s) for v, m, s in zip(views, means, scales, strict=True)]
    return np.concatenate(parts, axis=1)


def _views(pixels: UInt8, learnt: _Learnt) -> list[Float32]:
    blocks = []
    for start in range(0, len(pixels), _BLOCK):
        images = _resized(pixels[start : start + _BLOCK])
        small = _halved(images)
        parts = zip(descriptors(images), learnt.mixtures, strict=True)
        blocks.append(
            [
                gradients(small),
                colours(small),
                _responses(small, learnt.filters),
                *(fisher_vectors(found, mixture) for found, mixture in parts),
            ]
        )
    return [np.concatenate(view) for view in zip(*blocks, strict=True)]


def _resized(pixels: UInt8) -> Float32:
    """RGB float32 [n, 64, 64, 3] in [0, 255]."""
    side = fisher.SIDE
    if pixels.shape[1:3] != (side, side):
        pixels = np.stack([resize(p, size=side, fit="stretch", channels=3) for p in pixels])
    images = np.asarray(pixels, dtype=np.float32)
    return np.repeat(images, 3, axis=3) if images.shape[3] == 1 else images


def _halved(images: Float32) -> Float32:
    """RGB float32 [n, 32, 32, 3] of 64 × 64 pixels."""
    out: Float32 = images.reshape(len(images), SIDE, 2, SIDE, 2, 3).mean(axis=(2, 4))
    return out


def gradients(images: Float32) -> Float32:
    """Directions of edges in 8 × 8 cells, normalised over 2 × 2 of them; of [n, 32, 32, 3]."""
    grey = images @ _LUMA
    down, across = np.gradient(grey, axis=(1, 2))
    strength = np.hypot(down, across)
    angle = (np.arctan2(down, across) % np.pi) * np.float32(_ANGLES / np.pi)
    lower = np.floor(angle)
    share = angle - lower
    cell = SIDE // _CELLS
    maps = []
    for a in range(_ANGLES):
        here = (lower % _ANGLES == a) * (1 - share) + ((lower + 1) % _ANGLES == a) * share
        summed = (strength * here).reshape(-1, _CELLS, cell, _CELLS, cell).sum(axis=(2, 4))
        maps.append(summed)
    cells = np.stack(maps, axis=-1)
    corners = (cells[:, :-1, :-1], cells[:, 1:, :-1], cells[:, :-1, 1:], cells[:, 1:, 1:])
    blocks = np.concatenate(corners, axis=-1)
    blocks = blocks / np.sqrt(np.square(blocks).sum(axis=-1, keepdims=True) + 100)
    out: Float32 = np.sqrt(blocks).reshape(len(images), -1).astype(np.float32)
    return out


def colours(images: Float32) -> Float32:
    """Joint histograms of brightness, red–green and yellow–blue: whole image and its quarters."""
    unit = images / 255
    red, green, blue = unit[..., 0], unit[..., 1], unit[..., 2]
    opponents = (
        unit.mean(axis=-1),
        0.5 + 0.7 * (red - green),
        0.5 + 0.6 * ((red + green) / 2 - blue),
    )
    place = np.zeros(unit.shape[:3], dtype=np.intp)
    for values, bins in zip(opponents, _COLOURS, strict=True):
        place = place * bins + np.clip((values * bins).astype(np.intp), 0, bins - 1)
    half = SIDE // 2
    parts = [place, *(place[:, y:, x:][:, :half, :half] for y in (0, half) for x in (0, half))]
    return np.concatenate([_histogram(part.reshape(len(images), -1)) for part in parts], axis=1)


def _histogram(places: np.ndarray) -> Float32:
    bins = int(np.prod(_COLOURS))
    at = places + np.arange(len(places))[:, None] * bins
    counts = np.bincount(at.ravel(), minlength=len(places) * bins).reshape(len(places), bins)
    shares: Float32 = np.sqrt(counts / places.shape[1]).astype(np.float32)
    return shares


def _patches(images: Float32) -> Float32:
    """All patches at a stride, of zero mean and about unit variance: [n, g, g, 108]."""
    view = sliding_window_view(images, (_PATCH, _PATCH), axis=(1, 2))[:, ::_STRIDE, ::_STRIDE]
    return _contrast_normalised(view.reshape(*view.shape[:3], -1))


def _contrast_normalised(patches: Float32) -> Float32:
    centred = patches - patches.mean(axis=-1, keepdims=True)
    out: Float32 = centred / np.sqrt(np.square(centred).mean(axis=-1, keepdims=True) + 10)
    return out


def _filters(pixels: UInt8, seed: int) -> tuple[Float32, Float32]:
    """Whitened random patches as a matrix [108, 256], and what to take off its responses."""
    rng = generator_for(seed, "fault_features")
    last = SIDE - _PATCH + 1
    rows = rng.integers(0, len(pixels), _DRAWN)
    corners = rng.integers(0, last, (_DRAWN, 2))
    images = {row: _halved(_resized(pixels[row : row + 1]))[0] for row in np.unique(rows)}
    drawn = np.stack(
        [
            images[row][y : y + _PATCH, x : x + _PATCH].transpose(2, 0, 1).ravel()
            for row, (y, x) in zip(rows, corners, strict=True)
        ]
    )
    drawn = _contrast_normalised(drawn)
    mean = drawn.mean(axis=0)
    power, axes = np.linalg.eigh(np.cov((drawn - mean).T))
    whitening = ((axes / np.sqrt(np.maximum(power, 0) + 0.1)) @ axes.T).astype(np.float32)
    chosen = (drawn[:_FILTERS] - mean) @ whitening
    chosen /= np.linalg.norm(chosen, axis=1, keepdims=True) + 1e-6
    matrix = (whitening @ chosen.T).astype(np.float32)
    return matrix, mean @ matrix


def _responses(images: Float32, filters: tuple[Float32, Float32]) -> Float32:
    """Soft-thresholded responses of both signs, averaged over 3 × 3 regions."""
    matrix, offset = filters
    found = _patches(images) @ matrix - offset
    found = np.concatenate(
        [np.maximum(found - _THRESHOLD, 0), np.maximum(-found - _THRESHOLD, 0)], -1
    )
    edges = np.linspace(0, found.shape[1], _POOLS + 1).astype(int)
    regions = [
        found[:, top:bottom, left:right].mean(axis=(1, 2))
        for top, bottom in pairwise(edges)
        for left, right in pairwise(edges)
    ]
    return np.concatenate(regions, axis=1)
