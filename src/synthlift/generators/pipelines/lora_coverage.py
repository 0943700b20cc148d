"""How much of a LoRA file acts on a pipeline.

diffusers takes what it knows of a file and leaves the rest out, mostly without a word: layers that
the network does not have, text encoders that it cannot adapt, numbers of a format that it does not
compute. The images are then others than the file was made for, which nobody can see in them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

TEXT_ENCODER = "text_encoder"
ALPHA = ".alpha"
"""Ends the name of a number that scales the matrices of its layer."""
FACTOR = re.compile(r"[._]lora[._].*|\.(?:lora_(?:up|down)\..*|dora_scale|diff\w*)$")
"""What stands behind the name of a layer in the name of a tensor."""


@dataclass(frozen=True)
class Coverage:
    """What of a file acts.

    Attributes:
        tensors: names in the file, without those that scale others.
        idle: of these, the ones that change nothing though they are there to.
    """

    tensors: tuple[str, ...]
    idle: tuple[str, ...]


class _Traced(Tensor):
    """A tensor that knows which of a file's tensors it was computed from."""

    origins: frozenset[str]

    @classmethod
    def of(cls, name: str, tensor: Tensor) -> _Traced:
        """A tensor of the file itself."""
        traced = tensor.as_subclass(cls)
        traced.origins = frozenset({name})
        return traced

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Compute as ever, and note of results where they come from."""
        found = super().__torch_function__(func, types, args, kwargs or {})  # type: ignore[no-untyped-call]
        given = frozenset[str]().union(
            *(_origins(one) for one in _tensors([*args, *(kwargs or {}).values()]))
        )
        for one in _tensors([found]):
            if isinstance(one, cls):
                one.origins = given | _origins(one)
        return found


def _origins(tensor: Tensor) -> frozenset[str]:
    return getattr(tensor, "origins", frozenset())


def _tensors(values: Iterable[Any]) -> Iterable[Tensor]:
    """All tensors in values and, one level down, in their lists."""
    for value in values:
        inner = value if isinstance(value, list | tuple) else (value,)
        yield from (one for one in inner if isinstance(one, Tensor))


def coverage(pipeline: Any, tensors: Mapping[str, Tensor], *, name: str) -> Coverage:
    """Compare a LoRA file with the layers in which it acts.

    Args:
        pipeline: of diffusers, into which the file was loaded.
        tensors: the file's content.
        name: that its adapter has in the pipeline.
    """
    counted = tuple(one for one in tensors if not one.endswith(ALPHA))
    acting = _acting(pipeline, tensors, name=name)
    without = {_layer(one) for one in counted if one not in acting and not tensors[one].any()}
    idle = (one for one in counted if one not in acting and _layer(one) not in without)
    return Coverage(counted, tuple(sorted(idle)))


def _layer(name: str) -> str:
    """The layer that a tensor belongs to, as its file names it."""
    return FACTOR.sub("", name)


def _acting(pipeline: Any, tensors: Mapping[str, Tensor], *, name: str) -> frozenset[str]:
    """Names of the file's tensors that matrices of the pipeline were computed from."""
    converted = _as_diffusers_reads(pipeline, tensors)
    found = frozenset[str]()
    for part in {one.partition(".")[0] for one in converted}:
        network = getattr(pipeline, part, None)
        if not isinstance(network, nn.Module):
            continue
        layers = dict(network.named_modules())
        for path, key in _paths(network, part, converted).items():
            if name in getattr(layers.get(path.split(".lora_")[0]), "lora_A", ()):
                found |= converted[key]
    return found


def _as_diffusers_reads(pipeline: Any, tensors: Mapping[str, Tensor]) -> dict[str, frozenset[str]]:
    """Names under which diffusers knows the tensors of a file, with those that each comes from."""
    from diffusers.loaders import StableDiffusionXLLoraLoaderMixin

    extra = {}
    if isinstance(pipeline, StableDiffusionXLLoraLoaderMixin):
        # Which numbers its blocks differently in files of other tools.
        extra["unet_config"] = pipeline.unet.config
    traced = {name: _Traced.of(name, tensor) for name, tensor in tensors.items()}
    with torch.no_grad():
        found = type(pipeline).lora_state_dict(traced, **extra)
    weights = found[0] if isinstance(found, tuple) else found
    return {name: _origins(tensor) for name, tensor in weights.items()}


def _paths(network: nn.Module, part: str, names: Iterable[str]) -> dict[str, str]:
    """The names of a part's tensors by ``<layer>.<factor>`` within its network."""
    from diffusers.utils import (
        convert_state_dict_to_diffusers,
        convert_state_dict_to_peft,
        convert_unet_state_dict_to_peft,
    )

    mine = {one.removeprefix(f"{part}."): one for one in names if one.startswith(f"{part}.")}
    if not part.startswith(TEXT_ENCODER):
        renamed: dict[str, str] = convert_unet_state_dict_to_peft(mine)
        return renamed
    renamed = convert_state_dict_to_peft(convert_state_dict_to_diffusers(mine))
    # As diffusers does: CLIP's text encoder has lost a level in newer versions of transformers.
    flat = not hasattr(network, "text_model")
    return {
        path.removeprefix("text_model.") if flat else path: key for path, key in renamed.items()
    }
