"""How many images generators should draw at once, and what their constants lose.

Each kind from scratch is fitted for two steps on noise of each size, as large as it makes itself
for 500 images, and draws 64, as many as a study asks for at once, in chunks of 4 to 64; the
embedded pipeline, which draws at a size of its own, in chunks of 1 to 64. What is told is the time
of an image with the constant that is the default, divided by that with the best number.

    OMP_NUM_THREADS=1 python -m benchmarks.chunks --json chunks.json
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from synthlift.generators.learning.timing import CHUNKS
from synthlift.generators.pipelines.together import SIZES
from synthlift.registry import available
from synthlift.study.environment import describe_environment
from synthlift.types import (
    FitInputs,
    GuardedPixels,
    ImageSet,
    LockedTest,
    RunContext,
    SampleRequest,
)

KINDS: dict[str, dict[str, Any]] = {
    "flow": {},
    "gan": {},
    "vae": {},
    "translation": {"source": "masks"},
}
PIPELINES: dict[str, dict[str, Any]] = {"text_to_image": {"model": "embedded"}}
SHAPES = ((8, 8, 1), (32, 32, 3), (64, 64, 3))
PIPELINE_SHAPE = (32, 32, 3)
"""At which the embedded pipeline draws, whatever the study's size is."""
IMAGES, CLASSES = 500, ("a", "b")
DRAWN = 64
"""Images that a study asks for at once; every chunk divides it."""


def noise(shape: tuple[int, int, int]) -> FitInputs:
    """Images and masks of a square without any meaning; their values change no time."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (IMAGES, *shape), dtype=np.uint8)
    train = ImageSet.from_arrays(pixels, np.arange(IMAGES) % 2, CLASSES)
    masks = np.zeros((IMAGES, *shape[:2], 1), np.uint8)
    masks[:, 2:6, 2:6] = 255
    none = train.ids[:0]
    return FitInputs(
        train=train,
        validation=train.subset(np.arange(0)),
        test=LockedTest(ids=none, groups=none, hashes=none),
        masks=GuardedPixels(masks, np.arange(IMAGES)),
    )


def fitted(kind: str, inputs: FitInputs) -> Any:
    """A generator that is hardly trained: that changes no time."""
    descriptor = available("generators")[kind]
    settings = PIPELINES.get(kind) or {"steps": 2, "readings": 0, **KINDS[kind]}
    config = descriptor.config.model_validate(settings)
    with tempfile.TemporaryDirectory() as folder:
        return descriptor.build(config).fit(inputs, run=RunContext(folder=Path(folder), seed=0))


def seconds_per_image(generator: Any, size: int) -> float:
    requests = [SampleRequest(index=i, label=i % 2, seed=i) for i in range(DRAWN)]
    chunked = generator.with_micro_batch(size)
    began = time.perf_counter()
    drawn = sum(len(batch.pixels) for batch in chunked.sample(requests))
    assert drawn == DRAWN
    return (time.perf_counter() - began) / DRAWN


def measure(*, rounds: int, only: Collection[str] = ()) -> list[dict[str, Any]]:
    """One row for each kind and size of image; chunks take turns."""
    wanted: list[tuple[str, tuple[int, int, int], Sequence[int]]]
    wanted = [(kind, shape, CHUNKS) for shape in SHAPES for kind in KINDS]
    wanted += [(kind, PIPELINE_SHAPE, SIZES) for kind in PIPELINES]
    return [
        _row(kind, shape, sizes=sizes, rounds=rounds)
        for kind, shape, sizes in wanted
        if not only or kind in only
    ]


def _row(
    kind: str, shape: tuple[int, int, int], *, sizes: Sequence[int], rounds: int
) -> dict[str, Any]:
    generator = fitted(kind, noise(shape))
    readings: dict[int, list[float]] = {size: [] for size in sizes}
    seconds_per_image(generator, CHUNKS[0])
    for _ in range(rounds):
        for size in sizes:
            readings[size].append(seconds_per_image(generator, size))
    told = {size: statistics.median(times) for size, times in readings.items()}
    default, best = generator.micro_batch, min(told, key=lambda size: told[size])
    ratio = told[default] / told[best]
    print(f"{kind} {shape}: {default} takes {ratio:.3f} × {best}, the best", flush=True)
    return {
        "kind": kind,
        "image_shape": shape,
        "default": default,
        "best": best,
        "default_to_best": ratio,
        "seconds_per_image": readings,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="+", choices=[*KINDS, *PIPELINES], default=[])
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    before = os.getloadavg()[0]
    found = {
        "chunks": measure(rounds=given.rounds, only=given.only),
        "load_before_and_after": [before, os.getloadavg()[0]],
        "environment": describe_environment(device="cpu", workers=1),
    }
    if given.json:
        given.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
