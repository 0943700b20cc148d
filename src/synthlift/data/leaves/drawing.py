"""Drawing one leaf on its background."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from synthlift.data.leaves.grounds import ground
from synthlift.data.leaves.raster import blurred, coverage, noise, smooth, straight, stroke
from synthlift.data.leaves.shapes import SPECIES, Species, closed, vein_lines
from synthlift.types import Float64, UInt8

SIZE = 64
_COLOURS = np.array(
    [
        [0.16, 0.42, 0.14],
        [0.36, 0.55, 0.16],
        [0.82, 0.7, 0.2],
        [0.76, 0.4, 0.13],
        [0.48, 0.25, 0.13],
    ]
)
"""From fresh to withered."""


def draw(name: str, background: str, rng: np.random.Generator) -> tuple[UInt8, UInt8]:
    """One leaf: the picture [64, 64, 3] and its mask [64, 64], uint8."""
    species = SPECIES[name]
    base = ground(background, SIZE, rng)
    outline, veins, stem = _shape(species, rng)
    blade, stalk = coverage(outline, SIZE), coverage(stem, SIZE)
    lines = np.zeros((SIZE, SIZE))
    for vein in veins:
        lines = np.maximum(lines, coverage(vein, SIZE))
    leaf = np.maximum(blade, stalk)
    shade = np.roll(blurred(leaf, 2), (2, int(rng.choice([-2, 1, 2]))), axis=(0, 1))
    picture = base * (1 - rng.uniform(0.28, 0.45) * shade[..., None])
    colour, dark = _colours(species, rng)
    surface = _surface(colour, lines * blade, blade, rng)
    picture = picture * (1 - stalk[..., None]) + (0.75 * colour * dark) * stalk[..., None]
    picture = picture * (1 - blade[..., None]) + surface * blade[..., None]
    return _taken(picture, rng), np.where(leaf >= 0.5, 255, 0).astype(np.uint8)


def draw_bare(background: str, rng: np.random.Generator) -> tuple[UInt8, UInt8]:
    """A background without a leaf, and its empty mask."""
    return _taken(ground(background, SIZE, rng), rng), np.zeros((SIZE, SIZE), np.uint8)


def _taken(picture: Float64, rng: np.random.Generator) -> UInt8:
    """As a camera takes it: a little too dark or too light, with noise."""
    seen = picture * rng.uniform(0.9, 1.08) + 0.012 * rng.standard_normal(picture.shape)
    pixels: UInt8 = np.rint(np.clip(seen, 0, 1) * 255).astype(np.uint8)
    return pixels


def _shape(species: Species, rng: np.random.Generator) -> tuple[Float64, list[Float64], Float64]:
    """Outline, veins and stalk as polygons in pixels."""
    right, left = (_varied(species, rng) for _ in range(2))
    left[[0, -1]] = right[[0, -1]]
    join = straight if species.sharp else smooth
    outline = join(closed(right, left))
    outline = _toothed(outline, species, rng)
    place = _Placing.drawn(species, rng)
    width = place.scale
    veins = [
        stroke(place(line), np.linspace(1, 0.35, len(line)) * thick * width)
        for line, thick in vein_lines(species, right)
    ]
    down = right[0] + np.linspace(0.06, -species.stem, 8)[:, None] * np.array([0.0, 1.0])
    down[:, 0] += rng.uniform(-0.5, 0.5) * np.linspace(0, 1, 8) ** 2 * species.stem
    stem = stroke(place(down), np.linspace(0.05, 0.075, 8) * width)
    return place(outline), veins, stem


def _varied(species: Species, rng: np.random.Generator) -> Float64:
    half = np.array(species.half)
    moved = half + rng.normal(0, 0.02, half.shape)
    moved[:, 0] *= rng.uniform(0.9, 1.12)
    moved[[0, -1], 0] = 0
    moved[1:-1, 0] = np.maximum(moved[1:-1, 0], 0.02)
    return moved


def _toothed(outline: Float64, species: Species, rng: np.random.Generator) -> Float64:
    if not species.teeth:
        return outline
    outward = outline - outline.mean(axis=0)
    outward /= np.maximum(np.linalg.norm(outward, axis=1, keepdims=True), 1e-9)
    height = np.where(np.arange(len(outline)) % 2 == 0, 1.0, -0.4)
    height = height * species.teeth * rng.uniform(0.7, 1.3, len(outline))
    toothed: Float64 = outline + outward * height[:, None]
    return toothed


@dataclass(frozen=True)
class _Placing:
    """Bends, turns, scales and moves points of the leaf's frame into the picture.

    Attributes:
        middle: the point of the frame that comes to ``shift``.
        bend: of the axis, in units of the frame.
        turn: a rotation.
        scale: pixels of a unit.
        shift: where the middle lies, in pixels.
    """

    middle: Float64
    bend: float
    turn: Float64
    scale: float
    shift: Float64

    @classmethod
    def drawn(cls, species: Species, rng: np.random.Generator) -> _Placing:
        """At random, about the middle of the picture and upright."""
        angle = rng.normal(0, 0.55)
        cos, sin = np.cos(angle), np.sin(angle)
        return cls(
            middle=np.array([0.0, 0.04 - species.stem / 4]),
            bend=rng.normal(0, 0.09),
            turn=np.array([[cos, -sin], [sin, cos]]),
            scale=species.scale * rng.uniform(0.86, 1.06) * SIZE / 2,
            shift=SIZE / 2 + rng.uniform(-2.5, 2.5, 2),
        )

    def __call__(self, points: Float64) -> Float64:
        """Points in pixels, y down."""
        bent = points.copy()
        bent[:, 0] += self.bend * (points[:, 1] ** 2 - 0.4)
        turned = (bent - self.middle) @ self.turn.T
        placed: Float64 = turned * np.array([1.0, -1.0]) * self.scale + self.shift
        return placed


def _colours(species: Species, rng: np.random.Generator) -> tuple[Float64, float]:
    age = rng.beta(1.1, 2.2) * species.ripe * (len(_COLOURS) - 1)
    low = min(int(age), len(_COLOURS) - 2)
    colour = _COLOURS[low] * (1 - (age - low)) + _COLOURS[low + 1] * (age - low)
    return colour * rng.uniform(0.88, 1.12) + rng.uniform(-0.02, 0.02, 3), rng.uniform(0.7, 0.95)


def _surface(colour: Float64, lines: Float64, blade: Float64, rng: np.random.Generator) -> Float64:
    """The blade: mottled, lit from one side, withering from the margin, with its veins."""
    x, y = np.meshgrid(np.linspace(-1, 1, SIZE), np.linspace(-1, 1, SIZE))
    angle = rng.uniform(0, 2 * np.pi)
    light = 1 + 0.13 * (np.cos(angle) * x + np.sin(angle) * y)
    mottled = 0.07 * noise(rng, 6, SIZE) + 0.05 * noise(rng, 20, SIZE)
    margin = np.clip(1 - blurred(blade, 3) * 1.15, 0, 1)
    surface = colour * (light + mottled)[..., None]
    withered = colour * np.array([0.95, 0.72, 0.6])
    surface = surface + (withered - surface) * (margin * rng.uniform(0.1, 0.8))[..., None]
    ribs = colour * 0.55 + np.array([0.42, 0.44, 0.26])
    veined: Float64 = surface + (ribs - surface) * (0.62 * lines)[..., None]
    return veined
