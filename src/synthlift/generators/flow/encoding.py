"""Training images as latents: encoded once, in several versions, kept in files chunk by chunk.

Shifting, turning and scaling a latent is not what the autoencoder would give for the shifted image.
So images are augmented first and encoded in a few versions, each with its augmentation beside it;
the same goes for images that are carried to values of attributes that their class lacks.
"""

from __future__ import annotations

import hashlib
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from synthlift.generators.flow.config import FlowConfig
from synthlift.generators.flow.space import LatentSpace, not_finite
from synthlift.generators.learning.drawing import deterministic_kernels
from synthlift.generators.learning.examples import (
    Examples,
    apply_augmentation,
    as_nchw,
    draw_augmentation,
    in_memory,
    to_unit,
)
from synthlift.generators.learning.transport import Transport
from synthlift.rows import Rows
from synthlift.seeds import seed_for
from synthlift.store.files import write_bytes_atomic
from synthlift.types import ImageSet, RunContext

CHUNK_PIXELS = 2**20
"""Pixels of the images in a chunk: half a minute of work on a slow processor."""
SMALLEST = 1e-6

Half = NDArray[np.float16]


@dataclass(frozen=True)
class LatentRows:
    """Latents of the training images where they lie.

    The versions of an image follow each other, the image as it is first.

    Attributes:
        files: of the chunks, float16 [rows of the chunk, h, w, c].
        size: rows of each chunk, but for the last one.
        shape: all rows, h, w, c.
    """

    files: Sequence[Path]
    size: int
    shape: tuple[int, ...]

    def __getitem__(self, rows: NDArray[np.intp], /) -> Half:
        """Copy the latents at positions ``rows``."""
        found = np.empty((len(rows), *self.shape[1:]), np.float16)
        places = rows // self.size
        for place in np.unique(places).tolist():
            mine = places == place
            chunk = np.load(self.files[place], mmap_mode="r")
            found[mine] = chunk[rows[mine] - place * self.size]
        return found


@dataclass(frozen=True)
class Encoded:
    """The training images in latents.

    Attributes:
        rows: their latents.
        wanted_nk: int64 [rows, 1 + A], the indices of class and attribute values of each row.
        moved_n4: float32 [rows, 4], the augmentation of each row.
        versions: augmented versions of an image, beside the image as it is.
    """

    rows: LatentRows
    wanted_nk: Tensor
    moved_n4: Tensor
    versions: int


def encode_images(
    images: ImageSet,
    space: LatentSpace,
    *,
    wanted_nk: Tensor,
    transport: Transport,
    config: FlowConfig,
    run: RunContext,
) -> Encoded:
    """Encode all images, or take the chunks that an earlier attempt has left.

    Args:
        images: what is learnt from.
        space: latents as the autoencoder gives them.
        wanted_nk: indices of class and attribute values of the images, int64 [n, 1 + A].
        transport: carries versions of images to values that their class was never seen with; as
            often as it would carry them in training.
        config: settled settings.
        run: folder for the chunks, seed, progress.

    Raises:
        InputError: the latents of an image are not finite.
    """
    versions = encoded_versions(config)
    count, (height, width, _) = len(images), images.image_shape
    size = max(1, CHUNK_PIXELS // (height * width))
    files, moved, said, total = [], [], [], count * (1 + versions)
    for start in range(0, count, size):
        rows = np.arange(start, min(start + size, count))
        pixels = images.pixels(rows)
        stream = torch.Generator().manual_seed(seed_for(run.seed, "encoded", start))
        amounts = draw_augmentation(len(rows) * (1 + versions), share=1.0, stream=stream)
        amounts[:: 1 + versions] = 0
        told = f"{config.autoencoder_sha256} {run.seed} {start} {versions} ".encode()
        wanted = wanted_nk[start : start + len(rows)].cpu()
        name = _name(told, pixels.tobytes(), transport.digest(wanted))
        file = run.folder / "latents" / f"{name}.npy"
        source = _Versions(pixels, wanted, transport, seed=seed_for(run.seed, "carried", start))
        said.append(source.wanted(1 + versions))
        if not file.is_file():
            latents = _encode(source, amounts, space)
            bad = ~np.isfinite(latents).all(axis=(1, 2, 3))
            if bad.any():
                first = int(np.argmax(bad)) // (1 + versions)
                raise not_finite(config.autoencoder or "", str(images.ids[rows[first]]))
            content = io.BytesIO()
            np.save(content, latents)
            write_bytes_atomic(file, content.getvalue())
        files.append(file)
        moved.append(amounts)
        run.progress(min(total, (start + size) * (1 + versions)), total, "encoding images")
    shape = (total, *space.shape)
    rows_of = LatentRows(files, size * (1 + versions), shape)
    return Encoded(rows_of, torch.cat(said), torch.cat(moved), versions)


def encoded_versions(config: FlowConfig) -> int:
    """Augmented versions of each image, of settled settings."""
    assert config.encoded_versions != "auto", "settle() comes first"
    return config.encoded_versions if config.augmentation else 0


@dataclass(frozen=True)
class _Versions:
    """Images uint8 [n, H, W, C] before they are augmented: some carried, in each version others."""

    pixels: NDArray[np.uint8]
    wanted_nk: Tensor
    transport: Transport
    seed: int

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, version: int) -> tuple[Tensor, Tensor]:
        """Images [n, C, H, W] in [-1, 1], and what they show."""
        images = to_unit(as_nchw(torch.from_numpy(self.pixels)))
        stream = torch.Generator().manual_seed(seed_for(self.seed, "version", version))
        return self.transport(images, self.wanted_nk, stream=stream)

    def wanted(self, count: int) -> Tensor:
        """What all versions show, those of an image after each other."""
        if not self.transport.carries:
            return self.wanted_nk.repeat_interleave(count, dim=0)
        return torch.stack([self[version][1] for version in range(count)], dim=1).flatten(0, 1)


def _encode(images: _Versions, amounts_n4: Tensor, space: LatentSpace) -> Half:
    """Latents float16 [rows, h, w, c] of images in all versions."""
    each = len(amounts_n4) // len(images)
    found = []
    with deterministic_kernels():
        # Version by version, so that no more than one is in memory.
        for version in range(each):
            moved = apply_augmentation(images[version][0], amounts_n4[version::each])
            found.append(space.encode(moved).permute(0, 2, 3, 1).cpu())
    stacked = torch.stack(found, dim=1).flatten(0, 1)
    return stacked.to(torch.float16).numpy()


def _name(*parts: bytes) -> str:
    return hashlib.sha256(b"".join(parts)).hexdigest()[:32]


def channel_statistics(encoded: Encoded) -> tuple[list[float], list[float]]:
    """Mean and standard deviation per channel over the images that are not augmented."""
    rows, each = encoded.rows, 1 + encoded.versions
    count, height, width, channels = rows.shape
    total, square = np.zeros(channels), np.zeros(channels)
    for start in range(0, count, rows.size):
        plain = rows[np.arange(start, min(start + rows.size, count), each)].astype(np.float64)
        total += plain.sum(axis=(0, 1, 2))
        square += (plain**2).sum(axis=(0, 1, 2))
    number = (count // each) * height * width
    mean = total / number
    deviation = np.sqrt(np.maximum(square / number - mean**2, 0))
    # A channel that never changes says nothing; it stays as it is.
    return mean.tolist(), np.where(deviation < SMALLEST, 1.0, deviation).tolist()


def latent_examples(
    examples: Examples, encoded: Encoded, space: LatentSpace, *, share: float
) -> Examples:
    """The same examples in latents; their versions take their share.

    Args:
        examples: the images, with their conditions and weights.
        encoded: their latents.
        space: with the statistics of the training images.
        share: of examples that are augmented.
    """
    device = examples.device
    share = share if encoded.versions else 0.0
    parts = torch.tensor([1 - share] + [share / max(1, encoded.versions)] * encoded.versions)
    weights = (examples.weights_n[:, None] * parts.double()[None]).flatten()
    rows: Rows[np.float16] = encoded.rows
    return Examples(
        source=rows,
        pixels_nchw=in_memory(rows, bytes_each=2 * math.prod(rows.shape[1:]), device=str(device)),
        wanted_nk=encoded.wanted_nk.to(device),
        unsaid_k=examples.unsaid_k,
        weights_n=weights,
        seen=space.scale,
        moved_n4=encoded.moved_n4.to(device),
    )
