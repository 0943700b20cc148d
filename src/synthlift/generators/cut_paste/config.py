"""Settings of cut-and-paste. No torch here: descriptors and planners read it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from synthlift.registry import ComponentConfig, Origins

Range = tuple[float, float]


class CutPasteConfig(ComponentConfig):
    """Settings of kind ``cut_paste``; every range is drawn from evenly, for each image anew.

    Attributes:
        backgrounds: classes whose images are pasted onto; none = those of which no mask marks an
            object; where there is no such class, all images whose masks mark nothing, and the
            report warns of it.
        objects: how many objects of the wanted class an image gets, from and to.
        scale: of an object.
        rotation: in degrees.
        flip: whether objects are mirrored at random.
        gain: factor of an object's brightness.
        offset: grey levels added to an object.
        blur: standard deviation in pixels of a Gaussian over the object.
        noise: standard deviation in grey levels of noise over the object.
        blend: ``alpha`` lays the object on with a soft edge; ``poisson`` keeps its gradients and
            takes on the background's brightness (Pérez 2003, eq. 2); ``mixed`` keeps the stronger
            gradient of the two (eq. 12).
        feather: width in pixels of the soft edge.
        inside: least share of an object that lies within the image.
        apart: whether objects keep clear of each other, and of objects in the background.
        place: ``anywhere``, or ``as_seen`` = as far from where the object was as ``shift`` says.
        shift: largest shift as a share of the image's side, for ``as_seen``.
        tries: places that are tried; after that the image is drawn anew from another background.
    """

    backgrounds: tuple[str, ...] = ()
    objects: tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]] = (1, 1)
    scale: Range = (0.8, 1.25)
    rotation: Range = (0.0, 360.0)
    flip: bool = True
    gain: Range = (0.9, 1.1)
    offset: Range = (-8.0, 8.0)
    blur: Range = (0.0, 0.4)
    noise: Range = (0.0, 2.0)
    blend: Literal["alpha", "poisson", "mixed"] = "poisson"
    feather: float = Field(default=1.0, ge=0, le=32)
    inside: float = Field(default=1.0, gt=0, le=1)
    apart: bool = True
    place: Literal["anywhere", "as_seen"] = "anywhere"
    shift: float = Field(default=0.25, ge=0, le=1)
    tries: int = Field(default=20, ge=1, le=1000)

    @field_validator("objects", "scale", "rotation", "gain", "offset", "blur", "noise")
    @classmethod
    def _rising(cls, value: tuple[float, float]) -> tuple[float, float]:
        if value[0] > value[1]:
            raise ValueError(f"a range goes from its lower to its upper end: {list(value)}")
        return value

    @field_validator("scale", "gain")
    @classmethod
    def _positive(cls, value: Range) -> Range:
        if value[0] <= 0:
            raise ValueError(f"must be above 0: {list(value)}")
        return value

    @field_validator("blur", "noise")
    @classmethod
    def _not_negative(cls, value: Range) -> Range:
        if value[0] < 0:
            raise ValueError(f"must not be below 0: {list(value)}")
        return value

    def origins(self) -> Origins:
        """Backgrounds, and what is pasted, are those of training images."""
        return "part"


def allows_as_it_was(config: CutPasteConfig) -> bool:
    """Whether the ranges hold an object of its own size that is not turned."""
    low, high = config.rotation
    upright = any(low <= angle <= high for angle in (-360.0, 0.0, 360.0))
    return upright and config.scale[0] <= 1 <= config.scale[1]


def as_it_was(config: CutPasteConfig) -> CutPasteConfig:
    """The same, but objects keep their size and place."""
    still = {"scale": (1.0, 1.0), "rotation": (0.0, 0.0), "flip": False}
    return config.model_copy(update={**still, "place": "as_seen", "shift": 0.0, "tries": 1})
