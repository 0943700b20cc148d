"""What tests of generators that draw in one pass share."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.datasets import load_digits
from sklearn.svm import SVC

from synthlift.errors import Interrupted
from synthlift.registry import available
from synthlift.types import (
    FitInputs,
    FittedGenerator,
    ImageSet,
    LockedTest,
    RunContext,
    SampleRequest,
    UInt8,
)

DIGITS = tuple("0123456789")


def inputs_of(train: ImageSet) -> FitInputs:
    """A fit without validation images."""
    none = train.ids[:0]
    lock = LockedTest(ids=none, groups=none, hashes=none)
    return FitInputs(train=train, validation=train.subset(np.arange(0)), test=lock)


def fit(
    kind: str,
    folder: Path,
    inputs: FitInputs,
    *,
    seed: int = 3,
    stop_at: int | None = None,
    **settings: Any,
) -> FittedGenerator:
    """Fit in ``folder``; interrupted when step ``stop_at`` is told."""

    def progress(done: int, _total: int, _note: str) -> None:
        if done == stop_at:
            raise Interrupted("stopped")

    folder.mkdir(exist_ok=True)
    descriptor = available("generators")[kind]
    generator = descriptor.build(descriptor.config.model_validate(settings))
    run = RunContext(folder=folder, seed=seed, progress=progress)
    fitted: FittedGenerator = generator.fit(inputs, run=run)
    return fitted


def digits() -> tuple[UInt8, np.ndarray]:
    """All digits, uint8 [1797, 8, 8, 1] and labels, in a fixed random order."""
    found = load_digits()
    pixels = np.rint(found.images * (255 / 16)).astype(np.uint8)[..., np.newaxis]
    order = np.random.default_rng(0).permutation(len(pixels))
    return pixels[order], found.target[order]


def pixels_of(fitted: FittedGenerator, requests: list[SampleRequest]) -> UInt8:
    """What is drawn, in order."""
    return np.concatenate([batch.pixels for batch in fitted.sample(requests)])


def recognised(fitted: FittedGenerator, *, seen: int, count: int = 300) -> tuple[float, float]:
    """Shares of two classifiers' right answers, neither of which is the generator's own.

    Args:
        fitted: on the first ``seen`` digits.
        seen: of the digits.
        count: images drawn.

    Returns:
        Of samples, by a classifier trained on digits that the generator never saw; of such digits,
        by a classifier trained on samples.
    """
    pixels, labels = digits()
    requests = [SampleRequest(index=i, label=i % 10, seed=i) for i in range(count)]
    drawn = pixels_of(fitted, requests).reshape(count, -1)
    wanted = np.array([request.label for request in requests])
    unseen, truth = pixels[seen:].reshape(-1, 64), labels[seen:]
    by_unseen = SVC(C=10).fit(unseen, truth).score(drawn, wanted)
    by_samples = SVC(C=10).fit(drawn, wanted).score(unseen, truth)
    return float(by_unseen), float(by_samples)


def toned(count: int = 240) -> ImageSet:
    """Digits 0 to 3 with an attribute ``tone``: light, dark (inverted), or missing for a quarter.

    There is no dark 3.
    """
    pixels, labels = digits()
    chosen = np.flatnonzero(labels < 4)[:count]
    pixels, labels = pixels[chosen], labels[chosen]
    dark = (np.arange(count) % 2 == 0) & (labels != 3)
    pixels = np.where(dark[:, None, None, None], 255 - pixels, pixels)
    tone = np.where(dark, "dark", "light")
    tone[np.arange(count) % 4 == 3] = ""
    images = ImageSet.from_arrays(pixels, labels, DIGITS[:4])
    return replace(images, attributes={"tone": tone})
