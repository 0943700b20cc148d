"""A CLIP image tower with a head that begins as the embeddings of the classes' texts."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from synthlift.vision.classifiers.base import ImageClassifier, ImageNetwork, ImageTask
from synthlift.vision.clip.config import ClipConfig
from synthlift.vision.clip.towers import OpenedClip, Tower, adapt, build_tower


class TextHead(nn.Linear):
    """Logits s · (W e + b) of embeddings e of length 1; rows of W begin as embeddings of texts.

    With the scale s beside the weights and not in them, a learning rate means the same for every
    checkpoint: s is 100 where a checkpoint is trained to the end.
    """

    scale: Tensor

    def __init__(self, embedding: int, classes: int) -> None:
        super().__init__(embedding, classes)
        self.register_buffer("scale", torch.ones(()))

    def forward(self, features_nd: Tensor) -> Tensor:
        """Logits [n, k]."""
        return self.scale * super().forward(features_nd)


class Clip(ImageClassifier):
    """Logits are s · cos(image, text of the class), with the checkpoint's own scale s, at first.

    Training goes on from there (Wortsman et al. 2022, WiSE-FT); s stays as it is.
    """

    def __init__(self, config: ClipConfig) -> None:
        self.config = config

    @property
    def initialisation(self) -> str:
        """See ``ImageClassifier``."""
        name, digest = Path(self.config.model).name, self.config.model_sha256
        return f"CLIP from {name} (SHA-256 {digest[:12]}), head from the classes' texts"

    def build(self, task: ImageTask) -> ImageNetwork:
        """See ``ImageClassifier``."""
        config, known = self.config, self.config.architecture
        tower = build_tower(known, learns=config.tuning == "full")
        head = TextHead(known["embedding"], task.classes)
        if config.tuning == "lora":
            adapt(tower, rank=config.rank, alpha=config.alpha)
        elif config.tuning != "full":
            tower.requires_grad_(False)
        if config.tuning == "zero_shot":
            head.requires_grad_(False)
        return ImageNetwork(tower, head, mean=known["mean"], std=known["std"])

    def load_pretrained(self, network: ImageNetwork, *, task: ImageTask) -> None:
        """See ``ImageClassifier``."""
        assert len(task.names) == task.classes, "texts are made of the names of the classes"
        opened = OpenedClip(self.config)
        assert isinstance(network.trunk, Tower)
        assert isinstance(network.head, TextHead)
        opened.load_into(network.trunk)
        texts = opened.embed_classes({label: self.config.texts(label) for label in task.names})
        with torch.no_grad():
            network.head.weight.copy_(texts)
            network.head.bias.zero_()
            network.head.scale.fill_(opened.scale)
