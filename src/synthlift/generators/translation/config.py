"""Settings of translation. No torch here: descriptors and planners read it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from synthlift.errors import InputError
from synthlift.generators.sizes import tiny
from synthlift.registry import ComponentConfig, Descriptor, descriptor

SOURCE = "source"
"""The name under which source images are found."""
MASKS = "masks"
"""In place of a source: the masks beside the training images."""
IDENTITY = "identity"
UNFIT = frozenset({"inputs", "stock", "masks"})
"""Needs of generators that cannot be fitted on masks alone."""
MAPPED = ("metadata", "label", "classes")
"""What describes a folder or table, and says nothing about masks."""


class TranslationConfig(ComponentConfig):
    """Settings of kind ``translation``.

    Attributes:
        source: images to translate: a folder with one sub-folder a class, a table of paths, or any
            other source that ``data.source`` takes; or ``masks`` = those beside the training
            images (write ``./masks`` for a folder of that name).
        metadata, label: as under ``data``.
        classes: class name there → ours, "" to leave a class out; names that are equal need no
            entry.
        masks: with ``source: masks``, a generator of new masks, such as ``{kind: vae}`` with its
            own settings: it is fitted on the masks of the training images, and what it draws is
            translated. Without it the training images' own masks are, changed.
        pairing: ``none`` = the source shows other things than the training images do (contrastive
            translation, Park 2020); ``name`` = a source image belongs to the training image of the
            same class and name, whatever the ending (Isola 2017). Masks are always paired.
        variations: images made of each source image. The first is of the image as it is, unless
            it belongs to a training image; further ones of the image changed a little. auto is 1
            without pairs, else 10.
        change: how far a source image is changed: 1 = shifted by up to 1/8 of its size, turned by
            up to 10 degrees, scaled by up to 10 %.
        flip: whether it is mirrored at random, too; for classes that a mirror does not change.
        reserved: share of each class's source images that stays out of training sets and is
            tested on in the table of both directions.
        steps: optimiser steps of each network; auto is chosen from the number of images.
        batch_size: training examples per step; auto is 32 for tiny images, else 16.
        learning_rate: peak of a schedule with a short rise and a cosine fall to zero.
        gradient_penalty: weight of the penalties on real and generated images at the start, as in
            kind ``gan``; auto is 3 for tiny images, else 0.05.
        contrast: weight of the contrastive loss, without pairs: each place of a translated image
            is to tell from which place of its source it came. Higher keeps more of the source; far
            above the default it drowns the look of the training images. auto is 0.05 for tiny
            images, else 0.3.
        fidelity: weight of the mean absolute difference from the partner, with pairs.
        width: channels of the translator of tiny images at its finest level; of others, half of
            those at the coarsest. auto goes by size.
        depth: residual blocks per level; for images that are not tiny, a third of those at the
            coarsest.
        class_balance: as in kind ``gan``.
        augmentation: as in kind ``gan``.
        least_diversity: without pairs, as in kind ``gan``: below it images have become alike.
        ema: horizon of the averaged weights as a share of all steps.
        micro_batch: images computed together when sampling; fixed, so that pixels never depend
            on how requests are batched. ``measured`` as in kind ``flow``.
        readings: how often translated images are looked at, by the training monitor and against
            validation pairs; 0 = never.
        monitor_images: images per reading; without pairs more where classes are many, as in kind
            ``gan``.
        checkpoint_seconds: time between check-points from which a killed fit goes on.
        terms: what the source allows, such as CC BY 4.0; for the data card of an export.
        redistribute: whether what is made of it may be passed on.
    """

    source: str
    metadata: str | None = None
    label: str | None = None
    classes: dict[str, str] = Field(default_factory=dict)
    masks: dict[str, Any] | None = None
    pairing: Literal["none", "name"] = "none"
    variations: Annotated[int, Field(ge=1, le=1000)] | Literal["auto"] = "auto"
    change: float = Field(default=0.5, ge=0, le=1)
    flip: bool = False
    reserved: float = Field(default=0.1, ge=0, le=0.5)
    steps: Annotated[int, Field(ge=1)] | Literal["auto"] = "auto"
    batch_size: Annotated[int, Field(ge=1)] | Literal["auto"] = "auto"
    learning_rate: float = Field(default=1e-3, gt=0)
    gradient_penalty: Annotated[float, Field(gt=0)] | Literal["auto"] = "auto"
    contrast: Annotated[float, Field(ge=0)] | Literal["auto"] = "auto"
    fidelity: float = Field(default=10.0, ge=0)
    width: Annotated[int, Field(ge=8)] | Literal["auto"] = "auto"
    depth: int = Field(default=1, ge=1)
    class_balance: float = Field(default=0.25, ge=0, le=1)
    augmentation: float = Field(default=0.8, ge=0, le=0.95)
    least_diversity: float = Field(default=0.3, ge=0, lt=1)
    ema: float = Field(default=0.1, gt=0, le=1)
    micro_batch: Annotated[int, Field(ge=1, le=1024)] | Literal["measured"] = 32
    readings: int = Field(default=10, ge=0)
    monitor_images: int = Field(default=128, ge=1)
    checkpoint_seconds: float = Field(default=20.0, gt=0)
    terms: str | None = None
    redistribute: Literal["yes", "no", "unknown"] = "unknown"

    @field_validator("masks")
    @classmethod
    def _with_defaults(cls, value: dict[str, Any] | None) -> dict[str, Any] | None:
        """All settings, and the identity of what draws: both take part in keys."""
        if value is None:
            return None
        try:
            found, config = mask_component(value)
        except InputError as error:
            raise ValueError(f"{error.given}. {error.rule}. {error.remedy}") from None
        kind = {"kind": found.kind, IDENTITY: found.identity()}
        return {**kind, **config.model_dump(mode="json")}

    def shortened(self, steps: int) -> Mapping[str, Any]:
        """As few steps for what draws masks, too."""
        short = super().shortened(steps)
        if self.masks is None:
            return short
        _, config = mask_component(self.masks)
        return {**short, "masks": {**self.masks, **config.shortened(steps)}}

    @model_validator(mode="after")
    def _new_masks_are_translated(self) -> TranslationConfig:
        if self.masks is not None and self.source != MASKS:
            raise ValueError("'masks' names what draws new masks: it needs source: masks")
        return self

    @model_validator(mode="after")
    def _masks_are_the_training_images_own(self) -> TranslationConfig:
        if self.source == MASKS:
            for name in MAPPED:
                if getattr(self, name):
                    raise ValueError(
                        f"'{name}' describes a folder or table: masks have the classes of their "
                        "images. Leave it out, or write ./masks for a folder of that name"
                    )
        return self

    @model_validator(mode="after")
    def _no_image_twice(self) -> TranslationConfig:
        several = self.paired or self.variations not in ("auto", 1)
        if several and self.change == 0 and not self.flip:
            raise ValueError(
                "change: 0 without flip makes the same image again: raise 'change', or set "
                "variations: 1 without pairs"
            )
        return self

    @property
    def paired(self) -> bool:
        """Whether there is a partner to come close to."""
        return self.pairing == "name" or self.source == MASKS

    def wants_masks(self) -> bool:
        """Whether masks are the source."""
        return self.source == MASKS

    def pools(self) -> Mapping[str, Mapping[str, Any]]:
        """The source, unless masks are it."""
        if self.source == MASKS:
            return {}
        return {SOURCE: self.model_dump(include={"source", *MAPPED})}

    def automatic_steps(self, *, examples: int, image_shape: tuple[int, int, int]) -> int | None:
        """Steps for this many images; what a planner cuts to a budget."""
        steps = settle(self, examples=examples, image_shape=image_shape).steps
        return None if steps == "auto" else steps

    def monitored_images(self, *, examples: int, image_shape: tuple[int, int, int]) -> int:
        """Images translated while training, for the monitor; too few of more than 16 classes."""
        del examples, image_shape
        return self.readings * self.monitor_images


def mask_component(given: Mapping[str, Any]) -> tuple[Descriptor, ComponentConfig]:
    """The generator of masks that ``masks`` names, and its settings.

    Raises:
        InputError: it names no kind or an unknown one, one that cannot be fitted on images alone,
            or a wrong setting.
    """
    rule = "masks are drawn by a generator that learns from labelled images, such as vae or flow"
    if not given.get("kind"):
        raise InputError(
            "'masks' without a kind", rule=rule, remedy="write it like masks: {kind: vae}"
        )
    found = descriptor("generators", str(given["kind"]))
    if found.needs & UNFIT or "labels" not in found.conditions:
        raise InputError(f"'masks' of kind '{found.kind}'", rule=rule, remedy="name another kind")
    settings = {key: value for key, value in given.items() if key not in ("kind", IDENTITY)}
    try:
        return found, found.config.model_validate(settings)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise InputError(
            f"'{key}' under 'masks': {first['msg']}",
            rule=f"'{found.kind}' takes: {', '.join(found.config.model_fields)}",
            remedy="correct the entry",
        ) from None


def settle(
    config: TranslationConfig, *, examples: int, image_shape: tuple[int, int, int]
) -> TranslationConfig:
    """Replace every ``auto`` by what suits the data.

    Args:
        config: the settings.
        examples: number of training images.
        image_shape: height, width, channels.
    """
    small = tiny(image_shape)
    suited = {
        "variations": 10 if config.paired else 1,
        "steps": int(min(3000, max(600 if small else 1500, examples))),
        "batch_size": 32 if small else 16,
        "gradient_penalty": 3.0 if small else 0.05,
        "contrast": 0.05 if small else 0.3,
        "width": 16 if small else 32,
    }
    chosen = {name: value for name, value in suited.items() if getattr(config, name) == "auto"}
    return config.model_copy(update=chosen)
