"""Saved classifiers, and predictions that do not depend on what else is in the batch.

Images are computed in padded micro-batches of one fixed size: kernels round differently at other
batch shapes, so a fixed shape makes an image's numbers the same whatever its company.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict

from synthlift.errors import InputError
from synthlift.registry import descriptor
from synthlift.rows import PixelRows
from synthlift.store.files import write_bytes_atomic, write_json_atomic
from synthlift.types import Float32
from synthlift.vision.classifiers.base import ImageNetwork, ImageTask, build_network

WEIGHTS, DESCRIPTION = "model.safetensors", "model.json"
MICRO_BATCH = 64
MODEL_VERSION = 1


class ClassifierFacts(BaseModel):
    """Everything about a saved classifier except its weights (``model.json``).

    Attributes:
        version: of this format.
        kind, config, identity: the classifier component.
        classes: class names in index order.
        image_shape: height, width, channels.
        mean, std: per-channel normalisation on the scale [0, 1].
        fit: how an image is made square before prediction: pad, crop or stretch.
        white: the value of white in 16-bit images, as found in the training data.
        temperature: divides the logits before the softmax (> 0).
        temperature_note: where the temperature comes from, if not from validation.
        initialisation: where the first weights came from, in words.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: int = MODEL_VERSION
    kind: str
    config: dict[str, Any]
    identity: str
    classes: tuple[str, ...]
    image_shape: tuple[int, int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    fit: Literal["pad", "crop", "stretch"] = "pad"
    white: int = 65535
    temperature: float = 1.0
    temperature_note: str = ""
    initialisation: str = ""

    @property
    def task(self) -> ImageTask:
        """What the network was built for."""
        return ImageTask(
            self.image_shape, len(self.classes), self.mean, self.std, names=self.classes
        )


class Classifier:
    """A trained classifier; calling it gives probabilities (it is a ``types.Scorer``).

    Args:
        network: the network with its final weights; it is put into evaluation mode.
        facts: what ``model.json`` says.
        device: torch device string.
        micro_batch: images computed together, always; a small one answers single images sooner.
        channels_last: see :func:`compute`.
    """

    def __init__(
        self,
        network: ImageNetwork,
        facts: ClassifierFacts,
        *,
        device: str = "cpu",
        micro_batch: int = MICRO_BATCH,
        channels_last: bool = False,
    ) -> None:
        self.network = network.to(device).eval()
        self.facts, self.device, self.micro_batch = facts, device, micro_batch
        self.channels_last = channels_last

    def __call__(self, pixels: PixelRows) -> Float32:
        """The same as :meth:`probabilities`."""
        return self.probabilities(pixels)

    def probabilities(self, pixels: PixelRows) -> Float32:
        """Calibrated class probabilities, float32 [n, K], of uint8 [n, H, W, C]."""
        scaled = self.logits(pixels).astype(np.float64) / self.facts.temperature
        scaled -= scaled.max(axis=1, keepdims=True)
        odds = np.exp(scaled)
        probabilities: Float32 = (odds / odds.sum(axis=1, keepdims=True)).astype(np.float32)
        return probabilities

    def logits(self, pixels: PixelRows) -> Float32:
        """Logits before temperature, float32 [n, K], of uint8 [n, H, W, C]."""
        self._check(pixels)
        return self._compute(pixels, "logits")

    def features(self, pixels: PixelRows) -> Float32:
        """Penultimate features, float32 [n, D], of uint8 [n, H, W, C]."""
        self._check(pixels)
        return self._compute(pixels, "features")

    def _compute(self, pixels: PixelRows, what: Literal["logits", "features"]) -> Float32:
        return compute(
            self.network,
            pixels,
            what=what,
            device=self.device,
            micro_batch=self.micro_batch,
            channels_last=self.channels_last,
        )

    def _check(self, pixels: PixelRows) -> None:
        if len(pixels.shape) != 4 or pixels.shape[1:] != self.facts.image_shape:
            raise InputError(
                f"images of shape {tuple(pixels.shape)}",
                rule=f"this classifier takes uint8 arrays [n, {_words(self.facts.image_shape)}]",
                remedy="resize the images and convert their channels as in training",
            )


def _words(shape: tuple[int, ...]) -> str:
    return ", ".join(str(side) for side in shape)


def compute(
    network: ImageNetwork,
    pixels: PixelRows,
    *,
    what: Literal["logits", "features"],
    device: str = "cpu",
    micro_batch: int = MICRO_BATCH,
    channels_last: bool = False,
) -> Float32:
    """Run a network in padded micro-batches.

    Args:
        network: in evaluation mode.
        pixels: uint8 [n, H, W, C]; only one micro-batch is in memory at a time.
        what: logits or penultimate features.
        device: where the network is.
        micro_batch: rows of every batch, the last one padded with black images.
        channels_last: keep the channels of a pixel side by side, as images have them. Kernels of
            the processor are faster so, and round differently.

    Returns:
        float32 [n, K] or [n, D]; a row depends on its image alone, to the last bit.
    """
    assert not network.training, "predictions need a network in evaluation mode"
    function = network if what == "logits" else network.features
    parts: list[Float32] = []
    count = pixels.shape[0]
    with torch.inference_mode():
        for start in range(0, max(count, 1), micro_batch):
            chunk = pixels[np.arange(start, min(start + micro_batch, count))]
            padded = np.zeros((micro_batch, *pixels.shape[1:]), np.uint8)
            padded[: len(chunk)] = chunk
            images = torch.from_numpy(padded).to(device).permute(0, 3, 1, 2)
            if not channels_last:
                images = images.contiguous()
            values: Float32 = function(images.float() / 255)[: len(chunk)].float().cpu().numpy()
            parts.append(values)
    return np.concatenate(parts)


def save_classifier(folder: Path, *, network: ImageNetwork, facts: ClassifierFacts) -> None:
    """Write ``model.safetensors`` and ``model.json`` into ``folder``."""
    from safetensors.torch import save

    tensors = {
        name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()
    }
    write_bytes_atomic(folder / WEIGHTS, save(tensors))
    write_json_atomic(folder / DESCRIPTION, facts.model_dump(mode="json"))


def load_classifier(
    folder: Path, *, device: str = "cpu", micro_batch: int = MICRO_BATCH
) -> Classifier:
    """Read what :func:`save_classifier` wrote; pretrained weight files are not needed any more.

    Raises:
        InputError: the folder holds no classifier, or one of a newer version.
    """
    from safetensors.torch import load_file

    facts = read_facts(folder)
    component = descriptor("classifiers", facts.kind)
    network = build_network(
        component,
        component.config.model_validate(facts.config),
        task=facts.task,
        seed=0,
        pretrained=False,
    )
    network.load_state_dict(load_file(folder / WEIGHTS))
    return Classifier(network, facts, device=device, micro_batch=micro_batch)


def read_facts(folder: Path) -> ClassifierFacts:
    """What a saved classifier is, without its weights.

    Raises:
        InputError: as :func:`load_classifier`.
    """
    if not ((folder / DESCRIPTION).is_file() and (folder / WEIGHTS).is_file()):
        raise InputError(
            f"'{folder}' holds no classifier",
            rule=f"a classifier is a folder with {DESCRIPTION} and {WEIGHTS}",
            remedy="give the 'model' folder of a finished run",
        )
    content = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
    if content.get("version", 0) > MODEL_VERSION:
        raise InputError(
            f"the classifier in '{folder}' has format version {content['version']}",
            rule=f"this Synthlift reads versions up to {MODEL_VERSION}",
            remedy="update Synthlift",
        )
    return ClassifierFacts.model_validate(content)
