"""Drawing in less memory, where not even one image at a time fits: what is done, in this order.

Images are decoded in tiles first, which changes pixels: each tile is decoded without knowledge of
the others, and blended with them. Then every part of the pipeline waits in the processor's memory
until it computes, which takes time and changes nothing. Attention needs no slices: torch computes
it without keeping its matrix.
"""

from __future__ import annotations

import importlib
from typing import Any

from synthlift.errors import InputError, needing_extra

WAYS = ("decoded in tiles", "with each part of the pipeline on the device only while it computes")
"""In words that follow "images are drawn one at a time"."""
TILED, OFFLOADED = 1, 2
SQUARE, LATENT = "tile_sample_min_size", "tile_latent_min_size"
QUARTERED = 4
"""Latents of a tile come in so many, where a quarter of it overlaps the next."""


def ways(device: str) -> tuple[str, ...]:
    """What can be done on a device, the mildest first; on the processor parts have no other place.

    Args:
        device: torch device string.
    """
    return WAYS[:TILED] if device.partition(":")[0] == "cpu" else WAYS


def place(pipeline: Any, device: str, *, savings: int, side: int) -> Any:
    """Bring an opened pipeline to a device and let it save memory in so many ways.

    Args:
        pipeline: with its adapters, on the processor.
        device: torch device string.
        savings: how many of :func:`ways`.
        side: of an image in pixels.

    Raises:
        InputError: a package is missing, or diffusers knows no order of this pipeline's parts.
    """
    if savings >= TILED:
        _tile(getattr(pipeline, "vae", None), side=side)
    if savings < OFFLOADED:
        return pipeline.to(device)
    with needing_extra("a pipeline that does not fit into the device's memory", extra="text2image"):
        importlib.import_module("accelerate")
    try:
        pipeline.enable_model_cpu_offload(device=device)
    except ValueError as error:
        raise InputError(
            f"the parts of a {type(pipeline).__name__} cannot be moved one by one: {error}",
            rule="a pipeline must fit into the device's memory as a whole then",
            remedy="set dtype: bfloat16, lower the generator's size, or take another device",
        ) from None
    return pipeline


def _tile(autoencoder: Any, *, side: int) -> None:
    """Decode in tiles of at most half the side of an image, where the autoencoder can."""
    if not hasattr(autoencoder, "enable_tiling"):
        return
    autoencoder.enable_tiling()
    # As they come, tiles are as large as the usual image, and often as this one: nothing is cut.
    usual = getattr(autoencoder, SQUARE, 0)
    if usual and hasattr(autoencoder, LATENT):
        own = int(getattr(autoencoder, LATENT))
        # A quarter of a tile overlaps the next one: where that is no whole number of latents,
        # diffusers draws a band twice, and the image comes out larger than it is.
        latent = max(QUARTERED, own * (min(usual, side) // 2) // usual // QUARTERED * QUARTERED)
        setattr(autoencoder, SQUARE, latent * usual // own)
        setattr(autoencoder, LATENT, latent)
    for way in ("height", "width"):
        if hasattr(autoencoder, f"tile_sample_min_{way}"):
            _halve(autoencoder, way, side=side)


def _halve(autoencoder: Any, way: str, *, side: int) -> None:
    """The same where tiles have a height and a width, and a stride in pixels: whole latents."""
    least = int(getattr(autoencoder, "spatial_compression_ratio", 8))
    usual = int(getattr(autoencoder, f"tile_sample_min_{way}"))
    most = max(2 * least, min(usual, side) // 2 // least * least)
    # They overlap by a quarter, or by a latent.
    stride = min(most - least, max(least, most * 3 // 4 // least * least))
    setattr(autoencoder, f"tile_sample_min_{way}", most)
    setattr(autoencoder, f"tile_sample_stride_{way}", stride)
    if hasattr(autoencoder, f"tile_latent_min_{way}"):
        setattr(autoencoder, f"tile_latent_min_{way}", most // least)
