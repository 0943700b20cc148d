"""A pretrained pipeline in a study beside the same pipeline called as diffusers documents it.

Both draw the same images from the same model: equal prompts, steps, guidance, float32 and noise, so
that pictures are compared, too. The baseline is ``DiffusionPipeline.__call__`` in two forms:
``eager`` takes a prompt at a time, as the documentation's first example does, ``batched`` as many
at once as the study does. Ours is what a study runs: requests, chunks, remembered texts, and
images brought to the size of the study. Sides alternate, a ratio is taken within each round, and
one warm-up of each is not counted. The energy is an estimate, 10 W for each busy core.

    python -m benchmarks.pipelines --images 64 --pairs 5 --json pipelines.json
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import DiffusionPipeline

from synthlift.drawings import WORDS
from synthlift.embedded import EMBEDDED, embedded_model
from synthlift.generators.text_to_image.config import TextToImageConfig
from synthlift.generators.text_to_image.generator import TextToImageGenerator
from synthlift.study.energy import WATTS_PER_CORE
from synthlift.study.environment import describe_environment
from synthlift.types import FitInputs, ImageSet, LockedTest, RunContext, SampleRequest, UInt8

SEED = 1000
Draw = Callable[[], UInt8]


def prompts(count: int) -> list[str]:
    """Different words in turn."""
    colours = ("red", "green", "blue", "yellow")
    return [f"a thick {colours[i % 4]} {WORDS[i % len(WORDS)]}" for i in range(count)]


def with_diffusers(folder: Path, said: Sequence[str], *, together: int, given: Any) -> Draw:
    """``DiffusionPipeline`` as it loads, ``together`` prompts in a call."""
    pipeline = DiffusionPipeline.from_pretrained(folder, dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)

    def draw() -> UInt8:
        found: list[UInt8] = []
        for start in range(0, len(said), together):
            part = list(said[start : start + together])
            noise = [torch.Generator().manual_seed(SEED + start + i) for i in range(len(part))]
            made = pipeline(
                part,
                num_inference_steps=given.steps,
                guidance_scale=given.guidance,
                generator=noise,
            )
            found.extend(np.asarray(image) for image in made.images)
        return np.stack(found)

    return draw


def with_synthlift(model: str, said: Sequence[str], *, given: Any, folder: Path) -> Draw:
    """The generator of a study."""
    config = TextToImageConfig(
        model=model,
        prompt=("{label}",),
        sampler_steps=given.steps,
        guidance_scale=given.guidance,
        micro_batch=given.together,
        dtype="float32",
    )
    shape = (1, given.size, given.size, 3)
    one = ImageSet.from_arrays(np.zeros(shape, np.uint8), np.zeros(1, np.int64), ("thing",))
    lock = LockedTest(ids=one.ids[:0], groups=one.ids[:0], hashes=one.ids[:0])
    inputs = FitInputs(train=one, validation=one, test=lock)
    fitted = TextToImageGenerator(config).fit(inputs, run=RunContext(folder=folder, seed=1))
    requests = [
        SampleRequest(index=i, label=0, seed=SEED + i, params={"prompt": text})
        for i, text in enumerate(said)
    ]
    return lambda: np.concatenate([batch.pixels for batch in fitted.sample(requests)])


def timed(draw: Draw) -> tuple[float, float]:
    """Seconds of the clock and of the processor."""
    wall, cpu = time.perf_counter(), time.process_time()
    draw()
    return time.perf_counter() - wall, time.process_time() - cpu


def measure(given: Any) -> dict[str, Any]:
    """All rounds; ``ratios`` are a baseline's seconds by ours."""
    torch.set_num_threads(given.threads)
    said = prompts(given.images)
    folder = embedded_model("text_to_image") if given.model == EMBEDDED else Path(given.model)
    with tempfile.TemporaryDirectory() as place:
        sides = {
            "eager": with_diffusers(folder, said, together=1, given=given),
            "batched": with_diffusers(folder, said, together=given.together, given=given),
            "synthlift": with_synthlift(given.model, said, given=given, folder=Path(place)),
        }
        drawn = {name: draw().astype(int) for name, draw in sides.items()}
        rounds = []
        for number in range(given.pairs):
            order = list(sides) if number % 2 else list(sides)[::-1]
            rounds.append({name: timed(sides[name]) for name in order})
    ratios = {
        kind: {
            name: [one[name][place] / one["synthlift"][place] for one in rounds]
            for name in ("eager", "batched")
        }
        for place, kind in enumerate(("wall", "cpu"))
    }
    return {
        "model": given.model,
        "images": given.images,
        "steps": given.steps,
        "guidance": given.guidance,
        "together": given.together,
        "threads": given.threads,
        "largest_difference": {
            name: int(np.abs(drawn[name] - drawn["synthlift"]).max())
            for name in ("eager", "batched")
        },
        "seconds": rounds,
        "ratios": ratios,
        "kwh_per_1000": {
            name: statistics.median(one[name][1] for one in rounds)
            * WATTS_PER_CORE
            / given.images
            / 3600
            for name in sides
        },
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default=EMBEDDED, help="a folder of a diffusers pipeline")
    parser.add_argument("--size", type=int, default=32, help="pixels that the model draws")
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--together", type=int, default=32, help="of a chunk")
    parser.add_argument("--steps", type=int, default=15)
    parser.add_argument("--guidance", type=float, default=2.0)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    given = parser.parse_args()
    found = measure(given)
    found["environment"] = describe_environment("cpu", 1)
    for kind, ratios in found["ratios"].items():
        for name, values in ratios.items():
            print(
                f"{kind}: {statistics.median(values):.2f} × as fast as {name} "
                f"({min(values):.2f} to {max(values):.2f})"
            )
    print("largest difference between pictures, of 255:", found["largest_difference"])
    for name, energy in found["kwh_per_1000"].items():
        print(f"{name}: {1000 * energy:.2f} Wh for 1,000 images, estimated")
    if given.json:
        given.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
