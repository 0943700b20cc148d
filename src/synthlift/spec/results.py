"""The schema of ``results.json`` (version 1): everything a report or a reader needs.

Shares and metric values lie in [0, 1]; differences in [-1, 1]; times in seconds; energy in kWh;
memory in MiB. ``None`` stands where a number could not be had, and the limitations say why.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from synthlift.spec.arms import arm_labels
from synthlift.spec.facts import (
    Cost,
    Counts,
    Decision,
    Estimate,
    GalleryImage,
    GeneratorResult,
    Openings,
    Record,
    StudyFacts,
)

SCHEMA_VERSION = 1
# Level of the interval that proves equivalence; why not 0.90: docs/method.md, section 4.
EQUIVALENCE_LEVEL = 0.92

VerdictWord = Literal[
    "helps",
    "helps_less_than_margin",
    "equivalent",
    "no_detectable_effect",
    "harms_less_than_margin",
    "harms",
]


class Contrast(Record):
    """A paired comparison of two arms: ``arm`` minus ``reference``.

    Attributes:
        difference: the estimate with its 95 % interval.
        equivalence_low, equivalence_high: the 92 % interval (``EQUIVALENCE_LEVEL``); the arms are
            equivalent when all of it lies within ± the margin.
        p_value, p_holm: against no difference, and the same adjusted within the family (Holm).
        simultaneous_low, simultaneous_high: max-T interval over the family.
        minimal_detectable_effect: found in four of five studies like this one.
        components: named parts of the standard error.
    """

    arm: str
    reference: str
    metric: str
    family: str = "secondary"
    difference: Estimate
    equivalence_low: float | None = None
    equivalence_high: float | None = None
    standard_error: float | None = None
    degrees_of_freedom: float | None = None
    p_value: float | None = None
    p_holm: float | None = None
    simultaneous_low: float | None = None
    simultaneous_high: float | None = None
    minimal_detectable_effect: float | None = None
    components: dict[str, float] = Field(default_factory=dict)


class Verdict(Record):
    """The answer.

    Attributes:
        word: the rule's outcome (METHOD §4).
        worth_having: the whole 95 % interval lies above the margin.
        exploratory: True when a verdict may not be given; ``exploratory_reasons`` says why.
        sentence: plain words for page one.
        detail: the same with interval, margin and minimal detectable effect.
        scope: what it speaks of (classifier, initialisation, image size, training sets).
        warnings: e.g. trained from scratch, shrunk more than 4×, small classes averaged over.
    """

    word: VerdictWord
    worth_having: bool = False
    exploratory: bool = False
    exploratory_reasons: list[str] = Field(default_factory=list)
    sentence: str
    detail: str
    scope: str = ""
    warnings: list[str] = Field(default_factory=list)
    arm: str
    rival: str
    metric: str
    margin: float
    contrast: Contrast
    selected: bool = False


class Action(Record):
    """What to do now: words and, where there is one, a command."""

    title: str
    text: str = ""
    command: str = ""


class ClassResult(Record):
    """One class of one arm: counts over the mean replicate, metrics with intervals."""

    name: str
    test_images: int
    test_groups: int
    metrics: dict[str, Estimate]


class FoldChoice(Record):
    """The arm and recipe behind one fold's models, where every fold chooses for itself."""

    arm: str
    recipe: dict[str, Any]


class ArmResult(Record):
    """One arm over all its replicates.

    ``label`` is what people read: the name, with its generator where the study has several.
    ``confusion`` is summed over replicates (rows = true class). ``real`` and ``synthetic`` are mean
    training images per class, ``generator`` names whose the latter are. ``seconds`` is training
    time over all replicates, ``generation_seconds`` that of the generator fits, samples and checks
    behind them. ``folds`` is filled, in order of replicates, where every fold of a cross-validation
    chooses for itself; ``recipe`` is then the one that most folds chose.
    """

    name: str
    label: str = ""
    role: Literal["rival", "generative", "control"]
    generator: str = ""
    recipe: dict[str, Any]
    replicates: int
    real: dict[str, float] = Field(default_factory=dict)
    synthetic: dict[str, float] = Field(default_factory=dict)
    metrics: dict[str, Estimate]
    validation: dict[str, Estimate] = Field(default_factory=dict)
    per_class: list[ClassResult] = Field(default_factory=list)
    confusion: list[list[int]] = Field(default_factory=list)
    reliability: list[dict[str, float]] = Field(default_factory=list)
    seconds: float = 0.0
    generation_seconds: float = 0.0
    folds: list[FoldChoice] = Field(default_factory=list)


class ClassVerdict(Record):
    """Generative arm against rival on one class (recall), Holm-corrected among classes.

    ``contrast`` is None for a class with fewer than 10 test groups: counts and Wilson only.
    """

    name: str
    train_images: float
    synthetic_images: float
    test_images: int
    test_groups: int
    rival: Estimate
    generative: Estimate
    contrast: Contrast | None = None
    word: VerdictWord | Literal["too_small"]


class SubgroupVerdict(Record):
    """The primary pair on the images with one value of an attribute, in accuracy.

    Holm-corrected among the values of the attribute; ``contrast`` is None where fewer than 10 test
    groups have the value.
    """

    attribute: str
    value: str
    test_images: int
    test_groups: int
    rival: Estimate
    generative: Estimate
    contrast: Contrast | None = None
    word: VerdictWord | Literal["too_small"]


class SubgroupGap(Record):
    """Accuracy of the worst value of an attribute, and best minus worst, with either arm.

    ``worst_change`` is by how much synthetic images raise the accuracy of each model's own worst
    value, on average over models; the other figures are of accuracies averaged over models.
    """

    attribute: str
    worst_with_rival: str
    worst_with_generative: str
    worst_accuracy_rival: float
    worst_accuracy_generative: float
    gap_rival: float
    gap_generative: float
    worst_change: Estimate | None = None


class ExternalArm(Record):
    """One arm on a test set from elsewhere; ``drop`` is its internal level minus this one."""

    name: str
    estimate: Estimate
    drop: Estimate


class ExternalResult(Record):
    """A test set from elsewhere: every arm, and the primary pair (Holm-corrected over the sets).

    ``metric`` is the primary one, or accuracy where the set lacks a class.
    """

    name: str
    metric: str
    images: int
    groups: int
    missing_classes: list[str]
    arms: list[ExternalArm]
    contrast: Contrast


class Cell(Record):
    """One cell of the 3 × 3 table: trained on a row, tested on a column."""

    train: Literal["real", "synthetic", "mixed"]
    test: Literal["real", "synthetic", "mixed"]
    arm: str
    estimate: Estimate


class FilterEffect(Record):
    """What became of the images when one filter, or all, were left out.

    Attributes:
        arm: the control that trained on them.
        reference: the arm with all filters.
        left_out: the filter; "" = all of them.
        kept, reference_kept: shares of the sampled images that each may train on.
    """

    arm: str
    reference: str
    left_out: str
    kept: float
    reference_kept: float


class StrengthTried(Record):
    """A filter at one strength.

    Attributes:
        strength: its name.
        score: the primary metric on validation, mean over the compared models.
        kept: share of the sampled images that all filters left.
    """

    strength: str
    score: float
    kept: float


class StrengthChoice(Record):
    """The strength of one filter for one generator's images.

    Attributes:
        generator: whose images.
        filter: name in the study.
        split: the split of a cross-validation that chose, from 0; null = one choice for all.
        metric: what was compared.
        strength: the choice.
        tried: from the weakest to the strongest; empty where the strength was predeclared.
    """

    generator: str
    filter: str
    split: int | None
    metric: str
    strength: str
    tried: list[StrengthTried]


class CurvePoint(Record):
    """One point of the multiple curve; multiple 0 is the arm without synthetic images."""

    arm: str
    target: str
    base: str
    multiple: float
    estimate: Estimate


class Results(Record):
    """The whole file.

    Attributes:
        schema_version: of this file; readers refuse a newer one.
        created: UTC time of writing.
        study: what was asked.
        verdict: the answer; null while the test is locked, or when nothing could be compared.
        verdict_missing_because: why there is none.
        actions: what to do now, in order of weight.
        arms: every arm over its replicates.
        contrasts: the primary contrast first, then families, each corrected in itself.
        classes: generative arm against rival, class by class.
        external: test sets from elsewhere.
        subgroups, gaps: the same by attribute, and the distance between best and worst value.
        interaction: does the recipe change what synthetic images do (2 × 2)?
        table_3x3: trained on real, synthetic or mixed images, tested on each.
        curve: the primary metric against the multiple.
        filters: what each filter changes, where an arm asks for an ablation.
        strengths: strengths of filters that were chosen on validation.
        counts: where every image went.
        generators: one entry a generator.
        gallery: the thumbnails in ``gallery/``.
        openings: how often this test set was opened.
        cost: by kind of stage, reused work included.
        decisions: every automatic choice with its reason.
        limitations: what was not done.
        environment: hardware, versions, workers.
        notes: conversions and other remarks.
    """

    schema_version: int = SCHEMA_VERSION
    created: str
    study: StudyFacts
    verdict: Verdict | None
    verdict_missing_because: str = ""
    actions: list[Action] = Field(default_factory=list)
    arms: list[ArmResult] = Field(default_factory=list)
    contrasts: list[Contrast] = Field(default_factory=list)
    classes: list[ClassVerdict] = Field(default_factory=list)
    subgroups: list[SubgroupVerdict] = Field(default_factory=list)
    gaps: list[SubgroupGap] = Field(default_factory=list)
    external: list[ExternalResult] = Field(default_factory=list)
    interaction: Contrast | None = None
    table_3x3: list[Cell] = Field(default_factory=list)
    curve: list[CurvePoint] = Field(default_factory=list)
    filters: list[FilterEffect] = Field(default_factory=list)
    strengths: list[StrengthChoice] = Field(default_factory=list)
    counts: Counts
    generators: list[GeneratorResult] = Field(default_factory=list)
    gallery: list[GalleryImage] = Field(default_factory=list)
    openings: Openings | None = None
    cost: list[Cost] = Field(default_factory=list)
    decisions: list[Decision] = Field(default_factory=list)
    limitations: list[str] = Field(default_factory=list)
    environment: dict[str, Any] = Field(default_factory=dict)
    notes: list[str] = Field(default_factory=list)

    @model_validator(mode="after")
    def _name_arms(self) -> Results:
        labels = arm_labels({arm.name: arm.generator for arm in self.arms})
        for arm in self.arms:
            arm.label = arm.label or labels[arm.name]
        return self

    def arm_named(self, name: str) -> str:
        """The name of the arm that people may call by its name or its label; else as given."""
        names = {arm.label: arm.name for arm in self.arms}
        known = name in names.values()
        return name if known else names.get(name, name)
