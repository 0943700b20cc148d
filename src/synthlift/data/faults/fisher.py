"""Fisher vectors: which small parts an image shows, and how its own differ from the typical ones.

Overlapping squares of 4 × 4 cells are described twice, by directed gradients (rectified in eight
directions; Winder & Brown 2007) and by colour (mean and deviation of each channel; Clinchant et al.
2007), at two scales, each with its place in the image. Descriptors are decorrelated, a Gaussian
mixture describes what is typical, and an image becomes the mean gradient of the mixture's log
likelihood with respect to means and deviations (Sánchez, Perronnin, Mensink & Verbeek 2013, "Image
Classification with the Fisher Vector", equations 17 and 18), of which signed roots are taken.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np

from synthlift.types import Float32

SIDE = 64
"""Images are SIDE × SIDE pixels."""

_CELL, _ACROSS = 2, 4
_STRIDES = (2, 1)
_ANGLES = 8
_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)
_NOISE = 8.0
_LARGEST = 0.3
_PARTS, _KEPT = 32, 40
_LEARNT_FROM, _ITERATIONS = 10_000, 20


@dataclass(frozen=True)
class Mixture:
    """A Gaussian mixture with diagonal covariances over decorrelated descriptors.

    Attributes:
        mean: of the descriptors [d].
        axes: what decorrelates them [d, D].
        weights, centres, spreads: of K parts [K], [K, D], [K, D]; spreads are deviations.
    """

    mean: Float32
    axes: Float32
    weights: Float32
    centres: Float32
    spreads: Float32


def descriptors(images: Float32) -> list[Float32]:
    """Describe the squares of each image: gradients and colours of the finer scale, then the other.

    Args:
        images: RGB float32 [n, 64, 64, 3] in [0, 255].

    Returns:
        Four arrays float32 [n, g, g, d].
    """
    cells, area = _cells(images), _CELL * _CELL
    out = []
    for level, stride in enumerate(_STRIDES):
        if level:
            cells, area = _coarser(cells), 4 * area
        out.append(_with_place(_directions(cells[..., :_ANGLES], area, stride)))
        out.append(_with_place(_tones(cells[..., _ANGLES:], area, stride)))
    return out


def fit_mixture(found: Float32, rng: np.random.Generator) -> Mixture:
    """Learn what is typical from at most 10,000 of the descriptors [n, g, g, d], n · g · g ≥ 32."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    flat = found.reshape(-1, found.shape[-1])
    flat = flat[rng.permutation(len(flat))[:_LEARNT_FROM]]
    mean = flat.mean(axis=0)
    power, axes = np.linalg.eigh(np.cov((flat - mean).T))
    kept = slice(None, -_KEPT - 1, -1)
    axes = (axes[:, kept] / np.sqrt(np.maximum(power[kept], 0) + 1e-6)).astype(np.float32)
    mixture = GaussianMixture(
        _PARTS,
        covariance_type="diag",
        max_iter=_ITERATIONS,
        tol=1e-2,
        reg_covar=1e-2,
        init_params="random_from_data",
        random_state=int(rng.integers(2**31)),
    )
    with warnings.catch_warnings():
        # A mixture that is nearly there describes images as well as one that is.
        warnings.filterwarnings("ignore", category=ConvergenceWarning)
        mixture.fit((flat - mean) @ axes)
    return Mixture(
        mean,
        axes,
        mixture.weights_.astype(np.float32),
        mixture.means_.astype(np.float32),
        np.sqrt(mixture.covariances_).astype(np.float32),
    )


def fisher_vectors(found: Float32, mixture: Mixture) -> Float32:
    """Describe each image by how its descriptors differ from the typical ones.

    Args:
        found: descriptors [n, g, g, d] of one kind.
        mixture: learnt from descriptors of that kind.

    Returns:
        float32 [n, 2 · K · D], rows of length 1.
    """
    count, squares = len(found), found.shape[1] * found.shape[2]
    points = (found - mixture.mean).reshape(-1, found.shape[-1]) @ mixture.axes
    weights, centres, spreads = mixture.weights, mixture.centres, mixture.spreads
    precision = 1 / np.square(spreads)
    share = np.square(points) @ (-0.5 * precision.T) + points @ (centres * precision).T
    share += np.log(np.maximum(weights, 1e-12)) - np.log(spreads).sum(axis=1)
    share -= 0.5 * (np.square(centres) * precision).sum(axis=1)
    share -= share.max(axis=1, keepdims=True)
    np.exp(share, out=share)
    share /= share.sum(axis=1, keepdims=True)

    points = points.reshape(count, squares, -1)
    share = share.reshape(count, squares, -1).transpose(0, 2, 1)
    sums = share.sum(axis=2)[:, :, None]
    first, second = share @ points, share @ np.square(points)
    scale = squares * np.sqrt(np.maximum(weights, 1e-12))[:, None]
    by_mean = (first - centres * sums) / (spreads * scale)
    by_spread = second - 2 * centres * first + (np.square(centres) - np.square(spreads)) * sums
    by_spread *= precision / (np.float32(np.sqrt(2)) * scale)
    joined = np.concatenate([by_mean.reshape(count, -1), by_spread.reshape(count, -1)], axis=1)
    rooted = np.sign(joined) * np.sqrt(np.abs(joined))
    out: Float32 = rooted / (np.linalg.norm(rooted, axis=1, keepdims=True) + 1e-8)
    return out.astype(np.float32)


def _cells(images: Float32) -> Float32:
    """Sums over cells of 2 × 2 pixels: gradients in 8 directions, colours, and their squares."""
    down, across = np.gradient(images @ _LUMA, axis=(1, 2))
    turns = np.arange(_ANGLES) * (2 * np.pi / _ANGLES)
    towards = np.stack([np.cos(turns), np.sin(turns)]).astype(np.float32)
    directed = np.maximum(np.stack([across, down], axis=-1) @ towards, 0)
    # Squared and taken back to the strength of the gradient: finer tuned to the direction.
    directed *= directed / (np.hypot(down, across) + 1e-3)[..., None]
    unit = images / 255
    joined = np.concatenate([directed, unit, np.square(unit)], axis=-1)
    return _coarser(joined)


def _coarser(cells: Float32) -> Float32:
    """Sums over 2 × 2 cells."""
    count, side, _, values = cells.shape
    out: Float32 = cells.reshape(count, side // 2, 2, side // 2, 2, values).sum(axis=(2, 4))
    return out


def _squares(cells: Float32, stride: int) -> Float32:
    """All 4 × 4 cells at a stride, side by side: [n, g, g, 16 · values]."""
    starts = np.arange(0, cells.shape[1] - _ACROSS + 1, stride)
    parts = [
        cells[:, starts + down][:, :, starts + across]
        for down in range(_ACROSS)
        for across in range(_ACROSS)
    ]
    return np.concatenate(parts, axis=-1)


def _directions(cells: Float32, area: int, stride: int) -> Float32:
    """Gradients of each square, normalised, strong ones limited (Lowe 2004), their roots taken."""
    found = _squares(cells, stride)
    length = np.square(found).sum(axis=-1, keepdims=True)
    found = np.minimum(found / np.sqrt(length + np.float32((_NOISE * area) ** 2)), _LARGEST)
    found /= np.sqrt(np.square(found).sum(axis=-1, keepdims=True) + 1e-3)
    roots: Float32 = np.sqrt(found)
    return roots


def _tones(cells: Float32, area: int, stride: int) -> Float32:
    """Mean and deviation of each channel in each cell of a square."""
    mean = cells[..., :3] / area
    spread = np.sqrt(np.maximum(cells[..., 3:] / area - np.square(mean), 0))
    return _squares(np.concatenate([mean, spread], axis=-1), stride)


def _with_place(found: Float32) -> Float32:
    """Descriptors with their place in [−0.5, 0.5] beside them."""
    side = found.shape[1]
    place = ((np.arange(side) + 0.5) / side - 0.5).astype(np.float32)
    grid = np.stack(np.meshgrid(place, place, indexing="ij"), axis=-1)
    return np.concatenate([found, np.broadcast_to(grid, (*found.shape[:3], 2))], axis=-1)
