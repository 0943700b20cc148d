"""What a generator needs of an autoencoder, whatever its layout, and how one is opened."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path

import torch
from torch import Tensor

from synthlift.errors import InputError
from synthlift.generators.autoencoders.files import RULE, find_files, hash_autoencoder

PROBE = 64
"""Side in pixels of the blank image that shows an autoencoder's factor and channels."""


class Autoencoder(ABC):
    """A frozen autoencoder on one device, float32."""

    @abstractmethod
    def encode(self, images_nchw: Tensor) -> Tensor:
        """Latents [n, c, h, w] of colour images [n, 3, H, W] in [-1, 1].

        H and W are multiples of the factor between image and latents.
        """

    @abstractmethod
    def decode(self, latents_nchw: Tensor) -> Tensor:
        """Colour images [n, 3, H, W], about in [-1, 1], of latents [n, c, h, w]."""

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write what :func:`open_autoencoder` reads, never a pickle; the same bytes each time."""

    @property
    @abstractmethod
    def bytes(self) -> int:
        """Size of what :meth:`save` writes, about."""


def open_autoencoder(path: Path, *, sha256: str = "", device: str = "cpu") -> Autoencoder:
    """Read an autoencoder from local files.

    Args:
        path: folder or file, see :func:`~synthlift.generators.autoencoders.files.find_files`.
        sha256: what its files must hash to; "" = anything.
        device: torch device string.

    Raises:
        InputError: there is none, it is another one, or its files cannot be read safely.
    """
    files = find_files(path)
    if sha256 and hash_autoencoder(path) != sha256:
        raise InputError(
            f"the autoencoder '{path}' is another one than was planned with",
            rule=f"its files must hash to {sha256}",
            remedy="put the former files back, or run the study anew with --replan",
        )
    # Layers draw their first weights from the global state, before they get their own.
    with torch.random.fork_rng(devices=[]):
        if files.layout == "diffusers":
            from synthlift.generators.autoencoders.pretrained import DiffusersAutoencoder

            return DiffusersAutoencoder(files, device=device)
        from synthlift.generators.autoencoders.tiny import read_tiny

        return read_tiny(files, device=device)


@torch.inference_mode()
def measure_autoencoder(autoencoder: Autoencoder, path: Path, *, device: str) -> tuple[int, int]:
    """Pixels a side that a latent stands for, and channels of the latents.

    Raises:
        InputError: a decoded image has another size than it had before, or no factor fits.
    """
    blank = torch.zeros(1, 3, PROBE, PROBE, device=device)
    try:
        latents = autoencoder.encode(blank)
        shape = tuple(autoencoder.decode(latents).shape)
        factor, rest = divmod(PROBE, latents.shape[2])
    except (RuntimeError, ValueError) as error:
        raise InputError(
            f"the autoencoder '{path}' fails on a blank image: {str(error).splitlines()[0]}",
            rule=RULE,
            remedy="check that encoder and decoder belong together",
        ) from None
    if shape != tuple(blank.shape) or rest:
        raise InputError(
            f"the autoencoder '{path}' turns {PROBE} × {PROBE} pixels in 3 channels into "
            f"{shape[2]} × {shape[3]} in {shape[1]}",
            rule="a decoded image has the size and the three colours of the one encoded",
            remedy="check that encoder and decoder belong together",
        )
    return factor, int(latents.shape[1])
