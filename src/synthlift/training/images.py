"""The images of one training: in memory up to a limit, above it read batch by batch.

Which way they come changes no bit: all give the same uint8 values in the same memory layout.

Shape letters: n images, c channels, h height, w width.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Generator, Iterator
from contextlib import closing
from typing import final

import numpy as np
import torch
from torch import Tensor

from synthlift.rows import IN_MEMORY_BYTES, PixelRows, ahead, in_blocks, is_mapped
from synthlift.training.batches import Batch
from synthlift.types import Int64

SHARED_BYTES = 2**24
"""Mapped images of more bytes than this are not copied; of fewer, a copy is read faster."""

Fed = Generator[tuple[Batch, Tensor], None, None]


class TrainingImages(ABC):
    """Real and synthetic images as the batches of a training."""

    @abstractmethod
    def feed(self, batches: Iterator[Batch]) -> Fed:
        """Each batch with its images uint8 [n, c, h, w] on the device, real ones first."""


def training_images(
    real: PixelRows, synthetic: PixelRows | None, *, layout: torch.memory_format, device: str
) -> TrainingImages:
    """Images in memory where :data:`IN_MEMORY_BYTES` allows it, else a reader of batches.

    Args:
        real, synthetic: uint8 [n, h, w, c] of equal image shape.
        layout: channels-last or contiguous.
        device: where the batches are wanted.
    """
    sources = [real] if synthetic is None else [real, synthetic]
    total = sum(math.prod(source.shape) for source in sources)
    if total > IN_MEMORY_BYTES:
        return Streamed(sources, layout=layout, device=device)
    if device == "cpu" and is_mapped(real) and math.prod(real.shape) > SHARED_BYTES:
        return Mapped(sources, layout=layout)
    return InMemory(sources, layout=layout, device=device)


@final
class InMemory(TrainingImages):
    """All images in one tensor."""

    def __init__(
        self, sources: list[PixelRows], *, layout: torch.memory_format, device: str
    ) -> None:
        self._real = sources[0].shape[0]
        count = sum(source.shape[0] for source in sources)
        pixels = np.empty((count, *sources[0].shape[1:]), np.uint8)
        start = 0
        for block in (block for source in sources for block in in_blocks(source)):
            pixels[start : start + len(block)] = block
            start += len(block)
        self._pixels_nhwc, self._layout = torch.from_numpy(pixels).to(device), layout

    def feed(self, batches: Iterator[Batch]) -> Fed:
        """See :class:`TrainingImages`."""
        for batch in batches:
            rows = torch.from_numpy(np.concatenate([batch.real, batch.synthetic + self._real]))
            # Unlike an index, this copies whole images.
            chosen = self._pixels_nhwc.index_select(0, rows.to(self._pixels_nhwc.device))
            yield batch, _as_nchw(chosen, self._layout)


@final
class Mapped(TrainingImages):
    """Real images stay in the file that they are mapped from, which all workers then share."""

    def __init__(self, sources: list[PixelRows], *, layout: torch.memory_format) -> None:
        real, *synthetic = sources
        read = (np.concatenate(list(in_blocks(source))) for source in synthetic)
        self._sources: list[PixelRows] = [real, *read]
        self._layout = layout

    def feed(self, batches: Iterator[Batch]) -> Fed:
        """See :class:`TrainingImages`."""
        for batch in batches:
            yield batch, _read(self._sources, batch, self._layout)


@final
class Streamed(TrainingImages):
    """Reads the next batch while the current one is trained on; holds two batches at most."""

    def __init__(
        self, sources: list[PixelRows], *, layout: torch.memory_format, device: str
    ) -> None:
        self._sources, self._layout, self._device = sources, layout, device

    def feed(self, batches: Iterator[Batch]) -> Fed:
        """See :class:`TrainingImages`."""
        with closing(ahead(self._read, batches)) as read:
            for batch, pixels in read:
                yield batch, pixels.to(self._device)

    def _read(self, batch: Batch) -> Tensor:
        return _read(self._sources, batch, self._layout)


def _read(sources: list[PixelRows], batch: Batch, layout: torch.memory_format) -> Tensor:
    rows: tuple[Int64, Int64] = (batch.real, batch.synthetic)
    # A training without synthetic images has one source, and batches without their rows.
    parts = [s[r] for s, r in zip(sources, rows, strict=False) if len(r)]
    pixels = parts[0] if len(parts) == 1 else np.concatenate(parts)
    return _as_nchw(torch.from_numpy(pixels), layout)


def _as_nchw(pixels_nhwc: Tensor, layout: torch.memory_format) -> Tensor:
    return pixels_nhwc.permute(0, 3, 1, 2).contiguous(memory_format=layout)
