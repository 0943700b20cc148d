"""Cutting a study to a time: what is given up, and in which order.

While planning, a budget gives up multiples first, then arms, then image size, then generator and
classifier training, and replicates below ten last (METHOD, "A study is a deterministic driver").
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace

from synthlift.errors import InputError
from synthlift.study.choices import predeclared_generative, predeclared_rival
from synthlift.study.expecting import Option, Speeds, Task, expected_seconds

RESERVE = 0.88
"""Share of the budget that may be planned for; the rest covers reading, judging and reporting."""

UNDER_TRAINED = 0.5
FULL_REPLICATES = 10
STEPS_OF_SEARCH = 6


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
            "generator_steps": {
                name: max(50, round(speed.steps * option.generator_share))
                for name, speed in speeds.generators.items()
                if speed.steps
            },
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
    if option.generator_share < 1 and option.generator_steps:
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
