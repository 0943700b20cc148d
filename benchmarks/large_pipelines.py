"""Pipelines of real size beside the same pipelines called as diffusers documents it, on a GPU.

Weights are random (:mod:`benchmarks.real_shapes`): shape is what costs. All sides draw the same
prompts in the same number of steps with the same guidance, in bfloat16:

- ``eager``: ``DiffusionPipeline.__call__``, a prompt at a time.
- ``recipe``: the same by the guide of diffusers to faster inference: convolutions in the order that
  they are fastest in, queries, keys and values in one product, network and decoder compiled with
  ``max-autotune``.
- ``ours``: a study's generator, compiled, with so many images together.
- ``cached``: the same with ``cache_interval: 2``, ``decoder``: with a tiny decoder. Both draw other
  pictures, so that they stand apart.

Sides alternate; the first call of each, which compiles, is told apart. With random weights nothing
can be said of pictures. One command on a machine with a GPU::

    python -m benchmarks.large_pipelines --json results/performance/large_pipelines.json

and in miniature on a processor: ``--shapes tiny-sd15 --device cpu --images 4 --steps 2``.
"""

from __future__ import annotations

import argparse
import inspect
import json
import statistics
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import DiffusionPipeline

from benchmarks.power import Energy
from benchmarks.real_shapes import SHAPES, build, tiny_decoder
from synthlift.generators.text_to_image.config import TextToImageConfig
from synthlift.generators.text_to_image.generator import TextToImageGenerator
from synthlift.study.environment import describe_environment
from synthlift.types import FitInputs, ImageSet, LockedTest, RunContext, SampleRequest

SIDES = ("eager", "recipe", "ours", "cached", "decoder")
OURS: dict[str, dict[str, Any]] = {
    "ours": {"compile": True},
    "cached": {"compile": True, "cache_interval": 2},
    "decoder": {"compile": True},
}
TOGETHER = {512: 16, 1024: 8}
"""Images of a chunk by their side, where ``--together`` says nothing; below, as many as 512."""
SEED = 1000
Draw = Callable[[Sequence[int]], int]
"""Draws images of these numbers; how many there were."""


def words(number: int) -> str:
    """A prompt; different ones in turn."""
    return f"a photo of a {('crane', 'gull', 'heron', 'swift')[number % 4]}, number {number}"


def with_diffusers(folder: Path, side: int, *, given: Any, recipe: bool) -> Draw:
    """One prompt a call."""
    pipeline = DiffusionPipeline.from_pretrained(folder, dtype=_dtype(given)).to(given.device)
    pipeline.set_progress_bar_config(disable=True)
    if recipe:
        _follow_the_guide(pipeline, autotune=given.autotune)

    # At its own size there is nothing to scale.
    binning = "use_resolution_binning" in inspect.signature(type(pipeline).__call__).parameters
    further = {"use_resolution_binning": False} if binning else {}

    def draw(numbers: Sequence[int]) -> int:
        for number in numbers:
            pipeline(
                words(number),
                height=side,
                width=side,
                **further,
                num_inference_steps=given.steps,
                guidance_scale=given.guidance,
                generator=torch.Generator().manual_seed(SEED + number),
            )
        return len(numbers)

    return draw


def _follow_the_guide(pipeline: Any, *, autotune: bool) -> None:
    """What the guide of diffusers does to a pipeline, one after the other."""
    from torch._inductor import config

    config.conv_1x1_as_mm = True
    config.coordinate_descent_tuning = autotune
    config.epilogue_fusion = False
    config.coordinate_descent_check_all_directions = autotune
    pipeline.fuse_qkv_projections()
    mode = "max-autotune" if autotune else "default"
    name = "unet" if hasattr(pipeline, "unet") else "transformer"
    network = getattr(pipeline, name).to(memory_format=torch.channels_last)
    setattr(pipeline, name, torch.compile(network, mode=mode, fullgraph=True))
    pipeline.vae.to(memory_format=torch.channels_last)
    pipeline.vae.decode = torch.compile(pipeline.vae.decode, mode=mode, fullgraph=True)


def with_synthlift(folder: Path, side: int, *, given: Any, settings: dict[str, Any]) -> Draw:
    """The generator of a study."""
    config = TextToImageConfig.model_validate(
        {
            "model": str(folder),
            "prompt": ("{label}",),
            "sampler_steps": given.steps,
            "guidance_scale": given.guidance,
            "micro_batch": _together(given, side),
            "dtype": given.dtype,
            **settings,
        }
    )
    pixels = np.zeros((1, side, side, 3), np.uint8)
    one = ImageSet.from_arrays(pixels, np.zeros(1, np.int64), ("thing",))
    none = one.ids[:0]
    lock = LockedTest(ids=none, groups=none, hashes=none)
    run = RunContext(folder=folder.parent, seed=1, device=given.device)
    fitted = TextToImageGenerator(config).fit(
        FitInputs(train=one, validation=one, test=lock), run=run
    )

    def draw(numbers: Sequence[int]) -> int:
        requests = [
            SampleRequest(index=i, label=0, seed=SEED + i, params={"prompt": words(i)})
            for i in numbers
        ]
        return sum(len(batch) for batch in fitted.sample(requests))

    return draw


def _together(given: Any, side: int) -> int:
    return int(given.together or TOGETHER.get(side, TOGETHER[512]))


def _dtype(given: Any) -> torch.dtype:
    found: torch.dtype = getattr(torch, given.dtype)
    return found


def measure_shape(name: str, *, given: Any, folder: Path) -> dict[str, Any]:
    """Seconds and energy an image of every side, round by round."""
    side = SHAPES[name].side
    model = build(name, folder / name, device=given.device, dtype=_dtype(given))
    decoder = tiny_decoder(name, folder / f"{name}-decoder", dtype=_dtype(given))
    draws: dict[str, Draw] = {}
    for one in given.sides:
        if one in OURS:
            settings = {**OURS[one], "compile": given.compile}
            if one == "decoder":
                settings["decoder"] = str(decoder)
            draws[one] = with_synthlift(model, side, given=given, settings=settings)
        else:
            draws[one] = with_diffusers(model, side, given=given, recipe=one == "recipe")
    # Ours draw whole chunks; the others need a single image to be warm.
    first = {one: _timed(draws[one], _warming(one, side, given), given) for one in draws}
    rounds: list[dict[str, dict[str, float]]] = []
    for number in range(given.rounds):
        order = list(draws) if number % 2 else list(draws)[::-1]
        rounds.append({one: _timed(draws[one], range(given.images), given) for one in order})
    reference = [one for one in ("ours",) if one in draws]
    return {
        "side": side,
        "together": _together(given, side),
        "first_call": first,
        "rounds": rounds,
        "faster_than": {
            f"ours, {other}": [
                one[other]["seconds_an_image"] / one["ours"]["seconds_an_image"] for one in rounds
            ]
            for other in draws
            if reference and other != "ours"
        },
        "kwh_per_1000": {
            one: 1000 * statistics.median(r[one]["kwh_an_image"] for r in rounds) for one in draws
        },
    }


def _warming(one: str, side: int, given: Any) -> range:
    return range(_together(given, side) if one in OURS else 1)


def _timed(draw: Draw, numbers: Sequence[int], given: Any) -> dict[str, float]:
    with Energy(given.device) as spent:
        count = draw(numbers)
    return {
        "images": count,
        "seconds": spent.seconds,
        "seconds_an_image": spent.seconds / count,
        "kwh_an_image": spent.kwh / count,
    }


def measure(given: Any) -> dict[str, Any]:
    """Every shape."""
    with tempfile.TemporaryDirectory() as place:
        shapes = {
            name: measure_shape(name, given=given, folder=Path(place)) for name in given.shapes
        }
    return {
        **{name: value for name, value in vars(given).items() if name != "json"},
        "gpu": torch.cuda.get_device_name(given.device) if "cuda" in given.device else "",
        "energy": Energy(given.device).method,
        "found": shapes,
        "environment": describe_environment(given.device, 1),
    }


def arguments(said: Sequence[str] | None = None) -> argparse.Namespace:
    """What is asked for; all cores and one GPU where nothing is said."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shapes", nargs="+", choices=SHAPES, default=["sd15", "sdxl", "dit"])
    parser.add_argument("--sides", nargs="+", choices=SIDES, default=list(SIDES))
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--dtype", choices=("bfloat16", "float32"), default="bfloat16")
    parser.add_argument("--images", type=int, default=32, help="of each side and round")
    parser.add_argument("--together", type=int, default=0, help="of a chunk of ours")
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--guidance", type=float, default=2.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--no-compile", dest="compile", action="store_false", help="ours, too")
    parser.add_argument("--no-autotune", dest="autotune", action="store_false")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    return parser.parse_args(said)


def main() -> None:
    """Measure and print."""
    given = arguments()
    found = measure(given)
    for name, shape in found["found"].items():
        for pair, values in shape["faster_than"].items():
            ours, other = pair.split(", ")
            print(
                f"{name}: {ours} {statistics.median(values):.2f} × as fast as {other} "
                f"({min(values):.2f} to {max(values):.2f})"
            )
        for one, energy in shape["kwh_per_1000"].items():
            print(f"{name}, {one}: {1000 * energy:.3g} Wh for 1,000 images ({found['energy']})")
    if given.json:
        given.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
