"""The study file: every key, its default and its meaning."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from synthlift.errors import nearest_name
from synthlift.spec.arms import ArmSpec
from synthlift.spec.clip import KIND as CLIP
from synthlift.spec.clip import Clip
from synthlift.spec.data import Data, Section
from synthlift.spec.variants import spread

METRICS = (
    "balanced_accuracy",
    "accuracy",
    "macro_f1",
    "macro_precision",
    "macro_recall",
    "weighted_f1",
    "auroc",
    "average_precision",
)


_NAME = re.compile(r"\w(?:[\w .()+,=-]{0,58}[\w()+=-])?")
"""Of a component: one plain folder, and no ":" or "@", which part the names of arms."""


class Component(BaseModel):
    """A registered component by kind; further keys belong to its own Config."""

    model_config = ConfigDict(extra="allow", frozen=True)

    kind: str
    name: str = ""

    @field_validator("name")
    @classmethod
    def _plain(cls, value: str) -> str:
        """Names become folders and names of files: of the run, of exports, of images."""
        if value and not _NAME.fullmatch(value):
            raise ValueError(
                f"'{value}' names a folder of the run: write at most 60 letters, digits, blanks "
                "and . _ - + = , ( ), beginning with a letter or digit"
            )
        return value

    @model_validator(mode="before")
    @classmethod
    def _name_alone(cls, value: Any) -> Any:
        return {"kind": value} if isinstance(value, str) else value

    def settings(self) -> dict[str, Any]:
        """The keys meant for the component's Config."""
        return dict(self.model_extra or {})

    @property
    def title(self) -> str:
        """The name in the study; the kind when none is given."""
        return self.name or self.kind


NO_FILTERS = ("kept", "same_picture")
"""What counts of curated images say beside the names of filters."""


class FilterComponent(Component):
    """A filter or selector; further keys belong to its own Config.

    Attributes:
        kind: of the filter.
        name: in the study; empty = the kind.
        strength: settings under one name, from off to strong, for filters that have strengths;
            auto = chosen on validation; None = as the further keys say.
    """

    strength: Literal["off", "light", "medium", "strong", "auto"] | None = None

    @field_validator("name")
    @classmethod
    def _no_reason(cls, value: str) -> str:
        if value.casefold() in NO_FILTERS:
            raise ValueError(
                f"'{value}' is what counts of images say beside the names of filters; give the "
                "filter another name"
            )
        return value


AnyComponent = TypeVar("AnyComponent", bound=Component)


class Training(Section):
    """How classifiers are trained; equal for all arms.

    Attributes:
        steps: optimiser steps; auto is chosen from the data's size and recorded.
        batch_size: images per step, real and synthetic together.
        optimizer: adam (AdamW) or sgd (Nesterov 0.9).
        learning_rate: peak of the cosine schedule; auto = 4e-3 for adam, 0.05 for sgd, of which
            pretrained weights of timm get a tenth, and clip a quarter (linear_probe), a tenth
            (lora) or a hundredth (full).
        weight_decay: decoupled for adam.
        label_smoothing: in [0, 1).
        ema: decay of the averaged weights that are evaluated; 0 = off.
        flip: horizontal flips in augmentation; auto tests on train whether they keep the class.
        early_stopping: evaluate on validation and keep the best step (off by default).
        precision: of the layers in training; weights, the loss and evaluation stay in float32. With
            bfloat16 devices that compute in it are faster, others far slower.
    """

    steps: int | Literal["auto"] = "auto"
    batch_size: int = Field(default=64, ge=2)
    optimizer: Literal["adam", "sgd"] = "adam"
    learning_rate: float | Literal["auto"] = "auto"
    weight_decay: float = Field(default=1e-2, ge=0)
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    ema: float = Field(default=0.99, ge=0, lt=1)
    flip: Literal["auto", "yes", "no"] = "auto"
    early_stopping: bool = False
    precision: Literal["float32", "bfloat16"] = "float32"


class Primary(Section):
    """The one contrast that is declared before the run.

    Attributes:
        metric: what is compared.
        margin: the smallest difference worth having (0.01 = 1 point).
        generative, rival: names of arms; auto chooses as METHOD §3 says.
    """

    metric: str = "balanced_accuracy"
    margin: float = Field(default=0.01, gt=0, lt=1)
    generative: str = "auto"
    rival: str = "auto"

    @field_validator("metric")
    @classmethod
    def _metric(cls, value: str) -> str:
        if value not in METRICS:
            raise ValueError(
                f"unknown metric '{value}'{nearest_name(value, METRICS)}; "
                f"known: {', '.join(METRICS)}"
            )
        return value


DEFAULT_ARMS: tuple[Any, ...] = (
    "real",
    "augmented",
    "class_balanced",
    "logit_adjusted",
    "effective_number",
    "targeted_duplication",
    {"kind": "mixed", "multiples": [1]},
    {"kind": "targeted", "multiples": [1, 2]},
    "uniform_fraction",
    "synthetic_only",
    "pretrain_finetune",
    "batch_share",
)


class Study(Section):
    """One question on one data set.

    Attributes:
        name: names the run folder.
        data: where the images are and how they are split.
        generators: components of group ``generators``; the first is the default. One with
            ``variants`` (name → settings that differ, or prompts) stands for several, called
            NAME-VARIANT.
        curation: components of group ``filters``, applied in order, each with settings or a
            ``strength``.
        arms: what is compared: names of presets, or each with its own settings.
        classifier: a component of group ``classifiers``; kind ``clip`` starts from ``clip`` where
            it names no checkpoint of its own.
        clip: a CLIP checkpoint for image quality (CMMD), filter ``clip_score`` and classifier
            ``clip``: the path of a folder, or its settings.
        training: equal for all arms.
        replicates: paired repetitions in designs A and B; in C there are folds × repeats. A
            verdict needs at least 10.
        generator_fits: fits per training set in design A (≥ 5 for a verdict).
        selection: where recipes and multiples are chosen: on validation, in three folds of the
            training set, or not at all; auto follows METHOD §2.
        primary: the declared contrast.
        budget: time that the run may take, such as 90s, 30m or 2h; None = as long as it takes.
        seed: everything random derives from it.
        plugins: Python files that register further components.
    """

    name: str = Field(default="study", pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._-]{0,79}$")
    data: Data = Data()
    generators: tuple[Component, ...] = (Component(kind="flow"),)
    curation: tuple[FilterComponent, ...] = (
        FilterComponent(kind="exact_duplicates"),
        FilterComponent(kind="near_copies"),
        FilterComponent(kind="class_agreement"),
    )
    arms: tuple[ArmSpec, ...] = Field(
        default=tuple(ArmSpec.model_validate(a) for a in DEFAULT_ARMS), min_length=1
    )
    classifier: Component = Component(kind="small_cnn")
    clip: Clip | None = None
    training: Training = Training()
    replicates: int = Field(default=10, ge=1, le=1000)
    generator_fits: int = Field(default=5, ge=1)
    selection: Literal["auto", "validation", "cross_selection", "predeclared"] = "auto"
    primary: Primary = Primary()
    budget: str | None = Field(default=None, pattern=r"^\s*\d+(\.\d+)?\s*[smh]\s*$")
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    plugins: tuple[str, ...] = ()

    @field_validator("generators", mode="before")
    @classmethod
    def _with_variants(cls, value: Any) -> Any:
        if not isinstance(value, list | tuple):
            return value
        return tuple(one for given in value for one in spread(given))

    @field_validator("generators", "curation")
    @classmethod
    def _unique(cls, value: tuple[AnyComponent, ...]) -> tuple[AnyComponent, ...]:
        titles = [c.title for c in value]
        for title in titles:
            if titles.count(title) > 1:
                raise ValueError(f"the name '{title}' is given twice; give each entry a 'name'")
        return value

    @model_validator(mode="after")
    def _clip_once(self) -> Study:
        """One place names the checkpoint, its templates and the words for classes."""
        if self.classifier.kind != CLIP:
            return self
        shared = {} if self.clip is None else self.clip.model_dump(mode="json")
        if "model" in self.classifier.settings():
            shared.pop("text_model", None)  # It belongs to the checkpoint that it is named beside.
        if self.data.names:
            shared["names"] = self.data.names
        # Frozen: the only field that others decide is set once, here.
        told = Component.model_validate({**shared, **self.classifier.model_dump()})
        object.__setattr__(self, "classifier", told)
        return self
