"""Records of ``results.json`` about what went into a study: data, generators, cost, decisions.

Units are those of :mod:`synthlift.spec.results`, which holds the answer itself.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class Record(BaseModel):
    """Base: unknown keys are refused."""

    model_config = ConfigDict(extra="forbid")


class Estimate(Record):
    """A number that is shown: value, 95 % interval, n and how the interval was made."""

    value: float
    low: float | None = None
    high: float | None = None
    n: int = 0
    method: str = ""


class Counts(Record):
    """Nothing vanishes: read = excluded + used, generated = kept + rejected.

    Attributes:
        read: image files found.
        excluded: unusable ones by reason.
        used: the rest.
        train, validation, test, pool, unlabelled: images of a training set and beside it, on
            average over draws or folds; folders of unlabelled images are not counted here.
        generated, kept: over all fits.
        rejected: by the filter that rejected first.
        fell_short: missing kept images by class or cell, where sampling stopped at the limit.
        per_class: the same by class.
        per_cell: training, generated and kept images by cell, where arms aim at attributes.
    """

    read: int
    excluded: dict[str, int] = Field(default_factory=dict)
    used: int = 0
    train: float = 0
    validation: float = 0
    test: float = 0
    pool: float = 0
    unlabelled: float = 0
    generated: int = 0
    kept: int = 0
    rejected: dict[str, int] = Field(default_factory=dict)
    fell_short: dict[str, int] = Field(default_factory=dict)
    per_class: dict[str, dict[str, float]] = Field(default_factory=dict)
    per_cell: dict[str, dict[str, float]] = Field(default_factory=dict)


class Cost(Record):
    """One kind of stage, added up.

    Attributes:
        stage: read, fit, sample, judge, model, predict …
        tasks: how many units.
        seconds, cpu_seconds: added over tasks, which may have run side by side, and over the
            attempts of a task that was interrupted and taken up again.
        peak_memory_mib: largest process.
        energy_kwh, energy_method: measured, or estimated as the method says.
        disk_mib: in the store.
        at_least: a task was killed; what it took after its last note is not in the figures.
    """

    stage: str
    tasks: int
    seconds: float
    cpu_seconds: float
    peak_memory_mib: float
    energy_kwh: float | None = None
    energy_method: str = ""
    disk_mib: float = 0.0
    at_least: bool = False


class Decision(Record):
    """A recorded choice; ``--replan`` discards all of them.

    Attributes:
        name: what was chosen.
        value: the choice.
        reason: why, in words.
    """

    name: str
    value: Any
    reason: str = ""


class QualityFigure(Record):
    """How real images look in one respect, beside what real training images reach.

    Attributes:
        name: kid, precision, recall, density, coverage, cas, gan_test, told_apart or cmmd, as in
            :mod:`synthlift.vision.quality`.
        value: of generated images.
        floor: of as many training images; for gan_test, of validation images.
        images: of each of these sides.
        held_out: validation images that both were compared with.
    """

    name: str
    value: Estimate
    floor: float
    images: int
    held_out: int


class MembershipFigure(Record):
    """Whether a generator gives away which images it was trained on.

    Attributes:
        attack: what it is asked of an image: its loss, or the likelihood that it gives it.
        auc: how often the training image of a training and an unseen image is told; 1/2 = guessing.
        caught: share of the training images told while at most 1 % of unseen ones are taken for
            one.
        images: of either side, in each fit.
    """

    attack: Literal["loss", "likelihood"]
    auc: Estimate
    caught: Estimate
    images: int


class AdaptationResult(Record):
    """How a pretrained pipeline was adapted to the training images; means over fits.

    Attributes:
        kind: lora or textual_inversion.
        adapters: that one fit has learnt.
        images: training images that they have learnt from.
        steps_done: of training; the sum over adapters.
        steps_kept: at which what is used was taken, the sum over adapters; 0 = the pipeline is used
            as it was.
        loss_before, loss_after: on validation images, of the pretrained pipeline and of what is
            used; where each class has an adapter, the mean over the classes that have such images.
        sha256: of what each fit has learnt.
    """

    kind: str
    adapters: int
    images: int
    steps_done: int
    steps_kept: int
    loss_before: float | None = None
    loss_after: float | None = None
    sha256: list[str] = Field(default_factory=list)


class GeneratorResult(Record):
    """What is known of one generator over its fits.

    Attributes:
        copying_ratio: median NN(generated→train) / median NN(held-out→train); < 1 is too close.
        copying_controls: the same ratio for blurred and noised held-out images.
        copies, held_out_copies: share in [0, 1] of its uncurated samples, and of real images that
            were held out, that are copies by their features (METHOD §5); means over fits.
        name, kind: in the study.
        fits: how many.
        one_pool: it learns nothing, so that its fits share one pool of images: figures are given
            this pool.
        parameters: trainable numbers of one fit.
        gate_stopped: the memorisation gate stopped it.
        pastes: its images are training images of which a part is new, so that no gate stops it.
        images_per_second: sampling speed of one process, sharing the machine with the others.
        kept_share: of its images, those that filters kept.
        config: settings with defaults.
        under_trained: stopped by budget before it stopped improving.
        fit_seconds: mean time of one fit.
        energy_kwh: of all fits, samples and checks, measured or estimated as the costs are.
        cost_at_least: a task behind ``fit_seconds`` or ``energy_kwh`` was killed, and took more
            than is known.
        quality: of uncurated samples, averaged over fits.
        membership: attacks that tell training from validation images, where it can be asked.
        history: loss, copying ratio and further curves against training step, for the first fit.
        warnings: what went wrong in fits, such as a collapse.
        pairs: of translation with pairs, the means over fits: how many pairs were learnt from and
            held out; SSIM and PSNR in decibels of the latter, and of their untranslated sources.
        adaptation: of a pretrained pipeline, where it was adapted.
    """

    name: str
    kind: str
    fits: int
    one_pool: bool = False
    parameters: int = 0
    copying_ratio: Estimate | None = None
    copying_controls: dict[str, float] = Field(default_factory=dict)
    copies: float | None = None
    held_out_copies: float | None = None
    gate_stopped: bool = False
    pastes: bool = False
    under_trained: bool = False
    images_per_second: float | None = None
    kept_share: float | None = None
    fit_seconds: float | None = None
    energy_kwh: float | None = None
    cost_at_least: bool = False
    quality: list[QualityFigure] = Field(default_factory=list)
    membership: list[MembershipFigure] = Field(default_factory=list)
    history: list[dict[str, float]] = Field(default_factory=list)
    config: dict[str, Any] = Field(default_factory=dict)
    warnings: list[str] = Field(default_factory=list)
    pairs: dict[str, float] = Field(default_factory=dict)
    adaptation: AdaptationResult | None = None


class GalleryImage(Record):
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


class Openings(Record):
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


class StudyFacts(Record):
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
        draws: training sets that were drawn.
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
    draws: int | None = None
    generator_fits: int
    selection: str
    complete: bool = True
