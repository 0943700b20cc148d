"""A flow from scratch on CIFAR's six animals, 32 × 32, in 30 minutes of two cores.

The flow learns from the first 1,500 training images of each of six classes, in as many steps as a
measured speed lets into the time; then it draws as many images as it learnt from, without
guidance, and the house's small classifier is trained on these and, for comparison, on the real
ones. Both are tested on all test images of the six classes. Aimed at: at least 50 % right after
synthetic images, 30 minutes of training, 3 of sampling.

The folder has ``train`` and ``test`` with a sub-folder a class, as CIFAR-10 is often unpacked.

    python -m benchmarks.animals CIFAR10 --minutes 30 --json animals.json
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from PIL import Image

from benchmarks.latents import accuracy, classifier
from synthlift.generators.flow.config import FlowConfig
from synthlift.generators.flow.generator import FlowFitted, FlowGenerator
from synthlift.study.environment import describe_environment
from synthlift.types import FitInputs, ImageSet, LockedTest, RunContext, SampleRequest

ANIMALS = ("bird", "cat", "deer", "dog", "frog", "horse")
TRIED = 40


def read_part(folder: Path, *, most: int) -> ImageSet:
    """The first ``most`` images of each animal."""
    pixels, labels = [], []
    for label, name in enumerate(ANIMALS):
        for path in sorted((folder / name).iterdir())[:most]:
            pixels.append(np.asarray(Image.open(path).convert("RGB")))
            labels.append(label)
    return ImageSet.from_arrays(np.stack(pixels), np.array(labels, np.int64), ANIMALS)


def fit(real: ImageSet, *, seed: int, **settings: Any) -> tuple[FlowFitted, float]:
    """A fitted flow and its seconds."""
    none = np.array([], str)
    lock = LockedTest(ids=none, groups=none, hashes=none)
    inputs = FitInputs(train=real, validation=real.subset(np.arange(0)), test=lock)
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        generator = FlowGenerator(FlowConfig(readings=0, **settings))
        fitted = generator.fit(inputs, run=RunContext(folder=Path(folder), seed=seed))
    return fitted, time.perf_counter() - began


def measure(
    real: ImageSet, test: ImageSet, *, minutes: float, seed: int, settings: dict[str, Any]
) -> dict[str, Any]:
    """Fit, draw, train on what was drawn."""
    fit(real, seed=seed, **settings, steps=2)
    _, tried = fit(real, seed=seed, **settings, steps=TRIED)
    steps = int(minutes * 60 / tried * TRIED)
    cpu = time.process_time()
    fitted, seconds = fit(real, seed=seed, **settings, steps=steps)
    cpu = time.process_time() - cpu
    labels = np.arange(len(real)) % len(ANIMALS)
    requests = [
        SampleRequest(index=i, label=int(k), seed=i, params={"guidance_scale": 1.0})
        for i, k in enumerate(labels)
    ]
    began = time.perf_counter()
    pixels = np.concatenate([batch.pixels for batch in fitted.sample(requests)])
    sampling = time.perf_counter() - began
    drawn = ImageSet.from_arrays(pixels, labels, ANIMALS)
    return {
        "settings": settings,
        "steps": steps,
        "parameters": fitted.facts()["parameters"],
        "fit_seconds": seconds,
        "fit_cpu_seconds": cpu,
        "sampling_seconds": sampling,
        "images": len(drawn),
        "synthetic_to_real": accuracy(classifier(drawn, seed=seed), test),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--train", type=int, default=1500, help="images of each class")
    parser.add_argument("--set", default="{}", help="settings of the flow, as YAML")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    real = read_part(given.folder / "train", most=given.train)
    test = read_part(given.folder / "test", most=10_000)
    settings = yaml.safe_load(given.set)
    found = {
        "load": os.getloadavg()[0],
        **measure(real, test, minutes=given.minutes, seed=given.seed, settings=settings),
        "real_to_real": accuracy(classifier(real, seed=given.seed), test),
        "test": len(test),
        "environment": describe_environment(device="cpu", workers=given.threads),
    }
    print(json.dumps(found, indent=1))
    if given.json:
        given.json.write_text(json.dumps(found, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
