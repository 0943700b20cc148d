"""Perceptual hashing: which images look alike at a coarse glance, flipped or turned included.

The hash is that of "pHash" – the low frequencies of the cosine transform of a small grey image
(Zauner 2010) – but kept as numbers instead of one bit each: a product of matrices costs no more
than counting bits, and 50 numbers tell far more images apart than 64 bits do.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from synthlift.data.sizes import resize
from synthlift.types import Float32, Int64, UInt8

Rows = NDArray[np.intp]
Found = tuple[Rows, Rows, Float32]

SIDE = 32
"""Thumbnails are SIDE × SIDE pixels."""
FEW = 64
"""Up to so many images every pair is looked at, and nothing is calibrated on them."""

_FREQUENCIES = 8
_COSINES, _MANY = (0.4, 0.6), 10_000
_NEIGHBOURS = 8
_POOL = 2_000_000
_BLOCK, _WIDTH = 512, 2048
_QUERIES = 64
_FLAT = 2.0
_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)

VARIANTS = tuple((bool(t), bool(r), bool(c)) for t in (0, 1) for r in (0, 1) for c in (0, 1))
"""The 8 ways to flip and turn a square: (transpose, then reverse rows, reverse columns)."""


class Candidates(NamedTuple):
    """Pairs that look alike coarsely: rows first < second, and how to turn the second image."""

    first: Rows
    second: Rows
    variant: Rows


def thumbnails(pixels: UInt8) -> UInt8:
    """Grey images uint8 [N, 32, 32] (BT.601 luma) of uint8 [N, H, W, C], proportions given up."""
    if pixels.shape[1:3] != (SIDE, SIDE):
        small = [resize(image, size=SIDE, fit="stretch", channels=1)[..., 0] for image in pixels]
        return np.stack(small) if small else np.zeros((0, SIDE, SIDE), np.uint8)
    if pixels.shape[3] == 1:
        return np.ascontiguousarray(pixels[..., 0])
    out = np.empty(pixels.shape[:3], dtype=np.uint8)
    for start in range(0, len(pixels), 1024):
        out[start : start + 1024] = np.rint(pixels[start : start + 1024] @ _LUMA)
    return out


def turn(images: Float32, variants: Rows) -> Float32:
    """Flip and turn images [n, S, S], each by its own entry of :data:`VARIANTS`."""
    out = np.empty_like(images)
    for v, (transpose, rows, columns) in enumerate(VARIANTS):
        chosen = images[variants == v]
        chosen = chosen.transpose(0, 2, 1) if transpose else chosen
        chosen = chosen[:, ::-1] if rows else chosen
        out[variants == v] = chosen[:, :, ::-1] if columns else chosen
    return out


def look_alikes(grey: UInt8) -> Candidates:
    """For each image the 8 others that look most alike, in any of the 8 orientations.

    All pairs are compared, tile by tile: memory is bounded, time grows with N² (about 30 s for
    60,000 images on one core). Images without any structure have no look-alikes.

    Args:
        grey: thumbnails uint8 [N, 32, 32].
    """
    if len(grey) < 2:
        return Candidates(*(np.zeros(0, dtype=np.intp) for _ in range(3)))
    hashes = _hashes(grey)
    flat = _contrast(grey) < _FLAT
    least = -np.inf if len(grey) <= FEW else _COSINES[len(grey) > _MANY]
    pool: list[Found] = []
    waiting = 0
    for found in _tiles(hashes, least, flat):
        pool.append(found)
        waiting += len(found[0])
        if waiting > _POOL:
            pool, waiting = [_nearest_only(pool)], 0
    first, second, _ = _nearest_only(pool)
    return Candidates(first, second, _best_variants(hashes, first, second))


def look_alikes_apart(grey: UInt8, *, rows: Rows, apart: Int64) -> Candidates:
    """For each of some images the 8 that look most alike among those of another mark.

    Args:
        grey: thumbnails uint8 [N, 32, 32].
        rows: the images whose look-alikes are sought.
        apart: a mark an image [N]; images of one mark are not compared.
    """
    hashes = _hashes(grey)
    plain, turned = _parities(hashes), _parities(hashes.transpose(0, 2, 1))
    flat = _contrast(grey) < _FLAT
    least = -1.0 if len(grey) <= FEW else _COSINES[len(grey) > _MANY]
    everything = np.arange(len(grey))
    found: list[NDArray[np.intp]] = []
    for start in range(0, len(rows), _QUERIES):
        part = rows[start : start + _QUERIES]
        best = _best_cosines(plain, plain, part, everything)
        np.maximum(best, _best_cosines(plain, turned, part, everything), out=best)
        own, other = np.nonzero(best > least)
        cosine = best[own, other]
        own = part[own]
        kept = (apart[own] != apart[other]) & ~flat[own] & ~flat[other]
        own, other, cosine = own[kept], other[kept], cosine[kept]
        order = np.lexsort((other, -cosine, own))
        nearest = order[_ranks(own[order]) < _NEIGHBOURS]
        found.append(np.sort(np.stack([own[nearest], other[nearest]], axis=1), axis=1))
    pairs = np.unique(np.concatenate([np.zeros((0, 2), dtype=np.intp), *found]), axis=0)
    first, second = np.ascontiguousarray(pairs.T)
    return Candidates(first, second, _best_variants(hashes, first, second))


def _contrast(grey: UInt8) -> Float32:
    out = np.empty(len(grey), dtype=np.float32)
    for start in range(0, len(grey), 1024):
        out[start : start + 1024] = grey[start : start + 1024].std(axis=(1, 2), dtype=np.float32)
    return out


def _hashes(grey: UInt8) -> Float32:
    """Cosine coefficients float32 [N, 8, 8] of unit length, whitened over the data set.

    Frequencies of 8 and more half-waves are left out: a crop of 10 % moves them out of step.
    """
    place = (np.arange(SIDE) + 0.5) / SIDE
    basis = np.cos(np.pi * np.arange(_FREQUENCIES)[:, None] * place).astype(np.float32)
    out = np.empty((len(grey), _FREQUENCIES, _FREQUENCIES), dtype=np.float32)
    for start in range(0, len(grey), 1024):
        out[start : start + 1024] = basis @ grey[start : start + 1024].astype(np.float32) @ basis.T
    order = np.arange(_FREQUENCIES)
    out *= np.hypot(order[:, None], order) < _FREQUENCIES
    out[:, 0, 0] = 0
    out = _unit(out)
    if len(grey) > FEW:
        out = _unit(_whitened(out))
    return out


def _whitened(hashes: Float32) -> Float32:
    """Take away what all images share, symmetrically, so that turning stays a change of signs."""
    even = np.arange(_FREQUENCIES) % 2 == 0
    mean = hashes.mean(axis=0, dtype=np.float64)
    mean = np.where(even[:, None] & even, (mean + mean.T) / 2, 0)
    out = hashes - mean.astype(np.float32)
    power = np.square(out).mean(axis=0, dtype=np.float64)
    scale = np.sqrt((power + power.T) / 2)
    white: Float32 = (out / np.maximum(scale, 1e-6)).astype(np.float32)
    return white


def _unit(hashes: Float32) -> Float32:
    length = np.sqrt(np.einsum("nuv,nuv->n", hashes, hashes))
    unit: Float32 = hashes / np.maximum(length, 1e-6)[:, None, None]
    return unit


def _parities(hashes: Float32) -> list[Float32]:
    """Coefficients by the parity of both frequencies: even-even, even-odd, odd-even, odd-odd."""
    return [
        np.ascontiguousarray(hashes[:, rows::2, columns::2].reshape(len(hashes), -1))
        for rows in (0, 1)
        for columns in (0, 1)
    ]


def _tiles(hashes: Float32, least: float, flat: NDArray[np.bool_]) -> Iterator[Found]:
    plain, turned = _parities(hashes), _parities(hashes.transpose(0, 2, 1))
    count = len(hashes)
    for start in range(0, count, _BLOCK):
        rows = slice(start, min(start + _BLOCK, count))
        for left in range(start, count, _WIDTH):
            columns = slice(left, min(left + _WIDTH, count))
            best = _best_cosines(plain, plain, rows, columns)
            np.maximum(best, _best_cosines(plain, turned, rows, columns), out=best)
            i, j = np.divmod(np.flatnonzero(best > least), best.shape[1])
            cosine = best[i, j]
            i, j = i + start, j + left
            kept = (i < j) & ~flat[i] & ~flat[j]
            yield i[kept], j[kept], cosine[kept]


def _best_cosines(
    a: list[Float32], b: list[Float32], rows: slice | Rows, columns: slice | Rows
) -> Float32:
    """Highest cosine over the four flips: a flip changes the signs of odd frequencies."""
    ee, eo, oe, oo = (x[rows] @ y[columns].T for x, y in zip(a, b, strict=True))
    both, one = ee + eo, ee - eo
    both += np.abs(oe + oo)
    one += np.abs(oe - oo)
    best: Float32 = np.maximum(both, one, out=both)
    return best


def _nearest_only(pool: list[Found]) -> Found:
    first, second, cosine = (np.concatenate([found[k] for found in pool]) for k in range(3))
    kept = best_of_each(first, second, cosine, count=_NEIGHBOURS)
    return first[kept], second[kept], cosine[kept]


def best_of_each(first: Rows, second: Rows, value: Float32, *, count: int) -> Rows:
    """Which pairs are among the ``count`` of highest value of either of their images.

    Args:
        first, second, value: of the pairs [n].
        count: pairs an image.

    Returns:
        Places among the pairs, ordered by (first, second); ties go to the lower row.
    """
    own, other = np.concatenate([first, second]), np.concatenate([second, first])
    order = np.lexsort((other, np.tile(-value, 2), own))
    chosen = np.unique(order[_ranks(own[order]) < count] % max(len(first), 1))
    return chosen[np.lexsort((second[chosen], first[chosen]))]


def _ranks(ordered: Rows) -> Rows:
    """Place of each among its equals, which stand together; 0 for the first."""
    starts = np.flatnonzero(np.diff(ordered, prepend=-1))
    ranks: Rows = np.arange(len(ordered)) - np.repeat(starts, np.diff([*starts, len(ordered)]))
    return ranks


def _best_variants(hashes: Float32, first: Rows, second: Rows) -> Rows:
    sign = np.where(np.arange(_FREQUENCIES) % 2 == 0, 1, -1).astype(np.float32)
    variants = np.zeros(len(first), dtype=np.intp)
    for start in range(0, len(first), 16384):
        part = slice(start, start + 16384)
        own, other = hashes[first[part]], hashes[second[part]]
        cosines = []
        for transpose, rows, columns in VARIANTS:
            turned = other.transpose(0, 2, 1) if transpose else other
            signs = (sign if rows else sign**2)[:, None] * (sign if columns else sign**2)
            cosines.append(np.einsum("nuv,nuv,uv->n", own, turned, signs, optimize=False))
        variants[part] = np.argmax(cosines, axis=0)
    return variants
