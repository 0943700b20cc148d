"""The default flow beside a widely copied DDPM recipe: accuracy, copying, time.

Both learn the same images on the same number of threads, then draw as many as each other: 1,000 of
scikit-learn's digits, 8 × 8, or ``--train`` grey images of a MedMNIST file, 28 × 28, as many of
each class. A support vector machine learns from what was drawn and is tested on real images that
neither has seen. The recipe (``recipe.py``) trains for as many epochs as are given, in batches
smaller than its own 256, which give it more steps for the same work; its guidance is the best of
those that its script tries, chosen on validation images that are neither trained nor tested on, and
the time of choosing is not counted. Seconds are those of the process, since other work may go on;
seconds of the clock stand beside them. The two alternate: flow, recipe, flow, recipe, …, flow.

    python -m benchmarks.against_recipe --epochs 100 --batch 16 --images 400 --tried 60
    python -m benchmarks.against_recipe --medmnist pneumoniamnist.npz --train 200 --epochs 20 \
        --batch 16 --images 60 --tried 10 --steps 300
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.svm import SVC

from benchmarks.recipe import GUIDANCE, fit_recipe
from synthlift.generators.flow.config import FlowConfig
from synthlift.generators.flow.generator import FlowFitted, FlowGenerator
from synthlift.study.environment import describe_environment
from synthlift.types import (
    FitInputs,
    ImageBatch,
    ImageSet,
    LockedTest,
    RunContext,
    SampleRequest,
    UInt8,
)
from synthlift.vision.copying import CopyingMonitor, copying_reference, measure_copying
from synthlift.vision.encoders import RandomConvolutions

VALIDATION = 200
T = TypeVar("T")


@dataclass(frozen=True)
class Parts:
    """Training, validation and test images."""

    train: ImageSet
    validation: ImageSet
    test: ImageSet


@dataclass(frozen=True)
class Seconds:
    """Of the process and of the clock."""

    cpu: float
    wall: float


def read_digits(seed: int, train: int) -> Parts:
    """All 1,797 digits of scikit-learn in a random order, cut in three."""
    digits = load_digits()
    order = np.random.default_rng(seed).permutation(len(digits.target))
    pixels = np.rint(digits.images * (255 / 16)).astype(np.uint8)[order, :, :, np.newaxis]
    every = ImageSet.from_arrays(pixels, digits.target[order], tuple("0123456789"))
    first, second, third = np.split(np.arange(len(every)), [train, train + VALIDATION])
    return Parts(every.subset(first), every.subset(second), every.subset(third))


def read_medmnist(file: Path, seed: int, train: int) -> Parts:
    """The file's own parts; of the first as many images of each class, at random."""
    with np.load(file) as found:
        arrays = {name: found[name] for name in found.files}
    names = tuple(str(label) for label in np.unique(arrays["train_labels"]))
    every = {
        part: ImageSet.from_arrays(
            arrays[f"{part}_images"][..., np.newaxis],
            arrays[f"{part}_labels"].ravel().astype(np.int64),
            names,
        )
        for part in ("train", "val", "test")
    }
    rng, labels = np.random.default_rng(seed), every["train"].labels
    rows = [
        rng.permutation(np.flatnonzero(labels == label))[: train // len(names)]
        for label in range(len(names))
    ]
    chosen = every["train"].subset(np.sort(np.concatenate(rows)))
    return Parts(chosen, every["val"], every["test"])


def timed(work: Callable[[], T]) -> tuple[T, Seconds]:
    """What some work returns, and its seconds."""
    cpu, wall = time.process_time(), time.perf_counter()
    found = work()
    return found, Seconds(time.process_time() - cpu, time.perf_counter() - wall)


def accuracy(pixels: UInt8, labels: Sequence[int], *, real: ImageSet) -> float:
    """Share of real images that are recognised after these."""
    model = SVC(C=10).fit(pixels.reshape(len(pixels), -1) / 255, labels)
    return float(model.score(real.pixels().reshape(len(real), -1) / 255, real.labels))


def judged(pixels: UInt8, labels: Sequence[int], parts: Parts) -> dict[str, float]:
    """Accuracy after these images, and how close they come to the training images."""
    reference = copying_reference(
        parts.train, held_out=parts.test, encoder=RandomConvolutions(), controls=False
    )
    drawn = ImageBatch(pixels=pixels, labels=np.asarray(labels, np.int64))
    copying = measure_copying(reference, generated=drawn, classes=parts.train.classes)
    return {
        "accuracy": accuracy(pixels, labels, real=parts.test),
        "copying_ratio": copying.ratio,
        "copies": copying.copies,
        "held_out_copies": copying.held_out_copies,
    }


def measure_flow(
    parts: Parts, *, seed: int, labels: Sequence[int], steps: int | None = None
) -> dict[str, Any]:
    """The flow, watched for copying on validation images as in a study.

    ``steps`` in place of its own number; all else is left at the defaults.
    """
    config = FlowConfig() if steps is None else FlowConfig(steps=steps)
    names = np.array(["locked"])
    lock = LockedTest(ids=names, groups=names, hashes=names)
    inputs = FitInputs(train=parts.train, validation=parts.validation, test=lock)

    def fit() -> FlowFitted:
        reference = copying_reference(
            parts.train, held_out=parts.validation, encoder=RandomConvolutions()
        )
        monitor = CopyingMonitor(reference, classes=parts.train.classes)
        with tempfile.TemporaryDirectory() as folder:
            run = RunContext(folder=Path(folder), seed=seed, monitor=monitor)
            return FlowGenerator(config).fit(inputs, run=run)

    requests = [
        SampleRequest(index=i, label=label, seed=seed * 10**6 + i) for i, label in enumerate(labels)
    ]
    fitted, fitting = timed(fit)
    pixels, drawing = timed(lambda: np.concatenate([b.pixels for b in fitted.sample(requests)]))
    return {
        "steps": fitted.facts()["config"]["steps"],
        "kept_step": fitted.facts()["kept_step"],
        "fitting": asdict(fitting),
        "drawing": asdict(drawing),
        **judged(pixels, labels, parts),
    }


def measure_recipe(
    parts: Parts,
    *,
    seed: int,
    labels: Sequence[int],
    epochs: int,
    batch_size: int,
    tried: int,
) -> dict[str, Any]:
    """The recipe with the guidance that serves it best on validation."""
    fitted, fitting = timed(
        lambda: fit_recipe(
            parts.train,
            epochs=epochs,
            batch_size=batch_size,
            seed=seed,
            tell=lambda epoch, loss: print(f"epoch {epoch + 1}: loss {loss:.4f}", flush=True),
        )
    )
    few = labels[:tried]
    chosen = {
        w: accuracy(fitted.draw(few, guidance=w, seed=seed), few, real=parts.validation)
        for w in GUIDANCE
    }
    guidance = max(chosen, key=lambda w: chosen[w])
    pixels, drawing = timed(lambda: fitted.draw(labels, guidance=guidance, seed=seed + 1))
    return {
        "epochs": epochs,
        "batch_size": batch_size,
        "losses": fitted.losses,
        "validation_accuracy_by_guidance": chosen,
        "guidance": guidance,
        "fitting": asdict(fitting),
        "drawing": asdict(drawing),
        **judged(pixels, labels, parts),
    }


def ratios(flow: dict[str, Any], recipe: dict[str, Any]) -> dict[str, float]:
    """How many times as long the recipe took."""
    found = {
        f"{part}_{kind}": recipe[part][kind] / flow[part][kind]
        for part in ("fitting", "drawing")
        for kind in ("cpu", "wall")
    }
    for kind in ("cpu", "wall"):
        total = (sum(one[part][kind] for part in ("fitting", "drawing")) for one in (recipe, flow))
        found[f"total_{kind}"] = next(total) / next(total)
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--medmnist", type=Path, help="a file of grey images in place of digits")
    parser.add_argument("--train", type=int, default=1000, help="images to learn from")
    parser.add_argument("--pairs", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=50, help="of the recipe")
    parser.add_argument("--batch", type=int, default=64, help="of the recipe")
    parser.add_argument("--steps", type=int, help="of the flow; default: as many as it chooses")
    parser.add_argument("--images", type=int, default=500, help="drawn by both")
    parser.add_argument("--tried", type=int, default=100, help="drawn to choose guidance")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    given = parser.parse_args(arguments)
    torch.set_num_threads(given.threads)
    flows, recipes, real, load = [], [], [], os.getloadavg()[0]
    for seed in range(1, given.pairs + 1):
        parts = (
            read_medmnist(given.medmnist, seed, given.train)
            if given.medmnist
            else read_digits(seed, given.train)
        )
        labels = [i % len(parts.train.classes) for i in range(given.images)]
        real.append(accuracy(parts.train.pixels(), parts.train.labels.tolist(), real=parts.test))
        flows.append(measure_flow(parts, seed=seed, labels=labels, steps=given.steps))
        print(json.dumps(flows[-1]), flush=True)
        recipes.append(
            measure_recipe(
                parts,
                seed=seed,
                labels=labels,
                epochs=given.epochs,
                batch_size=given.batch,
                tried=given.tried,
            )
        )
        print(json.dumps(recipes[-1]), flush=True)
    last = measure_flow(parts, seed=given.pairs + 1000, labels=labels, steps=given.steps)
    found = {
        "data": given.medmnist.name if given.medmnist else "digits",
        "training_images": len(parts.train),
        "test_images": len(parts.test),
        "drawn": given.images,
        "real": real,
        "flow": [*flows, last],
        "recipe": recipes,
        "recipe_over_flow": [ratios(a, b) for a, b in zip(flows, recipes, strict=True)],
        "last_recipe_over_flow_after_it": ratios(last, recipes[-1]),
        "load": [load, os.getloadavg()[0]],
        "environment": describe_environment("cpu", given.threads),
    }
    print(json.dumps(found, indent=1))
    if given.json:
        given.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
