"""Settings of the text-to-image generator. No torch here: descriptors and planners read it."""

from __future__ import annotations

from synthlift.generators.pipelines.config import PipelineConfig
from synthlift.registry import Origins


class TextToImageConfig(PipelineConfig):
    """Settings of kind ``text_to_image``: a pipeline that draws what a prompt says."""

    def origins(self) -> Origins:
        """What is not adapted is told names and attributes alone."""
        return "elsewhere" if self.adapt is None else "learnt"
