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


class Copier(Generator):
    def __init__(self, config: ComponentConfig) -> None:
        self.config = config

    def fit(self, inputs: FitInputs, *, run: RunContext) -> FittedCopier:
        return FittedCopier(inputs.train.pixels(), inputs.train.labels)

    def load(self, folder: Path, *, device: str = "cpu") -> FittedCopier:
        with np.load(folder / "images.npz") as saved:
            return FittedCopier(saved["pixels"], saved["labels"])


class FittedCopier(FittedGenerator):
    def __init__(self, pixels: UInt8, labels: Int64) -> None:
        self.pixels, self.labels = pixels, labels

    @property
    def image_shape(self) -> tuple[int, int, int]:
        height, width, channels = self.pixels.shape[1:]
        return height, width, channels

    def sample(self, requests: Sequence[SampleRequest]) -> Iterator[ImageBatch]:
        for request in requests:
            members = np.flatnonzero(self.labels == request.label)
            chosen = members[request.seed % len(members)]
            yield ImageBatch(self.pixels[[chosen]], np.array([request.label]))

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        np.savez(folder / "images.npz", pixels=self.pixels, labels=self.labels)


SYNTHLIFT = {
    "generators": [
        Descriptor(kind="copier", config=ComponentConfig, version="1", target=f"{__name__}:Copier")
    ]
}
