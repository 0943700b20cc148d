"""Tiny autoencoders in the layout of TAESD (O. Boer Bohan, MIT licence), read from state dicts.

The layout: numbered layers of 3 × 3 convolutions. One with bias is plain; one without halves the
size in the encoder and follows a doubling of it in the decoder; a block is three convolutions
beside the way through, some with a branch that sees the whole image through group normalisation.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save
from torch import Tensor, nn

from synthlift.errors import InputError
from synthlift.generators.autoencoders.base import Autoencoder
from synthlift.generators.autoencoders.files import BOTH, DECODER, ENCODER, AutoencoderFiles
from synthlift.store.files import write_bytes_atomic

LATENT_LIMIT = 3.0
"""Decoders squash latents smoothly into ± this."""
GROUPS = 4
"""Groups of the normalisation in a block's branch; shapes do not tell."""
WEIGHTS_FILE = "autoencoder.safetensors"

Weights = Mapping[str, Tensor]


class TinyAutoencoder(Autoencoder):
    """An encoder and a decoder in the layout of TAESD.

    Args:
        weights: tensors of both by name: ``encoder.0.weight``, …
        path: where they were read, for messages.
        device: torch device string.
    """

    def __init__(self, weights: Weights, *, path: Path, device: str) -> None:
        # As they were stored, so that saving changes no bit.
        self._weights = dict(weights)
        parts = {part: _part(weights, part) for part in (ENCODER, DECODER)}
        networks = {
            part: _network(own, growing=part == DECODER, path=path) for part, own in parts.items()
        }
        self._encoder, self._decoder = (networks[p].to(device) for p in (ENCODER, DECODER))

    def encode(self, images_nchw: Tensor) -> Tensor:
        """See :class:`Autoencoder`."""
        out: Tensor = self._encoder(_last(images_nchw / 2 + 0.5))
        return out

    def decode(self, latents_nchw: Tensor) -> Tensor:
        """See :class:`Autoencoder`."""
        out: Tensor = self._decoder(_last(latents_nchw))
        return out * 2 - 1

    def save(self, folder: Path) -> None:
        """See :class:`Autoencoder`."""
        tensors = {name: tensor.contiguous() for name, tensor in sorted(self._weights.items())}
        write_bytes_atomic(folder / WEIGHTS_FILE, save(tensors, metadata={"format": "pt"}))

    @property
    def bytes(self) -> int:
        """See :class:`Autoencoder`."""
        return sum(tensor.numel() * tensor.element_size() for tensor in self._weights.values())


def read_tiny(files: AutoencoderFiles, *, device: str = "cpu") -> TinyAutoencoder:
    """Read encoder and decoder; pickles with anything but tensors in them are refused.

    Raises:
        InputError: a file cannot be read, or is laid out otherwise.
    """
    path = next(iter(files.paths.values()))
    weights: dict[str, Tensor] = {}
    for part, file in files.paths.items():
        found = _read(file)
        weights |= _both(found) if part == BOTH else {f"{part}.{k}": v for k, v in found.items()}
    return TinyAutoencoder(weights, path=path, device=device)


def _read(path: Path) -> dict[str, Tensor]:
    try:
        if path.suffix == ".safetensors":
            content = load_file(path)
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise InputError(
            f"the autoencoder file '{path}' cannot be read: {str(error).splitlines()[0]}",
            rule="a .safetensors file, or a .pth file that holds tensors and nothing else: "
            "other pickles can run code when loaded",
            remedy="download it again, or convert it to .safetensors",
        ) from None
    tensors = content if isinstance(content, dict) else {}
    if not tensors or not all(isinstance(value, Tensor) for value in tensors.values()):
        raise _otherwise(path, "it holds no tensors by name")
    return {str(name): value for name, value in tensors.items()}


def _both(weights: Weights) -> dict[str, Tensor]:
    """Names of one file with both parts, without what diffusers puts between."""
    return {re.sub(r"^(encoder|decoder)\.layers\.", r"\1.", k): v for k, v in weights.items()}


def _part(weights: Weights, part: str) -> dict[str, Tensor]:
    start = f"{part}."
    return {name[len(start) :]: v for name, v in weights.items() if name.startswith(start)}


def _network(weights: Weights, *, growing: bool, path: Path) -> nn.Sequential:
    """Build the network that the names and shapes describe, with these weights."""
    numbered: dict[int, dict[str, tuple[int, ...]]] = {}
    for name, tensor in weights.items():
        number, _, rest = name.partition(".")
        if not number.isdigit():
            raise _otherwise(path, f"'{name}' is no numbered layer")
        numbered.setdefault(int(number), {})[rest] = tuple(tensor.shape)
    if not numbered:
        raise _otherwise(path, f"no {DECODER if growing else ENCODER} is in it")
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    if growing:
        layers["limit"] = _Limit()
    for place in sorted(numbered):
        layers.update(_layer(str(place), numbered[place], growing=growing, path=path))
        if growing and place == min(numbered):
            layers["enter"] = nn.ReLU()
    network = nn.Sequential(layers)
    try:
        network.load_state_dict(dict(weights))
    except RuntimeError as error:
        raise _otherwise(path, str(error).splitlines()[-1].strip()) from None
    network = network.float().eval().requires_grad_(False)
    # A third faster on processors.
    return network.to(memory_format=torch.channels_last)


def _layer(
    number: str, shapes: Mapping[str, tuple[int, ...]], *, growing: bool, path: Path
) -> dict[str, nn.Module]:
    """One numbered layer, after a doubling of the size where there is one."""
    first = shapes.get("conv.0.weight", shapes.get("weight", ()))
    if len(first) != 4 or first[2:] != (3, 3):
        raise _otherwise(path, f"layer {number} is of an unknown kind")
    after, before = first[:2]
    if "conv.0.weight" in shapes:
        return {number: _Block(before, after, pooled="pool.0.weight" in shapes)}
    if "bias" in shapes:
        return {number: nn.Conv2d(before, after, 3, padding=1)}
    if growing:
        doubled = nn.Upsample(scale_factor=2.0, mode="nearest")
        return {f"grow{number}": doubled, number: nn.Conv2d(before, after, 3, 1, 1, bias=False)}
    return {number: nn.Conv2d(before, after, 3, stride=2, padding=1, bias=False)}


class _Limit(nn.Module):
    def forward(self, latents: Tensor) -> Tensor:
        return LATENT_LIMIT * torch.tanh(latents / LATENT_LIMIT)


class _Block(nn.Module):
    def __init__(self, before: int, after: int, *, pooled: bool) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            nn.Conv2d(before, after, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(after, after, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(after, after, 3, padding=1),
        )
        self.skip: nn.Module = (
            nn.Identity() if before == after else nn.Conv2d(before, after, 1, bias=False)
        )
        self.pool: nn.Module | None = None
        if pooled:
            inner = GROUPS * before
            self.pool = nn.Sequential(
                nn.Conv2d(before, inner, 1, bias=False),
                nn.GroupNorm(GROUPS, inner),
                nn.ReLU(),
                nn.Conv2d(inner, before, 1, bias=False),
            )

    def forward(self, hidden: Tensor) -> Tensor:
        if self.pool is not None:
            hidden = hidden + self.pool(hidden)
        return F.relu(self.conv(hidden) + self.skip(hidden))


def _last(x_nchw: Tensor) -> Tensor:
    return x_nchw.contiguous(memory_format=torch.channels_last)


def _otherwise(path: Path, why: str) -> InputError:
    return InputError(
        f"the autoencoder file '{path}' is laid out otherwise: {why}",
        rule="state dicts of tiny autoencoders have numbered layers, as those of TAESD and its "
        "relatives (taesd, taesdxl, taesd3, taef1, taef2)",
        remedy="name such files, or a folder that diffusers saved",
    )
