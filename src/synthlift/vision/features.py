"""Features of many images: in memory up to a limit, above it in a file without a name."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from synthlift.rows import FeatureRows, PixelRows, runs
from synthlift.seeds import generator_for
from synthlift.types import Encoder, Float32, UInt8

IN_MEMORY_BYTES = 64 * 2**20
"""Features of more bytes than this are kept in a file; a worker may hold those of eight fits."""
TOGETHER = 64
"""Images given to an encoder at once: a multiple of what encoders compute together, so that their
chunks are the same as if they were given all images."""


def encode(
    encoder: Encoder,
    pixels: PixelRows,
    *,
    rows: NDArray[np.intp] | None = None,
    change: Callable[[UInt8], UInt8] | None = None,
) -> Float32:
    """Features float32 [n, D] of images that need not be in memory together.

    Args:
        encoder: its features of an image depend on that image alone.
        pixels: uint8 [N, H, W, C].
        rows: which of them [n], at least one; None = all.
        change: what becomes of a block of images before; blocks come in order, each once.
    """
    rows = np.arange(pixels.shape[0]) if rows is None else rows
    return np.concatenate(list(_blocks(encoder, pixels, rows, change)))


def kept_features(encoder: Encoder, pixels: PixelRows, *, folder: Path | None) -> FeatureRows:
    """Features [n, D] as :func:`encode` gives them, in memory or, above the limit, in a file.

    Args:
        encoder, pixels: as for :func:`encode`.
        folder: where the file lies, which is deleted when nothing refers to it any more; None =
            the system's folder for such files.
    """
    count = pixels.shape[0]
    blocks = _blocks(encoder, pixels, np.arange(count))
    first = next(blocks)
    if first.itemsize * first.shape[1] * count > IN_MEMORY_BYTES:
        return FeatureFile(count, first, blocks, folder=folder)
    features = np.empty((count, first.shape[1]), np.float32)
    features[: len(first)], end = first, len(first)
    for block in blocks:
        features[end : end + len(block)] = block
        end += len(block)
    return features


def some_rows(count: int, most: int, *seed: str | int) -> NDArray[np.intp]:
    """At most ``most`` of ``count`` rows, drawn by a seed, in order; all where they are no more."""
    if count <= most:
        return np.arange(count)
    return np.sort(generator_for(*seed).permutation(count)[:most])


def _blocks(
    encoder: Encoder,
    pixels: PixelRows,
    rows: NDArray[np.intp],
    change: Callable[[UInt8], UInt8] | None = None,
) -> Iterator[Float32]:
    for start in range(0, len(rows), TOGETHER):
        block = pixels[rows[start : start + TOGETHER]]
        yield encoder(block if change is None else change(block))


def scaled(features: FeatureRows, *, by: Float32) -> FeatureRows:
    """Features with each column multiplied by its factor [D]; an array is changed in place."""
    if isinstance(features, np.ndarray):
        features *= by
        return features
    return ScaledRows(features, by)


class ScaledRows:
    """Features whose columns are multiplied by their factors [D] as they are read."""

    def __init__(self, base: FeatureRows, factors: Float32) -> None:
        self._base, self._factors, self.shape = base, factors, base.shape

    def __getitem__(self, rows: NDArray[np.intp], /) -> Float32:
        """The features at ``rows``, float32 [n, D]."""
        return self._base[rows] * self._factors


class FeatureFile:
    """Features in a temporary file, float32 [N, D].

    Args:
        count: images.
        first, rest: their features, block by block.
        folder: see :func:`kept_features`.
    """

    def __init__(
        self, count: int, first: Float32, rest: Iterator[Float32], *, folder: Path | None
    ) -> None:
        self.shape: tuple[int, ...] = (count, first.shape[1])
        # Open as long as this object lives; the system deletes it then, also after a kill.
        self._stream = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115 – see above
        written = 0
        for block in chain((first,), rest):
            self._write(np.ascontiguousarray(block, np.float32))
            written += len(block)
        assert written == count

    def _write(self, block: Float32) -> None:
        left = block.reshape(-1).view(np.uint8).data
        while left:
            left = left[self._stream.write(left) :]

    def __getitem__(self, rows: NDArray[np.intp], /) -> Float32:
        """Read the features at ``rows``, float32 [n, D]."""
        found = np.empty((len(rows), self.shape[1]), np.float32)
        for start, end in runs(rows):
            self._stream.seek(int(rows[start]) * found.strides[0])
            left = found[start:end].reshape(-1).view(np.uint8).data
            while left:
                got = self._stream.readinto(left)
                assert got, "features end before their last row"
                left = left[got:]
        return found
