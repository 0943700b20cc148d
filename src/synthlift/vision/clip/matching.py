"""Images beside texts: embeddings for CMMD, cosines for the CLIP score."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import nn

from synthlift.rows import PixelRows
from synthlift.types import Float32, UInt8
from synthlift.vision.classifiers.base import ImageNetwork, seeded
from synthlift.vision.clip.config import ClipCheckpoint
from synthlift.vision.clip.towers import OpenedClip, build_tower
from synthlift.vision.prediction import compute


class ClipMatch:
    """A CLIP checkpoint, frozen, and the texts of classes (it is a ``types.TextMatch``).

    Args:
        checkpoint: which one, and how classes are put into words.
        classes: their names in index order.
        device: torch device string.
    """

    def __init__(
        self, checkpoint: ClipCheckpoint, *, classes: Sequence[str], device: str = "cpu"
    ) -> None:
        known = checkpoint.architecture
        self._opened, self._device = OpenedClip(checkpoint), device
        with seeded(0):  # every weight is replaced
            tower = build_tower(known, learns=False)
            head = nn.Linear(known["embedding"], len(classes), bias=False)
        self._opened.load_into(tower)
        texts = self._opened.embed_classes({label: checkpoint.texts(label) for label in classes})
        head.load_state_dict({"weight": texts})
        network = ImageNetwork(tower, head, mean=known["mean"], std=known["std"])
        self._network = network.requires_grad_(False).to(device).eval()
        self._known: dict[str, Float32] = {}

    def embed(self, pixels: PixelRows) -> Float32:
        """Embeddings of length 1, float32 [n, D], of images uint8 [n, H, W, C]."""
        return compute(self._network, pixels, what="features", device=self._device)

    def classes(self, pixels: UInt8) -> Float32:
        """See ``types.TextMatch``."""
        return compute(self._network, pixels, what="logits", device=self._device)

    def prompts(self, pixels: UInt8, prompts: Sequence[str]) -> Float32:
        """See ``types.TextMatch``."""
        new = [text for text in dict.fromkeys(prompts) if text not in self._known]
        self._known.update({text: self._opened.embed([text], cut=True)[0].numpy() for text in new})
        texts = np.stack([self._known[text] for text in prompts])
        # A product of matrices would round differently with the number of images.
        cosines: Float32 = (self.embed(pixels) * texts).sum(axis=1)
        return cosines
