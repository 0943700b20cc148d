"""Settings of the image-to-image generator. No torch here: descriptors and planners read it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from synthlift.generators.pipelines.config import PipelineConfig
from synthlift.generators.pipelines.files import hash_part
from synthlift.generators.pipelines.parameters import WEAKEST
from synthlift.registry import OnePool, Origins
from synthlift.weights import locate

Method = Literal["variation", "between_classes", "inpainting", "control"]


def _several(value: Any) -> Any:
    return (value,) if isinstance(value, int | float) else value


Strength = Annotated[float, Field(ge=WEAKEST, le=1)]
Strengths = Annotated[tuple[Strength, ...], Field(min_length=1), BeforeValidator(_several)]
SUITED: dict[Method, tuple[float, ...]] = {
    "variation": (0.25, 0.5, 0.75),
    "between_classes": (0.5, 0.7, 0.9),
    "inpainting": (1.0,),
    "control": (1.0,),
}


OF_METHOD: dict[str, Method] = {
    "soft_labels": "between_classes",
    "label_exponent": "between_classes",
    "repaint": "inpainting",
    "margin": "inpainting",
    "control_image": "control",
    "control_scale": "control",
}
"""Settings of one method alone."""
SQUARE_ROOT = 0.5


class ImageToImageConfig(PipelineConfig):
    """Settings of kind ``image_to_image``: training images changed as a prompt says.

    Every training image that suits is started from equally often.

    Attributes:
        method: ``variation`` changes an image of the class itself (SDEdit, Meng 2022; as Real
            Guidance, He 2023, and DA-Fusion, Trabucco 2023, use it); ``between_classes`` turns an
            image of another class into the wanted one (Diff-Mix, Wang 2024); ``inpainting``
            repaints what a mask marks, or all around it; ``control`` draws anew along the edges or
            the mask of an image (ControlNet, Zhang 2023).
        strength: how much of an image is lost before it is drawn again, 0.01 to 1; of several,
            each is used equally often. auto is 0.25, 0.5 and 0.75 for variations, 0.5, 0.7 and 0.9
            between classes, else 1. A pipeline takes whole steps: where few are asked for, more are
            taken, and the share, within 0.05 of the strength, is what labels and provenance say.
        soft_labels: between classes, images count for both: for the wanted class with
            strength^label_exponent, for the other with the rest.
        label_exponent: see ``soft_labels``; below 1 the wanted class weighs more.
        repaint: with ``inpainting``, the masked ``object``, or the ``background`` around it.
        margin: with ``inpainting``, pixels by which what is repainted reaches beyond the mask's
            edge, at the study's size; from the background only so far that half the object stays.
        control_model: with ``control``, folder of a ControlNet that fits the pipeline.
        control_sha256: of its files; filled in, so that keys follow the content.
        control_image: with ``control``, what is drawn along: the image's ``edges``, or its
            ``mask``.
        control_scale: with ``control``, how strictly.
    """

    method: Method = "variation"
    strength: Strengths | Literal["auto"] = "auto"
    soft_labels: bool = True
    label_exponent: float = Field(default=SQUARE_ROOT, gt=0, le=10)
    repaint: Literal["object", "background"] = "object"
    margin: int = Field(default=1, ge=0, le=256)
    control_model: str = ""
    control_sha256: str = ""
    control_image: Literal["edges", "mask"] = "edges"
    control_scale: float = Field(default=1.0, ge=0, le=2)

    @model_validator(mode="before")
    @classmethod
    def _hash_control(cls, value: Any) -> Any:
        if not isinstance(value, dict) or not value.get("control_model"):
            return value
        if value.get("control_sha256"):
            return value
        found = hash_part(
            locate(value["control_model"]), what="ControlNet", setting="control_model"
        )
        return {**value, "control_sha256": found}

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.method == "control" and not self.control_model:
            raise ValueError("method: control needs control_model, the folder of a ControlNet")
        if self.control_model and self.method != "control":
            raise ValueError(f"control_model has no effect with method: {self.method}")
        if self.method == "control" and self.strength != "auto":
            raise ValueError(
                "strength has no effect with method: control, which draws anew; control_scale says "
                "how strictly it follows the image"
            )
        self._require_heeded()
        return self

    def _require_heeded(self) -> None:
        for name, method in OF_METHOD.items():
            usual = type(self).model_fields[name].default
            if self.method != method and getattr(self, name) != usual:
                raise ValueError(
                    f"{name} has no effect with method: {self.method}; it goes with method: "
                    f"{method}"
                )
        if not self.soft_labels and self.label_exponent != SQUARE_ROOT:
            raise ValueError("label_exponent has no effect with soft_labels: false")

    @property
    def shares_lost(self) -> tuple[float, ...]:
        """Strengths in use, ``auto`` resolved."""
        return SUITED[self.method] if self.strength == "auto" else self.strength

    def original_bytes(self, *, image_shape: tuple[int, int, int]) -> int:
        """See :class:`~synthlift.registry.ComponentConfig`; what is repainted in parts has none."""
        inner = super().original_bytes(image_shape=image_shape)
        return 0 if self.method == "inpainting" else inner

    def one_pool(self) -> OnePool:
        """Images start from those of a training set."""
        return "training set" if self.adapt is None else "no"

    def origins(self) -> Origins:
        """What is not repainted stays as it is, whatever the pipeline has learnt."""
        ways: dict[Method, Origins] = {"inpainting": "part", "control": "along"}
        return ways.get(self.method, "changed")

    def _weights_beside(self) -> tuple[Path, ...]:
        control = (locate(self.control_model),) if self.control_model else ()
        return (*super()._weights_beside(), *control)

    def heeds_sources(self) -> bool:
        """Between classes, images of other classes are started from."""
        return self.method != "between_classes"

    def wants_masks(self) -> bool:
        """Inpainting needs masks, and so does drawing along them."""
        along_mask = self.method == "control" and self.control_image == "mask"
        return self.method == "inpainting" or along_mask
