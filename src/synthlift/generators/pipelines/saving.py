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


def ways(device: str) -> tuple[str, ...]:
    """What can be done on a device, the mildest first; on the processor parts have no other place.

    Args:
        device: torch device string.
    """
    return WAYS[:TILED] if device.partition(":")[0] == "cpu" else WAYS


def place(pipeline: Any, device: str, *, savings: int) -> Any:
    """Bring an opened pipeline to a device and let it save memory in so many ways.

    Args:
        pipeline: with its adapters, on the processor.
        device: torch device string.
        savings: how many of :func:`ways`.

    Raises:
        InputError: a package is missing, or diffusers knows no order of this pipeline's parts.
    """
    if savings >= TILED:
        _tile(getattr(pipeline, "vae", None))
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


def _tile(autoencoder: Any) -> None:
    """Decode in tiles of half the side that the autoencoder was made for, where it can."""
    if not hasattr(autoencoder, "enable_tiling"):
        return
    autoencoder.enable_tiling()
    # As they come, tiles are as large as the usual image: nothing would be cut.
    for name in ("tile_sample_min_size", "tile_latent_min_size"):
        if hasattr(autoencoder, name):
            setattr(autoencoder, name, max(2, getattr(autoencoder, name) // 2))
