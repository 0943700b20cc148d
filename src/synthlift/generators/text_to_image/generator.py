"""Images by any text-to-image pipeline of diffusers, from a local folder."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from synthlift.generators.pipelines.fitted import PipelineFitted, Settings, Wish
from synthlift.generators.pipelines.noting import noted, warned
from synthlift.generators.pipelines.opening import Task
from synthlift.generators.text_to_image.config import TextToImageConfig
from synthlift.types import FitInputs, Generator, RunContext


class TextToImageGenerator(Generator):
    """Prompts a pretrained pipeline; nothing is learnt but which attributes go together."""

    def __init__(self, config: TextToImageConfig) -> None:
        self.config = config

    def fit(self, inputs: FitInputs, *, run: RunContext) -> TextToImageFitted:
        """Note classes, attribute values and how often they meet.

        Raises:
            InputError: no labelled image, or a placeholder that no attribute fills.
        """
        facts = noted(self.config, inputs.train, seed=run.seed)
        prompts = TextToImageFitted(facts, device=run.device).every_prompt()
        return TextToImageFitted(warned(facts, self.config, prompts), device=run.device)

    def load(self, folder: Path, *, device: str = "cpu") -> TextToImageFitted:
        """Read what was noted; the pipeline is opened when images are asked for."""
        facts = json.loads((folder / TextToImageFitted.file).read_text("utf-8"))
        return TextToImageFitted(facts, device=device)


class TextToImageFitted(PipelineFitted[TextToImageConfig]):
    """A pipeline that draws what its prompts say.

    Args:
        facts: settings, classes, attribute values and how often they meet, JSON-able.
        device: torch device string.
    """

    file = "text_to_image.json"

    def __init__(self, facts: Mapping[str, Any], *, device: str = "cpu") -> None:
        config = TextToImageConfig.model_validate(facts["config"])
        super().__init__(facts, config, device=device)

    @property
    def task(self) -> Task:
        """What the pipeline is opened for."""
        return "text_to_image"

    def _call(self, wishes: Sequence[Wish], settings: Settings, told: dict[str, Any]) -> Any:
        del wishes, settings
        size = self._config.size
        side = {} if size == "auto" else {"height": size, "width": size}
        return self._pipeline(**told, **side).images
