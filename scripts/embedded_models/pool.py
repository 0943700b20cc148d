"""The drawings that are learnt from: drawn once, described anew each time."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from synthlift.drawings import (
    DIGITS,
    HELD_OUT,
    Traits,
    digit_strokes,
    draw,
    random_traits,
    shape_strokes,
)
from synthlift.seeds import generator_for
from synthlift.types import UInt8

SEED = 2026


@dataclass(frozen=True)
class Pool:
    """Drawings and what they show.

    Attributes:
        pixels: uint8 [N, 32, 32, 3].
        traits: of each.
    """

    pixels: UInt8
    traits: Sequence[Traits]

    def images(self, rows: Sequence[int]) -> torch.Tensor:
        """Some of them, float32 [n, 3, 32, 32] from -1 to 1."""
        chosen = torch.from_numpy(self.pixels[list(rows)]).permute(0, 3, 1, 2)
        return chosen.to(torch.float32) / 127.5 - 1


def training_pool(folder: Path, count: int) -> Pool:
    """Draw, or read back, the drawings to learn from; held-out digits are not among them."""
    file = folder / f"pool-{count}.npz"
    if not file.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        pixels, traits = zip(*(_drawing(index) for index in range(count)), strict=True)
        text = json.dumps([asdict(one) for one in traits])
        np.savez(file, pixels=np.stack(pixels), traits=np.array(text))
    with np.load(file) as stored:
        rows = json.loads(str(stored["traits"]))
        return Pool(stored["pixels"], [Traits(**row) for row in rows])


def batch_rows(
    pool: Pool, purpose: str, step: int, size: int, *, among: int | None = None
) -> list[int]:
    """Which drawings, ``among`` the first so many, a step learns from; same after a restart."""
    rng = generator_for(SEED, purpose, step)
    chosen: list[int] = rng.integers(among or len(pool.traits), size=size).tolist()
    return chosen


def _drawing(index: int) -> tuple[UInt8, Traits]:
    rng = generator_for(SEED, "drawing", index)
    traits = random_traits(rng)
    if traits.word not in DIGITS:
        return draw(shape_strokes(traits.word, rng), traits, rng), traits
    strokes, digits = digit_strokes()
    seen = np.flatnonzero(np.array(digits[:-HELD_OUT]) == DIGITS.index(traits.word))
    return draw(strokes[int(rng.choice(seen))], traits, rng), traits
