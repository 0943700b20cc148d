"""Settings of the text-to-image generator. No torch here: descriptors and planners read it."""

from __future__ import annotations

from synthlift.generators.pipelines.config import PipelineConfig


class TextToImageConfig(PipelineConfig):
    """Settings of kind ``text_to_image``: a pipeline that draws what a prompt says."""

    def heeds_pixels(self) -> bool:
        """What is not adapted is told names and attributes alone."""
        return self.adapt is not None
