"""The contract of a classifier component, and the network that every one of them returns.

Shape letters: n images, c channels, h height, w width, d features, k classes.
"""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from torch import Tensor, nn

from synthlift.registry import ComponentConfig, Descriptor
from synthlift.types import Int64, UInt8

SMALLEST_STD = 1e-3


@dataclass(frozen=True)
class ImageTask:
    """What a network must fit.

    Attributes:
        image_shape: height, width, channels (1 or 3) of its inputs.
        classes: number of classes.
        mean, std: per-channel statistics of the training images on the scale [0, 1].
        names: of the classes in index order, for classifiers that read them.
    """

    image_shape: tuple[int, int, int]
    classes: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    names: tuple[str, ...] = ()


@final
class ImageNetwork(nn.Module):
    """Normalisation, trunk, dropout and linear head.

    Args:
        trunk: maps normalised float32 [n, c, h, w] to features [n, d].
        head: maps features to logits [n, k].
        mean, std: per-channel normalisation, kept as buffers so that they travel with the weights.
        dropout: probability of dropping a feature before the head while training.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        trunk: nn.Module,
        head: nn.Module,
        *,
        mean: Sequence[float],
        std: Sequence[float],
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.trunk, self.head, self.dropout = trunk, head, nn.Dropout(dropout)
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32).view(1, -1, 1, 1))

    def features(self, images_nchw: Tensor) -> Tensor:
        """Penultimate features [n, d] of float32 images [n, c, h, w] in [0, 1]."""
        features: Tensor = self.trunk((images_nchw - self.mean) / self.std)
        return features

    def forward(self, images_nchw: Tensor) -> Tensor:
        """Logits [n, k] of float32 images [n, c, h, w] in [0, 1]."""
        return self.classify(self.features(images_nchw))

    def classify(self, features_nd: Tensor) -> Tensor:
        """Logits [n, k] of features [n, d]."""
        logits: Tensor = self.head(self.dropout(features_nd))
        return logits


class ImageClassifier(ABC):
    """A classifier component, built by its descriptor from its Config."""

    @property
    @abstractmethod
    def initialisation(self) -> str:
        """Where the weights come from, in words for the report."""

    @abstractmethod
    def build(self, task: ImageTask) -> ImageNetwork:
        """Build the network with random weights (drawn from torch's current random state).

        What training must not change does not require a gradient.
        """

    def load_pretrained(  # noqa: B027 - optional by design
        self, network: ImageNetwork, *, task: ImageTask
    ) -> None:
        """Put pretrained weights into a network of :meth:`build`; by default there are none."""


@contextlib.contextmanager
def seeded(seed: int, *, device: str = "cpu") -> Iterator[None]:
    """Seed torch inside the block and restore its global random state afterwards.

    Initialisers and dropout of torch and timm draw from the global state; this confines them.
    """
    cuda = [torch.device(device)] if device.startswith("cuda") else []
    with torch.random.fork_rng(devices=cuda):
        reseed(seed, device=torch.device(device))
        yield


def reseed(seed: int, *, device: torch.device) -> None:
    """Seed the random state of one device; for use inside :func:`seeded` only.

    ``torch.manual_seed`` would also queue a call with a stack trace for every absent accelerator.
    """
    if device.type == "cpu":
        torch.default_generator.manual_seed(seed)
    else:
        torch.manual_seed(seed)


def build_network(
    descriptor: Descriptor,
    config: ComponentConfig,
    *,
    task: ImageTask,
    seed: int,
    pretrained: bool = True,
) -> ImageNetwork:
    """Build and initialise a network; the same seed gives the same weights.

    Args:
        descriptor: the classifier component.
        config: its Config.
        task: shapes, classes and their names, normalisation.
        seed: of the random initialisation.
        pretrained: load pretrained weights where the Config names some.
    """
    component: ImageClassifier = descriptor.build(config)
    with seeded(seed):
        network = component.build(task)
    if pretrained:
        component.load_pretrained(network, task=task)
    return network


def channel_statistics(blocks: Iterable[UInt8]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation per channel, on the scale [0, 1], of images uint8 […, H, W, C].

    They come from exact integer counts, so that order, blocks and memory layout change nothing.
    """
    found: list[Int64] = []
    for block in blocks:
        channels = range(block.shape[-1])
        own = [np.bincount(block[..., c].ravel(), minlength=256) for c in channels]
        found = [a + b for a, b in zip(found, own, strict=True)] if found else own
    assert found, "no images"
    levels = np.arange(256) / 255.0
    mean, std = [], []
    for total in found:
        counts = total / total.sum()
        centre = float(counts @ levels)
        mean.append(centre)
        std.append(max(float(np.sqrt(counts @ (levels - centre) ** 2)), SMALLEST_STD))
    return tuple(mean), tuple(std)
