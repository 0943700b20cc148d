"""What a flow learns in: the pixels themselves, or the latents of a frozen autoencoder.

Latents are brought to mean 0 and one spread per channel, that of the training images, so that the
same network and the same times suit both (Rombach 2022, §4.3.2, rescale all channels together).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from synthlift.errors import InputError, SynthliftError
from synthlift.generators.autoencoders.base import (
    Autoencoder,
    measure_autoencoder,
    open_autoencoder,
)
from synthlift.generators.flow.config import FlowConfig
from synthlift.generators.learning.examples import to_pixels, to_unit

Shape = tuple[int, int, int]

FOLDER = "autoencoder"
LATENTS = "latents"
SPREAD = 0.5
"""Standard deviation of a latent channel as the network sees it, about that of pixels."""
PIXELS_AT_ONCE = 2**18
IMAGES_AT_ONCE = 64
KEPT_BYTES = 64 * 2**20
"""Autoencoders up to this size are kept with a saved generator; larger ones stay where they are."""


class Space(ABC):
    """Between images uint8 [n, C, H, W] and what the network sees, float32 [n, c, h, w].

    Both ways treat each image by itself: the same bits in any company.
    """

    image_shape: Shape
    shape: Shape
    """Height, width and channels of images, and of what the network sees."""

    @abstractmethod
    def enter(self, pixels_nchw: Tensor) -> Tensor:
        """What the network sees of images."""

    @abstractmethod
    def leave(self, x_nchw: Tensor) -> Tensor:
        """The images that the network has drawn."""

    def as_json(self) -> dict[str, Any]:
        """For the facts that are kept with a generator; nothing for pixels."""
        return {}

    def save(self, folder: Path) -> None:
        """Write what drawing needs beside the network."""
        del folder


class PixelSpace(Space):
    """The pixels themselves, from -1 to 1."""

    def __init__(self, image_shape: Shape) -> None:
        self.image_shape = self.shape = image_shape

    def enter(self, pixels_nchw: Tensor) -> Tensor:
        """See :class:`Space`."""
        return to_unit(pixels_nchw)

    def leave(self, x_nchw: Tensor) -> Tensor:
        """See :class:`Space`."""
        return to_pixels(x_nchw)


class LatentSpace(Space):
    """Latents of an autoencoder, brought to one mean and spread per channel.

    Images whose sides are no multiples of its factor are continued by their last row and column;
    grey images are given three equal colours, and a decoded image's colours are averaged.

    Args:
        autoencoder: frozen, on ``device``.
        path: where it was read, for messages.
        image_shape: height, width and channels of images.
        device: torch device string.
        mean, deviation: per channel of the latents; none = latents are left as they are.
    """

    def __init__(
        self,
        autoencoder: Autoencoder,
        *,
        path: str,
        image_shape: Shape,
        device: str,
        mean: Sequence[float] = (),
        deviation: Sequence[float] = (),
    ) -> None:
        self._autoencoder, self._path, self._device = autoencoder, path, device
        factor, channels = measure_autoencoder(autoencoder, Path(path), device=device)
        height, width, _ = image_shape
        self.image_shape = image_shape
        self.shape = (-(-height // factor), -(-width // factor), channels)
        self._padding = (0, -width % factor, 0, -height % factor)
        area = (height + self._padding[3]) * (width + self._padding[1])
        self._piece = max(1, min(IMAGES_AT_ONCE, PIXELS_AT_ONCE // area))
        self.mean = list(mean) or [0.0] * channels
        self.deviation = list(deviation) or [SPREAD] * channels
        self._centre, self._factor = (
            torch.tensor(values, dtype=torch.float32, device=device)[:, None, None]
            for values in (self.mean, [one / SPREAD for one in self.deviation])
        )

    def standardised(self, *, mean: Sequence[float], deviation: Sequence[float]) -> LatentSpace:
        """The same space with latents of this mean and deviation brought to 0 and one spread."""
        return LatentSpace(
            self._autoencoder,
            path=self._path,
            image_shape=self.image_shape,
            device=self._device,
            mean=mean,
            deviation=deviation,
        )

    @torch.inference_mode()
    def encode(self, x_nchw: Tensor) -> Tensor:
        """Latents as the autoencoder gives them, float32, of images in [-1, 1].

        They may not be finite.
        """
        colours = F.pad(x_nchw.to(self._device), self._padding, mode="replicate")
        colours = colours.expand(-1, 3, -1, -1)
        pieces = _pieces(colours, self._piece)
        return torch.cat([self._autoencoder.encode(piece)[:n] for piece, n in pieces])

    def scale(self, latents_nchw: Tensor) -> Tensor:
        """Latents as the network sees them."""
        return (latents_nchw.float() - self._centre) / self._factor

    def enter(self, pixels_nchw: Tensor) -> Tensor:
        """See :class:`Space`."""
        return self.scale(self.encode(to_unit(pixels_nchw)))

    @torch.inference_mode()
    def leave(self, x_nchw: Tensor) -> Tensor:
        """See :class:`Space`.

        Raises:
            SynthliftError: a drawn latent, or what is decoded of it, is not finite.
        """
        height, width, channels = self.image_shape
        latents = x_nchw * self._factor + self._centre
        pieces = _pieces(latents, self._piece)
        parts = [self._autoencoder.decode(piece)[:n] for piece, n in pieces]
        drawn = torch.cat(parts)[:, :, :height, :width]
        if not torch.isfinite(drawn).all():
            raise SynthliftError(
                f"the autoencoder '{self._path}' decoded numbers that are no colours. Remedy: "
                "train longer or at a lower 'learning_rate', or take another autoencoder"
            )
        return to_pixels(drawn.mean(dim=1, keepdim=True) if channels == 1 else drawn)

    def as_json(self) -> dict[str, Any]:
        """See :class:`Space`."""
        return {
            LATENTS: {
                "shape": list(self.shape),
                "image_shape": list(self.image_shape),
                "mean": self.mean,
                "deviation": self.deviation,
            }
        }

    def save(self, folder: Path) -> None:
        """Write the autoencoder if it is small; a large one stays where it is, named by hash."""
        if self._autoencoder.bytes <= KEPT_BYTES:
            self._autoencoder.save(folder / FOLDER)


def open_space(config: FlowConfig, *, image_shape: Shape, device: str) -> Space:
    """The space that a Config asks for; latents as the autoencoder gives them."""
    if not config.autoencoder:
        return PixelSpace(image_shape)
    opened = open_autoencoder(
        Path(config.autoencoder), sha256=config.autoencoder_sha256, device=device
    )
    return LatentSpace(opened, path=config.autoencoder, image_shape=image_shape, device=device)


def saved_space(folder: Path, facts: Mapping[str, Any], *, shape: Shape, device: str) -> Space:
    """The space of a saved generator.

    Args:
        folder: of the generator.
        facts: what was kept with it.
        shape: what its network sees, for pixels.
        device: torch device string.

    Raises:
        InputError: its autoencoder was too large to be kept with it, and is gone or another one.
    """
    config = FlowConfig.model_validate(facts["config"])
    if not config.autoencoder:
        return PixelSpace(shape)
    latents, own = facts[LATENTS], folder / FOLDER
    kept = own.is_dir()
    opened = open_autoencoder(
        own if kept else Path(config.autoencoder),
        sha256="" if kept else config.autoencoder_sha256,
        device=device,
    )
    height, width, channels = latents["image_shape"]
    return LatentSpace(
        opened,
        path=config.autoencoder,
        image_shape=(height, width, channels),
        device=device,
        mean=latents["mean"],
        deviation=latents["deviation"],
    )


def not_finite(path: str, image: str) -> InputError:
    """The error for an image whose latents are of no use."""
    return InputError(
        f"the autoencoder '{path}' gives latents of training image '{image}' that are not finite",
        rule="latents are finite numbers, and fit into 16 bits",
        remedy="take another autoencoder, or download this one again; without 'autoencoder' the "
        "flow learns pixels",
    )


def _pieces(x_nchw: Tensor, size: int) -> list[tuple[Tensor, int]]:
    """Pieces of always ``size`` images, the last one filled up, and how many count in each.

    Kernels round differently at other batch shapes.
    """
    found = []
    for start in range(0, math.ceil(len(x_nchw) / size) * size, size):
        piece = x_nchw[start : start + size]
        count = len(piece)
        if count < size:
            piece = torch.cat([piece, piece.new_zeros(size - count, *piece.shape[1:])])
        found.append((piece, count))
    return found
