"""The flow beside EDM's own recipe on CIFAR-10: distance to real images against minutes trained.

For a machine with a GPU. EDM (``edm_recipe.py``) is trained once and looked at after each of the
given minutes; the flow, whose rate falls to zero at the end of its schedule, is trained anew for
each, in as many steps as a measured speed lets into the time. Both are class-conditional and draw
as many images of every class. Distance is KID (Bińkowski 2018) in the penultimate features of a
small classifier of ours, trained on the training images: no Inception weights are bundled, and
figures can be compared with each other only. The floor is that of as many training images. All are
held against the test images. Aimed at: the flow reaches in 2 minutes what EDM reaches in 8.

The folder has ``train`` and ``test`` with a sub-folder a class, as CIFAR-10 is often unpacked.

    python -m benchmarks.cifar_minutes CIFAR10 --device cuda --minutes 0.5 1 2 4 8
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from benchmarks.edm_recipe import draw_edm, train_edm
from benchmarks.latents import classifier, read_images
from synthlift.generators.flow.config import FlowConfig
from synthlift.generators.flow.generator import FlowFitted, FlowGenerator
from synthlift.study.environment import describe_environment
from synthlift.types import FitInputs, ImageSet, LockedTest, RunContext, SampleRequest, UInt8
from synthlift.vision.prediction import Classifier
from synthlift.vision.quality import kernel_distance

TRIED = 60
SETTINGS = (
    "{batch_size: 256, optimizer: muon, flip: auto, augmentation: 0.1, width: 128, "
    "precision: bfloat16, compile: true, micro_batch: 512}"
)


def fit(
    train: ImageSet, *, steps: int, device: str, seed: int, settings: dict[str, Any]
) -> tuple[FlowFitted, float]:
    """A fitted flow, and the seconds of its fit by the clock."""
    none = np.array([], str)
    lock = LockedTest(ids=none, groups=none, hashes=none)
    inputs = FitInputs(train=train, validation=train.subset(np.arange(0)), test=lock)
    generator = FlowGenerator(FlowConfig(readings=0, steps=steps, **settings))
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        run = RunContext(folder=Path(folder), seed=seed, device=device)
        fitted = generator.fit(inputs, run=run)
    return fitted, time.perf_counter() - began


def draw(fitted: FlowFitted, labels: Sequence[int], *, params: dict[str, float]) -> UInt8:
    requests = [
        SampleRequest(index=i, label=label, seed=i, params=params) for i, label in enumerate(labels)
    ]
    return np.concatenate([batch.pixels for batch in fitted.sample(requests)])


def seconds_a_step(train: ImageSet, *, device: str, settings: dict[str, Any]) -> float:
    """By the difference of two short fits, after one that compiles, where that is asked for."""
    fit(train, steps=2, device=device, seed=0, settings=settings)
    _, few = fit(train, steps=2, device=device, seed=0, settings=settings)
    _, more = fit(train, steps=2 + TRIED, device=device, seed=0, settings=settings)
    return (more - few) / TRIED


def distance(judge: Classifier, real: ImageSet, pixels: UInt8) -> float:
    """KID in the classifier's features."""
    return kernel_distance(judge.features(real.pixels()), judge.features(pixels))


def measure(given: argparse.Namespace) -> dict[str, Any]:
    """Both sides at every look."""
    (train, test), classes = read_both(given.folder, given.train, given.test)
    judge = classifier(train, seed=0)
    labels = [i % len(classes) for i in range(given.images)]
    settings, params = yaml.safe_load(given.set), yaml.safe_load(given.sampling)
    looks = [60 * minutes for minutes in given.minutes]
    edm = train_edm(
        train,
        looks=looks,
        device=given.device,
        seed=given.seed,
        batch=given.batch,
        width=given.width,
        blocks=given.blocks,
    )
    found: dict[str, Any] = {"edm": [], "flow": []}
    for look, network in edm.averages.items():
        drawn = draw_edm(network, labels, seed=given.seed)
        reached = {"minutes": look / 60, "images": edm.images[look]}
        found["edm"].append({**reached, "kid": distance(judge, test, drawn)})
        print(json.dumps(found["edm"][-1]), flush=True)
    step = seconds_a_step(train, device=given.device, settings=settings)
    for look in looks:
        steps = max(2, int(look / step))
        fitted, seconds = fit(
            train, steps=steps, device=given.device, seed=given.seed, settings=settings
        )
        kid = distance(judge, test, draw(fitted, labels, params=params))
        reached = {"minutes": look / 60, "steps": steps, "seconds": seconds}
        found["flow"].append({**reached, "kid": kid, "config": fitted.facts()["config"]})
        print(json.dumps({**reached, "kid": kid}), flush=True)
    rows = np.random.default_rng(0).permutation(len(train))[: given.images]
    return {
        **found,
        "kid_floor": distance(judge, test, train.pixels(rows)),
        "encoder": "penultimate features of small_cnn, trained on the training images, seed 0",
        "training_images": len(train),
        "test_images": len(test),
        "drawn": given.images,
        "environment": describe_environment(given.device, 1),
    }


def read_both(
    folder: Path, train: int, test: int
) -> tuple[tuple[ImageSet, ImageSet], tuple[str, ...]]:
    """So many training and test images of each class, at 32 pixels."""
    (learnt,), classes = read_images(folder / "train", size=32, per_class=[train])
    (held,), _ = read_images(folder / "test", size=32, per_class=[test])
    return (learnt, held), classes


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--minutes", type=float, nargs="+", default=[0.5, 1, 2, 4, 8])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--train", type=int, default=5000, help="images of each class")
    parser.add_argument("--test", type=int, default=1000, help="images of each class")
    parser.add_argument("--images", type=int, default=5000, help="drawn by both at every look")
    parser.add_argument("--set", default=SETTINGS, help="settings of the flow, as YAML")
    parser.add_argument("--sampling", default="{sampler_steps: 18, guidance_scale: 1.25}")
    parser.add_argument("--batch", type=int, default=512, help="of EDM")
    parser.add_argument("--width", type=int, default=256, help="channels of EDM's network")
    parser.add_argument("--blocks", type=int, default=4, help="of a level of EDM's network")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    return parser.parse_args(words)


def main() -> None:
    given = arguments()
    found = measure(given)
    print(json.dumps(found, indent=1))
    if given.json:
        given.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
