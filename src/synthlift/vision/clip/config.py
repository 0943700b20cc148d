"""Settings that name a CLIP checkpoint and put classes into words; imports no torch."""

from __future__ import annotations

import string
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from synthlift.registry import ComponentConfig
from synthlift.spec.clip import TEMPLATES
from synthlift.vision.clip.files import clip_place, hash_clip, read_architecture

Tuning = Literal["zero_shot", "linear_probe", "lora", "full"]
LABEL = "label"
LEARNING_RATES = {
    "zero_shot": 1.0,
    "linear_probe": 0.25,
    "lora": 0.1,
    "full": 0.01,
}
"""Of the automatic learning rate: a head alone bears more than weights that know much already."""


def _several(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


Templates = Annotated[tuple[str, ...], Field(min_length=1), BeforeValidator(_several)]


class ClipCheckpoint(ComponentConfig):
    """A CLIP checkpoint and the words for the classes.

    Attributes:
        model: folder, or ``.safetensors`` file in it, of a checkpoint of transformers or open_clip;
            a name on the shelf, ``hf:OWNER/NAME``, or ``embedded`` for the small one that comes
            with the package. By default that under ``clip``.
        text_model: folder with ``config.json`` and tokenizer of the text tower, where that is a
            model of transformers within one of open_clip and they do not lie in its folder. By
            default that under ``clip``.
        model_sha256: of its files; filled in, so that keys follow the content.
        architecture: of its image tower; filled in, so that a saved classifier opens without it.
        templates: texts with ``{label}``; the embeddings of all are averaged. By default those
            under ``clip``.
        names: class name → words for the text; by default those under ``data.names``.
    """

    model: str = ""
    text_model: str = ""
    model_sha256: str = ""
    architecture: dict[str, Any] = Field(default_factory=dict)
    templates: Templates = TEMPLATES
    names: dict[str, str] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _know_model(cls, value: Any) -> Any:
        if not isinstance(value, dict) or value.get("model_sha256"):
            return value
        if not value.get("model"):
            raise ValueError("no CLIP checkpoint is named; write clip: PATH in the study file")
        path = clip_place(value["model"])
        architecture = read_architecture(path)
        digest = hash_clip(path, text_model=value.get("text_model") or "")
        return {**value, "model_sha256": digest, "architecture": architecture}

    @field_validator("templates")
    @classmethod
    def _names_the_class(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for text in value:
            require_label(text)
        return value

    def texts(self, label: str) -> tuple[str, ...]:
        """Every template with the words for a class."""
        words = self.names.get(label, label.replace("_", " "))
        return tuple(text.format(label=words) for text in self.templates)


def require_label(text: str) -> None:
    """Refuse a template that does not name the class, or names something else.

    Raises:
        ValueError: in words for the user.
    """
    try:
        found = [one[1:] for one in string.Formatter().parse(text) if one[1] is not None]
    except ValueError as error:
        raise ValueError(f"the text '{text}': {error}") from None
    names = {str(name) for name, _, _ in found}
    if LABEL not in names:
        raise ValueError(f"the text '{text}' does not name the class; write {{label}} in it")
    if further := sorted(names - {LABEL}):
        raise ValueError(
            f"the text '{text}' has the placeholder '{{{further[0]}}}'; there is {{label}} alone"
        )
    if any(form or conversion for _, form, conversion in found):
        raise ValueError(f"the text '{text}' has a format behind {{label}}; write {{label}} alone")


class ClipConfig(ClipCheckpoint):
    """Settings of kind ``clip``.

    Attributes:
        tuning: what is trained: nothing (``zero_shot``), the head (``linear_probe``), low-rank
            matrices beside the queries, keys and values of the image tower and the head
            (``lora``), or everything (``full``). The head always begins as the classes' texts.
        rank: of those matrices.
        alpha: they are scaled by alpha / rank.
    """

    tuning: Tuning = "lora"
    rank: int = Field(default=8, ge=1, le=256)
    alpha: int = Field(default=16, ge=1)

    def learning_rate_factor(self) -> float:
        """See ``ComponentConfig``."""
        return LEARNING_RATES[self.tuning]

    def trains(self) -> bool:
        """See ``ComponentConfig``."""
        return self.tuning != "zero_shot"
