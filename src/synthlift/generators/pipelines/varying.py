"""A given image, changed by a pipeline as its prompts say (SDEdit, Meng 2022)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from PIL import Image

from synthlift.generators.pipelines.abilities import Task
from synthlift.generators.pipelines.fitted import C, PipelineFitted
from synthlift.generators.pipelines.opening import sized
from synthlift.generators.pipelines.wishes import Settings, Wish, in_whole_steps
from synthlift.types import ImageBatch, SampleRequest, UInt8


def variations(
    fitted: PipelineFitted[C], start: UInt8, requests: Sequence[SampleRequest], *, strength: float
) -> Iterator[ImageBatch]:
    """Images that start from a given one, uint8 [H, W, C] at the study's size.

    Args:
        fitted: whose pipeline, prompts and adapters are used.
        start: the image.
        requests: what is wanted; each has its own noise.
        strength: share of the image that is lost before it is drawn again, in (0, 1].

    Raises:
        InputError: as ``fitted.sample``, or the pipeline cannot start from an image.
    """
    yield from Variations(fitted, start, strength=strength).sample(requests)


class Variations(PipelineFitted[C]):
    """A fitted pipeline that starts from one given image; it shares the open models.

    Args:
        fitted: whose pipeline, prompts and adapters are used.
        start: the image, uint8 [H, W, C].
        strength: share of the image that is lost, in (0, 1].
    """

    def __init__(self, fitted: PipelineFitted[C], start: UInt8, *, strength: float) -> None:
        super().__init__(
            fitted._facts, fitted._config, adapter=fitted._adapter, device=fitted._device
        )
        self._pipelines, self._savings = fitted._pipelines, fitted._savings
        self._start, self._strength = start, strength

    @property
    def task(self) -> Task:
        """What the pipeline is opened for."""
        return "image_to_image"

    def _settings(self, request: SampleRequest) -> Settings:
        """As asked for, but so many steps that the strength is a share of them."""
        usual = super()._settings(request)
        steps, _ = in_whole_steps(usual.sampler_steps, strength=self._strength)
        return replace(usual, sampler_steps=steps)

    def _call(self, wishes: Sequence[Wish], settings: Settings, told: dict[str, Any]) -> Any:
        _, strength = in_whole_steps(settings.sampler_steps, strength=self._strength)
        height, width = size = self._native_size()
        images = [picture(self._start, (width, height))] * len(wishes)
        told = {**told, **sized(self._pipeline, size)}
        return self._pipeline(**told, image=images, strength=strength).images


def picture(pixels: UInt8, size: tuple[int, int]) -> Image.Image:
    """An RGB picture of an image uint8 [H, W, C], brought to width and height."""
    rgb = np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels
    return Image.fromarray(rgb).resize(size, Image.Resampling.LANCZOS)
