"""Images as the network sees them: latents of the pipeline's autoencoder, kept in files."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from synthlift.errors import InputError
from synthlift.generators.adapting.calls import Shape, cannot_adapt
from synthlift.generators.adapting.layout import layout_of
from synthlift.store.files import write_bytes_atomic
from synthlift.types import Float32, UInt8

Half = NDArray[np.float16]


class Latents:
    """Turns images into what a pipeline's network removes noise from.

    Args:
        pipeline: with its autoencoder; without one, pixels are.
        shape: of what the network takes.
        side: of images in pixels.

    Raises:
        InputError: the network takes something else.
    """

    def __init__(self, pipeline: Any, *, shape: Shape, side: tuple[int, int]) -> None:
        self._pipeline, self._side = pipeline, side
        self._vae = getattr(pipeline, "vae", None)
        self._layout = layout_of(pipeline)
        # Some networks take an image as a film of one picture.
        self._filmed = len(shape.size) == 4
        self.size, packed = self._tried()
        if tuple(packed) != shape.size:
            raise cannot_adapt(
                pipeline, f"its network takes {shape.size}, its latents are {tuple(packed)}"
            )

    def _tried(self) -> tuple[torch.Size, torch.Size]:
        """The size of a blank image's latents, and of what is made of them for the network.

        Raises:
            InputError: the autoencoder takes something else than images, or they are packed in a
                way that is not known.
        """
        try:
            size = self._encode(np.zeros((1, *self._side, 3), np.float32)).shape[1:]
            return size, self.packed(torch.zeros(1, *size)).shape[1:]
        except torch.OutOfMemoryError:
            raise
        except (RuntimeError, TypeError, ValueError) as error:
            words = (str(error).splitlines() or [type(error).__name__])[0]
            raise cannot_adapt(
                self._pipeline, f"how an image becomes its latents is not known ({words})"
            ) from None

    def of_pixels(self, pixels_nhwc: UInt8) -> Tensor:
        """Latents [n, c, h, w] of images uint8 [n, H, W, 1 or 3] of any size.

        Raises:
            InputError: they are not finite.
        """
        return self.of_images(np.stack([self._scaled(image) for image in pixels_nhwc]))

    def of_images(self, images_nhwc: Float32) -> Tensor:
        """Latents [n, c, h, w] of images [n, H, W, 3] in [0, 1] at the pipeline's size.

        Raises:
            InputError: they are not finite.
        """
        latents = self._encode(images_nhwc)
        if not bool(torch.isfinite(latents).all()):
            raise InputError(
                f"the autoencoder of the {type(self._pipeline).__name__} gives latents that are "
                "not finite",
                rule="an image must survive the autoencoder to be learnt",
                remedy="check the pipeline's files, or set dtype: float32",
            )
        return latents

    def packed(self, latents_nchw: Tensor) -> Tensor:
        """Latents as the network takes them: as they are, as a film, or as a row of patches."""
        packed = self._layout.packed(latents_nchw)
        return packed.unsqueeze(2) if self._filmed else packed

    def _scaled(self, image_hwc: UInt8) -> Float32:
        height, width = self._side
        picture = Image.fromarray(image_hwc.squeeze(2) if image_hwc.shape[2] == 1 else image_hwc)
        scaled = picture.convert("RGB").resize((width, height), Image.Resampling.LANCZOS)
        return np.asarray(scaled, dtype=np.float32) / np.float32(255)

    @torch.inference_mode()
    def _encode(self, images_nhwc: Float32) -> Tensor:
        x = torch.from_numpy(np.ascontiguousarray(images_nhwc.transpose(0, 3, 1, 2))) * 2 - 1
        vae = self._vae
        if vae is None:
            return x
        # In full precision: the autoencoder of Stable Diffusion XL overflows in half.
        own = vae.dtype
        if own != torch.float32:
            vae.to(torch.float32)
        try:
            out = vae.encode(self._layout.seen(x.to(vae.device)))
            z = out.latent_dist.mode() if hasattr(out, "latent_dist") else _plain(out)
            return self._layout.scaled(z).cpu()
        finally:
            if own != torch.float32:
                vae.to(own)


def _plain(out: Any) -> Tensor:
    """Latents of an autoencoder that draws nothing."""
    found: Tensor = out.latents if hasattr(out, "latents") else out.latent
    return found


def kept_latents(pixels: UInt8, latents: Latents, *, flip: bool, part: int, folder: Path) -> Half:
    """Latents of images, with their mirror images after each where asked for, float16 NHWC.

    Args:
        pixels: uint8 [N, H, W, C].
        latents: encodes them.
        flip: whether mirror images are wanted.
        part: images encoded together, and kept in one file.
        folder: where an earlier attempt has left them.
    """
    found: list[Half] = []
    for start in range(0, len(pixels), part):
        block = pixels[start : start + part]
        both = np.stack([block, block[:, :, ::-1]], 1).reshape(-1, *block.shape[1:])
        images = np.ascontiguousarray(both if flip else block)
        name = hashlib.sha256(images.tobytes()).hexdigest()[:24]
        file = folder / f"{start:08d}-{name}.npy"
        if file.is_file():
            found.append(np.load(file))
            continue
        found.append(as_half(latents.of_pixels(images)))
        keep(file, found[-1])
    return np.concatenate(found)


def as_half(latents_nchw: Tensor) -> Half:
    """float16 [n, h, w, c]."""
    return latents_nchw.permute(0, 2, 3, 1).contiguous().half().numpy()


def keep(file: Path, rows: NDArray[Any]) -> None:
    """Write an array, whole or not at all."""
    content = io.BytesIO()
    np.save(content, rows)
    write_bytes_atomic(file, content.getvalue())


def balanced_rows(labels: Sequence[int], most: int) -> list[int]:
    """At most so many rows, of the classes in turn, the first ones of each."""
    places: dict[int, list[int]] = {}
    for row, label in enumerate(labels):
        places.setdefault(label, []).append(row)
    rounds = max((len(rows) for rows in places.values()), default=0)
    turns = [rows[i] for i in range(rounds) for rows in places.values() if i < len(rows)]
    return sorted(turns[:most])
