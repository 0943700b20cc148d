"""Arms: data × recipe as one flat record, and the familiar names that are presets of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from synthlift.errors import InputError, nearest_name
from synthlift.spec.targets import ALL, LARGEST, Target

Role = Literal["rival", "generative", "control"]
Base = Literal["plain", "best_rival"]
Loss = Literal["cross_entropy", "logit_adjusted", "effective_number"]
Sampler = Literal["uniform", "class_balanced"]
Augmentation = Literal["none", "light", "medium", "strong", "tuned"]
Regime = Literal[
    "joint",
    "synthetic_only",
    "pretrain_finetune",
    "batch_share",
    "feature_smote",
    "feature_mixup",
]
Posing = Literal["resampled", "fresh", "shuffled"]
Tuning = Literal["zero_shot", "linear_probe", "lora", "full"]


class Recipe(BaseModel):
    """How one classifier is trained; every field takes part in the model's key.

    Attributes:
        augmentation: ``tuned`` becomes light, medium or strong, as validation says (medium where
            nothing is selected); equal for all arms.
        loss: cross entropy, logit-adjusted (Menon 2021), or weighted by effective numbers (Cui
            2019).
        sampler: images as they come, or classes equally often.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    augmentation: Augmentation = "none"
    loss: Loss = "cross_entropy"
    sampler: Sampler = "uniform"


class Arm(BaseModel):
    """One resolved arm.

    Attributes:
        name: unique in the study, e.g. ``targeted@2+rival``.
        role: rivals spend the effort otherwise, generative arms use synthetic images, controls
            explain a difference.
        base: where ``recipe`` comes from; with ``best_rival`` it is filled in after selection.
        recipe: augmentation, loss and sampler.
        duplicate: real images are repeated up to the largest class (no synthetic images).
        generator: name of the generator, or None.
        target: which classes or cells receive synthetic images.
        multiple: synthetic images kept per real one (see METHOD §1), ≥ 0.
        spread_evenly: the uniform-fraction control: the target's total, spread in proportion.
        regime: the order in which real and synthetic images are used; ``feature_smote`` and
            ``feature_mixup`` train the head last, on points between the features of real images.
        synthetic_share: share of synthetic images in each batch (``batch_share`` only).
        curated: whether rejected images are left out.
        without: name of the one filter whose rejections are kept in; "" = none.
        retrieved: the images are real ones from the unlabelled pool, not synthetic ones.
        tuning: what is trained of a pretrained classifier, instead of what the study's says.
        posing: None, or a control without generator whose answer is known: training images
            ``resampled``, ``fresh`` real images of the pool, or fresh ones with ``shuffled``
            labels pose as synthetic ones.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    role: Role
    base: Base = "plain"
    recipe: Recipe = Recipe()
    duplicate: bool = False
    generator: str | None = None
    target: Target = ALL
    multiple: float = Field(default=0.0, ge=0)
    spread_evenly: bool = False
    regime: Regime = "joint"
    synthetic_share: float | None = Field(default=None, gt=0, lt=1)
    curated: bool = True
    without: str = ""
    retrieved: bool = False
    tuning: Tuning | None = None
    posing: Posing | None = None

    @property
    def uses_synthetic(self) -> bool:
        """Whether the arm trains on generated images, or on some that pose as such."""
        return self.multiple > 0 and (self.generator is not None or self.posing is not None)

    @property
    def in_feature_space(self) -> bool:
        """Whether the head is trained alone, on points between features."""
        return self.regime in ("feature_smote", "feature_mixup")

    @property
    def synthetic_multiple(self) -> float:
        """The multiple, of synthetic images alone."""
        return self.multiple if self.uses_synthetic else 0.0


Multiple = Annotated[float, Field(gt=0, le=100)]

RIVALS: dict[str, dict[str, Any]] = {
    "real": {},
    "augmented": {"recipe": {"augmentation": "tuned"}},
    "class_balanced": {"recipe": {"augmentation": "tuned", "sampler": "class_balanced"}},
    "logit_adjusted": {"recipe": {"augmentation": "tuned", "loss": "logit_adjusted"}},
    "effective_number": {"recipe": {"augmentation": "tuned", "loss": "effective_number"}},
    "targeted_duplication": {"recipe": {"augmentation": "tuned"}, "duplicate": True},
    "feature_smote": {"recipe": {"augmentation": "tuned"}, "regime": "feature_smote"},
    "feature_mixup": {"recipe": {"augmentation": "tuned"}, "regime": "feature_mixup"},
    "retrieval": {"recipe": {"augmentation": "tuned"}, "retrieved": True},
}
GENERATIVE: dict[str, dict[str, Any]] = {
    "mixed": {"recipes": ["plain", "best_rival"]},
    "targeted": {"recipes": ["plain", "best_rival"], "target": LARGEST},
    "uniform_fraction": {"recipes": ["best_rival"], "target": LARGEST},
    "synthetic_only": {"recipes": ["plain"]},
    "pretrain_finetune": {"recipes": ["best_rival"]},
    "batch_share": {"recipes": ["best_rival"]},
}


def arm_labels(generators: Mapping[str, str]) -> dict[str, str]:
    """What people read instead of the names of arms: where there are several generators, whose.

    Names themselves leave out the study's first generator, and stay so: results, decisions and
    the store go by them.

    Args:
        generators: name of an arm → its generator; "" = none.
    """
    several = len({generator for generator in generators.values() if generator}) > 1

    def label(name: str, generator: str) -> str:
        # What stands for the choices of folds has no multiple, and no generator of its own.
        plain = not generator or "@" not in name or name.startswith(f"{generator}:")
        return name if plain or not several else f"{generator}:{name}"

    return {name: label(name, generator) for name, generator in generators.items()}


EVERY = "every"
"""Instead of a generator's name: an arm for each of them."""


class ArmSpec(BaseModel):
    """One entry of ``arms:`` in a study file; a bare name stands for ``{kind: name}``.

    Attributes:
        kind: a preset's name.
        generator: which generator; the study's first when left out, and with ``every`` an arm for
            each of them.
        multiples: multiples of METHOD §1, each > 0; smaller sets are nested in larger ones; of
            ``retrieval``, retrieved images per real one.
        target: all classes, or fill towards the largest or the median class; or cells, such as
            ``{cells: [label, sex], fill_to: median}``; or spread by ``validation_error`` or
            ``hard_cases``.
        recipes: plain, best_rival or both.
        augmentation: a strength of this rival's own instead of the tuned one.
        synthetic_share: share of each batch (``batch_share`` only).
        curated: False keeps rejected images in.
        ablation: adds a control for each filter of ``curation``, in which the images that it alone
            rejects are kept in, and one without any filter (``mixed`` and ``targeted`` only).
        tuning: what this arm trains of a pretrained classifier (``clip``), instead of what its
            setting of that name says; ``zero_shot`` belongs to arm ``real`` only.
        posing: a control whose answer is known, see ``Arm`` (``mixed`` and ``targeted`` only).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: str
    generator: str | None = None
    multiples: tuple[Multiple, ...] | None = None
    target: Target | None = None
    recipes: tuple[Base, ...] | None = None
    augmentation: Augmentation | None = None
    synthetic_share: float | None = Field(default=None, gt=0, lt=1)
    curated: bool = True
    ablation: bool = False
    tuning: Tuning | None = None
    posing: Posing | None = None

    @model_validator(mode="before")
    @classmethod
    def _name_alone(cls, value: Any) -> Any:
        return {"kind": value} if isinstance(value, str) else value

    @field_validator("kind")
    @classmethod
    def _known(cls, value: str) -> str:
        known = [*RIVALS, *GENERATIVE]
        if value not in known:
            raise ValueError(
                f"unknown arm '{value}'{nearest_name(value, known)}; known: {', '.join(known)}"
            )
        return value

    @model_validator(mode="after")
    def _fits(self) -> ArmSpec:
        if self.kind == "retrieval":
            self._retrieves()
        elif self.kind in RIVALS and (self.multiples or self.generator or self.target):
            raise ValueError(
                f"arm '{self.kind}' uses no synthetic images: "
                "'generator', 'multiples' and 'target' have no effect on it; remove them"
            )
        if self.posing is not None and self.kind not in ("mixed", "targeted"):
            raise ValueError("'posing' belongs to arms 'mixed' and 'targeted' only")
        if self.ablation and (self.posing or self.kind not in ("mixed", "targeted")):
            raise ValueError("'ablation' belongs to arms 'mixed' and 'targeted' with a generator")
        if self.ablation and not self.curated:
            raise ValueError("'ablation' leaves filters out one by one: remove 'curated: false'")
        if self.posing is not None and self.target is not None and self.target.attributes:
            raise ValueError("'posing' images have a class only: give a target without attributes")
        if self.tuning == "zero_shot" and self.kind != "real":
            raise ValueError(
                "'zero_shot' trains nothing, so that images and recipes have no effect: give it to "
                "arm 'real'"
            )
        if self.synthetic_share is not None and self.kind != "batch_share":
            raise ValueError("'synthetic_share' belongs to arm 'batch_share' only")
        return self

    def _retrieves(self) -> None:
        if self.generator or self.recipes or not self.curated:
            raise ValueError(
                "arm 'retrieval' takes real images from the unlabelled pool: 'generator', "
                "'recipes' and 'curated' have no effect on it; remove them"
            )
        if self.target is not None and (self.target.attributes or self.target.by):
            raise ValueError(
                "retrieved images have a class only: give 'retrieval' a target without attributes "
                "and errors, such as fill_to_largest"
            )


def expand_arms(
    specs: Sequence[ArmSpec], *, generators: Sequence[str], filters: Sequence[str] = ()
) -> tuple[Arm, ...]:
    """Turn the study's entries into arms, in order, one per multiple and recipe.

    Args:
        specs: the entries.
        generators: names of the study's generators, the default first.
        filters: names of the study's curation, in order.

    Raises:
        InputError: two entries give the same arm, or a generator is unknown or missing.
    """
    arms: list[Arm] = []
    for spec in specs:
        for one in _for_each_generator(spec, generators):
            found = _rival(one) if one.kind in RIVALS else _generative(one, generators)
            arms.extend(found)
            if one.ablation:
                arms.extend(_ablated(arm, name) for arm in found for name in (*filters, ""))
    names = [arm.name for arm in arms]
    for name in names:
        if names.count(name) > 1:
            raise InputError(
                f"arm '{name}' is given twice",
                rule="every arm of a study is unique",
                remedy="remove one of the entries under 'arms:'",
            )
    return tuple(arms)


def _for_each_generator(spec: ArmSpec, generators: Sequence[str]) -> list[ArmSpec]:
    if spec.generator != EVERY or EVERY in generators or not generators:
        return [spec]
    return [spec.model_copy(update={"generator": name}) for name in generators]


def _rival(spec: ArmSpec) -> list[Arm]:
    preset = {**RIVALS[spec.kind]}
    name = spec.kind
    if spec.augmentation is not None:
        preset["recipe"] = {**preset.get("recipe", {}), "augmentation": spec.augmentation}
        name = f"{spec.kind}-{spec.augmentation}"
    if spec.tuning is not None:
        preset["tuning"], name = spec.tuning, f"{name}-{spec.tuning}"
    if spec.kind != "retrieval":
        return [Arm(name=name, role="rival", **preset)]
    target = spec.target or ALL
    name += "" if target == ALL else f"-{target.title}"
    return [
        Arm(name=f"{name}@{m:g}", role="rival", multiple=m, target=target, **preset)
        for m in spec.multiples or (1.0,)
    ]


def _generative(spec: ArmSpec, generators: Sequence[str]) -> list[Arm]:
    generator = None if spec.posing else _generator(spec, generators)
    preset = GENERATIVE[spec.kind]
    prefix = _prefix(spec, generator, generators, preset.get("target", ALL))
    return [
        Arm(
            name=f"{prefix}@{multiple:g}" + ("+rival" if base == "best_rival" else ""),
            role="control" if spec.kind == "uniform_fraction" else "generative",
            base=base,
            generator=generator,
            target=spec.target or preset.get("target", ALL),
            multiple=multiple,
            spread_evenly=spec.kind == "uniform_fraction",
            regime=_REGIMES.get(spec.kind, "joint"),
            synthetic_share=_share(spec),
            curated=spec.curated,
            tuning=spec.tuning,
            posing=spec.posing,
        )
        for multiple in spec.multiples or (1.0,)
        for base in spec.recipes or tuple(preset["recipes"])
    ]


def _ablated(arm: Arm, name: str) -> Arm:
    """The arm without one filter, or without any: a control, since it is chosen by nobody."""
    prefix, _, rest = arm.name.partition("@")
    told = f"without_{name}" if name else "uncurated"
    changes = {"name": f"{prefix}-{told}@{rest}", "role": "control", "without": name}
    return arm.model_copy(update={**changes, "curated": bool(name)})


def _generator(spec: ArmSpec, generators: Sequence[str]) -> str:
    generator = spec.generator or (generators[0] if generators else "")
    if generator not in generators:
        raise InputError(
            f"arm '{spec.kind}' wants generator '{generator}'"
            + nearest_name(generator, generators),
            rule=f"generators of this study: {', '.join(generators) or 'none'}",
            remedy="name one of them, or add it under 'generators:'",
        )
    return generator


def _prefix(
    spec: ArmSpec, generator: str | None, generators: Sequence[str], usual_target: Target
) -> str:
    prefix = spec.posing or ("" if generator == generators[0] else str(generator))
    prefix = f"{prefix}:{spec.kind}" if prefix else spec.kind
    if spec.target is not None and spec.target != usual_target:
        prefix += f"-{spec.target.title}"
    if spec.tuning is not None:
        prefix += f"-{spec.tuning}"
    return prefix if spec.curated else f"{prefix}-uncurated"


_REGIMES: dict[str, Regime] = {
    "synthetic_only": "synthetic_only",
    "pretrain_finetune": "pretrain_finetune",
    "batch_share": "batch_share",
}


def _share(spec: ArmSpec) -> float | None:
    return (spec.synthetic_share or 0.5) if spec.kind == "batch_share" else None
