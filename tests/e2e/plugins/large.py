"""A generator that says to hold more memory than there is; its images tell who drew them.

The first pixel is the process, the second how many such generators this process has open.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from synthlift.registry import ComponentConfig, Descriptor
from synthlift.seeds import generator_for
from synthlift.types import (
    FitInputs,
    FittedGenerator,
    Generator,
    ImageBatch,
    RunContext,
    SampleRequest,
)

OPEN: weakref.WeakSet[FittedGenerator] = weakref.WeakSet()


class LargeConfig(ComponentConfig):
    """Settings.

    Attributes:
        holds: bytes that it says to hold.
    """

    holds: int = 2**50

    def device_bytes(self) -> int:
        return self.holds


class Large(Generator):
    def __init__(self, config: LargeConfig) -> None:
        self.config = config

    def fit(self, inputs: FitInputs, *, run: RunContext) -> FittedLarge:
        return FittedLarge(inputs.train.image_shape)

    def load(self, folder: Path, *, device: str = "cpu") -> FittedLarge:
        shape = np.load(folder / "shape.npy").tolist()
        opened = FittedLarge((shape[0], shape[1], shape[2]))
        OPEN.add(opened)
        return opened


class FittedLarge(FittedGenerator):
    def __init__(self, shape: tuple[int, int, int]) -> None:
        self.shape = shape

    @property
    def image_shape(self) -> tuple[int, int, int]:
        return self.shape

    def sample(self, requests: Sequence[SampleRequest]) -> Iterator[ImageBatch]:
        for request in requests:
            pixels = generator_for(request.seed, "pixels").integers(0, 256, (1, *self.shape))
            pixels[0, 0, :2, 0] = os.getpid() % 256, len(OPEN)
            yield ImageBatch(pixels.astype(np.uint8), np.array([request.label]))

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        np.save(folder / "shape.npy", np.array(self.shape))


SYNTHLIFT = {
    "generators": [
        Descriptor(
            kind="large",
            config=LargeConfig,
            version="1",
            target=f"{__name__}:Large",
            summary="Says to hold much memory.",
        )
    ]
}
