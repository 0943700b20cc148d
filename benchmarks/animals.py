"""A flow from scratch on CIFAR's six animals, 32 × 32, in 30 minutes of two cores.

The flow learns from the first 1,500 training images of each of six classes, in as many steps as a
measured speed lets into the time; then it draws as many images as it learnt from, and the house's
small classifier is trained on these and, for comparison, on the real ones. Both are tested on all
test images of the six classes. Aimed at: at least 50 % right after synthetic images, 30 minutes of
training, 3 of sampling.

The speed is measured by the clock, so that nothing else should run; seconds of the process and the
load are told, too. How strongly images are guided, and in how many
steps they are drawn, is chosen among a few by training the classifier on 3,000 images of each and
asking it for training images that the flow has not seen, 800 a class; what that takes is told
apart, and left out with ``--guidance`` and ``--steps``. The test images are used once, at the end.

The folder has ``train`` and ``test`` with a sub-folder a class, as CIFAR-10 is often unpacked.

    OMP_NUM_THREADS=2 python -m benchmarks.animals CIFAR10 --minutes 28 --json animals.json \
        --set '{parts: 2, optimizer: muon, flip: auto, augmentation: 0.1}'
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

# A thread that waits for the other one sleeps: its seconds would count.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numpy as np
import torch
import yaml
from PIL import Image

from benchmarks.latents import accuracy, classifier
from synthlift.generators.flow.config import FlowConfig
from synthlift.generators.flow.generator import FlowFitted, FlowGenerator
from synthlift.generators.learning.parts import cut
from synthlift.study.environment import describe_environment
from synthlift.types import FitInputs, ImageSet, LockedTest, RunContext, SampleRequest

ANIMALS = ("bird", "cat", "deer", "dog", "frog", "horse")
TRIED = 150
CHOICES = ((1.0, 6), (1.25, 12), (1.75, 12), (2.5, 12))
"""Guidance scales and sampler steps to choose from."""
CHOOSING, UNSEEN = 3000, 800


def read_part(folder: Path, *, first: int = 0, most: int) -> ImageSet:
    """``most`` images of each animal at most, from the one numbered ``first``."""
    pixels, labels = [], []
    for label, name in enumerate(ANIMALS):
        for path in sorted((folder / name).iterdir())[first : first + most]:
            pixels.append(np.asarray(Image.open(path).convert("RGB")))
            labels.append(label)
    return ImageSet.from_arrays(np.stack(pixels), np.array(labels, np.int64), ANIMALS)


def fit(real: ImageSet, *, seed: int, **settings: Any) -> tuple[FlowFitted, dict[str, float]]:
    """A fitted flow and its seconds; parts of a batch share the threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(max(1, threads // int(settings.get("parts", 1))))
    none = np.array([], str)
    lock = LockedTest(ids=none, groups=none, hashes=none)
    inputs = FitInputs(train=real, validation=real.subset(np.arange(0)), test=lock)
    cpu, wall = time.process_time(), time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        generator = FlowGenerator(FlowConfig(readings=0, **settings))
        fitted = generator.fit(inputs, run=RunContext(folder=Path(folder), seed=seed))
    torch.set_num_threads(threads)
    return fitted, seconds_since(cpu, wall)


def seconds_since(cpu: float, wall: float) -> dict[str, float]:
    return {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall}


def draw(fitted: FlowFitted, *, images: int, guidance: float, steps: int) -> ImageSet:
    """So many images, all classes alike; threads share them as a study's workers do."""
    labels = np.arange(images) % len(ANIMALS)
    params = {"guidance_scale": guidance, "sampler_steps": steps}
    requests = [
        SampleRequest(index=i, label=int(k), seed=i, params=params) for i, k in enumerate(labels)
    ]
    threads = torch.get_num_threads()
    shares = [requests[part] for part in cut(images, threads)]

    def drawn(share: list[SampleRequest]) -> np.ndarray[Any, Any]:
        return np.concatenate([batch.pixels for batch in fitted.sample(share)])

    torch.set_num_threads(1)
    with ThreadPoolExecutor(threads) as pool:
        pixels = np.concatenate(list(pool.map(drawn, shares)))
    torch.set_num_threads(threads)
    return ImageSet.from_arrays(pixels, labels, ANIMALS)


def choose(fitted: FlowFitted, unseen: ImageSet, *, seed: int) -> dict[tuple[float, int], float]:
    """Accuracy on unseen training images by guidance and steps."""
    found = {}
    for guidance, steps in CHOICES:
        drawn = draw(fitted, images=CHOOSING, guidance=guidance, steps=steps)
        found[guidance, steps] = accuracy(classifier(drawn, seed=seed), unseen)
        print(f"guidance {guidance}, {steps} steps: {found[guidance, steps]:.3f}", flush=True)
    return found


def affordable_steps(real: ImageSet, *, seed: int, budget: float, settings: dict[str, Any]) -> int:
    """Optimiser steps that so many seconds of the clock allow, by a measured speed."""
    _, before = fit(real, seed=seed, **settings, steps=2)
    _, tried = fit(real, seed=seed, **settings, steps=TRIED + 2)
    return int(budget / (tried["wall"] - before["wall"]) * TRIED)


def measure(
    real: ImageSet,
    unseen: ImageSet,
    test: ImageSet,
    *,
    budget: float,
    seed: int,
    settings: dict[str, Any],
    folder: Path | None = None,
    chosen: tuple[float, int] | None = None,
) -> dict[str, Any]:
    """Fit, choose unless that was ``chosen`` before, draw, train on what was drawn."""
    steps = affordable_steps(real, seed=seed, budget=budget, settings=settings)
    print(f"{steps} steps", flush=True)
    fitted, fitting = fit(real, seed=seed, **settings, steps=steps)
    print(f"fitted: {fitting}", flush=True)
    if folder is not None:
        fitted.save(folder)
    cpu, wall = time.process_time(), time.perf_counter()
    validated = {} if chosen else choose(fitted, unseen, seed=seed)
    choosing = seconds_since(cpu, wall)
    guidance, sampler_steps = chosen or max(validated, key=lambda one: validated[one])
    cpu, wall = time.process_time(), time.perf_counter()
    drawn = draw(fitted, images=len(real), guidance=guidance, steps=sampler_steps)
    drawing = seconds_since(cpu, wall)
    return {
        "settings": settings,
        "config": fitted.facts()["config"],
        "parameters": fitted.facts()["parameters"],
        "seconds": budget,
        "fitting": fitting,
        "validated": [[*one, found] for one, found in validated.items()],
        "choosing": choosing,
        "guidance": guidance,
        "sampler_steps": sampler_steps,
        "drawing": drawing,
        "images": len(drawn),
        "synthetic_to_real": accuracy(classifier(drawn, seed=seed), test),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--minutes", type=float, default=30.0, help="of the clock")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--train", type=int, default=1500, help="images of each class")
    parser.add_argument("--set", default="{}", help="settings of the flow, as YAML")
    parser.add_argument("--guidance", type=float, help="as chosen before, with --steps")
    parser.add_argument("--steps", type=int, help="of sampling")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--save", type=Path, help="folder for the fitted flow")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    real = read_part(given.folder / "train", most=given.train)
    unseen = read_part(given.folder / "train", first=given.train, most=UNSEEN)
    test = read_part(given.folder / "test", most=10_000)
    before = os.getloadavg()[0]
    found = {
        "budget": "seconds of the clock; those of the process beside them",
        **measure(
            real,
            unseen,
            test,
            budget=given.minutes * 60,
            seed=given.seed,
            settings=yaml.safe_load(given.set),
            folder=given.save,
            chosen=(given.guidance, given.steps) if given.guidance else None,
        ),
        "real_to_real": accuracy(classifier(real, seed=given.seed), test),
        "test": len(test),
        "load_before_and_after": [before, os.getloadavg()[0]],
        "environment": describe_environment(device="cpu", workers=given.threads),
    }
    print(json.dumps(found, indent=1))
    if given.json:
        given.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
