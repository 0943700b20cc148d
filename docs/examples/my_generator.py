"""A generator in 30 lines: each image is a mix of two training images of its class."""

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


class PixelMixConfig(ComponentConfig):
    """Keys of ``{kind: pixel_mix, lowest_weight: 0.3}`` in a study file.

    Attributes:
        lowest_weight: the weaker image counts at least this much, 0 to 0.5.
    """

    lowest_weight: float = 0.3


class PixelMix(Generator):
    """The recipe. ``fit`` may look at the training images, never at the test."""

    def __init__(self, config: PixelMixConfig) -> None:
        self.config = config

    def fit(self, inputs: FitInputs, *, run: RunContext) -> "FittedPixelMix":
        """Remember the training images."""
        return FittedPixelMix(inputs.train.pixels(), inputs.train.labels, self.config)

    def load(self, folder: Path, *, device: str = "cpu") -> "FittedPixelMix":
        """Read what ``save`` wrote."""
        saved = np.load(folder / "images.npz")
        return FittedPixelMix(saved["pixels"], saved["labels"], self.config)


class FittedPixelMix(FittedGenerator):
    """What was learnt: here the images themselves, uint8 [N, H, W, C], and their labels [N]."""

    def __init__(self, pixels: UInt8, labels: Int64, config: PixelMixConfig) -> None:
        self.pixels, self.labels, self.config = pixels, labels, config

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width, channels."""
        return self.pixels.shape[1:]

    def sample(self, requests: Sequence[SampleRequest]) -> Iterator[ImageBatch]:
        """Every image depends on its own request only: draw from ``request.seed``, nothing else."""
        for request in requests:
            rng = np.random.default_rng(request.seed)
            first, second = self.pixels[rng.choice(np.flatnonzero(self.labels == request.label), 2)]
            weight = rng.uniform(self.config.lowest_weight, 1 - self.config.lowest_weight)
            mixed = np.rint(weight * first + (1 - weight) * second).astype(np.uint8)
            yield ImageBatch(pixels=mixed[np.newaxis], labels=np.array([request.label]))

    def save(self, folder: Path) -> None:
        """Write everything needed to sample again."""
        folder.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(folder / "images.npz", pixels=self.pixels, labels=self.labels)


SYNTHLIFT = {
    "generators": [
        Descriptor(
            kind="pixel_mix",
            config=PixelMixConfig,
            version="1",
            target=f"{__name__}:PixelMix",
            summary="Mixes two training images of a class, pixel by pixel.",
        )
    ]
}
