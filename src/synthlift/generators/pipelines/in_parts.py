"""Pipelines that draw in two parts: one makes tokens or an embedding of an image, one the image."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

ALONE = ("GlmImage",)
"""How the classes of pipelines begin whose first part draws all images by the noise of the first,
and whose second tells texts of different lengths from one another by nothing."""
CELLS = ("vae_scale_factor", "movq_scale_factor")
PRIOR, DECODER = "prior_pipe", "decoder_pipe"
"""Pipelines in a pipeline, as Kandinsky 2 has them."""


def join(pipeline: Any) -> None:
    """Let the parts of an opened pipeline heed what the whole one is told."""
    prior, decoder = getattr(pipeline, PRIOR, None), getattr(pipeline, DECODER, None)
    if prior is None or decoder is None:
        return
    decoder.scheduler = pipeline.scheduler
    if not isinstance(prior, _Prior):
        setattr(pipeline, PRIOR, _Prior(prior))


def cell_of(pipeline: Any) -> int:
    """Pixels a side of an image that become one latent; 1 = it draws pixels."""
    whole = (pipeline, getattr(pipeline, DECODER, None))
    named = (getattr(one, name, None) for one in whole for name in CELLS)
    return int(next((one for one in named if one), 1))


class _Prior:
    """The first part, which draws what is to be avoided, too, and wants noise for both.

    Args:
        part: the pipeline.
    """

    def __init__(self, part: Any) -> None:
        self._part = part

    def __getattr__(self, name: str) -> Any:
        return getattr(self._part, name)

    def __call__(self, *, generator: Any, negative_prompt: Any = None, **told: Any) -> Any:
        """Both from the stream of their image, so that they are the same in any batch."""
        twice = isinstance(generator, list) and negative_prompt is not None
        streams = [*generator, *generator] if twice else generator
        return self._part(generator=streams, negative_prompt=negative_prompt, **told)


def images_of(pipeline: Any, told: Mapping[str, Any]) -> Any:
    """What a call gives, float [n, H, W, 3 or 4] in [0, 1]; where it must be, image by image.

    Args:
        pipeline: for any task.
        told: arguments of its call, those by image as lists.
    """
    if not type(pipeline).__name__.startswith(ALONE):
        return pipeline(**told).images
    drawn = []
    for row in range(len(told["prompt"])):
        one = {
            name: value[row : row + 1] if isinstance(value, list) else value
            for name, value in told.items()
        }
        # Its first part takes a seed from the stream, and draws by that of the whole process.
        devices = [pipeline.device] if pipeline.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices):
            drawn.append(pipeline(**one).images)
    return np.concatenate(drawn)
