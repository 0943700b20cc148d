"""A generator for whose batches memory runs out: from its 65th image of a class on, or in fitting.

Its images tell how many were computed together: that is their grey level at the upper left.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from synthlift.registry import ComponentConfig, Descriptor
from synthlift.types import (
    FitInputs,
    FittedGenerator,
    Generator,
    ImageBatch,
    RunContext,
    SampleRequest,
)


class GreedyConfig(ComponentConfig):
    """Keys of ``{kind: greedy}``."""

    batch_size: int = 32
    micro_batch: int = 16
    holds: int = 4
    ways: tuple[str, ...] = ()
    saves_with: int = 1
    starves_in_fit: bool = False


class Greedy(Generator):
    """The recipe."""

    def __init__(self, config: GreedyConfig) -> None:
        self.config = config

    def fit(self, inputs: FitInputs, *, run: RunContext) -> "FittedGreedy":
        """Learn nothing."""
        if self.config.starves_in_fit:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return FittedGreedy(inputs.train.image_shape, self.config, self.config.micro_batch)

    def load(self, folder: Path, *, device: str = "cpu") -> "FittedGreedy":
        """Read what ``save`` wrote."""
        height, width, channels = np.load(folder / "shape.npy").tolist()
        return FittedGreedy((height, width, channels), self.config, self.config.micro_batch)


class FittedGreedy(FittedGenerator):
    """Noise."""

    def __init__(
        self, shape: tuple[int, int, int], config: GreedyConfig, micro_batch: int, savings: int = 0
    ) -> None:
        self.shape, self.config, self._micro_batch = shape, config, micro_batch
        self._savings = savings

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Of the training images."""
        return self.shape

    @property
    def micro_batch(self) -> int:
        """Images computed together."""
        return self._micro_batch

    def with_micro_batch(self, micro_batch: int) -> "FittedGreedy":
        """The same with another number."""
        return FittedGreedy(self.shape, self.config, micro_batch)

    @property
    def ways_to_save(self) -> tuple[str, ...]:
        """As it was told."""
        return self.config.ways

    def with_savings(self, savings: int) -> "FittedGreedy":
        """The same with some in use."""
        return FittedGreedy(self.shape, self.config, self._micro_batch, savings)

    def sample(self, requests: Sequence[SampleRequest]) -> Iterator[ImageBatch]:
        """Noise from each seed."""
        for start in range(0, len(requests), self._micro_batch):
            members = requests[start : start + self._micro_batch]
            fits = self._micro_batch <= self.config.holds
            fits |= self._micro_batch == 1 and self._savings >= self.config.saves_with
            if members[0].index >= 64 and not fits:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
            drawn = [np.random.default_rng(r.seed).integers(0, 256, self.shape) for r in members]
            pixels = np.stack(drawn).astype(np.uint8)
            pixels[:, 0, 0] = self._micro_batch + 100 * self._savings
            yield ImageBatch(pixels, np.array([request.label for request in members]))

    def save(self, folder: Path) -> None:
        """Write the shape."""
        folder.mkdir(parents=True, exist_ok=True)
        np.save(folder / "shape.npy", self.shape)


SYNTHLIFT = {
    "generators": [
        Descriptor(
            kind="greedy",
            config=GreedyConfig,
            version="1",
            target=f"{__name__}:Greedy",
            summary="Needs more memory than there is.",
        )
    ]
}
