"""What sampling settings change: speed, and whether the embedded pipeline shows what it is told.

Every combination of the given settings draws the same prompts with the same noise. Classifiers that
learnt from drawings of digits that no model was shown tell whether each trait is there. The first
combination is what the others are compared with, picture by picture; their difference is given
with a normal 95 % interval. A warm-up of one chunk is not counted.

    python -m benchmarks.prompt_agreement --cache-interval 1 2 3 --each 30 --json agreement.json
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from synthlift.drawings import WORDS, Traits
from synthlift.embedded import EMBEDDED
from synthlift.generators.text_to_image.config import TextToImageConfig
from synthlift.generators.text_to_image.generator import TextToImageFitted, TextToImageGenerator
from synthlift.study.environment import describe_environment
from synthlift.types import FitInputs, ImageSet, LockedTest, RunContext, SampleRequest
from tests.judges import Judges, fresh_drawings

FIRST_NOISE = 1000
VARIED = ("cache_interval", "guidance_scale", "sampler_steps")


def wanted(each: int, *, seed: int) -> list[Traits]:
    """What to draw: ``each`` pictures of every word, with random traits."""
    return [
        Traits(word, one.colour, one.slant, one.thickness, one.background)
        for number, word in enumerate(WORDS)
        for one in fresh_drawings(each, seed=seed * len(WORDS) + number)[1]
    ]


def said(one: Traits) -> str:
    """The prompt that names all of them."""
    return f"a {one.thickness} {one.colour} {one.word} {one.slant} on a {one.background} background"


def opened(settings: Mapping[str, Any], *, together: int, folder: Path) -> TextToImageFitted:
    """The generator of a study, which learns nothing of its one image."""
    config = TextToImageConfig.model_validate(
        {"model": EMBEDDED, "prompt": "{label}", "micro_batch": together, **settings}
    )
    blank = np.zeros((1, 32, 32, 3), np.uint8)
    one = ImageSet.from_arrays(blank, np.zeros(1, np.int64), ("thing",))
    lock = LockedTest(ids=one.ids[:0], groups=one.ids[:0], hashes=one.ids[:0])
    inputs = FitInputs(train=one, validation=one, test=lock)
    return TextToImageGenerator(config).fit(inputs, run=RunContext(folder=folder, seed=1))


def measure(given: Any) -> dict[str, Any]:
    """Speed and agreement of every combination."""
    torch.set_num_threads(given.threads)
    traits, judges = wanted(given.each, seed=given.seed), Judges(count=given.judged_by)
    requests = [
        SampleRequest(index=i, label=0, seed=FIRST_NOISE + i, params={"prompt": said(one)})
        for i, one in enumerate(traits)
    ]
    found: list[dict[str, Any]] = []
    right: list[dict[str, Any]] = []
    for values in itertools.product(*(getattr(given, name) for name in VARIED)):
        settings = dict(zip(VARIED, values, strict=True))
        with tempfile.TemporaryDirectory() as folder:
            drawer = opened(settings, together=given.together, folder=Path(folder))
            list(drawer.sample(requests[: given.together]))
            wall, cpu = time.perf_counter(), time.process_time()
            pixels = np.concatenate([batch.pixels for batch in drawer.sample(requests)])
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        shown = judges.right(pixels, traits)
        right.append({**shown, "all": np.all([*shown.values()], axis=0)})
        found.append(
            {
                "settings": settings,
                "images_a_second": len(traits) / wall,
                "images_a_cpu_second": len(traits) / cpu,
                "shares": {name: float(one.mean()) for name, one in right[-1].items()},
                "change": {name: _change(one, right[0][name]) for name, one in right[-1].items()},
            }
        )
    return {"images": len(traits), "seed": given.seed, "threads": given.threads, "found": found}


def _change(here: Any, there: Any) -> list[float]:
    """Mean difference of paired shares, and the half width of its interval."""
    difference = here.astype(float) - there.astype(float)
    return [float(difference.mean()), float(1.96 * difference.std() / len(difference) ** 0.5)]


def arguments(said: Sequence[str] | None = None) -> Any:
    """What is asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--each", type=int, default=30, help="pictures of each of 16 words")
    parser.add_argument("--seed", type=int, default=0, help="of prompts and traits")
    parser.add_argument("--cache-interval", type=int, nargs="+", default=[1])
    parser.add_argument("--guidance-scale", type=float, nargs="+", default=[2.0])
    parser.add_argument("--sampler-steps", type=int, nargs="+", default=[15])
    parser.add_argument("--together", type=int, default=32, help="of a chunk")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--judged-by", type=int, default=4000, help="drawings to learn from")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    return parser.parse_args(said)


def main() -> None:
    """Measure and print."""
    given = arguments()
    found = measure(given)
    found["environment"] = describe_environment("cpu", 1)
    for one in found["found"]:
        shares = ", ".join(f"{name} {100 * share:.1f}" for name, share in one["shares"].items())
        change, width = one["change"]["all"]
        print(one["settings"])
        print(f"  {one['images_a_cpu_second']:.1f} images a processor second; {shares} %")
        print(f"  all: {100 * change:+.1f} ± {100 * width:.1f} points to the first")
    if given.json:
        given.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
