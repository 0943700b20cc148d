"""What a leaf lies on: paper, soil or stone."""

from __future__ import annotations

import numpy as np

from synthlift.data.leaves.raster import blurred, noise
from synthlift.types import Float64

GROUNDS = ("paper", "soil", "stone")


def ground(name: str, size: int, rng: np.random.Generator) -> Float64:
    """A background in 0..1 [size, size, 3]."""
    made = {"paper": _paper, "soil": _soil, "stone": _stone}[name](size, rng)
    x, y = np.meshgrid(np.linspace(-1, 1, size), np.linspace(-1, 1, size))
    angle = rng.uniform(0, 2 * np.pi)
    light = 1 + rng.uniform(0.02, 0.07) * (np.cos(angle) * x + np.sin(angle) * y)
    lit: Float64 = np.clip(made * light[..., None], 0, 1)
    return lit


def _paper(size: int, rng: np.random.Generator) -> Float64:
    colour = np.array([0.95, 0.93, 0.88]) + rng.uniform(-0.03, 0.03, 3)
    fibres = 0.012 * noise(rng, size // 2, size) + 0.012 * noise(rng, 5, size)
    return colour + fibres[..., None]


def _soil(size: int, rng: np.random.Generator) -> Float64:
    colour = np.array([0.27, 0.2, 0.14]) + rng.uniform(-0.03, 0.03, 3)
    clods = 0.5 * noise(rng, 9, size) + 0.5 * noise(rng, 18, size) + 0.5 * noise(rng, 32, size)
    made = colour * (1 + 0.42 * clods[..., None])
    crumbs = blurred((rng.uniform(size=(size, size)) < 0.012).astype(np.float64), 1) * 4
    strewn: Float64 = made + np.minimum(crumbs, 1)[..., None] * np.array([0.3, 0.26, 0.2])
    return strewn


def _stone(size: int, rng: np.random.Generator) -> Float64:
    grey = rng.uniform(0.52, 0.64)
    colour = grey + np.array([0.0, 0.0, 0.012]) + rng.uniform(-0.012, 0.012, 3)
    grain = (
        0.6 * noise(rng, size // 2, size) + 0.35 * noise(rng, 12, size) + 0.5 * noise(rng, 3, size)
    )
    return colour * (1 + 0.13 * grain[..., None])
