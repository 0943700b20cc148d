"""What the flow gains in an autoencoder's latents, at equal CPU time, and what it cannot exceed.

``ceiling``: how close reconstructions come to the images, and how often a classifier is right on
them, and when trained on them; nothing that is decoded from latents can be better. ``flows``: the
flow on pixels and in latents, each with the steps that are given, so that CPU seconds (encoding
included) can be made equal; then a classifier is trained on as many images of each as there are
real ones, and tested on real images.

The folder has one sub-folder a class. Of each class, the images that come first in a random order
train and the next ones test; all are brought to one size.

    python benchmarks/latents.py FOLDER AUTOENCODER --size 64 --pixel-steps 900 --latent-steps 740
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from synthlift.generators.flow.config import FlowConfig
from synthlift.generators.flow.generator import FlowGenerator
from synthlift.generators.flow.space import LatentSpace, open_space
from synthlift.generators.translation.likeness import signal_to_noise, similarity
from synthlift.registry import available
from synthlift.spec.arms import Arm, Recipe
from synthlift.spec.study import Training
from synthlift.training.batches import TrainingSeeds
from synthlift.training.settings import resolve_training
from synthlift.training.trainer import TrainingJob, train
from synthlift.types import FitInputs, ImageSet, LockedTest, RunContext, SampleRequest, UInt8
from synthlift.vision.prediction import Classifier, load_classifier, save_classifier


def read_images(
    folder: Path, *, size: int, per_class: Sequence[int]
) -> tuple[list[ImageSet], tuple[str, ...]]:
    """Training and test images, so many of each class."""
    classes = tuple(sorted(path.name for path in folder.iterdir() if path.is_dir()))
    random, found = np.random.default_rng(0), []
    parts: list[list[tuple[Path, int]]] = [[] for _ in per_class]
    for label, name in enumerate(classes):
        files = sorted(path for path in (folder / name).iterdir() if path.is_file())
        order, start = random.permutation(len(files)), 0
        for part, count in zip(parts, per_class, strict=True):
            part += [(files[i], label) for i in order[start : start + count]]
            start += count
    for part in parts:
        pixels = [
            np.asarray(Image.open(p).convert("RGB").resize((size, size), Image.Resampling.LANCZOS))
            for p, _ in part
        ]
        labels = np.array([label for _, label in part], np.int64)
        found.append(ImageSet.from_arrays(np.stack(pixels), labels, classes))
    return found, classes


def classifier(images: ImageSet, *, seed: int) -> Classifier:
    """The small network of the house, trained by its own rules."""
    descriptor = available("classifiers")["small_cnn"]
    settings = resolve_training(
        Training(),
        train_count=len(images),
        image_size=images.image_shape[0],
        classes=len(images.classes),
        flip_keeps_class=True,
    )
    job = TrainingJob(
        real=images,
        validation=images.subset(np.arange(0)),
        arm=Arm(name="bench", role="rival", recipe=Recipe(augmentation="medium")),
        classifier=descriptor,
        config=descriptor.config(),
        settings=settings,
        seeds=TrainingSeeds(seed, seed, seed, seed),
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        trained = train(job, run=RunContext(folder=folder, seed=seed))
        save_classifier(folder / "model", network=trained.network, facts=trained.facts)
        return load_classifier(folder / "model")


def accuracy(model: Classifier, images: ImageSet) -> float:
    return float((model.probabilities(images.pixels()).argmax(1) == images.labels).mean())


def reconstructed(images: ImageSet, space: LatentSpace) -> ImageSet:
    pixels = torch.from_numpy(images.pixels()).permute(0, 3, 1, 2)
    again = space.leave(space.enter(pixels)).permute(0, 2, 3, 1).numpy()
    return ImageSet.from_arrays(np.ascontiguousarray(again), images.labels, images.classes)


def ceiling(real: ImageSet, test: ImageSet, *, autoencoder: Path, seed: int) -> dict[str, float]:
    """PSNR and SSIM of reconstructed test images, and accuracies on and after them."""
    config = FlowConfig(autoencoder=str(autoencoder))
    space = open_space(config, image_shape=test.image_shape, device="cpu")
    assert isinstance(space, LatentSpace)
    again = reconstructed(test, space)
    model = classifier(real, seed=seed)
    return {
        "psnr": float(signal_to_noise(test.pixels(), again.pixels()).mean()),
        "ssim": float(similarity(test.pixels(), again.pixels()).mean()),
        "real_to_real": accuracy(model, test),
        "real_to_reconstructed": accuracy(model, again),
        "reconstructed_to_real": accuracy(classifier(reconstructed(real, space), seed=seed), test),
    }


def flow(real: ImageSet, test: ImageSet, *, seed: int, **settings: Any) -> dict[str, float]:
    """CPU seconds of a fit, images a second, accuracy of a classifier trained on its images."""
    none = np.array([], str)
    lock = LockedTest(ids=none, groups=none, hashes=none)
    inputs = FitInputs(train=real, validation=real.subset(np.arange(0)), test=lock)
    generator = FlowGenerator(FlowConfig(readings=0, **settings))
    with tempfile.TemporaryDirectory() as folder:
        began = time.process_time()
        fitted = generator.fit(inputs, run=RunContext(folder=Path(folder), seed=seed))
        fitting = time.process_time() - began
    labels = np.arange(len(real)) % len(real.classes)
    requests = [SampleRequest(index=i, label=int(k), seed=i) for i, k in enumerate(labels)]
    began = time.process_time()
    pixels: UInt8 = np.concatenate([batch.pixels for batch in fitted.sample(requests)])
    sampling = time.process_time() - began
    drawn = ImageSet.from_arrays(pixels, labels, real.classes)
    return {
        "fit_cpu_seconds": fitting,
        "images_per_cpu_second": len(drawn) / sampling,
        "synthetic_to_real": accuracy(classifier(drawn, seed=seed), test),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("autoencoder", type=Path)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--train", type=int, default=200, help="images of each class")
    parser.add_argument("--test", type=int, default=120, help="images of each class")
    parser.add_argument("--pixel-steps", type=int, default=900)
    parser.add_argument("--latent-steps", type=int, default=740)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    (real, test), classes = read_images(
        given.folder, size=given.size, per_class=(given.train, given.test)
    )
    latent = {"autoencoder": str(given.autoencoder), "steps": given.latent_steps}
    found = {
        "size": given.size,
        "classes": len(classes),
        "train": len(real),
        "test": len(test),
        "ceiling": ceiling(real, test, autoencoder=given.autoencoder, seed=given.seed),
        "pixels": flow(real, test, seed=given.seed, steps=given.pixel_steps),
        "latents": flow(real, test, seed=given.seed, **latent),
        "load": os.getloadavg()[0],
    }
    print(json.dumps(found, indent=1))
    if given.json:
        given.json.write_text(json.dumps(found, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
