"""The schema of ``results.json`` (version 1): everything a report or a reader needs.

Shares and metric values lie in [0, 1]; differences in [-1, 1]; times in seconds; energy in kWh;
memory in MiB. ``None`` stands where a number could not be had, and the limitations say why.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

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


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Estimate(_Record):
    """A number that is shown: value, 95 % interval, n and how the interval was made."""

    value: float
    low: float | None = None
    high: float | None = None
    n: int = 0
    method: str = ""


class Contrast(_Record):
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


class Verdict(_Record):
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


class Action(_Record):
    """What to do now: words and, where there is one, a command."""

    title: str
    text: str = ""
    command: str = ""


class ClassResult(_Record):
    """One class of one arm: counts over the mean replicate, metrics with intervals."""

    name: str
    test_images: int
    test_groups: int
    metrics: dict[str, Estimate]


class ArmResult(_Record):
    """One arm over all its replicates.

    ``confusion`` is summed over replicates (rows = true class). ``real`` and ``synthetic`` are mean
    training images per class.
    """

    name: str
    role: Literal["rival", "generative", "control"]
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


class ClassVerdict(_Record):
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


class Cell(_Record):
    """One cell of the 3 × 3 table: trained on a row, tested on a column."""

    train: Literal["real", "synthetic", "mixed"]
    test: Literal["real", "synthetic", "mixed"]
    arm: str
    estimate: Estimate


class CurvePoint(_Record):
    """One point of the multiple curve; multiple 0 is the arm without synthetic images."""

    arm: str
    target: str
    base: str
    multiple: float
    estimate: Estimate


class Counts(_Record):
    """Nothing vanishes: read = excluded + used, generated = kept + rejected.

    Attributes:
        read: image files found.
        excluded: unusable ones by reason.
        used: the rest.
        train, validation, test, pool: images of a training set, on average over draws or folds.
        generated, kept: over all fits.
        rejected: by the filter that rejected first.
        fell_short: missing kept images by class, where sampling stopped at the limit.
        per_class: the same by class.
    """

    read: int
    excluded: dict[str, int] = Field(default_factory=dict)
    used: int = 0
    train: float = 0
    validation: float = 0
    test: float = 0
    pool: float = 0
    generated: int = 0
    kept: int = 0
    rejected: dict[str, int] = Field(default_factory=dict)
    fell_short: dict[str, int] = Field(default_factory=dict)
    per_class: dict[str, dict[str, float]] = Field(default_factory=dict)


class Cost(_Record):
    """One kind of stage, added up.

    Attributes:
        stage: read, fit, sample, judge, model, predict …
        tasks: how many units.
        seconds, cpu_seconds: added over tasks, which may have run side by side.
        peak_memory_mib: largest process.
        energy_kwh, energy_method: measured, or estimated as the method says.
        disk_mib: in the store.
    """

    stage: str
    tasks: int
    seconds: float
    cpu_seconds: float
    peak_memory_mib: float
    energy_kwh: float | None = None
    energy_method: str = ""
    disk_mib: float = 0.0


class Decision(_Record):
    """A recorded choice; ``--replan`` discards all of them.

    Attributes:
        name: what was chosen.
        value: the choice.
        reason: why, in words.
    """

    name: str
    value: Any
    reason: str = ""


class GeneratorResult(_Record):
    """What is known of one generator over its fits.

    Attributes:
        copying_ratio: median NN(generated→train) / median NN(held-out→train); < 1 is too close.
        copying_controls: the same ratio for blurred and noised held-out images.
        name, kind: in the study.
        fits: how many.
        parameters: trainable numbers of one fit.
        gate_stopped: the memorisation gate stopped it.
        images_per_second: sampling speed of one process, sharing the machine with the others.
        config: settings with defaults.
        under_trained: stopped by budget before it stopped improving.
        history: loss and copying ratio against training step, for the first fit.
    """

    name: str
    kind: str
    fits: int
    parameters: int = 0
    copying_ratio: Estimate | None = None
    copying_controls: dict[str, float] = Field(default_factory=dict)
    gate_stopped: bool = False
    under_trained: bool = False
    images_per_second: float | None = None
    history: list[dict[str, float]] = Field(default_factory=list)
    config: dict[str, Any] = Field(default_factory=dict)


class GalleryImage(_Record):
    """A thumbnail in ``gallery/``: what it is and why it is there.

    Attributes:
        file: its name.
        kind: real, kept, rejected, or one side of a closest generated–training pair.
        label: class name.
        generator: which one made it.
        reason: why it was rejected.
        score: of the filter, in [0, 1].
        pair: number of the pair it belongs to.
        distance: between the two of a pair, in the encoder's features.
    """

    file: str
    kind: Literal["real", "kept", "rejected", "copy_query", "copy_neighbour"]
    label: str
    generator: str = ""
    reason: str = ""
    score: float | None = None
    pair: int | None = None
    distance: float | None = None


class Openings(_Record):
    """How often this test set was opened, over all studies of this user.

    Attributes:
        test_hash: SHA-256 over the content of its images.
        this_study, models: models that saw it, of this study and of all.
        studies: differing studies that opened it.
        earlier: those of them that did so before this one; any makes this one exploratory.
    """

    test_hash: str
    this_study: int
    studies: int
    models: int
    earlier: int = 0


class StudyFacts(_Record):
    """What was asked and on what.

    Attributes:
        name, seed: of the study.
        key: identity of study and data.
        command: the exact command line.
        source: as given in the study file.
        design: fixed training set, redrawn training sets, or cross-validated.
        classes: names in index order.
        class_names: names for people, where given.
        classifier: its name in the study.
        initialisation: where its first weights came from, in words.
        image_size, channels: training size.
        original_size: median of the originals, in words.
        shrunk: how many times smaller than the originals images are.
        replicates: that the verdict rests on.
        generator_fits: fits of all generators.
        selection: validation, or predeclared when nothing was selected.
        complete: False while the study runs.
    """

    name: str
    key: str
    seed: int
    command: str
    source: str
    design: Literal["fixed", "redrawn", "cross_validated"]
    classes: list[str]
    class_names: dict[str, str] = Field(default_factory=dict)
    classifier: str
    initialisation: str
    image_size: int
    channels: int
    original_size: str
    shrunk: float = 1.0
    replicates: int
    generator_fits: int
    selection: str
    complete: bool = True


class Results(_Record):
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
        interaction: does the recipe change what synthetic images do (2 × 2)?
        table_3x3: trained on real, synthetic or mixed images, tested on each.
        curve: the primary metric against the multiple.
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
    interaction: Contrast | None = None
    table_3x3: list[Cell] = Field(default_factory=list)
    curve: list[CurvePoint] = Field(default_factory=list)
    counts: Counts
    generators: list[GeneratorResult] = Field(default_factory=list)
    gallery: list[GalleryImage] = Field(default_factory=list)
    openings: Openings | None = None
    cost: list[Cost] = Field(default_factory=list)
    decisions: list[Decision] = Field(default_factory=list)
    limitations: list[str] = Field(default_factory=list)
    environment: dict[str, Any] = Field(default_factory=dict)
    notes: list[str] = Field(default_factory=list)
