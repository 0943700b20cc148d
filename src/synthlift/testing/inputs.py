"""Small drawn images that the contract suites feed to a component."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import numpy as np

from synthlift.errors import LeakageError
from synthlift.seeds import generator_for
from synthlift.types import (
    FitInputs,
    GuardedPixels,
    ImageSet,
    Int64,
    LockedTest,
    UInt8,
)

CLASSES = ("disc", "bars", "ramp", "never_seen")
PER_CLASS = 16


class WatchedTest(LockedTest):
    """A locked test set that also remembers who tried, even if the error was swallowed."""

    def __init__(self) -> None:
        names = np.array([f"test_{i}" for i in range(12)])
        super().__init__(ids=names, groups=names, hashes=names)
        object.__setattr__(self, "attempts", [])

    def __getattr__(self, name: str) -> NoReturn:
        if not name.startswith("__"):
            self.attempts.append(name)
        super().__getattr__(name)

    def __getitem__(self, key: object) -> NoReturn:
        self.attempts.append(f"[{key!r}]")
        super().__getitem__(key)

    attempts: list[str]


def draw_images(count: int, *, seed: int, size: int = 8, channels: int = 1) -> tuple[UInt8, Int64]:
    """Noisy discs, bars and ramps.

    Args:
        count: images in all, the three drawn classes in turn.
        seed: of place, slope and noise.
        size: height and width.
        channels: 1 or 3.

    Returns:
        uint8 [count, size, size, channels] and labels [count] in 0…2.
    """
    rng = generator_for(seed, "drawn_images")
    labels = np.arange(count) % 3
    down, right = np.mgrid[:size, :size] / (size - 1)
    images = np.empty((count, size, size, channels))
    for i, label in enumerate(labels):
        a, b = rng.uniform(0.3, 0.7, 2)
        plane = (
            np.hypot(down - a, right - b) < 0.3,
            np.sin(12 * (right - a)) > 0,
            np.clip(down * 2 * a + right * b, 0, 1),
        )[label]
        images[i] = 40 + 170 * plane[:, :, None] + rng.normal(0, 10, (size, size, channels))
    return np.clip(np.rint(images), 0, 255).astype(np.uint8), labels.astype(np.int64)


def drawn_inputs(*, validation_seed: int = 2) -> FitInputs:
    """48 training and 48 validation images of three classes; a fourth class has no image.

    There are unlabelled images, masks of every second image, and two sources: ``pool``, and
    ``source`` with negatives of the training images, by name, and of others. The pixels behind the
    training set hold further rows, which raise ``LeakageError``.
    """
    pixels, labels = draw_images(4 * PER_CLASS, seed=1)
    allowed = np.arange(3 * PER_CLASS)
    names = np.array([f"train_{i}" for i in allowed])
    train = ImageSet(
        ids=names,
        labels=labels[allowed],
        groups=names,
        classes=CLASSES,
        source=GuardedPixels(pixels, allowed),
    )
    held_out, held_out_labels = draw_images(3 * PER_CLASS, seed=validation_seed)
    ids = [f"validation_{i}" for i in range(len(held_out))]
    return FitInputs(
        train=train,
        validation=ImageSet.from_arrays(held_out, held_out_labels, CLASSES, ids=ids),
        test=WatchedTest(),
        unlabelled=_further(seed=5).without_labels(),
        sources={"pool": _further(seed=6), "source": _negatives(pixels[allowed], labels[allowed])},
        masks=GuardedPixels(_squares(len(pixels)), allowed),
        validation_masks=GuardedPixels(_squares(len(held_out)), np.arange(len(held_out))),
    )


def _negatives(pixels: UInt8, labels: Int64) -> ImageSet:
    """The same images inverted, under the same names, and as many of further images."""
    more, further = draw_images(3 * PER_CLASS, seed=7)
    kinds = ("train", "elsewhere")
    ids = [f"{kind}_{i}" for kind in kinds for i in range(3 * PER_CLASS)]
    both = 255 - np.concatenate([pixels, more])
    return ImageSet.from_arrays(both, np.concatenate([labels, further]), CLASSES, ids=ids)


def _squares(count: int) -> UInt8:
    """Masks [count, 8, 8, 1]: a square in the middle of every second image of each class."""
    masks = np.zeros((count, 8, 8, 1), np.uint8)
    masks[(np.arange(count) // 3) % 2 == 0, 3:6, 3:6] = 255
    return masks


def _further(*, seed: int) -> ImageSet:
    pixels, labels = draw_images(3 * PER_CLASS, seed=seed)
    ids = [f"further_{seed}_{i}" for i in range(len(pixels))]
    return ImageSet.from_arrays(pixels, labels, CLASSES, ids=ids)


@contextmanager
def global_random_state_untouched() -> Iterator[None]:
    """Fail if the block draws from, or seeds, a global random number generator."""
    import torch

    legacy = np.random.get_state
    before = (random.getstate(), legacy(legacy=False), torch.get_rng_state().numpy().tobytes())
    yield
    after = (random.getstate(), legacy(legacy=False), torch.get_rng_state().numpy().tobytes())
    names = ("random", "numpy.random", "torch")
    touched = [n for n, a, b in zip(names, before, after, strict=True) if str(a) != str(b)]
    assert not touched, f"the global random state was touched: {', '.join(touched)}"


def assert_never_opened(test: LockedTest) -> None:
    """Fail if anything but ids, groups or hashes was asked of a :class:`WatchedTest`."""
    assert isinstance(test, WatchedTest)
    if test.attempts:
        raise LeakageError(f"the component reached for the test set: {', '.join(test.attempts)}")
