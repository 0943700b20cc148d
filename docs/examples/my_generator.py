"""A generator in one short file: every class is a Gaussian in pixel space."""

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


class ClassGaussianConfig(ComponentConfig):
    """Keys of ``{kind: class_gaussian, spread: 0.9}`` in a study file.

    Attributes:
        spread: 1 = samples vary as much as the class does, 0 = always the class's mean.
    """

    spread: float = 1.0


class ClassGaussian(Generator):
    """The recipe. ``fit`` may look at the training images, never at the test."""

    def __init__(self, config: ClassGaussianConfig) -> None:
        self.config = config

    def fit(self, inputs: FitInputs, *, run: RunContext) -> "FittedClassGaussian":
        """Remember the training images: they are their own mean and covariance."""
        return FittedClassGaussian(inputs.train.pixels(), inputs.train.labels, self.config)

    def load(self, folder: Path, *, device: str = "cpu") -> "FittedClassGaussian":
        """Read what ``save`` wrote."""
        saved = np.load(folder / "images.npz")
        return FittedClassGaussian(saved["pixels"], saved["labels"], self.config)


class FittedClassGaussian(FittedGenerator):
    """What was learnt: here the images themselves, uint8 [N, H, W, C], and their labels [N]."""

    def __init__(self, pixels: UInt8, labels: Int64, config: ClassGaussianConfig) -> None:
        self.pixels, self.labels, self.config = pixels, labels, config

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width, channels."""
        return self.pixels.shape[1:]

    def sample(self, requests: Sequence[SampleRequest]) -> Iterator[ImageBatch]:
        """Every image depends on its own request only: draw from ``request.seed``, nothing else."""
        for request in requests:
            members = self.pixels[self.labels == request.label].astype(np.float32)
            mean = members.mean(axis=0)
            weights = np.random.default_rng(request.seed).standard_normal(len(members))
            # Deviations weighted by N(0, 1/(n-1)) have the covariance of the class.
            deviation = np.tensordot(weights, members - mean, 1) / max(1, len(members) - 1) ** 0.5
            image = np.clip(np.rint(mean + self.config.spread * deviation), 0, 255)
            yield ImageBatch(image[np.newaxis].astype(np.uint8), np.array([request.label]))

    def save(self, folder: Path) -> None:
        """Write everything needed to sample again."""
        folder.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(folder / "images.npz", pixels=self.pixels, labels=self.labels)


SYNTHLIFT = {
    "generators": [
        Descriptor(
            kind="class_gaussian",
            config=ClassGaussianConfig,
            version="1",
            target=f"{__name__}:ClassGaussian",
            summary="Draws each class from its Gaussian in pixel space.",
        )
    ]
}
