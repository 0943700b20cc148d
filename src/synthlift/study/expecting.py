"""What a study will take: how its time follows from measured speeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from synthlift.registry import OnePool
from synthlift.spec.arms import Arm
from synthlift.spec.targets import Cell
from synthlift.study.layout import most_wanted, wanted_images

START_SECONDS = 8.0
MODEL_SECONDS = 0.25
FIT_SECONDS = 2.0
CHUNK = 64
"""Images per chunk, and per class of the reserved test stream: a generator's micro-batch."""

STRENGTHS_COMPARED = 3
CHOOSING_FOLDS = 3
KEEP_FACTOR = 1.2
"""Samples per image that filters keep, to expect with the default ones."""
PARALLEL = 0.9
"""Speed of a worker beside others, which share caches and memory with it."""


@dataclass(frozen=True)
class GeneratorSpeed:
    """Measured seconds of one generator, and the steps wanted of it.

    Attributes:
        step: of its training.
        sampled_image: of one image.
        steps: wanted where nothing is cut; 0 = it is not trained in steps.
        monitored_images: that it samples while it trains.
        one_pool: how far one pool of its images serves, where it learns nothing.
        fit_bytes: of a fit on disk; 0 = not measured.
    """

    step: float = 0.0
    sampled_image: float = 0.0
    steps: int = 0
    monitored_images: int = 0
    one_pool: OnePool = "no"
    fit_bytes: int = 0


@dataclass(frozen=True)
class Speeds:
    """Measured seconds, one thread, at one image size, and the steps wanted there.

    Attributes:
        classifier_step: of the classifier's training.
        training_steps: wanted of it.
        generators: by name, those that arms use.
        model_bytes: of the classifier on disk.
    """

    classifier_step: float
    training_steps: int
    generators: Mapping[str, GeneratorSpeed] = field(default_factory=dict)
    model_bytes: int = 0


Inside = Literal["no", "if it fits", "always"]


@dataclass(frozen=True)
class Task:
    """What is to be cut: see ``planning.describe_task``.

    Attributes:
        sizes: image sizes to choose from, the largest first.
        arms: all arms of the study.
        cells: training images of the finest cells that arms aim at; classes without images too.
        unbalanced: whether predeclared arms adjust for class sizes.
        design, folds, fits, replicates, test_images, workers: as they are called everywhere.
        selects: whether validation may be used for choices.
        inside: whether choices are made in folds of the training sets (``crossing``).
        filter_trials: models of one replicate and generator that only compare filter strengths.
        selected_share: what selectors keep of what filters kept, in (0, 1].
        at_once: workers that may compute with a generator at a time, by its name, where the
            device's memory bounds them (``device_memory``); all of them with any other.
    """

    sizes: tuple[int, ...]
    arms: tuple[Arm, ...]
    cells: Mapping[Cell, int]
    unbalanced: bool
    design: str
    folds: int
    fits: int
    replicates: int
    test_images: int
    workers: int
    selects: bool
    inside: Inside = "no"
    filter_trials: int = 0
    selected_share: float = 1.0
    at_once: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Option:
    """One way to run the study.

    Attributes:
        image_size, arms, replicates, fits: as they are called everywhere.
        generator_share, training_share: of the wanted steps.
        multiple_share: of the multiples asked for.
        generator_steps: what the share amounts to for each generator that is trained in steps,
            once chosen.
        training_steps: what the share amounts to, once chosen.
        chooses_inside: whether choices are made in folds of the training sets.
    """

    image_size: int
    arms: tuple[str, ...]
    replicates: int
    fits: int
    generator_share: float
    training_share: float
    multiple_share: float = 1.0
    generator_steps: Mapping[str, int] = field(default_factory=dict)
    training_steps: int | None = None
    chooses_inside: bool = False

    def as_json(self) -> dict[str, Any]:
        """For the decision's record."""
        return {**asdict(self), "arms": list(self.arms)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Option:
        """Read back what :meth:`as_json` gave; further keys are left out."""
        known = {name: value[name] for name in cls.__dataclass_fields__}
        return cls(**{**known, "arms": tuple(known["arms"])})


def scaled(arm: Arm, share: float) -> Arm:
    """The arm with its multiple cut to a share of it, and named accordingly."""
    if share == 1 or not arm.uses_synthetic:
        return arm
    multiple = round(arm.multiple * share, 4)
    name = arm.name.replace(f"@{arm.multiple:g}", f"@{multiple:g}")
    return arm.model_copy(update={"multiple": multiple, "name": name})


def expected_seconds(task: Task, option: Option, speeds: Speeds) -> float:
    """Expected wall time of an option on ``task.workers`` one-thread processes.

    Work of generators that fewer workers may hold is not taken to run beside that of others, though
    it may: the time is an upper bound there.
    """
    arms = _arms(task, option)
    used = _generators(arms)
    fits = _fits(task, option) if used else 0
    steps = speeds.training_steps * option.training_share
    model = steps * speeds.classifier_step + MODEL_SECONDS
    scorer = model if used else 0
    parallel = task.workers * PARALLEL
    sets = _training_sets(task, option)
    # Wall time of all fits with their pools, of those of one training set where choices are made
    # inside it, on two thirds of its images, and of one fit alone.
    fitted, third = -(-fits // task.workers) * scorer / PARALLEL, scorer / parallel
    alone = 0.0
    for name in used:
        speed = speeds.generators.get(name, GeneratorSpeed())
        workers = task.at_once.get(name, task.workers)
        if speed.one_pool != "no":
            pool = _images_of(task, arms, name) * speed.sampled_image * 1.1 / (workers * PARALLEL)
            fitted += pool if speed.one_pool == "study" else sets * pool
            third += 0.0 if speed.one_pool == "study" else pool * 2 / 3
            # One that serves all folds is there; all images want a little more of it.
            alone = max(alone, 0.0 if speed.one_pool == "study" else pool)
            continue
        training = speed.steps * option.generator_share * speed.step * 1.05 + FIT_SECONDS
        images = speed.monitored_images + _images_of(task, arms, name)
        sampling = images * speed.sampled_image * 1.1
        fitted += -(-fits // workers) * (training + sampling) / PARALLEL
        third += (training + sampling * 2 / 3) / (workers * PARALLEL)
        alone = max(alone, (training + sampling) / PARALLEL)
    seconds = START_SECONDS + fitted + _compared_models(task, option) * model / parallel
    if _trains_again(task):
        # On all images, those of every fold: whatever the arm, at most this.
        seconds += (alone + (model + scorer) / PARALLEL) * task.folds / (task.folds - 1)
    if not option.chooses_inside:
        return seconds
    # The study up to its choices, on two thirds of every training set, three times.
    inside = CHOOSING_FOLDS * sets
    return seconds + inside * (third + _models_inside(task, option) * model / parallel)


def expected_models(task: Task, option: Option) -> int:
    """Classifiers that are trained in all, those that only judge images or choose included."""
    inside = CHOOSING_FOLDS * _training_sets(task, option) * option.chooses_inside
    fits = sum(expected_fits(task, option).values())
    models = _compared_models(task, option) + inside * _models_inside(task, option)
    return models + fits + _trains_again(task)


def expected_fits(task: Task, option: Option) -> dict[str, int]:
    """Fits of every generator at most, those inside training sets and on all images included."""
    inside = CHOOSING_FOLDS * _training_sets(task, option) * option.chooses_inside
    number = _fits(task, option) + inside + _trains_again(task)
    return dict.fromkeys(_generators(_arms(task, option)), number)


def _arms(task: Task, option: Option) -> list[Arm]:
    return [scaled(a, option.multiple_share) for a in task.arms if a.name in option.arms]


def _generators(arms: Sequence[Arm]) -> list[str]:
    return list(dict.fromkeys(a.generator for a in arms if a.generator and a.uses_synthetic))


def _fits(task: Task, option: Option) -> int:
    crossed = task.design == "cross_validated"
    return option.replicates if crossed else min(option.fits, option.replicates)


def _trains_again(task: Task) -> bool:
    """Whether the model that is handed over is one on all images (``refit``)."""
    return task.design == "cross_validated"


def _compared_models(task: Task, option: Option) -> int:
    """Models of the study itself: of its arms, and what tunes, filters and aims by them."""
    arms = _arms(task, option)
    models = option.replicates * len(arms) + _tuning_models(task, option)
    models += _trials(task, option) * _compared_on(task, option) * task.selects
    if any(arm.target.by is not None for arm in arms):
        models += CHOOSING_FOLDS * _training_sets(task, option)
    return models


def _models_inside(task: Task, option: Option) -> int:
    """Models that choose in one fold of a training set."""
    return len(_arms(task, option)) + STRENGTHS_COMPARED - 1 + _trials(task, option)


def _trials(task: Task, option: Option) -> int:
    return task.filter_trials * len(_generators(_arms(task, option)))


def _images_of(task: Task, arms: Sequence[Arm], generator: str) -> int:
    """Images that are sampled of one generator in a fit."""
    needs = most_wanted(wanted_images(a, task.cells) for a in arms if a.generator == generator)
    return sum(_sampled(need / task.selected_share) for need in needs.values())


def _training_sets(task: Task, option: Option) -> int:
    return {"fixed": 1, "redrawn": option.fits}.get(task.design, option.replicates)


def _tuning_models(task: Task, option: Option) -> int:
    """Models that compare augmentation strengths, where validation chooses."""
    tuned = any(a.recipe.augmentation == "tuned" for a in task.arms if a.name in option.arms)
    return (STRENGTHS_COMPARED - 1) * _compared_on(task, option) * (tuned and task.selects)


def _compared_on(task: Task, option: Option) -> int:
    """Replicates that choices on validation are made by: those of the rounds that choose."""
    crossed = task.design == "cross_validated"
    return option.replicates if crossed else min(option.fits, option.replicates)


def _sampled(kept: float) -> int:
    """Images sampled of a class for ``kept`` ones: whole chunks, and the reserved test stream.

    ``kept`` is what filters are to leave, before selectors choose among it.
    """
    chunks = max(1, -(-round(kept * KEEP_FACTOR) // CHUNK))
    return (chunks + 1) * CHUNK
