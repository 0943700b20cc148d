"""Claim: images reach a training at least twice as fast in the first epoch, then five times.

Both sides turn a folder of JPEGs into shuffled batches of float32 images in [0, 1]. The baseline
is torchvision's ``ImageFolder`` with ``Resize`` and ``ToTensor`` behind a ``DataLoader`` with two
persistent workers, which decodes every image in every epoch. Synthlift's first epoch holds all
that a study does before it trains: listing, decoding, hashing and checking every image, bringing
all to one size, writing them to the store, hashing what was written, and loading it; then come the
trainer's own batches. Both get the same order, and their tensors are compared once, bit for bit.
Images are drawn: digits enlarged to the given size, coloured, with noise, saved at Pillow's quality
90. Pairs alternate (Synthlift, torchvision, Synthlift …); the ratio is taken within each pair.

    python benchmarks/loading.py --pairs 5 --json loading.json
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
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
from synthlift.training.batches import Batch
from synthlift.training.images import training_images

WORKERS, EPOCHS, BATCH = 2, 3, 64
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


def open_torchvision(folder: Path, *, size: int, home: Path) -> Epoch:
    """The baseline, ready to be iterated."""
    from torch.utils.data import DataLoader, Sampler
    from torchvision import datasets, transforms

    del home
    order: list[int] = []

    class Order(Sampler[int]):
        def __iter__(self) -> Iterator[int]:
            return iter(order)

        def __len__(self) -> int:
            return len(images)

    steps = transforms.Compose([transforms.Resize((size, size)), transforms.ToTensor()])
    images = datasets.ImageFolder(str(folder), transform=steps)
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
            yield found

    return epoch


def open_synthlift(folder: Path, *, size: int, home: Path) -> Epoch:
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
    none = np.zeros(0, np.int64)

    def epoch(rows: np.ndarray) -> Iterator[Tensor]:
        parts = (rows[start : start + BATCH] for start in range(0, len(rows), BATCH))
        for _, pixels in images.feed(Batch(part, 0, none, 0) for part in parts):
            yield pixels.float().div_(255)

    return epoch


SIDES = {"synthlift": open_synthlift, "torchvision": open_torchvision}


def time_side(side: str, folder: Path, *, size: int, orders: list[np.ndarray]) -> dict[str, float]:
    """Seconds of the first epoch, opening included, and of one epoch after it (the mean)."""
    with tempfile.TemporaryDirectory() as home:
        began = time.perf_counter()
        epoch = SIDES[side](folder, size=size, home=Path(home))
        seconds = []
        for order in orders:
            seen = sum(len(batch) for batch in epoch(order))
            assert seen == len(order), "images were lost"
            seconds.append(time.perf_counter() - began)
            began = time.perf_counter()
    return {"first": seconds[0], "later": statistics.fmean(seconds[1:])}


def require_equal(folder: Path, *, size: int, order: np.ndarray) -> None:
    """Both sides give the same images in the same order, to the last bit."""
    with tempfile.TemporaryDirectory() as home:
        sides = [opened(folder, size=size, home=Path(home))(order) for opened in SIDES.values()]
        for ours, theirs in zip(*sides, strict=True):
            assert torch.equal(ours, theirs), "the two sides show different images"


# ── the comparison ────────────────────────────────────────────────────────────────────────────


def compare(size: int, *, count: int, pairs: int) -> dict[str, Any]:
    """Time pairs at one size; a ratio is torchvision's seconds by Synthlift's."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "images"
        draw_folder(folder, size=size, count=count)
        orders = [np.random.default_rng(epoch).permutation(count) for epoch in range(EPOCHS)]
        require_equal(folder, size=size, order=orders[0])
        rows = [
            {side: time_side(side, folder, size=size, orders=orders) for side in SIDES}
            for _ in range(pairs)
        ]
    return {
        "size": size,
        "images": count,
        "pairs": rows,
        **{when: _ratio(rows, when) for when in ("first", "later")},
    }


def _ratio(rows: Sequence[dict[str, dict[str, float]]], when: str) -> dict[str, float]:
    ratios = [row["torchvision"][when] / row["synthlift"][when] for row in rows]
    return {"median": statistics.median(ratios), "low": min(ratios), "high": max(ratios)}


def _words(found: dict[str, Any], when: str) -> str:
    ratio = found[when]
    rates = [
        found["images"] / statistics.median(row[side][when] for row in found["pairs"])
        for side in SIDES
    ]
    return (
        f"{ratio['median']:5.2f} × as fast ({ratio['low']:.2f} to {ratio['high']:.2f}; "
        f"{rates[0]:,.0f} against {rates[1]:,.0f} images/s)"
    )


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--sizes", type=int, nargs="+", default=[32, 96, 200])
    parser.add_argument("--images", type=int, default=4000)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    given = parser.parse_args(arguments)
    found = [compare(size, count=given.images, pairs=given.pairs) for size in given.sizes]
    for one in found:
        print(f"{one['size']:4} pixels, first epoch  {_words(one, 'first')}")
        print(f"{one['size']:4} pixels, later epochs {_words(one, 'later')}")
    if given.json:
        result = {"sizes": found, "environment": describe_environment("cpu", WORKERS)}
        given.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
