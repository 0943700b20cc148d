"""Where the packaged models lie. No torch here: settings and planners name them."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

EMBEDDED = "embedded"
"""What a study writes in place of a model's folder."""

Name = Literal["text_to_image", "clip"]


def embedded_model(name: Name) -> Path:
    """Folder of a packaged model.

    Args:
        name: ``text_to_image``, a pipeline in the format of diffusers, or ``clip``, a ``CLIPModel``
            with its tokenizer and processor in the format of transformers.
    """
    return Path(__file__).parent / name
