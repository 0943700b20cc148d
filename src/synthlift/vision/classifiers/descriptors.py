"""Configs and descriptors of the built-in classifiers; imports no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from synthlift.errors import InputError
from synthlift.registry import ComponentConfig, Descriptor
from synthlift.vision.clip.config import ClipConfig


class SmallCNNConfig(ComponentConfig):
    """Convolution, max-pooling and ReLU blocks, a fully connected layer, dropout, the head.

    Attributes:
        width: channels of the first block, doubled in each block up to 8 times; auto = 32 up to
            16 pixels a side, else 16.
        hidden: units of the fully connected layer (the features).
        dropout: before the head.
    """

    width: Annotated[int, Field(ge=4, le=256)] | Literal["auto"] = "auto"
    hidden: int = Field(default=128, ge=8, le=4096)
    dropout: float = Field(default=0.25, ge=0, lt=1)


class ResNetConfig(ComponentConfig):
    """A residual network with batch normalisation.

    Attributes:
        depth: 8, 14 and 20 are the three-stage networks for small images (He 2016, §4.2);
            18 has four stages of two basic blocks (He 2016, Table 1) and a 3×3 stem.
        width: channels of the first stage, doubled in each.
        dropout: before the head.
    """

    depth: Literal[8, 14, 18, 20] = 8
    width: int = Field(default=16, ge=4, le=256)
    dropout: float = Field(default=0.0, ge=0, lt=1)


class TimmConfig(ComponentConfig):
    """Any backbone of timm, from scratch or from a local weights file.

    Attributes:
        model: timm's model name, e.g. ``resnet18``.
        weights: local ``.safetensors`` or ``.pth`` file; None trains from scratch.
        weights_sha256: of that file; filled in, so that the key follows the content.
        input_size: pixels a side that the backbone sees; auto = the size that the weights were
            trained at, else the images' own (at least 32).
        dropout: before the head.
    """

    model: str
    weights: str | None = None
    weights_sha256: str = ""
    input_size: Annotated[int, Field(ge=8, le=1024)] | Literal["auto"] = "auto"
    dropout: float = Field(default=0.0, ge=0, lt=1)

    @model_validator(mode="before")
    @classmethod
    def _hash_weights(cls, value: Any) -> Any:
        # A saved classifier carries the hash, so that it loads where the file no longer exists.
        if not isinstance(value, dict) or not value.get("weights") or value.get("weights_sha256"):
            return value
        return {**value, "weights_sha256": hash_weights(Path(value["weights"]))}

    def learning_rate_factor(self) -> float:
        """A tenth for pretrained weights, which are adjusted and not learnt anew."""
        return 0.1 if self.weights else 1.0


def hash_weights(path: Path) -> str:
    """SHA-256 (hex) of a weights file.

    Raises:
        InputError: there is no such file, or it is of another format.
    """
    import hashlib

    if path.suffix not in (".safetensors", ".pth", ".pt"):
        raise InputError(
            f"weights file '{path}'",
            rule="weights are read from .safetensors, .pth or .pt files",
            remedy="convert the weights, or correct the path",
        )
    if not path.is_file():
        raise InputError(
            f"weights file '{path}' does not exist",
            rule="'weights' is the path of a local file; nothing is downloaded",
            remedy="correct the path, or leave 'weights' out to train from scratch",
        )
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


SMALL_CNN = Descriptor(
    kind="small_cnn",
    config=SmallCNNConfig,
    version="1",
    target="synthlift.vision.classifiers.small_cnn:SmallCNN",
    summary="convolutions, ReLU, max-pooling, dropout, fully connected; quick on a CPU",
    needs=frozenset({"labels"}),
)
RESNET = Descriptor(
    kind="resnet",
    config=ResNetConfig,
    version="1",
    target="synthlift.vision.classifiers.resnet:ResNet",
    summary="small residual network with batch normalisation",
    needs=frozenset({"labels"}),
)
TIMM = Descriptor(
    kind="timm",
    config=TimmConfig,
    version="1",
    target="synthlift.vision.classifiers.timm_backbone:TimmBackbone",
    summary="any timm backbone, from scratch or from a local weights file",
    needs=frozenset({"labels"}),
)
CLIP = Descriptor(
    kind="clip",
    config=ClipConfig,
    version="1",
    target="synthlift.vision.clip.classifier:Clip",
    summary="a CLIP checkpoint: zero-shot, linear probe, LoRA or fine-tuned, from texts on",
    needs=frozenset({"labels"}),
)
