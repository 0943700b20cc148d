"""How latents of a family lie and are scaled, between its autoencoder and its network."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class Layout:
    """Latents with the autoencoder's scale; the network takes them as images, or in patches.

    Args:
        pipeline: of diffusers.
    """

    def __init__(self, pipeline: Any) -> None:
        self._vae = getattr(pipeline, "vae", None)
        self._pack = getattr(pipeline, "_pack_latents", None)

    def seen(self, images_nchw: Tensor) -> Tensor:
        """Images as the autoencoder takes them."""
        return images_nchw

    def scaled(self, z: Tensor) -> Tensor:
        """Latents [n, c, h, w] that noise is added to, from those of the autoencoder."""
        assert self._vae is not None, "without one, pixels are"
        config = self._vae.config
        scale = config.get("scaling_factor") or 1.0
        if config.get("latents_mean") is not None and config.get("latents_std") is not None:
            mean, deviation = (
                torch.tensor(config[name]).view(1, -1, 1, 1).to(z)
                for name in ("latents_mean", "latents_std")
            )
            return (z - mean) / deviation * scale
        return (z - (config.get("shift_factor") or 0.0)) * scale

    def packed(self, latents_nchw: Tensor) -> Tensor:
        """Latents as they are, or as a row of patches (Flux)."""
        if self._pack is None:
            return latents_nchw
        packed: Tensor = self._pack(latents_nchw, *latents_nchw.shape)
        return packed


class FilmLayout(Layout):
    """Of an autoencoder of films (Qwen-Image): an image is one of one picture."""

    def seen(self, images_nchw: Tensor) -> Tensor:
        """See :class:`Layout`."""
        return images_nchw.unsqueeze(2)

    def scaled(self, z: Tensor) -> Tensor:
        """See :class:`Layout`."""
        return super().scaled(z.squeeze(2))


class PatchedLayout(Layout):
    """Latents that are scaled after they were made patches (Flux.2).

    Four neighbours are channels of one place, and each channel has the mean and variance that the
    autoencoder's batch normalisation has counted.
    """

    def __init__(self, pipeline: Any) -> None:
        super().__init__(pipeline)
        self._patched = pipeline._patchify_latents

    def scaled(self, z: Tensor) -> Tensor:
        """See :class:`Layout`."""
        assert self._vae is not None
        counted = self._vae.bn
        mean, variance = (
            one.view(1, -1, 1, 1).to(z) for one in (counted.running_mean, counted.running_var)
        )
        scaled: Tensor = (self._patched(z) - mean) / (variance + counted.eps).sqrt()
        return scaled

    def packed(self, latents_nchw: Tensor) -> Tensor:
        """See :class:`Layout`."""
        assert self._pack is not None
        packed: Tensor = self._pack(latents_nchw)
        return packed


def layout_of(pipeline: Any) -> Layout:
    """The layout of a pipeline's latents, by what its parts are."""
    vae = getattr(pipeline, "vae", None)
    if hasattr(vae, "bn") and hasattr(pipeline, "_patchify_latents"):
        return PatchedLayout(pipeline)
    if vae is not None and any(weight.dim() == 5 for weight in vae.parameters()):
        return FilmLayout(pipeline)
    return Layout(pipeline)
