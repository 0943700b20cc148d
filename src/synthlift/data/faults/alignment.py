"""Laying one small image over another: shift and scale, whatever the brightness."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from synthlift.types import Float32

Bools = NDArray[np.bool_]

_LONGEST_STEP = 0.1
_SCALES, _SHIFTS = (0.8, 1.25), (-0.25, 0.25)
_LEAST_OVERLAP = 0.7
_SHARE = np.float32(0.25)


def align(
    templates: Float32, images: Float32, *, steps: int, start: Float32 | None = None
) -> Float32:
    """Find the shift and scale that lay each image over its template.

    Inverse compositional Gauss–Newton steps (Baker & Matthews 2004, section 3.2) on images of
    zero mean and unit variance, so that brightness and contrast play no part.

    Args:
        templates, images: grey, float32 [n, S, S].
        steps: iterations; about 8 suffice from nothing.
        start: what was found before; None = no shift, no scale.

    Returns:
        float32 [n, 4]: scale and shift along rows, then columns – s_y, s_x, t_y, t_x – in
        coordinates from −1 to 1: the template's place x is the image's place s·x + t.
    """
    wanted, descent, inverse = _prepared(templates)
    nothing = np.tile(np.array([1, 1, 0, 0], dtype=np.float32), (len(images), 1))
    found = nothing if start is None else start
    for _ in range(steps):
        moved, inside = warp(images, found)
        covered = np.sqrt(np.count_nonzero(inside, axis=(1, 2)))[:, None].astype(np.float32)
        gap = (_standardised(moved, inside) * covered - wanted) * inside.reshape(len(images), -1)
        step = (inverse @ (descent @ gap[:, :, None]))[:, :, 0]
        step = np.clip(step, -_LONGEST_STEP, _LONGEST_STEP)
        scale = np.clip(found[:, :2] / (1 + step[:, :2]), *_SCALES)
        shift = np.clip(found[:, 2:] - scale * step[:, 2:], *_SHIFTS)
        found = np.concatenate([scale, shift], axis=1)
    return found


def inverted(found: Float32) -> Float32:
    """The same alignment with template and image exchanged."""
    return np.concatenate([1 / found[:, :2], -found[:, 2:] / found[:, :2]], axis=1)


def _prepared(templates: Float32) -> tuple[Float32, Float32, Float32]:
    """Standardised templates [n, P], steepest descent images [n, 4, P], inverse Hessian."""
    count, side, _ = templates.shape
    place = _places(side)
    down, across = (g * np.float32(side / 2) for g in np.gradient(templates, axis=(1, 2)))
    descent = np.stack([down * place[:, None], across * place, down, across], axis=1)
    descent = descent.reshape(count, 4, -1)
    wanted = templates.reshape(count, -1)
    spread = wanted.std(axis=1, keepdims=True) + np.float32(1e-3)
    wanted = (wanted - wanted.mean(axis=1, keepdims=True)) / spread
    descent /= spread[:, :, None]
    # Brightness and contrast are free: what they can explain is taken out.
    descent -= descent.mean(axis=2, keepdims=True)
    shared = descent @ wanted[:, :, None] / np.float32(wanted.shape[1])
    descent -= shared * wanted[:, None, :]
    hessian = descent @ descent.transpose(0, 2, 1)
    damping = np.trace(hessian, axis1=1, axis2=2) / 200 + 1e-3
    inverse = np.linalg.inv(hessian + damping[:, None, None] * np.eye(4)).astype(np.float32)
    return wanted, descent, inverse


def _places(side: int) -> Float32:
    return ((np.arange(side) + 0.5) / side * 2 - 1).astype(np.float32)


def warp(images: Float32, found: Float32) -> tuple[Float32, Bools]:
    """Sample images [n, S, S] at s·x + t (bilinear); and which pixels lie inside the image."""
    side = images.shape[1]
    weights, inside = [], []
    for axis in (0, 1):
        at = found[:, axis, None] * _places(side) + found[:, axis + 2, None]
        at = (at + 1) * np.float32(side / 2) - np.float32(0.5)
        inside.append((at > -0.75) & (at < side - 0.25))
        at = np.clip(at, 0, side - 1)
        gap = np.abs(at[:, :, None] - np.arange(side, dtype=np.float32))
        weights.append(np.maximum(1 - gap, 0))
    moved: Float32 = weights[0] @ images @ weights[1].transpose(0, 2, 1)
    return moved, inside[0][:, :, None] & inside[1][:, None, :]


def _standardised(values: Float32, inside: Bools) -> Float32:
    """Zero mean and unit length over what is inside, 0 elsewhere; [n, P]."""
    count = len(values)
    mask = inside.reshape(count, -1).astype(np.float32)
    flat = values.reshape(count, -1)
    total, size = np.einsum("np,np->n", flat, mask), np.einsum("np->n", mask)
    flat = (flat - (total / (size + 1e-6))[:, None]) * mask
    length = np.sqrt(np.einsum("np,np->n", flat, flat) + 1e-6)
    unit: Float32 = flat / length[:, None]
    return unit


def edge_correlation(templates: Float32, images: Float32, found: Float32) -> Float32:
    """Correlation of the brightness steps between neighbouring pixels, once aligned; [n].

    Steps rather than brightness, since two blue skies agree in brightness but not in detail; and
    divided by the size of the steps around them, so that one strong edge, such as a frame, does
    not outweigh everything inside it. 0 where less than 70 % of the images overlap.

    Args:
        templates, images: grey, float32 [n, S, S].
        found: what :func:`align` gave.
    """
    moved, inside = warp(images, found)
    both = inside[:, 1:, 1:] & inside[:, :-1, :-1]
    both = np.concatenate([both, both], axis=1)
    own, other = (_standardised(_evened(_steps(x)), both) for x in (templates, moved))
    agreement = np.einsum("np,np->n", own, other)
    overlap = np.count_nonzero(inside, axis=(1, 2)) / inside[0].size
    return np.where(overlap >= _LEAST_OVERLAP, agreement, 0).astype(np.float32)


def _steps(images: Float32) -> Float32:
    """Steps down, and below them steps across: [n, 2 (S − 1), S − 1]."""
    down, across = np.diff(images, axis=1)[:, :, :-1], np.diff(images, axis=2)[:, :-1]
    return np.concatenate([down, across], axis=1)


def _evened(steps: Float32) -> Float32:
    """Divide steps by their typical size nearby, plus a share of that in the whole image."""
    count, _, side = steps.shape
    both: Float32 = steps.reshape(count, 2, side, side)
    power = np.square(both[:, 0]) + np.square(both[:, 1])
    near = _box(side)
    local = near @ power @ near.T
    whole = power.mean(axis=(1, 2), keepdims=True) + np.float32(1e-3)
    even: Float32 = both / np.sqrt(local + _SHARE * whole)[:, None]
    return even.reshape(steps.shape)


@cache
def _box(side: int) -> Float32:
    """Averages over the neighbourhood, a quarter of the image wide, as a matrix [side, side]."""
    place = np.arange(side)
    inside = np.abs(place[:, None] - place) <= side // 8
    weights: Float32 = (inside / inside.sum(axis=1, keepdims=True)).astype(np.float32)
    return weights


def halved(images: Float32) -> Float32:
    """Averages over 2 × 2 pixels, float32 [n, S/2, S/2]."""
    rows = images[:, ::2] + images[:, 1::2]
    small: Float32 = ((rows[:, :, ::2] + rows[:, :, 1::2]) * np.float32(0.25)).astype(np.float32)
    return small
