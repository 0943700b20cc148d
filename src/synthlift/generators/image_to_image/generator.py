"""Training images changed by any pipeline of diffusers, from a local folder."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from PIL import Image

from synthlift.generators.adapting import adapted
from synthlift.generators.image_to_image.areas import Marked, repainted, shown
from synthlift.generators.image_to_image.config import ImageToImageConfig, Method
from synthlift.generators.image_to_image.edges import edges
from synthlift.generators.image_to_image.starting import StartingImages
from synthlift.generators.learning.compiling import require_compiler
from synthlift.generators.pipelines.abilities import Task
from synthlift.generators.pipelines.adapters import Adapter
from synthlift.generators.pipelines.beforehand import require_able
from synthlift.generators.pipelines.fitted import PipelineFitted
from synthlift.generators.pipelines.in_parts import cell_of
from synthlift.generators.pipelines.noting import foretold, noted, prompts_for, warned
from synthlift.generators.pipelines.opening import open_controlnet, sized
from synthlift.generators.pipelines.parameters import NUMBERS, WEAKEST
from synthlift.generators.pipelines.together import with_measured_chunk
from synthlift.generators.pipelines.varying import picture, variations
from synthlift.generators.pipelines.wishes import Settings, Wish, in_whole_steps
from synthlift.types import (
    FitInputs,
    Float32,
    ImageBatch,
    ImageSet,
    InputsGenerator,
    RunContext,
    SampleRequest,
    UInt8,
)

FILE = "image_to_image.json"
TASKS: dict[Method, Task] = {
    "variation": "image_to_image",
    "between_classes": "image_to_image",
    "inpainting": "inpainting",
    "control": "text_to_image",
}
SAID: dict[Method, str] = {
    "variation": "a variation of {name}, strength {strength:g}",
    "between_classes": "{name}, changed at strength {strength:g}",
    "inpainting": "{name}, its {repaint} repainted at strength {strength:g}",
    "control": "drawn along the {control_image} of {name}",
}


@dataclass(frozen=True)
class ChangeSettings(Settings):
    """With the share of the image that is lost before it is drawn again."""

    strength: float


class ImageToImageGenerator(InputsGenerator):
    """Prompts a pretrained pipeline that starts from training images."""

    def __init__(self, config: ImageToImageConfig) -> None:
        self.config = config

    def fit(self, inputs: FitInputs, *, run: RunContext) -> ImageToImageFitted:
        """Note classes, attribute values and how often they meet, and adapt the pipeline.

        Raises:
            InputError: no labelled image, a placeholder that no attribute fills, or no masks where
                the method needs them; the pipeline cannot be adapted as its settings say;
                ``compile`` is set, and nothing here can.
            SynthliftError: the loss of the adaptation is not finite.
        """
        if self.config.compile:
            require_compiler(run.device)
        facts = noted(self.config, inputs.train, seed=run.seed)
        prompts = ImageToImageFitted(inputs, facts, device=run.device).every_prompt()
        task = TASKS[self.config.method]
        facts = warned(facts, self.config, prompts, task=task)
        if self.config.adapt is not None:
            # It opens the pipeline for another task, and takes long.
            require_able(self.config, task=task, control=self.config.control_model)
        facts, adapter = adapted(self.config, inputs, facts=facts, run=run)
        fitted = ImageToImageFitted(inputs, facts, adapter=adapter, device=run.device)
        return with_measured_chunk(fitted, run=run)

    def foretold(self, images: ImageSet) -> list[str]:
        """See :class:`~synthlift.generators.prompts.Foretells`."""
        return foretold(self.config, images)

    def prompts_for(self, images: ImageSet) -> Iterator[tuple[str, str]]:
        """See :class:`~synthlift.generators.prompts.KnowsPrompts`."""
        return prompts_for(self.config, images)

    def reload(self, folder: Path, *, inputs: FitInputs, device: str = "cpu") -> ImageToImageFitted:
        """Read back what was noted; images and masks come with the inputs."""
        facts = json.loads((folder / FILE).read_text("utf-8"))
        return ImageToImageFitted(inputs, facts, adapter=Adapter.read(folder), device=device)


class ImageToImageFitted(PipelineFitted[ImageToImageConfig]):
    """A pipeline with the images that it starts from.

    Args:
        inputs: the training images, and masks where the method needs them.
        facts: settings, classes, attribute values and how often they meet, JSON-able.
        adapter: what was learnt of the training images, if anything was.
        device: torch device string.
    """

    file = FILE
    numbers: ClassVar[Mapping[str, tuple[float, float]]] = {**NUMBERS, "strength": (WEAKEST, 1)}

    def __init__(
        self,
        inputs: FitInputs,
        facts: Mapping[str, Any],
        *,
        adapter: Adapter | None = None,
        device: str = "cpu",
    ) -> None:
        config = ImageToImageConfig.model_validate(facts["config"])
        super().__init__(facts, config, adapter=adapter, device=device)
        self._starting = StartingImages(inputs, config, seed=facts["seed"])

    @property
    def task(self) -> Task:
        """What the pipeline is opened for."""
        return TASKS[self._config.method]

    def sample(self, requests: Sequence[SampleRequest]) -> Iterator[ImageBatch]:
        """See :class:`PipelineFitted`; a request may set ``strength``, too.

        It ends at the first request for which there is no image to start from.
        """
        for request in requests:
            self._vocabulary.require(request)
        able = [self.can_draw(request) for request in requests]
        yield from super().sample(requests[: (*able, False).index(False)])

    def vary(
        self, start: UInt8, requests: Sequence[SampleRequest], *, strength: float
    ) -> Iterator[ImageBatch]:
        """Change a given image as prompts say, whatever the method: see :class:`Variations`."""
        yield from variations(self, start, requests, strength=strength)

    def can_draw(self, request: SampleRequest) -> bool:
        """Whether there is an image to start from."""
        return self._starting.row(request) is not None

    def _row(self, request: SampleRequest) -> int:
        row = self._starting.row(request)
        assert row is not None, "requests without an image to start from are left out"
        return row

    def _settings(self, request: SampleRequest) -> ChangeSettings:
        usual, strength = super()._settings(request), self._starting.strength(request)
        steps = usual.sampler_steps
        if self._config.method != "control":  # which draws anew, in all steps
            steps, strength = in_whole_steps(steps, strength=strength)
        return ChangeSettings(usual.guidance_scale, steps, usual.adapter, usual.avoids, strength)

    def _strength(self, request: SampleRequest) -> float:
        """What share of its image is really lost."""
        return self._settings(request).strength

    def _companions(self, request: SampleRequest) -> dict[str, str]:
        own = self._starting.attributes(self._row(request))
        return {name: own[name] for name in self._vocabulary.attributes}

    def _origin(self, wish: Wish) -> str:
        config = self._config
        return SAID[config.method].format(
            name=self._starting.name(self._row(wish.request)),
            strength=float(f"{self._strength(wish.request):.3g}"),
            repaint=config.repaint,
            control_image=config.control_image,
        )

    def _soft_labels(self, wishes: Sequence[Wish]) -> Float32 | None:
        config = self._config
        if config.method != "between_classes" or not config.soft_labels:
            return None
        found = np.zeros((len(wishes), len(self._vocabulary.classes)), np.float32)
        for row, (request, *_) in enumerate(wishes):
            # Diff-Mix (Wang 2024).
            share = self._strength(request) ** config.label_exponent
            found[row, self._starting.label(self._row(request))] += 1 - share
            found[row, request.label] += share
        return found

    def _masks(self, wishes: Sequence[Wish]) -> UInt8 | None:
        if not self._config.wants_masks():
            return None
        return np.stack([self._starting.mask(self._row(wish.request)) for wish in wishes])

    def _call(self, wishes: Sequence[Wish], settings: Settings, told: dict[str, Any]) -> Any:
        assert isinstance(settings, ChangeSettings)
        config, (height, width) = self._config, self._native_size()
        told = {**told, **sized(self._pipeline, (height, width))}
        rows = [self._row(wish.request) for wish in wishes]
        images = [picture(self._starting.pixels(row), (width, height)) for row in rows]
        if config.method == "control":
            along = [self._control(row, (width, height)) for row in rows]
            scale = {"controlnet_conditioning_scale": config.control_scale}
            return self._pipeline(**told, **self._control_inputs(along), **scale).images
        told = {**told, "image": images, "strength": settings.strength}
        if config.method != "inpainting":
            return self._pipeline(**told).images
        cell = cell_of(self._pipeline)
        areas = [shown(self._area(row), (width, height), cell=cell) for row in rows]
        return self._pipeline(**told, mask_image=areas).images

    def _finished(self, pixels: UInt8, wish: Wish) -> UInt8:
        """What is not repainted stays exactly as it was, whatever the pipeline makes of it.

        That is said of the image at the study's size; the pipeline saw it at its own.
        """
        if self._config.method != "inpainting":
            return pixels
        row = self._row(wish.request)
        return np.where(self._area(row)[:, :, None], pixels, self._starting.pixels(row))

    def _keeps(self, drawn: UInt8) -> bool:
        # What was not repainted is exact at the study's size alone.
        return self._config.method != "inpainting" and super()._keeps(drawn)

    def _parts(self) -> dict[str, Any]:
        config = self._config
        if config.method != "control":
            return {}
        require_able(config, task=self.task, control=config.control_model)
        opened = open_controlnet(
            config.control_model, sha256=config.control_sha256, dtype=config.dtype
        )
        return {"controlnet": opened}

    def _area(self, row: int) -> Marked:
        """What is repainted, bool [H, W]."""
        config = self._config
        return repainted(self._starting.mask(row), repaint=config.repaint, margin=config.margin)

    def _control(self, row: int, size: tuple[int, int]) -> Image.Image:
        if self._config.control_image == "mask":
            return picture(self._starting.mask(row)[:, :, None], size)
        # At the pipeline's size, where a line is one pixel wide.
        large = np.asarray(picture(self._starting.pixels(row), size))
        return picture(edges(large)[:, :, None], size)

    def _control_inputs(self, along: list[Image.Image]) -> dict[str, Any]:
        # Stable Diffusion calls it "image", the pipelines of transformers "control_image".
        taken = inspect.signature(self._pipeline.__call__).parameters
        return {"control_image" if "control_image" in taken else "image": along}
