"""Encoders that need no downloaded weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from synthlift.rows import FeatureRows, PixelRows
from synthlift.seeds import seed_for
from synthlift.types import Encoder, Float32, UInt8
from synthlift.vision.features import kept_features, scaled, some_rows
from synthlift.vision.neighbours import nearest

CHUNK = 32
"""Images computed together, always: kernels round differently at other batch shapes."""
LARGEST = 64
GRID = 4
MOST_COMPARED = 5000
"""Images by which the parts of a joined encoder are scaled, at most."""


class RandomConvolutions:
    """An ensemble of small convolutional networks with fixed random weights.

    Random convolutions with pooling already give distances in which an image's own copy, moved
    brightness or slight noise included, is nearer than another image (Saxe 2011; METHOD §5 uses
    them beside a trained encoder). Images of 8 × 8 to 256 × 256, grey or RGB; larger than 64 are
    averaged down to 64 first. Distances are comparable between images of one size only.

    Args:
        members: networks, each with its own weights.
        channels: channels of the first layer, doubled once.
        seed: of the weights.
        chunk: images computed together; a small one answers single images sooner, with other
            last bits.
    """

    def __init__(
        self, *, members: int = 3, channels: int = 24, seed: int = 0, chunk: int = CHUNK
    ) -> None:
        self._together = chunk
        self.name = f"random_convolutions_{members}x{channels}_{seed}"
        self._layers = [
            [
                _random_kernel(seed_for(seed, "encoder", m, layer), before, after)
                for layer, (before, after) in enumerate([(3, channels), (channels, 2 * channels)])
            ]
            for m in range(members)
        ]

    def __call__(self, pixels: UInt8) -> Float32:
        """Features float32 [n, D] of uint8 [n, H, W, C]; each image's depend on it alone."""
        out = []
        for start in range(0, len(pixels), self._together):
            part = pixels[start : start + self._together]
            padded = np.zeros((self._together, *pixels.shape[1:]), dtype=np.uint8)
            padded[: len(part)] = part
            out.append(self._chunk(padded)[: len(part)])
        assert out, "no images to encode"
        return np.concatenate(out)

    @torch.inference_mode()
    def _chunk(self, pixels: UInt8) -> Float32:
        x = torch.from_numpy(np.ascontiguousarray(pixels)).permute(0, 3, 1, 2).float() / 127.5 - 1
        x = x.expand(-1, 3, -1, -1) if x.shape[1] == 1 else x
        height, width = x.shape[2:]
        shrink = LARGEST / max(height, width)
        if shrink < 1:
            size = (max(1, round(height * shrink)), max(1, round(width * shrink)))
            x = F.adaptive_avg_pool2d(x, size)
        parts = [_described(x, side=8)]
        for layers in self._layers:
            hidden = x
            for kernel in layers:
                hidden = F.leaky_relu(F.conv2d(hidden, kernel, padding=1), 0.2)
                hidden = F.avg_pool2d(hidden, 2, ceil_mode=True)
                parts.append(_described(hidden, side=GRID) / math.sqrt(len(self._layers)))
        return torch.cat(parts, dim=1).numpy()


def _random_kernel(seed: int, before: int, after: int) -> Tensor:
    drawn = np.random.default_rng(seed).standard_normal((after, before, 3, 3), dtype=np.float32)
    drawn -= drawn.mean(axis=(2, 3), keepdims=True) * 0.5
    return torch.from_numpy(drawn * math.sqrt(2 / (9 * before)))


def _described(x: Tensor, *, side: int) -> Tensor:
    """A coarse map, each entry weighted so that maps of any size count alike."""
    size = (min(side, x.shape[2]), min(side, x.shape[3]))
    coarse = F.adaptive_avg_pool2d(x, size).flatten(1)
    return coarse / math.sqrt(coarse.shape[1])


@dataclass(frozen=True)
class CallableEncoder:
    """Any function from images to features, e.g. a trained classifier's penultimate layer.

    Attributes:
        name: for keys and reports.
        features: maps uint8 [n, H, W, C] to float32 [n, D].
    """

    name: str
    features: Callable[[UInt8], Float32]

    def __call__(self, pixels: UInt8) -> Float32:
        """Features float32 [n, D]."""
        return np.asarray(self.features(pixels), dtype=np.float32)


@dataclass(frozen=True)
class JoinedEncoder:
    """Several encoders side by side, each scaled; see :func:`joined_features`."""

    name: str
    parts: tuple[Encoder, ...]
    scales: tuple[float, ...]

    def __call__(self, pixels: UInt8) -> Float32:
        """Features float32 [n, ΣD]."""
        pairs = zip(self.parts, self.scales, strict=True)
        return np.concatenate([part(pixels) * np.float32(s) for part, s in pairs], axis=1)


def joined_features(
    parts: Sequence[Encoder], *, pixels: PixelRows, folder: Path | None = None
) -> tuple[JoinedEncoder, FeatureRows]:
    """Put encoders side by side so that each counts alike, and encode the training images.

    Args:
        parts: at least one encoder.
        pixels: training images, at least 2; the median distance to the nearest other image
            becomes 1 in each part. Of more than :data:`MOST_COMPARED`, so many are drawn by a seed
            that never changes: the median says how the parts compare, not how near images lie.
        folder: for a temporary file, where the features would take much memory.

    Returns:
        The encoder, and what it gives for ``pixels`` [N, D]; each image is encoded once.
    """
    name, widths = "+".join(part.name for part in parts), _widths(parts, pixels)
    plain = JoinedEncoder(name, tuple(parts), (1.0,) * len(parts))
    features = kept_features(plain, pixels, folder=folder)
    some = features[some_rows(pixels.shape[0], MOST_COMPARED, "encoder_scales")]
    scales = []
    for own in np.split(some, np.cumsum(widths)[:-1], axis=1):
        near = nearest(np.ascontiguousarray(own), references=np.ascontiguousarray(own), same=True)
        typical = float(np.median(near.distances))
        scales.append(1 / typical if typical > 0 else 1.0)
    factors = np.repeat(np.array(scales, np.float32), widths)
    return JoinedEncoder(name, tuple(parts), tuple(scales)), scaled(features, by=factors)


def _widths(parts: Sequence[Encoder], pixels: PixelRows) -> list[int]:
    return [part(pixels[np.arange(1)]).shape[1] for part in parts]
