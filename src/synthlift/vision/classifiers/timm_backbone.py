"""Any timm backbone, from scratch or from a local weights file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from synthlift.errors import InputError, nearest_name
from synthlift.vision.classifiers.base import ImageClassifier, ImageNetwork, ImageTask
from synthlift.vision.classifiers.descriptors import TimmConfig, hash_weights

SMALLEST_INPUT = 32


class _Backbone(nn.Module):
    """Resizes to the backbone's size, makes grey RGB, and returns pooled features [n, d]."""

    def __init__(self, model: nn.Module, size: int) -> None:
        super().__init__()
        self.model, self.size = model, size

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[-1] != self.size or x.shape[-2] != self.size:
            x = functional.interpolate(
                x, (self.size, self.size), mode="bilinear", antialias=True, align_corners=False
            )
        features: Tensor = self.model(x.expand(-1, 3, -1, -1))
        return features


class TimmBackbone(ImageClassifier):
    """Wraps ``timm.create_model(name, num_classes=0)``; the head is ours."""

    def __init__(self, config: TimmConfig) -> None:
        self.config = config

    @property
    def initialisation(self) -> str:
        """See ``ImageClassifier``."""
        if self.config.weights is None:
            return f"timm {self.config.model}, trained from scratch"
        name, digest = Path(self.config.weights).name, self.config.weights_sha256
        return f"timm {self.config.model}, weights from {name} (SHA-256 {digest[:12]})"

    def build(self, task: ImageTask) -> ImageNetwork:
        """See ``ImageClassifier``."""
        import timm

        name = self.config.model
        if not timm.is_model(name):
            known = timm.list_models()
            raise InputError(
                f"timm model '{name}'{nearest_name(name, known)}",
                rule=f"'name' is one of timm's {len(known)} models",
                remedy='list them: python -c "import timm; print(timm.list_models())"',
            )
        facts = timm.get_pretrained_cfg(name).to_dict()
        size = self._input_size(task, facts)
        options = {"img_size": size} if facts.get("fixed_input_size") else {}
        model = timm.create_model(name, pretrained=False, num_classes=0, **options)
        mean, std = task.mean, task.std
        if self.config.weights is not None:
            mean, std = tuple(facts["mean"]), tuple(facts["std"])
        trunk = _Backbone(model, size)
        head = nn.Linear(_width(trunk, size), task.classes)
        return ImageNetwork(trunk, head, mean=mean, std=std, dropout=self.config.dropout)

    def load_pretrained(self, network: ImageNetwork, *, task: ImageTask) -> None:
        """See ``ImageClassifier``."""
        del task
        if self.config.weights is None:
            return
        path = Path(self.config.weights)
        if hash_weights(path) != self.config.weights_sha256:
            raise InputError(
                f"weights file '{path}' is not the one that was planned with",
                rule="its SHA-256 is part of the study",
                remedy="put the original file back, or start the study again",
            )
        assert isinstance(network.trunk, _Backbone)
        _load_weights(network.trunk.model, path, self.config.model)

    def _input_size(self, task: ImageTask, facts: dict[str, Any]) -> int:
        if self.config.input_size != "auto":
            return self.config.input_size
        if self.config.weights is not None:
            return int(facts["input_size"][-1])
        return max(SMALLEST_INPUT, *task.image_shape[:2])


def _width(trunk: _Backbone, size: int) -> int:
    # num_features is not the pooled width for every timm model; one image tells.
    trunk.eval()
    with torch.no_grad():
        width = trunk(torch.zeros(1, 3, size, size)).shape[1]
    trunk.train()
    return int(width)


def _load_weights(model: nn.Module, path: Path, name: str) -> None:
    given = _read(path)
    wanted = model.state_dict()
    # The file's own head is left out: the classes differ.
    fitting = {k: v for k, v in given.items() if k in wanted and v.shape == wanted[k].shape}
    missing = [k for k in wanted if k not in fitting and not k.endswith("num_batches_tracked")]
    if missing:
        raise InputError(
            f"weights file '{path}' does not fit timm model '{name}': "
            f"{len(missing)} of {len(wanted)} tensors are missing or of another shape, "
            f"first '{missing[0]}'",
            rule="the file must hold the weights of this very architecture",
            remedy="correct 'name' or 'weights'",
        )
    model.load_state_dict({**wanted, **fitting})


def _read(path: Path) -> dict[str, Tensor]:
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return dict(load_file(path))
        content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise InputError(
            f"weights file '{path}' cannot be read: {str(error).splitlines()[0]}",
            rule="a .safetensors file, or a .pth file that holds tensors and nothing else",
            remedy="download it again, or convert it to .safetensors",
        ) from error
    for wrapper in ("state_dict", "model"):
        if isinstance(content, dict) and isinstance(content.get(wrapper), dict):
            content = content[wrapper]
    if not isinstance(content, dict):
        content = {}
    return {
        str(key).removeprefix("module."): value
        for key, value in content.items()
        if isinstance(value, Tensor)
    }
