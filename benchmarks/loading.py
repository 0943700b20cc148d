"""How fast images reach a training; aimed at: twice as fast in the first epoch, then five times.

From a folder of JPEGs to shuffled batches of float32 images in [0, 1], as they are (``plain``) and
with the augmentation that most trainings use (``augmented``: shifts by up to a tenth of the side,
edges repeated, and horizontal flips), on two cores.

The baseline is torchvision's ``ImageFolder`` with transforms.v2 behind a ``DataLoader`` with two
persistent workers, which decodes every image in every epoch. It comes in two forms, and all ratios
are stated against both: ``documented`` makes float32 in the workers, as torchvision's documentation
shows and the aim above is meant; ``bytes`` sends uint8, makes float32 of whole batches, and is the
faster one. Synthlift's first epoch holds all that a study does before it
trains: listing, decoding, hashing and checking every image, finding exact copies, bringing all to
one size and writing them to the store; then come the trainer's own batches.

Both get the same order, and their plain images are compared once, byte for byte. Images are drawn:
digits enlarged to the given size, coloured, with noise, saved at Pillow's quality 90. Sides
alternate; a ratio is taken within each round. Besides the time that passes, the processor time of
all processes is taken: it is what other work on the same machine changes least.

    python benchmarks/loading.py --pairs 5 --json loading.json
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from synthlift.data.contract import Where
from synthlift.data.inventory import Asked
from synthlift.data.sources import open_source
from synthlift.data.stages import inventory_request, pixels_request, read_request
from synthlift.store import Store
from synthlift.store.images import PIXELS
from synthlift.store.pixel_files import open_rows
from synthlift.study.environment import describe_environment
from synthlift.study.executors.memory import keep_freed_memory, spare_imported_modules
from synthlift.training.batches import Batch
from synthlift.training.images import training_images
from synthlift.vision.transforms import Draws, augment

WORKERS, EPOCHS, BATCH = 2, 3, 64
SHIFT = 0.1
MAX_PIXELS = 100_000_000
Epoch = Callable[[np.ndarray], Iterator[Tensor]]
"""Yields the batches of one epoch in the given order, float32 [n, 3, h, w]."""


def draw_folder(folder: Path, *, size: int, count: int) -> None:
    """Write ``count`` JPEGs of ``size`` × ``size`` pixels in ten class folders."""
    from PIL import Image
    from sklearn.datasets import load_digits

    digits = load_digits()
    random = np.random.default_rng(size)
    for label in range(10):
        (folder / str(label)).mkdir(parents=True)
    for number in range(count):
        row = number % len(digits.target)
        small = Image.fromarray((digits.images[row] * 15).astype(np.uint8))
        grey = np.asarray(small.resize((size, size), Image.Resampling.BICUBIC), np.float64)
        colour, noise = random.uniform(0.3, 1, 3), random.normal(0, 12, (size, size, 3))
        pixels = np.clip(grey[:, :, None] * colour + 30 + noise, 0, 255).astype(np.uint8)
        name = folder / str(digits.target[row]) / f"{number:06}.jpg"
        Image.fromarray(pixels).save(name, quality=90)


# ── both sides ────────────────────────────────────────────────────────────────────────────────


def open_torchvision(
    folder: Path, *, size: int, home: Path, augmented: bool, in_workers: bool
) -> Epoch:
    """The baseline, ready to be iterated; float32 is made in the workers or of whole batches."""
    from torch.utils.data import DataLoader, Sampler
    from torchvision import datasets
    from torchvision.transforms import v2

    del home
    order: list[int] = []

    class Order(Sampler[int]):
        def __iter__(self) -> Iterator[int]:
            return iter(order)

        def __len__(self) -> int:
            return len(images)

    to_float = v2.ToDtype(torch.float32, scale=True)
    steps = [v2.Resize((size, size)), v2.ToImage()]
    if augmented:
        crop = v2.RandomCrop(size, padding=round(SHIFT * size), padding_mode="edge")
        steps += [v2.RandomHorizontalFlip(), crop]
    steps += [to_float] if in_workers else []
    images = datasets.ImageFolder(str(folder), transform=v2.Compose(steps))
    loader: DataLoader[Any] = DataLoader(
        images,
        batch_size=BATCH,
        sampler=Order(),
        num_workers=WORKERS,
        persistent_workers=True,
        prefetch_factor=4,
    )

    def epoch(rows: np.ndarray) -> Iterator[Tensor]:
        order[:] = rows.tolist()
        for found, _ in loader:
            yield found if in_workers else to_float(found)

    return epoch


def open_synthlift(folder: Path, *, size: int, home: Path, augmented: bool) -> Epoch:
    """Everything that a study does with images before it trains."""
    store = Store(home)
    source = open_source(Where(source=str(folder), base=str(folder)))
    reading = read_request(source, Asked(MAX_PIXELS))
    store.compute(reading)
    read = store.open(reading.key)
    listing = inventory_request(read)
    store.compute(listing)
    wanted = pixels_request(listing.key, read=read, source=source, size=size, fit="pad", channels=3)
    store.compute(wanted)
    rows = open_rows(store.open(wanted.key).path(PIXELS))
    images = training_images(rows, None, layout=torch.channels_last, device="cpu")
    none, draws = np.zeros(0, np.int64), Draws(0)

    def epoch(rows: np.ndarray) -> Iterator[Tensor]:
        parts = (rows[start : start + BATCH] for start in range(0, len(rows), BATCH))
        for _, pixels in images.feed(Batch(part, 0, none, 0) for part in parts):
            images_nchw = pixels.float().div_(255)
            some = draws.take(0, len(images_nchw))
            yield augment(images_nchw, some, strength="light" if augmented else "none", flip=True)

    return epoch


OURS, BASELINES = "synthlift", ("documented", "bytes")
KINDS = ("plain", "augmented")
TIMES = ("first", "later", "cpu_first", "cpu_later")
SIDES: dict[str, Callable[..., Epoch]] = {
    OURS: open_synthlift,
    "documented": partial(open_torchvision, in_workers=True),
    "bytes": partial(open_torchvision, in_workers=False),
}


def time_side(
    side: str, folder: Path, *, size: int, orders: list[np.ndarray], augmented: bool
) -> dict[str, float]:
    """Seconds of the first epoch, opening included, and of one epoch after it (the mean).

    ``cpu_first`` and ``cpu_later`` are processor seconds, those of worker processes included.
    """
    with tempfile.TemporaryDirectory() as home:
        times = [(time.perf_counter(), _cpu_seconds())]
        epoch = SIDES[side](folder, size=size, home=Path(home), augmented=augmented)
        for order in orders:
            seen = sum(len(batch) for batch in epoch(order))
            assert seen == len(order), "images were lost"
            times.append((time.perf_counter(), _cpu_seconds()))
    first, *later = np.diff(np.array(times), axis=0)
    mean = np.mean(later, axis=0)
    return {
        "first": float(first[0]),
        "later": float(mean[0]),
        "cpu_first": float(first[1]),
        "cpu_later": float(mean[1]),
    }


def _cpu_seconds() -> float:
    """Processor seconds of this process and its children, living and ended ones."""
    import psutil

    used = psutil.Process().cpu_times()
    total = used.user + used.system + used.children_user + used.children_system
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            own = child.cpu_times()
            total += own.user + own.system
    return float(total)


def require_equal(folder: Path, *, size: int, order: np.ndarray) -> None:
    """All sides give the same images in the same order, to the last byte."""
    with tempfile.TemporaryDirectory() as home:
        sides = [
            opened(folder, size=size, home=Path(home), augmented=False)(order)
            for opened in SIDES.values()
        ]
        for batches in zip(*sides, strict=True):
            # Floats may differ in the last bit: v2 multiplies by 1/255. The bytes do not.
            ours, *theirs = (batch.mul(255).round().to(torch.uint8) for batch in batches)
            assert all(torch.equal(ours, other) for other in theirs), "the images differ"


# ── the comparison ────────────────────────────────────────────────────────────────────────────


def compare(size: int, *, count: int, pairs: int, kinds: Sequence[str]) -> list[dict[str, Any]]:
    """Time rounds at one size, plain and augmented; a ratio is a baseline's time by ours."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "images"
        draw_folder(folder, size=size, count=count)
        orders = [np.random.default_rng(epoch).permutation(count) for epoch in range(EPOCHS)]
        require_equal(folder, size=size, order=orders[0])
        return [
            _summary(
                [
                    {
                        side: time_side(side, folder, size=size, orders=orders, augmented=augmented)
                        for side in SIDES
                    }
                    for _ in range(pairs)
                ],
                {"size": size, "augmented": augmented, "images": count},
            )
            for augmented in (kind == "augmented" for kind in kinds)
        ]


def _summary(rows: list[dict[str, dict[str, float]]], facts: dict[str, Any]) -> dict[str, Any]:
    ratios = {
        baseline: {when: _ratio(rows, baseline, when) for when in TIMES} for baseline in BASELINES
    }
    return {**facts, "rounds": rows, "ratios": ratios}


def _ratio(
    rows: Sequence[dict[str, dict[str, float]]], baseline: str, when: str
) -> dict[str, float]:
    ratios = [row[baseline][when] / row[OURS][when] for row in rows]
    return {"median": statistics.median(ratios), "low": min(ratios), "high": max(ratios)}


def _words(found: dict[str, Any], when: str) -> str:
    def times(ratio: dict[str, float]) -> str:
        return f"{ratio['median']:.2f} × ({ratio['low']:.2f} to {ratio['high']:.2f})"

    return "; ".join(
        f"{times(ratios[when])} as fast as {baseline}, "
        f"processor time {times(ratios[f'cpu_{when}'])}"
        for baseline, ratios in found["ratios"].items()
    )


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--sizes", type=int, nargs="+", default=[32, 96, 200])
    parser.add_argument("--images", type=int, default=4000)
    parser.add_argument("--kinds", choices=KINDS, nargs="+", default=KINDS)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    given = parser.parse_args(arguments)
    # As worker processes do; the baseline's main process gains by it too.
    torch.set_num_threads(1)
    keep_freed_memory()
    spare_imported_modules()
    load = os.getloadavg()[0]
    found = [
        one
        for size in given.sizes
        for one in compare(size, count=given.images, pairs=given.pairs, kinds=given.kinds)
    ]
    for one in found:
        kind = "augmented" if one["augmented"] else "plain"
        for when, words in (("first", "first epoch"), ("later", "later epochs")):
            print(f"{one['size']:4} pixels, {kind:9} {words:12} {_words(one, when)}")
    if given.json:
        environment = describe_environment("cpu", WORKERS)
        result = {"sizes": found, "load_average_before": load, "environment": environment}
        given.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
