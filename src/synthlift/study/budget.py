"""Cutting a study to a time: what is given up, in which order, and what it will take.

While planning, a budget gives up multiples first, then arms, then image size, then generator and
classifier training, and replicates below ten last (METHOD, "A study is a deterministic driver").
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from synthlift.errors import InputError
from synthlift.spec.arms import Arm
from synthlift.spec.targets import Cell
from synthlift.study.choices import predeclared_generative, predeclared_rival
from synthlift.study.layout import most_wanted, wanted_images

RESERVE = 0.88
"""Share of the budget that may be planned for; the rest covers reading, judging and reporting."""

START_SECONDS = 8.0
MODEL_SECONDS = 0.25
FIT_SECONDS = 2.0
UNDER_TRAINED = 0.5
FULL_REPLICATES = 10
CHUNK = 64
"""Images per chunk, and per class of the reserved test stream: a generator's micro-batch."""

STRENGTHS_COMPARED = 3
CHOOSING_FOLDS = 3
STEPS_OF_SEARCH = 6
KEEP_FACTOR = 1.2
"""Samples per image that filters keep, to expect with the default ones."""
PARALLEL = 0.9
"""Speed of a worker beside others, which share caches and memory with it."""


def parse_budget(text: str) -> float:
    """Seconds in ``90s``, ``30m`` or ``2h``.

    Raises:
        InputError: not of that form.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smh])\s*", text)
    if not match or float(match[1]) <= 0:
        raise InputError(
            f"'{text}' is no length of time",
            rule="a budget is a positive number with s, m or h",
            remedy="write it like 90s, 30m or 2h",
        )
    return float(match[1]) * {"s": 1, "m": 60, "h": 3600}[match[2]]


@dataclass(frozen=True)
class Speeds:
    """Measured seconds, one thread, at one image size, and the steps wanted there."""

    classifier_step: float
    generator_step: float
    sampled_image: float
    training_steps: int
    generator_steps: int
    monitored_images: int = 0


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


@dataclass(frozen=True)
class Option:
    """One way to run the study.

    Attributes:
        image_size, arms, replicates, fits: as they are called everywhere.
        generator_share, training_share: of the wanted steps.
        multiple_share: of the multiples asked for.
        generator_steps, training_steps: what the shares amount to, once chosen.
        chooses_inside: whether choices are made in folds of the training sets.
    """

    image_size: int
    arms: tuple[str, ...]
    replicates: int
    fits: int
    generator_share: float
    training_share: float
    multiple_share: float = 1.0
    generator_steps: int | None = None
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


def arm_levels(task: Task) -> list[tuple[str, ...]]:
    """Sets of arms from all to the floor: real, best rival, best rival + synthetic."""
    everything = [arm.name for arm in task.arms]
    primary = predeclared_generative(task.arms, unbalanced=task.unbalanced)
    rival = predeclared_rival(task.arms, unbalanced=task.unbalanced)
    floor = {"real", rival.name, *([primary.name] if primary else [])}
    plain = {
        arm.name
        for arm in task.arms
        if primary
        and (arm.target, arm.multiple, arm.regime, arm.spread_evenly)
        == (primary.target, primary.multiple, "joint", False)
        and (arm.curated, arm.without) == (primary.curated, primary.without)
    }
    rivals = {arm.name for arm in task.arms if arm.role == "rival"}
    single = {arm.name for arm in task.arms if arm.multiple <= 1}
    only = {arm.name for arm in task.arms if arm.regime == "synthetic_only"}
    levels = [
        set(everything),
        single,
        rivals | plain | only | floor,
        floor | plain | {"augmented"} | only,
        floor | plain,
        floor,
    ]
    kept: list[tuple[str, ...]] = []
    for level in levels:
        names = tuple(name for name in everything if name in level)
        if names not in kept:
            kept.append(names)
    return kept


def expected_seconds(task: Task, option: Option, speeds: Speeds) -> float:
    """Expected wall time of an option on ``task.workers`` one-thread processes."""
    arms = [scaled(a, option.multiple_share) for a in task.arms if a.name in option.arms]
    uses_generator = any(arm.generator and arm.uses_synthetic for arm in arms)
    fits = option.replicates if task.design == "cross_validated" else option.fits
    fits = min(fits, option.replicates) if uses_generator else 0
    wanted = [wanted_images(arm, task.cells) for arm in arms if arm.generator]
    needs = most_wanted(wanted).values()
    images = sum(_sampled(need / task.selected_share) for need in needs)
    steps = speeds.training_steps * option.training_share
    model = steps * speeds.classifier_step + MODEL_SECONDS
    scorer = model if uses_generator else 0
    training = speeds.generator_steps * option.generator_share * speeds.generator_step * 1.05
    sampling = (images + speeds.monitored_images) * speeds.sampled_image * 1.1
    fit = training + sampling + FIT_SECONDS + scorer
    parallel = task.workers * PARALLEL
    fit_rounds = -(-fits // task.workers) * task.workers
    trials = task.filter_trials * len({arm.generator for arm in arms if arm.uses_synthetic})
    models = option.replicates * len(arms) + _tuning_models(task, option)
    models += trials * _compared_on(task, option) * task.selects
    if any(arm.target.by is not None for arm in arms):
        models += CHOOSING_FOLDS * _training_sets(task, option)
    seconds = START_SECONDS + (fit_rounds * fit + models * model) / parallel
    if not option.chooses_inside:
        return seconds
    # The study up to its choices, on two thirds of every training set, three times.
    inside = CHOOSING_FOLDS * _training_sets(task, option)
    third = fit - sampling / 3 if uses_generator else 0.0
    compared = len(arms) + STRENGTHS_COMPARED - 1 + trials
    return seconds + inside * (third + compared * model) / parallel


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


def _options(task: Task, size: int) -> Iterator[Option]:
    full = max(task.replicates, 1)
    ten = min(full, FULL_REPLICATES)
    levels = arm_levels(task)
    for level in levels:
        yield Option(size, level, full, task.fits, 1.0, 1.0)
    for share in (0.75, UNDER_TRAINED):
        yield Option(
            size, levels[-2] if len(levels) > 1 else levels[-1], ten, task.fits, share, 1.0
        )
        yield Option(size, levels[-1], ten, task.fits, share, 1.0)


def fits_well(task: Task, size: int, speeds: Speeds, *, budget: float) -> bool:
    """Whether the study fits at this size without under-training anything."""
    room = budget * RESERVE
    options = (replace(o, chooses_inside=task.inside == "always") for o in _options(task, size))
    return any(expected_seconds(task, option, speeds) <= room for option in options)


def _last_resorts(task: Task, size: int) -> Iterator[Option]:
    floor = arm_levels(task)[-1]
    ten = min(max(task.replicates, 1), FULL_REPLICATES)
    for generator, training, multiple in (
        (UNDER_TRAINED, 0.5, 1.0),
        (UNDER_TRAINED, 0.5, 0.5),
        (UNDER_TRAINED, 0.5, 0.25),
        (0.35, 0.5, 0.25),
        (0.25, 0.5, 0.25),
        (0.25, 0.35, 0.25),
        (0.15, 0.35, 0.25),
        (0.1, 0.25, 0.25),
        (0.1, 0.25, 0.1),
    ):
        yield Option(size, floor, ten, task.fits, generator, training, multiple)
    block = task.folds if task.design == "cross_validated" else min(5, task.fits)
    for replicates in dict.fromkeys((min(ten, block), min(ten, 2), 1)):
        fits = min(task.fits, replicates)
        yield Option(size, floor, replicates, fits, 0.1, 0.25, 0.1)


def best_option(
    task: Task, speeds: Mapping[int, Speeds], *, budget: float
) -> tuple[Option, float, str]:
    """The richest option that fits the budget.

    Args:
        task: what is to be cut.
        speeds: by measured size.
        budget: seconds.

    Returns:
        The option with its steps filled in, its expected seconds, and what was given up in words.

    Raises:
        InputError: even one replicate of the floor does not fit; says the minimum.
    """
    room = budget * RESERVE
    richest = Option(
        task.sizes[0], tuple(a.name for a in task.arms), task.replicates, task.fits, 1, 1
    )
    measured = [size for size in task.sizes if size in speeds]
    candidates = [option for size in measured for option in _options(task, size)]
    candidates += list(_last_resorts(task, measured[-1]))
    candidates = [replace(o, chooses_inside=task.inside == "always") for o in candidates]
    seconds = 0.0
    for option in candidates:
        seconds = expected_seconds(task, option, speeds[option.image_size])
        if seconds <= room:
            found = _enrich(task, option, speeds[option.image_size], room=room)
            seconds = expected_seconds(task, found, speeds[found.image_size])
            return found, seconds, _explain(task, richest, found, seconds, budget)
    minimum = -int(-seconds / RESERVE // 60) + 1
    raise InputError(
        f"a budget of {budget:.0f} seconds is too small for one replicate",
        rule="real, the best rival and the rival with synthetic images need one replicate each",
        remedy=f"allow at least --budget {minimum}m on this machine, or use a smaller image_size",
    )


def _enrich(task: Task, option: Option, speeds: Speeds, *, room: float) -> Option:
    """Spend what an option leaves over: on longer training, then on choosing inside."""

    def fits(candidate: Option) -> bool:
        return expected_seconds(task, candidate, speeds) <= room

    def longer(factor: float) -> Option:
        shares = (option.generator_share, option.training_share)
        generator, training = (round(min(1.0, factor * share), 2) for share in shares)
        return replace(option, generator_share=generator, training_share=training)

    low, high = 1.0, 1 / min(option.generator_share, option.training_share)
    for _ in range(STEPS_OF_SEARCH):
        middle = (low + high) / 2
        low, high = (middle, high) if fits(longer(middle)) else (low, middle)
    option = longer(high) if fits(longer(high)) else longer(low)
    inside = replace(option, chooses_inside=True)
    if task.inside == "if it fits" and fits(inside):
        option = inside
    return _fill_in(option, speeds)


def _fill_in(option: Option, speeds: Speeds) -> Option:
    return Option(
        **{
            **asdict(option),
            "arms": option.arms,
            "generator_steps": max(50, round(speeds.generator_steps * option.generator_share)),
            "training_steps": max(20, round(speeds.training_steps * option.training_share)),
        }
    )


def _explain(task: Task, richest: Option, option: Option, seconds: float, budget: float) -> str:
    given_up = []
    dropped = [name for name in richest.arms if name not in option.arms]
    if dropped:
        given_up.append(f"{len(dropped)} arms ({', '.join(dropped)})")
    if option.image_size < richest.image_size:
        given_up.append(f"image size {option.image_size} instead of {richest.image_size} pixels")
    if option.generator_share < 1:
        given_up.append(
            f"generator training cut to {option.generator_share:.0%}"
            + ("; the generator is under-trained" if option.generator_share < UNDER_TRAINED else "")
        )
    if option.training_share < 1:
        given_up.append(f"classifier training cut to {option.training_share:.0%}")
    if option.multiple_share < 1:
        given_up.append(f"multiples cut to {option.multiple_share:g} of what was asked for")
    if option.replicates < richest.replicates:
        given_up.append(
            f"{option.replicates} replicates are certain of the {richest.replicates} asked for, "
            "the others run while time is left"
        )
    what = f"given up: {'; '.join(given_up)}" if given_up else "nothing had to be given up"
    times = f"expected {seconds / 60:.1f} of {budget / 60:g} minutes"
    return f"{times} on {task.workers} workers; {what}"
