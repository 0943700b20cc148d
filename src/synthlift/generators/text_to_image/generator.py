"""Images by any text-to-image pipeline of diffusers, from a local folder."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from synthlift.generators.adapting import adapted
from synthlift.generators.learning.compiling import require_compiler
from synthlift.generators.pipelines.abilities import Task
from synthlift.generators.pipelines.adapters import Adapter
from synthlift.generators.pipelines.fitted import PipelineFitted
from synthlift.generators.pipelines.in_parts import images_of
from synthlift.generators.pipelines.noting import foretold, noted, prompts_for, warned
from synthlift.generators.pipelines.opening import told_besides
from synthlift.generators.pipelines.together import with_measured_chunk
from synthlift.generators.pipelines.varying import variations
from synthlift.generators.pipelines.wishes import Settings, Wish
from synthlift.generators.text_to_image.config import TextToImageConfig
from synthlift.types import (
    FitInputs,
    Generator,
    ImageBatch,
    ImageSet,
    RunContext,
    SampleRequest,
    UInt8,
)


class TextToImageGenerator(Generator):
    """Prompts a pretrained pipeline, adapted to the training images where its settings say so."""

    def __init__(self, config: TextToImageConfig) -> None:
        self.config = config

    def fit(self, inputs: FitInputs, *, run: RunContext) -> TextToImageFitted:
        """Note classes, attribute values and how often they meet, and adapt the pipeline.

        Raises:
            InputError: no labelled image, or a placeholder that no attribute fills; the pipeline
                cannot be adapted as its settings say; ``compile`` is set, and nothing here can.
            SynthliftError: the loss of the adaptation is not finite.
        """
        if self.config.compile:
            require_compiler(run.device)
        facts = noted(self.config, inputs.train, seed=run.seed)
        prompts = TextToImageFitted(facts, device=run.device).every_prompt()
        facts, adapter = adapted(
            self.config, inputs, facts=warned(facts, self.config, prompts), run=run
        )
        fitted = TextToImageFitted(facts, adapter=adapter, device=run.device)
        return with_measured_chunk(fitted, run=run)

    def foretold(self, images: ImageSet) -> list[str]:
        """See :class:`~synthlift.generators.prompts.Foretells`."""
        return foretold(self.config, images)

    def prompts_for(self, images: ImageSet) -> Iterator[tuple[str, str]]:
        """See :class:`~synthlift.generators.prompts.KnowsPrompts`."""
        return prompts_for(self.config, images)

    def load(self, folder: Path, *, device: str = "cpu") -> TextToImageFitted:
        """Read what was noted; the pipeline is opened when images are asked for."""
        facts = json.loads((folder / TextToImageFitted.file).read_text("utf-8"))
        return TextToImageFitted(facts, adapter=Adapter.read(folder), device=device)


class TextToImageFitted(PipelineFitted[TextToImageConfig]):
    """A pipeline that draws what its prompts say.

    Args:
        facts: settings, classes, attribute values and how often they meet, JSON-able.
        adapter: what was learnt of the training images, if anything was.
        device: torch device string.
    """

    file = "text_to_image.json"

    def __init__(
        self, facts: Mapping[str, Any], *, adapter: Adapter | None = None, device: str = "cpu"
    ) -> None:
        config = TextToImageConfig.model_validate(facts["config"])
        super().__init__(facts, config, adapter=adapter, device=device)

    @property
    def task(self) -> Task:
        """What the pipeline is opened for."""
        return "text_to_image"

    def at_own_size(self) -> Self:
        """The same generator giving images in colour, at the size at which its pipeline draws."""
        other = copy.copy(self)
        other._facts = {**self._facts, "image_shape": [*self._native_size(), 3]}
        return other

    def vary(
        self, start: UInt8, requests: Sequence[SampleRequest], *, strength: float
    ) -> Iterator[ImageBatch]:
        """Change a given image as prompts say, see :class:`Variations`."""
        yield from variations(self, start, requests, strength=strength)

    def _call(self, wishes: Sequence[Wish], settings: Settings, told: dict[str, Any]) -> Any:
        del wishes
        steps = settings.sampler_steps
        further = told_besides(self._pipeline, asked=self._config.size, steps=steps)
        return images_of(self._pipeline, {**told, **further})
