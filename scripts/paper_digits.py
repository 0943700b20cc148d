"""Scikit-learn's digits on grained paper, with what every kind of generator needs; no download.

    python -m scripts.paper_digits                  # into recipes/paper-digits
    synthlift run recipes/every-generator.yaml

Half of the 1,797 digits are the data set, with masks of their ink, and sheets of empty paper are
an eleventh class, which objects can be pasted onto. A quarter is what another camera saw, as
negatives; a quarter was made elsewhere. No digit is in two places.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from synthlift.drawings.strokes import digits_table
from synthlift.seeds import generator_for
from synthlift.types import UInt8

PLACE = Path(__file__).resolve().parents[1] / "recipes" / "paper-digits"
PAPER = "paper"
SHEETS = {"images": 100, "negatives": 50, "elsewhere": 50}
"""Of empty paper, in each place."""
GRAIN = 8.0
"""Deviation of the paper's grey levels; it is dark, the ink light."""
INK = 32
"""Grey level from which a mask marks a digit."""


def main() -> None:
    """Write the folders."""
    parser = argparse.ArgumentParser(prog="python -m scripts.paper_digits", description=__doc__)
    parser.add_argument("place", type=Path, nargs="?", default=PLACE, help="a new folder")
    place = parser.parse_args().place
    place.mkdir(parents=True)
    for file, pixels in pictures():
        path = place / file
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
    print(f"{place}: now run  synthlift run recipes/every-generator.yaml")


def pictures() -> Iterator[tuple[str, UInt8]]:
    """Paths below the folder, and uint8 [8, 8]."""
    table = digits_table()
    ink = np.rint(table[:, :-1].reshape(-1, 8, 8) * (255 / 16))
    order = generator_for("paper_digits", "order").permutation(len(ink))
    half, quarter = len(ink) // 2, len(ink) // 4
    parts = np.split(order, [half, half + quarter])
    for part, rows in zip(SHEETS, parts, strict=True):
        rng = generator_for("paper_digits", part)
        named = [(str(int(table[row, -1])), f"{row:04d}", ink[row]) for row in rows.tolist()]
        empty = np.zeros((8, 8))
        named += [(PAPER, f"{sheet:04d}", empty) for sheet in range(SHEETS[part])]
        for label, name, digit in named:
            grain = np.abs(rng.normal(0, GRAIN, digit.shape))
            pixels = np.clip(np.rint(digit + grain), 0, 255).astype(np.uint8)
            shown = 255 - pixels if part == "negatives" else pixels
            yield f"{part}/{label}/{name}.png", np.asarray(shown, np.uint8)
            if part == "images" and label != PAPER:
                mask = np.where(digit >= INK, 255, 0)
                yield f"masks/{label}/{name}.png", mask.astype(np.uint8)


if __name__ == "__main__":
    main()
