"""A generator that hands out its training images as if they were new."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from synthlift.registry import ComponentConfig, Descriptor
from synthlift.types import (
    FitInputs,
    FittedGenerator,
    Generator,
    ImageBatch,
    Int64,
    RunContext,
    SampleRequest,
    UInt8,
)


class CopierConfig(ComponentConfig):
    """Of ``one_in`` images one is a copy, and the others are noise."""

    one_in: int = 1


class Copier(Generator):
    def __init__(self, config: CopierConfig) -> None:
        self.config = config

    def fit(self, inputs: FitInputs, *, run: RunContext) -> FittedCopier:
        return FittedCopier(inputs.train.pixels(), inputs.train.labels, self.config.one_in)

    def load(self, folder: Path, *, device: str = "cpu") -> FittedCopier:
        with np.load(folder / "images.npz") as saved:
            return FittedCopier(saved["pixels"], saved["labels"], self.config.one_in)


class FittedCopier(FittedGenerator):
    def __init__(self, pixels: UInt8, labels: Int64, one_in: int) -> None:
        self.pixels, self.labels, self.one_in = pixels, labels, one_in

    @property
    def image_shape(self) -> tuple[int, int, int]:
        height, width, channels = self.pixels.shape[1:]
        return height, width, channels

    def sample(self, requests: Sequence[SampleRequest]) -> Iterator[ImageBatch]:
        for request in requests:
            members = np.flatnonzero(self.labels == request.label)
            chosen = members[request.seed % len(members)]
            image = self.pixels[[chosen]]
            if request.seed % self.one_in:
                image = np.random.default_rng(request.seed).integers(0, 256, image.shape, np.uint8)
            yield ImageBatch(image, np.array([request.label]))

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        np.savez(folder / "images.npz", pixels=self.pixels, labels=self.labels)


SYNTHLIFT = {
    "generators": [
        Descriptor(kind="copier", config=CopierConfig, version="1", target=f"{__name__}:Copier")
    ]
}
