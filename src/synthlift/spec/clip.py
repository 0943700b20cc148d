"""The part ``clip:`` of a study file: the checkpoint that filters, metrics and classifiers use."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_validator

from synthlift.spec.data import Section

KIND = "clip"
"""The classifier whose settings begin from this section."""
TEMPLATES = ("a photo of a {label}",)


class Clip(Section):
    """A CLIP checkpoint; a path alone stands for ``{model: path}``.

    With it, image quality is told by CMMD as well, filter ``clip_score`` can be used, and
    classifier ``clip`` starts from it.

    Attributes:
        model: folder, or ``.safetensors`` file in it, as transformers or open_clip keep it; a name
            on the shelf, ``hf:OWNER/NAME``, or ``embedded`` for the small one of the package.
        templates: texts with ``{label}``; the embeddings of all are averaged for a class.
    """

    model: str = Field(min_length=1)
    templates: Annotated[
        tuple[str, ...],
        Field(min_length=1),
        BeforeValidator(lambda value: (value,) if isinstance(value, str) else value),
    ] = TEMPLATES

    @model_validator(mode="before")
    @classmethod
    def _path_alone(cls, value: Any) -> Any:
        return {"model": value} if isinstance(value, str) else value
