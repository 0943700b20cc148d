"""Small autoencoders in the layout of TAESD, written as state dicts, without anyone's weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

QUIET = 0.1
"""Latents this small pass the decoder's smooth limit almost unchanged."""

Weights = dict[str, Tensor]


def pooling_weights(*, channels: int = 3) -> tuple[Weights, Weights]:
    """Means of 2 × 2 pixels, and back by repeating them: exact where such squares have one colour.

    Further latent channels than three stay at zero.
    """
    encoder = {
        "0.weight": _tap(3, 3),
        "0.bias": torch.zeros(3),
        "1.weight": _square(3),
        "2.weight": QUIET * _tap(3, channels),
        "2.bias": torch.zeros(channels),
    }
    decoder = {
        "1.weight": _tap(channels, 3),
        "1.bias": torch.zeros(3),
        "4.weight": _tap(3, 3),
        "5.weight": _tap(3, 3) / QUIET,
        "5.bias": torch.zeros(3),
    }
    return encoder, decoder


def random_weights(*, width: int = 8, channels: int = 4, seed: int = 0) -> tuple[Weights, Weights]:
    """Every kind of layer that the layout has, with random weights; a quarter of the size."""
    stream = torch.Generator().manual_seed(seed)

    def conv(number: str, before: int, after: int, *, size: int = 3, bias: bool = True) -> Weights:
        weight = torch.randn(after, before, size, size, generator=stream)
        found = {f"{number}.weight": weight / (before * size**2) ** 0.5}
        return found | ({f"{number}.bias": torch.zeros(after)} if bias else {})

    def block(number: str, *, pooled: bool = False) -> Weights:
        found = {
            k: v for i in (0, 2, 4) for k, v in conv(f"{number}.conv.{i}", width, width).items()
        }
        if pooled:
            found |= conv(f"{number}.pool.0", width, 4 * width, size=1, bias=False)
            found |= {f"{number}.pool.1.weight": torch.ones(4 * width)}
            found |= {f"{number}.pool.1.bias": torch.zeros(4 * width)}
            found |= conv(f"{number}.pool.3", 4 * width, width, size=1, bias=False)
        return found

    encoder = conv("0", 3, width) | block("1")
    encoder |= conv("2", width, width, bias=False) | block("3")
    encoder |= conv("4", width, width, bias=False) | block("5", pooled=True)
    encoder |= conv("6", width, channels)
    decoder = conv("1", channels, width) | block("3", pooled=True)
    decoder |= conv("5", width, width, bias=False) | block("6")
    decoder |= conv("8", width, width, bias=False) | block("9")
    return encoder, decoder | conv("10", width, 3)


def write_pair(folder: Path, weights: tuple[Mapping[str, Tensor], Mapping[str, Tensor]]) -> Path:
    """Write ``tiny_encoder.pth`` and ``tiny_decoder.pth``, as half-precision numbers."""
    folder.mkdir(parents=True, exist_ok=True)
    for part, own in zip(("encoder", "decoder"), weights, strict=True):
        torch.save({k: v.half() for k, v in own.items()}, folder / f"tiny_{part}.pth")
    return folder


def _tap(before: int, after: int) -> Tensor:
    weight = torch.zeros(after, before, 3, 3)
    for channel in range(min(before, after)):
        weight[channel, channel, 1, 1] = 1
    return weight


def _square(channels: int) -> Tensor:
    weight = torch.zeros(channels, channels, 3, 3)
    for channel in range(channels):
        weight[channel, channel, 1:, 1:] = 1 / 4
    return weight
