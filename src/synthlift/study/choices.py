"""Which recipe is the best rival's and which pair is the primary contrast (METHOD §2, §4).

Everything is chosen on validation, or – where validation is too small – in three folds of the
training set. Where that is too long or a class too small, nothing is chosen and predeclared recipes
run on both sides.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from synthlift.errors import InputError, nearest_name
from synthlift.spec.arms import Arm
from synthlift.spec.study import Study
from synthlift.spec.targets import ALL, LARGEST

SELECTABLE_GROUPS = 20
CROSSED_GROUPS = 6
"""Training groups that a class needs to be cut into three folds: two a fold."""
IMBALANCE = 1.5

CHOSEN_RIVAL, CHOSEN_GENERATIVE = "best_rival", "best_generative"
"""Arms that stand for what each split of a cross-validation chose."""

Selection = Literal["validation", "cross_selection", "predeclared"]


@dataclass(frozen=True)
class Contrast:
    """The declared pair, and the arm for use: the rival's, unless validation preferred another."""

    generative: str
    rival: str
    recommended: str


def is_unbalanced(counts: Mapping[int, int]) -> bool:
    """Whether the largest class has more than 1.5 × the training images of the smallest."""
    return max(counts.values()) > IMBALANCE * max(1, min(counts.values()))


def named_choice(name: str, split: int | None) -> str:
    """The name of a decision that is taken once, or once in each split of a cross-validation."""
    return name if split is None else f"{name}_fold_{split + 1}"


def choose_selection(
    study: Study,
    *,
    validation_groups: Sequence[int],
    train_groups: Sequence[int],
    affordable: bool,
) -> tuple[Selection, str]:
    """How choices are made, with the reason in words.

    Args:
        study: the study file.
        validation_groups: validation groups per class, the smallest over draws.
        train_groups: training groups per class, likewise.
        affordable: whether the budget, if there is one, has room for choosing inside.
    """
    if study.selection != "auto":
        return study.selection, "asked for in the study file"
    fewest = min(validation_groups, default=0)
    if fewest >= SELECTABLE_GROUPS:
        return "validation", f"every class has at least {fewest} validation groups"
    reason = (
        f"selection needs {SELECTABLE_GROUPS} validation groups in every class, and one has only "
        f"{fewest}"
    )
    if not affordable:
        return "predeclared", f"{reason}; choosing inside the training set would take too long"
    if min(train_groups, default=0) < CROSSED_GROUPS:
        return "predeclared", f"{reason}; a class is too small to choose inside the training set"
    return "cross_selection", f"{reason}, so choices are made in three folds of the training set"


def predeclared_rival(arms: Sequence[Arm], *, unbalanced: bool) -> Arm:
    """The rival whose recipe both sides use when nothing is selected.

    Augmentation, with logit adjustment where classes are unbalanced; the nearest that the study
    holds when that arm is not in it. Where no arm with synthetic images takes the rival's recipe,
    the rival takes theirs: else a difference would be that of two recipes.

    Args:
        arms: all of the study.
        unbalanced: whether classes are.
    """
    rivals = {arm.name: arm for arm in arms if arm.role == "rival"}
    if not rivals:
        raise InputError(
            "the study has no rival arm",
            rule="synthetic images are compared with the best rival; 'real' at least is needed",
            remedy="add 'real', 'augmented' and 'logit_adjusted' under 'arms:'",
        )
    if alike := rival_of_same_recipe(arms, unbalanced=unbalanced):
        return alike
    # Of one kind, what trains as the study says comes first, and what trains nothing last.
    ordered = sorted(rivals.values(), key=lambda arm: (arm.tuning == "zero_shot", bool(arm.tuning)))
    order = ["logit_adjusted", "class_balanced", "augmented", "real"]
    for name in order if unbalanced else ["augmented", "real"]:
        for arm in ordered:
            if arm.name.removesuffix(f"-{arm.tuning}") == name:
                return arm
    return ordered[0]


def rival_of_same_recipe(
    arms: Sequence[Arm], *, unbalanced: bool, generative: str = "auto"
) -> Arm | None:
    """The rival that trains as the arm with synthetic images, where that has a recipe of its own.

    None where an arm in question takes the rival's recipe, or no rival has its recipe.

    Args:
        arms: all of the study.
        unbalanced: whether classes are.
        generative: name of the arm in question; auto = all of them are.
    """
    asked = [arm for arm in arms if arm.role == "generative" and generative in ("auto", arm.name)]
    found = predeclared_generative(asked, unbalanced=unbalanced)
    if found is None or any(arm.base == "best_rival" for arm in asked):
        return None
    alike = [arm for arm in arms if arm.role == "rival" and trains_alike(arm, found)]
    return min(alike, key=lambda arm: arm.retrieved, default=None)


def trains_alike(one: Arm, other: Arm) -> bool:
    """Whether two arms differ in their images and in what order these are used, if at all."""
    ways = [(arm.recipe, arm.duplicate, arm.tuning, arm.in_feature_space) for arm in (one, other)]
    return ways[0] == ways[1]


def predeclared_generative(arms: Sequence[Arm], *, unbalanced: bool) -> Arm | None:
    """The best rival's recipe plus synthetic images at multiple 1; filling where unbalanced."""
    candidates = [arm for arm in arms if arm.role == "generative"]
    wanted = LARGEST if unbalanced else ALL

    def preference(arm: Arm) -> tuple[bool, bool, bool, bool, float]:
        return (
            arm.base != "best_rival",
            arm.regime != "joint",
            arm.target != wanted,
            not arm.curated,
            abs(arm.multiple - 1),
        )

    return min(candidates, key=preference, default=None)


def with_recipe(arm: Arm, rival: Arm) -> Arm:
    """Give an arm of base ``best_rival`` that rival's recipe.

    What the rival trains of a pretrained classifier belongs to its recipe, unless it trains
    nothing: beside images that is no recipe.
    """
    if arm.base != "best_rival":
        return arm
    recipe = rival.recipe
    if arm.spread_evenly:
        recipe = recipe.model_copy(update={"sampler": "class_balanced", "loss": "cross_entropy"})
    tuning = arm.tuning or (None if rival.tuning == "zero_shot" else rival.tuning)
    changes = {"recipe": recipe, "duplicate": rival.duplicate, "tuning": tuning}
    return arm.model_copy(update=changes)


def named_arm(arms: Sequence[Arm], name: str, *, role: str) -> Arm:
    """The arm that the study file names in ``primary``.

    Raises:
        InputError: there is no such arm, or it plays another role.
    """
    fitting = {arm.name: arm for arm in arms if arm.role == role}
    if name not in fitting:
        raise InputError(
            f"primary names '{name}' as {role} arm{nearest_name(name, fitting)}",
            rule=f"the study's {role} arms are: {', '.join(fitting) or 'none'}",
            remedy="correct the name under 'primary:', or leave it at 'auto'",
        )
    return fitting[name]
