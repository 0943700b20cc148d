"""A CLIP image tower with a head that begins as the embeddings of the classes' texts."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from synthlift.vision.classifiers.base import ImageClassifier, ImageNetwork, ImageTask
from synthlift.vision.clip.config import ClipConfig
from synthlift.vision.clip.towers import OpenedClip, Tower, adapt, build_tower


class Clip(ImageClassifier):
    """Logits are s · cos(image, text of the class), with the checkpoint's own scale s, at first.

    The head is linear in the image's embedding of length 1: its weights are the texts' embeddings
    times s, its bias 0. Training goes on from there (Wortsman et al. 2022, WiSE-FT).
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
        head = nn.Linear(known["embedding"], task.classes)
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
        assert isinstance(network.head, nn.Linear)
        opened.load_into(network.trunk)
        texts = opened.embed_classes(self.config.texts(label) for label in task.names)
        with torch.no_grad():
            network.head.weight.copy_(opened.scale * texts)
            network.head.bias.zero_()
