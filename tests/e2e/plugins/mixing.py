"""A generator whose images lie between two classes and count for both, and a classifier."""

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
from synthlift.vision.classifiers.descriptors import SmallCNNConfig

SHARE, COPIED = 0.7, 16
"""Of the wanted class; every so many images one is a training image as it is."""


class MixingConfig(ComponentConfig):
    """Keys of ``{kind: mixing}``: there are none."""


class Mixing(Generator):
    """The recipe."""

    def __init__(self, config: MixingConfig) -> None:
        del config

    def fit(self, inputs: FitInputs, *, run: RunContext) -> "FittedMixing":
        """Remember the training images."""
        return FittedMixing(inputs.train.pixels(), inputs.train.labels, len(inputs.train.classes))

    def load(self, folder: Path, *, device: str = "cpu") -> "FittedMixing":
        """Read what ``save`` wrote."""
        saved = np.load(folder / "images.npz")
        return FittedMixing(saved["pixels"], saved["labels"], int(saved["classes"]))


class FittedMixing(FittedGenerator):
    """Training images, the wanted class in front of another."""

    def __init__(self, pixels: UInt8, labels: Int64, classes: int) -> None:
        self.pixels, self.labels, self.classes = pixels, labels, classes

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Of the training images."""
        height, width, channels = self.pixels.shape[1:]
        return height, width, channels

    def sample(self, requests: Sequence[SampleRequest]) -> Iterator[ImageBatch]:
        """Each from its own seed."""
        for request in requests:
            rng = np.random.default_rng(request.seed)
            own, other = (
                self.pixels[rng.choice(np.flatnonzero(self.labels == label))].astype(float)
                for label in (request.label, (request.label + 1) % self.classes)
            )
            noise = rng.normal(0, 20, own.shape)
            image = np.clip(np.rint(SHARE * own + (1 - SHARE) * other + noise), 0, 255)
            image = own if request.index % COPIED == 1 else image
            soft = np.zeros((1, self.classes), np.float32)
            soft[0, request.label] = SHARE
            soft[0, (request.label + 1) % self.classes] = 1 - SHARE
            yield ImageBatch(
                image[None].astype(np.uint8), np.array([request.label]), soft_labels=soft
            )

    def save(self, folder: Path) -> None:
        """Write everything needed to sample again."""
        folder.mkdir(parents=True, exist_ok=True)
        np.savez(
            folder / "images.npz", pixels=self.pixels, labels=self.labels, classes=self.classes
        )


SYNTHLIFT = {
    "generators": [
        Descriptor(kind="mixing", config=MixingConfig, version="1", target=f"{__name__}:Mixing")
    ],
    "classifiers": [
        Descriptor(
            kind="own_cnn",
            config=SmallCNNConfig,
            version="1",
            target="synthlift.vision.classifiers.small_cnn:SmallCNN",
            needs=frozenset({"labels"}),
        )
    ],
}
