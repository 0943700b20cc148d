"""What a budget gives up, in which order."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from synthlift.errors import InputError
from synthlift.registry import OnePool
from synthlift.spec.arms import expand_arms
from synthlift.spec.study import Study
from synthlift.spec.targets import class_cells
from synthlift.study.budget import RESERVE, arm_levels, best_option, parse_budget
from synthlift.study.expecting import (
    GeneratorSpeed,
    Option,
    Speeds,
    Task,
    expected_fits,
    expected_models,
    expected_seconds,
)

ARMS = expand_arms(Study().arms, generators=["flow"])
SPEEDS = {
    32: Speeds(0.03, 1500, {"flow": GeneratorSpeed(0.1, 0.02, 2000)}),
    64: Speeds(0.06, 1500, {"flow": GeneratorSpeed(0.3, 0.05, 2000)}),
}


def task(**changes: object) -> Task:
    values: dict[str, object] = {
        "sizes": (64, 32),
        "arms": ARMS,
        "cells": class_cells({0: 400, 1: 100}),
        "unbalanced": True,
        "design": "fixed",
        "folds": 5,
        "fits": 5,
        "replicates": 10,
        "test_images": 100,
        "workers": 2,
        "selects": True,
    }
    return Task(**{**values, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), (" 30m ", 1800), ("1.5h", 5400)])
def test_lengths_of_time(text: str, seconds: float) -> None:
    assert parse_budget(text) == seconds


@pytest.mark.parametrize("text", ["", "30", "m", "-5m", "0s", "5 minutes"])
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="is no length of time") as caught:
        parse_budget(text)
    assert "90s, 30m or 2h" in caught.value.remedy


def test_the_floor_is_real_best_rival_and_best_rival_with_synthetic_images() -> None:
    assert set(arm_levels(task())[-1]) == {"real", "logit_adjusted", "targeted@1+rival"}
    balanced = arm_levels(task(unbalanced=False))[-1]
    assert set(balanced) == {"real", "augmented", "mixed@1+rival"}


def test_levels_only_lose_arms_and_multiples_go_first() -> None:
    levels = arm_levels(task())
    assert len(levels[0]) == len(ARMS)
    for richer, poorer in itertools.pairwise(levels):
        assert set(poorer) < set(richer)
    assert set(levels[0]) - set(levels[1]) == {"targeted@2", "targeted@2+rival"}


def test_more_time_never_gives_less() -> None:
    def worth(minutes: float) -> tuple[int, float, int, int]:
        option, seconds, _ = best_option(task(), SPEEDS, budget=60 * minutes)
        assert seconds <= 60 * minutes
        return (option.image_size, option.generator_share, option.replicates, len(option.arms))

    small, medium, large = worth(25), worth(120), worth(100_000)
    assert large == (64, 1.0, 10, len(ARMS))
    assert small <= medium <= large


def test_what_was_given_up_is_said() -> None:
    option, _, reason = best_option(task(), SPEEDS, budget=60 * 25)
    assert "given up" in reason
    if option.image_size == 32:
        assert "32 instead of 64 pixels" in reason
    if option.generator_share < 0.5:
        assert "under-trained" in reason
    _, _, reason = best_option(task(), SPEEDS, budget=1e7)
    assert "nothing had to be given up" in reason


def test_no_training_is_given_up_where_a_generator_learns_nothing() -> None:
    frozen = {"flow": GeneratorSpeed(0.0, 0.02, 0)}
    speeds = {size: replace(one, generators=frozen) for size, one in SPEEDS.items()}
    _, _, reason = best_option(task(), speeds, budget=60 * 20)
    assert "classifier training cut to" in reason
    assert "generator training" not in reason


def test_a_budget_below_one_replicate_names_the_minimum() -> None:
    with pytest.raises(InputError, match="too small for one replicate") as caught:
        best_option(task(), SPEEDS, budget=20)
    minutes = int(caught.value.remedy.split("--budget ")[1].split("m")[0])
    option, _, _ = best_option(task(), SPEEDS, budget=60 * minutes)
    assert option.replicates >= 1


def test_cross_validation_fits_a_generator_in_every_fold() -> None:
    option = Option(32, tuple(a.name for a in ARMS), 10, 5, 1.0, 1.0)
    fixed = expected_seconds(task(selects=False), option, SPEEDS[32])
    crossed = expected_seconds(task(design="cross_validated", selects=False), option, SPEEDS[32])
    one_fit = 2000 * 0.1 * 1.15
    assert crossed - fixed > 5 * one_fit / 2


def test_choosing_inside_costs_time_and_is_done_where_it_fits() -> None:
    hours = 1000.0
    choosing = task(inside="if it fits")
    rich, seconds, _ = best_option(choosing, SPEEDS, budget=3600 * hours)
    assert rich.chooses_inside
    plain, without, _ = best_option(task(), SPEEDS, budget=3600 * hours)
    assert not plain.chooses_inside
    assert seconds > without + 3 * 2000 * 0.3 / 2
    tight, needed, _ = best_option(choosing, SPEEDS, budget=without / RESERVE + 1)
    assert not tight.chooses_inside
    assert needed <= without + 1
    asked, _, _ = best_option(task(inside="always"), SPEEDS, budget=3600 * hours)
    assert asked.chooses_inside


def test_what_is_left_over_goes_into_training() -> None:
    for minutes in (20, 25, 40, 60):
        option, seconds, _ = best_option(task(), SPEEDS, budget=60 * minutes)
        if option.generator_share < 1:
            shares = {
                name: min(1.0, 1.1 * getattr(option, name))
                for name in ("generator_share", "training_share")
            }
            richer = replace(option, **shares)
            assert (
                expected_seconds(task(), richer, SPEEDS[option.image_size]) > RESERVE * 60 * minutes
            )
        assert seconds <= RESERVE * 60 * minutes


def test_every_generator_that_arms_use_takes_its_own_time_and_steps() -> None:
    names = ["flow", "gan", "cut_paste"]
    mixed = {"kind": "mixed", "generator": "every"}
    study = Study.model_validate({"generators": names, "arms": ["real", "augmented", mixed]})
    arms = expand_arms(study.arms, generators=names)
    whole = task(sizes=(32,), arms=arms, unbalanced=False, selects=False)
    known = {"flow": GeneratorSpeed(0.1, 0.02, 2000), "gan": GeneratorSpeed(0.4, 0.0, 500)}
    speeds = Speeds(0.03, 1500, known)

    def needed(*generators: str, share: float = 1.0) -> float:
        kept = tuple(a.name for a in arms if a.generator is None or a.generator in generators)
        return expected_seconds(whole, Option(32, kept, 10, 5, share, 1.0), speeds)

    rounds = 6 / (2 * 0.9)  # five fits on two workers
    assert needed("flow", "gan") - needed("flow") > rounds * 500 * 0.4
    assert needed("gan") - needed("cut_paste") == pytest.approx(rounds * 500 * 0.4 * 1.05)
    saved = needed("flow", "gan") - needed("flow", "gan", share=0.5)
    assert saved == pytest.approx(rounds * 0.5 * 1.05 * (2000 * 0.1 + 500 * 0.4))
    everything = needed(*names)
    rich, _, _ = best_option(whole, {32: speeds}, budget=everything / RESERVE + 1)
    assert set(rich.arms) == {arm.name for arm in arms}
    assert rich.generator_steps == {"flow": 2000, "gan": 500}
    poor, _, _ = best_option(whole, {32: speeds}, budget=0.5 * needed("flow") / RESERVE)
    assert {arm.generator for arm in arms if arm.name in poor.arms} == {None, "flow"}
    assert poor.generator_share < 1
    assert poor.generator_steps == {
        name: round(speed.steps * poor.generator_share) for name, speed in known.items()
    }


def test_a_generator_that_few_workers_may_hold_takes_longer() -> None:
    """Of four workers, as many hold it as the memory takes; the others train models meanwhile."""

    def needed(reach: OnePool, *, inside: bool = False, **changes: object) -> float:
        whole = task(sizes=(32,), unbalanced=False, selects=False, **changes)
        large = GeneratorSpeed(0.1, 0.5, 2000, one_pool=reach)
        option = Option(32, tuple(arm.name for arm in ARMS), 10, 6, 1.0, 1.0, chooses_inside=inside)
        plain, without = (
            expected_seconds(whole, option, Speeds(0.03, 1500, {"flow": speed}))
            for speed in (large, GeneratorSpeed(one_pool=reach))
        )
        return plain - without

    for inside in (False, True):
        for reach in ("no", "study"):
            freely = needed(reach, inside=inside, workers=4)
            assert needed(reach, inside=inside, workers=4, at_once={"flow": 4}) == freely
            assert needed(reach, inside=inside, workers=4, at_once={"other": 1}) == freely
            for few in (1, 2):
                bounded = needed(reach, inside=inside, workers=4, at_once={"flow": few})
                assert bounded == pytest.approx(needed(reach, inside=inside, workers=few))
                assert bounded > 1.4 * freely


def test_a_cross_validated_study_trains_once_more_on_all_images() -> None:
    option = Option(32, tuple(arm.name for arm in ARMS), 10, 10, 1.0, 1.0)

    def needed(design: str, speeds: Speeds = SPEEDS[32]) -> float:
        whole = task(sizes=(32,), selects=False, fits=10, workers=1, design=design)
        return expected_seconds(whole, option, speeds)

    again = needed("cross_validated") - needed("fixed")
    assert again > 2000 * 0.1 + 2 * 1500 * 0.03, "a fit, its judge and the model, one by one"
    rounds = (needed("cross_validated") - needed("cross_validated", Speeds(0.0, 0))) / 10
    assert again < rounds, "but no other arms"


def test_all_classifiers_of_a_study_are_counted() -> None:
    arms, rivals = len(ARMS), task(selects=False)
    option = Option(32, tuple(arm.name for arm in ARMS), 10, 5, 1.0, 1.0)
    assert expected_fits(rivals, option) == {"flow": 5}
    assert expected_models(rivals, option) == 10 * arms + 5
    crossed = task(selects=False, design="cross_validated", filter_trials=2)
    # In each of 10 folds and on all images, a judge beside the fit; the model on all images.
    assert expected_models(crossed, option) == 10 * arms + 11 + 1
    inside = replace(option, chooses_inside=True)
    # Three folds of each training set: its arms, two more augmentations and filter strengths.
    assert expected_fits(crossed, inside) == {"flow": 41}
    assert expected_models(crossed, inside) == 10 * arms + 41 + 1 + 30 * (arms + 2 + 2)


def test_options_survive_json() -> None:
    option, _, _ = best_option(task(), SPEEDS, budget=3600)
    assert Option.from_json({**option.as_json(), "seconds": 3.0}) == option


def test_a_pool_that_fits_share_is_sampled_once() -> None:
    mixed = {"kind": "mixed", "generator": "every"}
    names = ["text_to_image"]
    study = Study.model_validate({"generators": names, "arms": ["real", "augmented", mixed]})
    arms = expand_arms(study.arms, generators=names)
    whole = task(sizes=(32,), arms=arms, unbalanced=False, selects=False)

    def sampling(reach: OnePool, design: str = "fixed") -> float:
        option = Option(32, tuple(arm.name for arm in arms), 10, 5, 1.0, 1.0)
        own = replace(whole, design=design)
        slow, free = (
            expected_seconds(
                own,
                option,
                Speeds(0.03, 1500, {"text_to_image": GeneratorSpeed(0.0, image, one_pool=reach)}),
            )
            for image in (2.0, 0.0)
        )
        return slow - free

    once = sampling("study")
    assert once > 0
    assert sampling("training set") == pytest.approx(once)
    assert sampling("training set", "redrawn") == pytest.approx(5 * once)
    assert sampling("study", "cross_validated") == pytest.approx(once)
    # Five fits on two workers take six turns, where the pool's chunks are shared by both.
    assert sampling("no") == pytest.approx(6 * once)
