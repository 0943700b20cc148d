"""The small CNN of source S2: convolutions, ReLU, max-pooling, dropout, fully connected."""

from __future__ import annotations

from torch import nn

from synthlift.vision.classifiers.base import ImageClassifier, ImageNetwork, ImageTask
from synthlift.vision.classifiers.descriptors import SmallCNNConfig

SMALLEST_MAP = 4
WIDEST = 8
TINY_IMAGE, LARGE_IMAGE = 16, 64


class SmallCNN(ImageClassifier):
    """Blocks of 3×3 convolution, 2×2 max-pooling and ReLU down to a map of about 4×4."""

    def __init__(self, config: SmallCNNConfig) -> None:
        self.config = config

    @property
    def initialisation(self) -> str:
        """See ``ImageClassifier``."""
        return "trained from scratch"

    def build(self, task: ImageTask) -> ImageNetwork:
        """See ``ImageClassifier``."""
        height, width, channels = task.image_shape
        first = self._first_width(min(height, width))
        layers: list[nn.Module] = []
        wide, block = channels, 0
        while block == 0 or min(height, width) >= 2 * SMALLEST_MAP:
            # At full size the first block would cost more than all others together.
            stride = 2 if block == 0 and min(height, width) >= LARGE_IMAGE else 1
            narrow, wide = wide, first * min(2**block, WIDEST)
            layers.append(nn.Conv2d(narrow, wide, 3, stride=stride, padding=1))
            # ReLU and max-pooling commute; this order touches a quarter of the values.
            layers += [nn.MaxPool2d(2), nn.ReLU()]
            height, width = ((side + stride - 1) // stride // 2 for side in (height, width))
            block += 1
        layers += [nn.Conv2d(wide, wide, 3, padding=1), nn.ReLU(), nn.Flatten()]
        layers += [nn.Linear(wide * height * width, self.config.hidden), nn.ReLU()]
        trunk = nn.Sequential(*layers)
        head = nn.Linear(self.config.hidden, task.classes)
        _initialise(trunk)
        return ImageNetwork(trunk, head, mean=task.mean, std=task.std, dropout=self.config.dropout)

    def _first_width(self, side: int) -> int:
        if self.config.width != "auto":
            return self.config.width
        return 32 if side <= TINY_IMAGE else 16


def _initialise(trunk: nn.Sequential) -> None:
    # He 2015, eq. 10: keeps the variance of activations through ReLU layers without batch norm.
    for layer in trunk:
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)
