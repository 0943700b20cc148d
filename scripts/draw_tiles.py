"""A simulator of magnetic tiles with flaws: grey pictures, masks and a table of what was drawn.

    python -m scripts.draw_tiles                  # into recipes/drawn-tiles
    python -m scripts.draw_tiles PLACE --flaws crack unground --each 100
    synthlift run recipes/defects.yaml

Nothing is read and nothing is learnt: a ground surface is light, streaks and grain, and a flaw
changes these where its mask is. What the flaws are follows their description by Huang, Qiu and Yuan
(2018, "Surface defect saliency of magnetic tile"): blowholes, cracks, breaks, frays (here: places
that the grinding wheel never reached) and unevenly ground parts (here: ground twice). How large,
dark and frequent they are was set by eye, once, beside 24 of the 1,344 photographs: of each class
those at 1/8, 3/8, 5/8 and 7/8 of the sorted file names. No score was looked at for it. A study
that cross-validates tests on these 24, too.

Every picture depends on the seed, its flaw and its number alone.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from synthlift.seeds import generator_for
from synthlift.types import Float64, UInt8

PLACE = Path(__file__).resolve().parents[1] / "recipes" / "drawn-tiles"
SIDE = 128
EACH = 320
"""Pictures of each flaw."""
EXPOSURES = (55.0, 210.0)
"""Mean grey level of a sound surface, from the shortest to the longest exposure."""
EXTENTS = (("small", 0.002), ("medium", 0.05), ("large", 1.0))
"""Words for the share of the picture that a flaw takes, each up to this share."""
DOWN, ACROSS = np.mgrid[0:SIDE, 0:SIDE].astype(np.float64)

Mask = NDArray[np.bool_]
Rng = np.random.Generator


@dataclass
class Surface:
    """A ground surface; grey levels are ``light * (1 + streaks + grain)``.

    Attributes:
        light: grey levels [SIDE, SIDE].
        streaks: marks of the grinding wheel, from top to bottom, as shares of the light.
        grain: of the material and the camera, as shares of the light.
    """

    light: Float64
    streaks: Float64
    grain: Float64

    def pixels(self) -> UInt8:
        """What a camera sees of it, slightly blurred."""
        seen = ndimage.gaussian_filter(self.light * (1 + self.streaks + self.grain), 0.5)
        levels: UInt8 = np.clip(np.rint(seen), 0, 255).astype(np.uint8)
        return levels


@dataclass(frozen=True)
class Flaw:
    """What was drawn onto a surface.

    Attributes:
        mask: where.
        contrast: how much lighter it is than its surroundings, as a share; darker below 0.
        angle: of its longer side to the streaks in degrees; None where it has none.
    """

    mask: Mask
    contrast: float
    angle: float | None = None


@dataclass(frozen=True)
class Picture:
    """One drawing.

    Attributes:
        pixels: uint8 [SIDE, SIDE].
        mask: of the flaw.
        facts: a row of the table, by column.
    """

    pixels: UInt8
    mask: Mask
    facts: dict[str, str]


# ── surfaces ──────────────────────────────────────────────────────────────────────────────────


def smooth(rng: Rng, *deviations: float) -> Float64:
    """Noise of mean 0 and deviation 1 [SIDE, SIDE], blurred down and across by so many pixels."""
    noise = ndimage.gaussian_filter(rng.standard_normal((SIDE, SIDE)), deviations, mode="reflect")
    shown: Float64 = (noise - noise.mean()) / noise.std()
    return shown


def streaked(rng: Rng, strength: float) -> Float64:
    """Streaks from top to bottom: many faint ones, and a few that are light and end somewhere."""
    fine = smooth(rng, 60, 0.4) + 0.7 * smooth(rng, 25, 2)
    few = np.zeros((SIDE, SIDE))
    for column in rng.integers(0, SIDE, rng.poisson(6)):
        start, length = rng.integers(-40, SIDE), rng.integers(20, 110)
        few[max(start, 0) : max(start + length, 0), column] += rng.exponential(3)
    worn = few * np.clip(0.5 + 0.5 * smooth(rng, 4, 1), 0, 2)
    return strength * (fine + worn)


def surface(rng: Rng) -> Surface:
    """A surface without a flaw: tiles are bent, so that light falls off or glares at a side."""
    exposure = np.exp(rng.uniform(*np.log(EXPOSURES)))
    bend = (
        rng.normal(0, 0.18) * (ACROSS / SIDE - 0.5)
        - rng.uniform(0, 0.5) * ((ACROSS - rng.uniform(0.3, 0.7) * SIDE) / SIDE) ** 2
    )
    shading = 1 + bend + rng.uniform(0.03, 0.2) * smooth(rng, 30, 18)
    if rng.random() < 0.25:
        depth = ACROSS if rng.random() < 0.5 else SIDE - 1 - ACROSS
        edge = np.exp(-depth / rng.uniform(4, 14))
        shading += rng.choice([-0.6, 1.0]) * rng.uniform(0.3, 1) * edge
    if rng.random() < 0.5:
        shading *= 1 - _stains(rng)
    if rng.random() < 0.25:
        shading *= 1 - 0.8 * _beyond_the_end(rng)
    return Surface(
        light=exposure * np.clip(shading, 0.1, None),
        streaks=streaked(rng, rng.uniform(0.02, 0.07)),
        grain=rng.uniform(0.02, 0.05) * smooth(rng, 0.6, 0.6),
    )


def _stains(rng: Rng) -> Float64:
    """Dark clouds and lines that are no flaw, as shares of the light they take."""
    clouds = np.clip(smooth(rng, 7, 3) - rng.uniform(1.2, 2), 0, 1)
    lines = np.exp(-((smooth(rng, 16, 7) / 0.06) ** 2)) * (smooth(rng, 12, 12) > 1.5)
    taken: Float64 = np.clip(clouds + ndimage.gaussian_filter(lines, 0.7), 0, 1)
    return rng.uniform(0.1, 0.35) * taken


def _beyond_the_end(rng: Rng) -> Float64:
    """1 where the picture shows what lies below a tile's bent lower end, else 0."""
    end = SIDE - rng.uniform(1, 6) + 4 * ((ACROSS - SIDE / 2) / SIDE) ** 2
    below: Float64 = np.clip(DOWN - end, 0, 1)
    return below


# ── flaws ─────────────────────────────────────────────────────────────────────────────────────


def clean(rng: Rng, drawn: Surface) -> Flaw:
    """No flaw."""
    del rng, drawn
    return Flaw(np.zeros((SIDE, SIDE), bool), 0.0)


def pore(rng: Rng, drawn: Surface) -> Flaw:
    """A blowhole: a small dark hole or a few, each with an edge that shines."""
    cover, rim = np.zeros((SIDE, SIDE)), np.zeros((SIDE, SIDE))
    y, x = rng.uniform(12, SIDE - 12, 2)
    for _ in range(1 + rng.poisson(0.4)):
        radius = np.exp(rng.uniform(np.log(1.3), np.log(5)))
        distance = _distance(rng, y, x, radius=radius, wide=rng.uniform(0.6, 1))
        cover = np.maximum(cover, np.clip(radius - distance + 0.5, 0, 1))
        rim = np.maximum(rim, np.clip(1 - np.abs(distance - radius - 1), 0, 1))
        y, x = np.clip(rng.normal((y, x), 14), 6, SIDE - 6)
    contrast = -rng.uniform(0.35, 0.8)
    drawn.light *= 1 + contrast * cover + rng.uniform(0, 0.2) * rim
    return Flaw(cover > 0.5, contrast)


def chip(rng: Rng, drawn: Surface) -> Flaw:
    """A break: a piece that is missing at an edge, rough, dull and ragged."""
    along = rng.uniform(0, SIDE)
    y, x = [(0, along), (SIDE, along), (along, 0), (along, SIDE)][rng.integers(4)]
    radius = np.exp(rng.uniform(np.log(7), np.log(28)))
    distance = _distance(rng, y, x, radius=radius, wide=rng.uniform(0.35, 1), ragged=0.25)
    cover = np.clip(radius - distance + 0.5, 0, 1)
    contrast = -rng.uniform(0.1, 0.55)
    rough = rng.uniform(0.05, 0.2) * smooth(rng, 1.5, 1.5)
    bright = rng.uniform(0, 0.5) * np.clip(1 - np.abs(distance - radius) / 1.5, 0, 1)
    drawn.light *= 1 + cover * (contrast + rough) + bright
    drawn.streaks *= 1 - 0.9 * cover
    return Flaw(cover > 0.5, contrast)


def crack(rng: Rng, drawn: Surface) -> Flaw:
    """A thin dark line that wanders, mostly along the streaks and mostly from an edge."""
    angle = rng.normal(0, 10) if rng.random() < 0.7 else rng.uniform(-90, 90)
    length = rng.uniform(20, 90)
    steps = np.arange(0, length, 0.5)
    wander = np.cumsum(rng.normal(0, 0.16, len(steps)))
    turned = np.deg2rad(angle)
    towards = np.array([-np.cos(turned), np.sin(turned)])
    points = steps[:, None] * towards + wander[:, None] * towards[::-1] * [-1, 1]
    start = np.array([SIDE - 1.0, rng.uniform(10, SIDE - 10)])
    if rng.random() < 0.3:
        start = rng.uniform(25, SIDE - 25, 2)
    rows, columns = np.rint(start + points).astype(int).T
    inside = (rows >= 0) & (rows < SIDE) & (columns >= 0) & (columns < SIDE)
    line = np.zeros((SIDE, SIDE), bool)
    line[rows[inside], columns[inside]] = True
    width = rng.uniform(0.45, 0.95)
    cover = np.exp(-0.5 * (ndimage.distance_transform_edt(~line) / width) ** 2)
    contrast = -rng.uniform(0.3, 0.75)
    drawn.light *= 1 + contrast * cover
    return Flaw(cover > 0.5, contrast, angle)


def unground(rng: Rng, drawn: Surface) -> Flaw:
    """A fray: a column or pear that the wheel did not reach, dull and without streaks."""
    middle = rng.uniform(0.35, 0.65) * SIDE
    reach = rng.uniform(0.15, 0.34) * SIDE
    bulge, waist = rng.uniform(0.3, 0.7) * SIDE, rng.uniform(0, 0.75)
    shape = 1 - waist * ((DOWN - bulge) / (0.6 * SIDE)) ** 2
    ragged = 0.9 * smooth(rng, 3, 200) + 1.5 * smooth(rng, 12, 200)
    inside = reach * np.clip(shape, 0.05, None) + ragged - np.abs(ACROSS - middle)
    ends = np.minimum(DOWN + rng.uniform(-12, 20), SIDE - 1 - DOWN + rng.uniform(-12, 20))
    cover = np.clip(np.minimum(inside, ends) / 2 + 0.5, 0, 1)
    level = rng.uniform(0.45, 0.9)
    dull = drawn.light.mean() * level * (1 + 0.06 * smooth(rng, 15, 12))
    scratches = 0.12 * np.exp(-((smooth(rng, 9, 9) / 0.03) ** 2)) * (smooth(rng, 10, 10) > 1)
    drawn.light += cover * (dull * (1 + scratches) - drawn.light)
    drawn.streaks *= 1 - 0.95 * cover
    return Flaw(cover > 0.5, level - 1, 0.0)


def overground(rng: Rng, drawn: Surface) -> Flaw:
    """An uneven part: ground twice from a wavy border on, lighter and with deeper streaks."""
    edge = rng.uniform(0.5, 0.85) * SIDE + rng.normal(0, 0.1) * (ACROSS - SIDE / 2)
    edge += np.cumsum(rng.normal(0, 0.25, SIDE))[None, :]
    beyond = DOWN - edge
    if rng.random() < 0.4:
        beyond = beyond[::-1]
    angle = 90.0
    if rng.random() < 0.2:
        beyond, angle = beyond.T, 0.0
    cover = np.clip(beyond / 2 + 0.5, 0, 1)
    contrast = rng.uniform(0.12, 0.6) * rng.choice([1, 1, 1, -0.6])
    border = rng.uniform(-0.15, 0.15) * np.clip(1 - np.abs(beyond) / 1.5, 0, 1)
    drawn.light *= 1 + contrast * cover + border
    drawn.streaks += cover * streaked(rng, rng.uniform(0.04, 0.12))
    return Flaw(cover > 0.5, contrast, angle)


def _distance(
    rng: Rng, y: float, x: float, *, radius: float, wide: float, ragged: float = 0.1
) -> Float64:
    """From a point, stretched across by ``wide`` at a random turn and with a ragged outline."""
    turn = rng.uniform(0, np.pi)
    along = (DOWN - y) * np.cos(turn) + (ACROSS - x) * np.sin(turn)
    aside = (ACROSS - x) * np.cos(turn) - (DOWN - y) * np.sin(turn)
    scale = max(1.0, radius / 4)
    rough = 1 + ragged * smooth(rng, scale, scale)
    shown: Float64 = np.hypot(along, aside / wide) * np.clip(rough, 0.5, 2)
    return shown


FLAWS: dict[str, Callable[[Rng, Surface], Flaw]] = {
    flaw.__name__: flaw for flaw in (clean, pore, chip, crack, unground, overground)
}


# ── pictures ──────────────────────────────────────────────────────────────────────────────────


def draw(flaw: str, number: int, *, seed: int = 0) -> Picture:
    """One picture of a flaw, which depends on these three alone."""
    rng = generator_for(seed, "draw_tiles", flaw, number)
    drawn = surface(rng)
    done = FLAWS[flaw](rng, drawn)
    share = float(done.mask.mean())
    facts = {"file_name": f"images/{flaw}/{number:04d}.png", "flaw": flaw}
    facts |= dict.fromkeys(("extent", "area", "down", "across", "angle", "contrast"), "")
    if share:
        down, across = np.argwhere(done.mask).mean(axis=0) / SIDE
        facts |= {
            "extent": next(word for word, most in EXTENTS if share <= most),
            "area": f"{share:.4f}",
            "down": f"{down:.3f}",
            "across": f"{across:.3f}",
            "angle": "" if done.angle is None else f"{done.angle:.0f}",
            "contrast": f"{done.contrast:.2f}",
        }
    return Picture(drawn.pixels(), done.mask, facts)


def write(place: Path, *, flaws: Sequence[str] = tuple(FLAWS), each: int = EACH, seed: int) -> None:
    """Write pictures, masks and ``metadata.csv`` into a new folder."""
    place.mkdir(parents=True)
    rows = []
    for flaw in flaws:
        for folder in ("images", "masks"):
            (place / folder / flaw).mkdir(parents=True)
        for number in range(each):
            picture = draw(flaw, number, seed=seed)
            file = picture.facts["file_name"]
            Image.fromarray(picture.pixels).save(place / file)
            mask = np.where(picture.mask, np.uint8(255), np.uint8(0))
            Image.fromarray(mask).save(place / file.replace("images", "masks", 1))
            rows.append(picture.facts)
    with (place / "metadata.csv").open("w", newline="", encoding="utf-8") as stream:
        table = csv.DictWriter(stream, list(rows[0]))
        table.writeheader()
        table.writerows(rows)


def main() -> None:
    """Write the folder."""
    parser = argparse.ArgumentParser(prog="python -m scripts.draw_tiles", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("place", type=Path, nargs="?", default=PLACE, help="a new folder")
    parser.add_argument("--flaws", nargs="+", choices=list(FLAWS), default=list(FLAWS))
    parser.add_argument("--each", type=int, default=EACH, help="pictures of each flaw")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    write(given.place, flaws=given.flaws, each=given.each, seed=given.seed)
    print(f"{given.place}: now run  synthlift run recipes/defects.yaml")


if __name__ == "__main__":
    main()
