"""Autoencoders that diffusers saved as a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor

from synthlift.errors import InputError
from synthlift.generators.autoencoders.base import Autoencoder
from synthlift.generators.autoencoders.files import (
    CONFIG,
    DIFFUSERS,
    AutoencoderFiles,
)
from synthlift.store.files import write_bytes_atomic
from synthlift.weights.missing import missing_weights


class DiffusersAutoencoder(Autoencoder):
    """``AutoencoderKL`` (its mean, nothing is drawn) or ``AutoencoderTiny`` of diffusers.

    Args:
        files: of its folder.
        device: torch device string.

    Raises:
        InputError: the folder cannot be read.
    """

    def __init__(self, files: AutoencoderFiles, *, device: str) -> None:
        from diffusers import AutoencoderKL, AutoencoderTiny
        from diffusers.utils import logging

        logging.disable_progress_bar()
        self._files, folder = files.paths, files.paths[CONFIG].parent
        kinds = dict(zip(DIFFUSERS, (AutoencoderKL, AutoencoderTiny), strict=True))
        kind = kinds[_class_name(files)]
        try:
            self._network: Any = kind.from_pretrained(
                str(folder), dtype=torch.float32, use_safetensors=True, local_files_only=True
            )
        except (ValueError, OSError, RuntimeError, SafetensorError) as error:
            raise _incomplete(folder, str(error).splitlines()[0]) from None
        if lost := missing_weights(self._network):
            raise _incomplete(folder, f"it lacks weights, such as {lost}")
        self._network.to(device).eval().requires_grad_(False)

    def encode(self, images_nchw: Tensor) -> Tensor:
        """See :class:`Autoencoder`."""
        out = self._network.encode(images_nchw)
        latents: Tensor = out.latents if hasattr(out, "latents") else out.latent_dist.mode()
        return latents

    def decode(self, latents_nchw: Tensor) -> Tensor:
        """See :class:`Autoencoder`."""
        out: Tensor = self._network.decode(latents_nchw).sample
        return out

    def save(self, folder: Path) -> None:
        """See :class:`Autoencoder`."""
        for path in self._files.values():
            write_bytes_atomic(folder / path.name, path.read_bytes())

    @property
    def bytes(self) -> int:
        """See :class:`Autoencoder`."""
        return sum(path.stat().st_size for path in self._files.values())


def _incomplete(folder: Path, reason: str) -> InputError:
    return InputError(
        f"the autoencoder '{folder}' cannot be opened: {reason}",
        rule="it is a complete folder that diffusers saved",
        remedy="download or save it again",
    )


def _class_name(files: AutoencoderFiles) -> str:
    import json

    return str(json.loads(files.paths[CONFIG].read_text("utf-8"))["_class_name"])
