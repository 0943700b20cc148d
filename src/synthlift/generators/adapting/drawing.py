"""Images of the pipeline as it is in memory while it is adapted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from synthlift.generators.pipelines.abilities import Task
from synthlift.generators.pipelines.config import PipelineConfig
from synthlift.generators.pipelines.fitted import PipelineFitted
from synthlift.generators.pipelines.in_parts import images_of
from synthlift.generators.pipelines.opening import told_besides
from synthlift.generators.pipelines.wishes import (
    Drawn,
    Settings,
    Sheet,
    Wish,
    drawn_anew,
    is_black,
)
from synthlift.types import SampleRequest


class PromptedDraws(PipelineFitted[PipelineConfig]):
    """Draws from words with a pipeline that is given, whatever it wears.

    Args:
        facts: settings, classes, attribute values and how often they meet, JSON-able.
        config: the settings among them.
        pipeline: makes images from text.
    """

    file = "prompted.json"

    def __init__(self, facts: Mapping[str, Any], config: PipelineConfig, pipeline: Any) -> None:
        super().__init__(facts, config)
        self._opened = pipeline

    @property
    def task(self) -> Task:
        """What the pipeline was opened for."""
        return "text_to_image"

    @property
    def _pipeline(self) -> Any:
        return self._opened

    def _let_act(self, adapter: str) -> None:
        del adapter

    def _call(self, wishes: Sequence[Wish], settings: Settings, told: dict[str, Any]) -> Any:
        del wishes
        steps = settings.sampler_steps
        further = told_besides(self._pipeline, asked=self._config.size, steps=steps)
        return images_of(self._pipeline, {**told, **further})

    def images(self, prompts: Sequence[str], *, seeds: Sequence[int]) -> list[Drawn]:
        """Images [H, W, 3] in [0, 1] at the pipeline's size, at most ``micro_batch``.

        What comes out black is drawn anew, as where images are sampled.
        """
        config = self._config
        wishes = [
            Wish(SampleRequest(index=i, label=0, seed=seed), prompt, config.negative_prompt, seed)
            for i, (prompt, seed) in enumerate(zip(prompts, seeds, strict=True))
        ]
        avoids = bool(config.negative_prompt)
        settings = Settings(config.guidance_scale, config.sampler_steps, "", avoids)

        def draw(some: Sequence[Wish]) -> Sheet:
            drawn = self._drawn(some, settings)
            return Sheet(drawn, is_black(drawn))

        return drawn_anew(wishes, draw, origins=[""] * len(wishes))
