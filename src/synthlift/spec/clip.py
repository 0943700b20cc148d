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
        text_model: folder with ``config.json`` and tokenizer of the text tower, where that is a
            model of transformers within one of open_clip, as BiomedCLIP's is, and they do not lie
            in the checkpoint's folder; or as for ``model``.
        templates: texts with ``{label}``; the embeddings of all are averaged for a class.
    """

    model: str = Field(min_length=1)
    text_model: str = ""
    templates: Annotated[
        tuple[str, ...],
        Field(min_length=1),
        BeforeValidator(lambda value: (value,) if isinstance(value, str) else value),
    ] = TEMPLATES

    @model_validator(mode="before")
    @classmethod
    def _path_alone(cls, value: Any) -> Any:
        return {"model": value} if isinstance(value, str) else value
