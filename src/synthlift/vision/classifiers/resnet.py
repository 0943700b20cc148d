"""Small residual networks (He et al. 2016) with 3×3 stems."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from synthlift.vision.classifiers.base import ImageClassifier, ImageNetwork, ImageTask
from synthlift.vision.classifiers.descriptors import ResNetConfig

LARGE_IMAGE = 64


class _Block(nn.Module):
    """Two 3×3 convolutions with batch normalisation and a shortcut (He 2016, Fig. 2)."""

    def __init__(self, narrow: int, wide: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(narrow, wide, 3, stride=stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(wide)
        self.conv2 = nn.Conv2d(wide, wide, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(wide)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or narrow != wide:
            self.shortcut = nn.Sequential(
                nn.Conv2d(narrow, wide, 1, stride=stride, bias=False), nn.BatchNorm2d(wide)
            )

    def forward(self, x: Tensor) -> Tensor:
        inner = torch.relu(self.norm1(self.conv1(x)))
        return torch.relu(self.norm2(self.conv2(inner)) + self.shortcut(x))


class ResNet(ImageClassifier):
    """Depths 8, 14, 20: three stages of 1, 2, 3 blocks; depth 18: four stages of two."""

    def __init__(self, config: ResNetConfig) -> None:
        self.config = config

    @property
    def initialisation(self) -> str:
        """See ``ImageClassifier``."""
        return "trained from scratch"

    def build(self, task: ImageTask) -> ImageNetwork:
        """See ``ImageClassifier``."""
        height, width, channels = task.image_shape
        depth = self.config.depth
        stages = (2, 2, 2, 2) if depth == 18 else ((depth - 2) // 6,) * 3
        wide = self.config.width
        # A full-size first stage costs most of the time on large images and adds little.
        stem_stride = 2 if min(height, width) >= LARGE_IMAGE else 1
        layers: list[nn.Module] = [
            nn.Conv2d(channels, wide, 3, stride=stem_stride, padding=1, bias=False),
            nn.BatchNorm2d(wide),
            nn.ReLU(),
        ]
        for stage, blocks in enumerate(stages):
            for block in range(blocks):
                narrow, wide = wide, self.config.width * 2**stage
                layers.append(_Block(narrow, wide, 2 if stage and not block else 1))
        layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
        trunk = nn.Sequential(*layers)
        for layer in trunk.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
        return ImageNetwork(
            trunk,
            nn.Linear(wide, task.classes),
            mean=task.mean,
            std=task.std,
            dropout=self.config.dropout,
        )
