"""What is chosen, and what is predeclared when nothing may be chosen."""

from __future__ import annotations

import pytest

from synthlift.errors import InputError
from synthlift.spec.arms import ArmSpec, expand_arms
from synthlift.spec.study import Study
from synthlift.study.choices import (
    choose_selection,
    is_unbalanced,
    named_arm,
    predeclared_generative,
    predeclared_rival,
    rival_of_same_recipe,
    trains_alike,
    with_recipe,
)

ARMS = expand_arms(Study().arms, generators=["flow"])


@pytest.mark.parametrize(
    ("validation", "train", "affordable", "expected"),
    [
        ((20, 25), (80, 80), True, "validation"),
        ((20, 25), (80, 80), False, "validation"),
        ((19, 400), (80, 80), True, "cross_selection"),
        ((1, 400), (5, 80), True, "predeclared"),
    ],
)
def test_selection_needs_twenty_groups_a_class_or_folds_inside_train(
    validation: tuple[int, ...], train: tuple[int, ...], affordable: bool, expected: str
) -> None:
    found = choose_selection(
        Study(), validation_groups=validation, train_groups=train, affordable=affordable
    )
    assert found[0] == expected


def test_a_budget_leaves_no_time_to_choose_inside_train() -> None:
    found, reason = choose_selection(
        Study(budget="30m"), validation_groups=(3, 3), train_groups=(80, 80), affordable=False
    )
    assert found == "predeclared"
    assert "too long" in reason


def test_predeclared_pair_for_unbalanced_and_balanced_classes() -> None:
    assert predeclared_rival(ARMS, unbalanced=True).name == "logit_adjusted"
    assert predeclared_rival(ARMS, unbalanced=False).name == "augmented"
    unbalanced = predeclared_generative(ARMS, unbalanced=True)
    balanced = predeclared_generative(ARMS, unbalanced=False)
    assert unbalanced is not None
    assert balanced is not None
    assert (unbalanced.name, balanced.name) == ("targeted@1+rival", "mixed@1+rival")


def test_where_no_arm_takes_the_rivals_recipe_the_rival_takes_theirs() -> None:
    """Else augmentation that does harm would look as if synthetic images helped."""
    kinds: list[str | dict[str, object]] = ["real", "augmented", "logit_adjusted"]
    plain: dict[str, object] = {"kind": "mixed", "multiples": [1], "recipes": ["plain"]}
    study = Study.model_validate({"arms": [*kinds, plain]})
    arms = expand_arms(study.arms, generators=["flow"])
    for unbalanced in (True, False):
        found = predeclared_generative(arms, unbalanced=unbalanced)
        assert found is not None
        rival = predeclared_rival(arms, unbalanced=unbalanced)
        assert (found.name, rival.name) == ("mixed@1", "real")
        assert trains_alike(found, rival)
    others = [arm for arm in arms if arm.name != "real"]
    assert predeclared_rival(others, unbalanced=False).name == "augmented", "none is alike"


def test_the_arm_that_is_asked_about_says_whose_recipe_it_is_compared_in() -> None:
    mixed: dict[str, object] = {"kind": "mixed", "multiples": [1], "recipes": ["plain"]}
    kinds = ["real", "augmented", mixed, "pretrain_finetune"]
    arms = expand_arms(Study.model_validate({"arms": kinds}).arms, generators=["flow"])
    found = predeclared_generative(arms, unbalanced=False)
    assert found is not None
    assert (found.base, found.regime) == ("best_rival", "pretrain_finetune")
    assert predeclared_rival(arms, unbalanced=False).name == "augmented"
    alike = {
        name: rival_of_same_recipe(arms, unbalanced=False, generative=name)
        for name in ("auto", found.name, "mixed@1")
    }
    assert {name: arm and arm.name for name, arm in alike.items()} == {
        "auto": None,
        found.name: None,
        "mixed@1": "real",
    }


def test_generative_arms_take_the_rivals_recipe_and_plain_ones_do_not() -> None:
    rival = predeclared_rival(ARMS, unbalanced=True)
    by_name = {arm.name: arm for arm in ARMS}
    assert with_recipe(by_name["targeted@1+rival"], rival).recipe == rival.recipe
    assert with_recipe(by_name["targeted@1"], rival).recipe.augmentation == "none"
    control = with_recipe(by_name["uniform_fraction@1+rival"], rival)
    assert control.recipe.sampler == "class_balanced"


def test_balance() -> None:
    assert is_unbalanced({0: 40, 1: 3})
    assert not is_unbalanced({0: 40, 1: 30})


def test_a_misspelt_arm_names_the_nearest() -> None:
    with pytest.raises(InputError, match=r"did you mean 'targeted@1\+rival'"):
        named_arm(ARMS, "targetted@1+rival", role="generative")


def test_a_study_without_rival_is_refused() -> None:
    alone = expand_arms([ArmSpec(kind="mixed")], generators=["flow"])
    with pytest.raises(InputError, match="no rival arm"):
        predeclared_rival(alone, unbalanced=False)
