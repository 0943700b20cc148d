"""The best rival and the primary pair: chosen once for the study, or once for every split.

Where every split of a cross-validation chooses for itself (METHOD §2), the pair is two arms that
stand for what was chosen: in each fold, their models are those of the fold's own choice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

from synthlift.spec.arms import Arm
from synthlift.study.choices import (
    CHOSEN_GENERATIVE,
    CHOSEN_RIVAL,
    Contrast,
    named_arm,
    named_choice,
    predeclared_generative,
    predeclared_rival,
    rival_of_same_recipe,
    trains_alike,
    with_recipe,
)
from synthlift.study.selection import selected_generative, selected_rival
from synthlift.study.strength import with_strength
from synthlift.study.work import Work


def best_rival(work: Work, split: int | None) -> str:
    """The rival whose recipe generative arms share; recorded once, for each split that chooses."""
    rivals = [arm for arm in work.arms if arm.role == "rival"]
    named = work.session.study.primary.rival

    def choose() -> tuple[str, str]:
        if named != "auto":
            return named_arm(rivals, named, role="rival").name, "named in the study file"
        if work.selection == "validation":
            return selected_rival(work, rivals, split)
        rival = predeclared_rival(work.arms, unbalanced=work.unbalanced)
        if rival_of_same_recipe(work.arms, unbalanced=work.unbalanced) is not None:
            return rival.name, "predeclared: the recipe that arms with synthetic images have here"
        shape = "unbalanced" if work.unbalanced else "balanced"
        return rival.name, f"predeclared for {shape} classes; nothing was selected"

    return str(work.session.decide(named_choice("best_rival", split), choose))


def declare_contrast(work: Work) -> Contrast | None:
    """The primary pair; None when no arm with synthetic images is left."""
    own = {arm.name for arm in work.arms}
    trained = [arm for arm in work.final_arms.values() if arm.name in own]
    arms = [arm for arm in trained if arm.role == "generative"]
    if not arms:
        return None
    replicates = [*work.replicates, *work.added]
    chosen = {split: _pair(work, arms, split) for split in work.by_split(replicates)}
    if work.splits is None:
        return chosen[None]
    if work.inside:
        return None
    for replicate in replicates:
        pair = chosen[work.split_of(replicate)]
        _stand_for(work, CHOSEN_RIVAL, pair.rival, replicate.index)
        _stand_for(work, CHOSEN_GENERATIVE, pair.generative, replicate.index)
    return work.contrast or _pooled(work, list(chosen.values()))


def _pair(work: Work, arms: Sequence[Arm], split: int | None) -> Contrast:
    best = best_rival(work, split)
    named = work.session.study.primary.generative
    rival = _compared_with(work, best)

    def choose() -> tuple[dict[str, str], str]:
        if named != "auto":
            arm = named_arm(arms, named, role="generative")
            beside = f"; compared with '{rival}', which trains as it does" if rival != best else ""
            return {"arm": arm.name, "recommended": rival}, f"named in the study file{beside}"
        if work.selection == "validation":
            return selected_generative(work, arms, rival, split)
        found = predeclared_generative(arms, unbalanced=work.unbalanced)
        assert found is not None
        alike = trains_alike(found, work.final_arms[rival])
        what = "the rival's recipe" if alike else "another recipe than the rival's"
        reason = f"predeclared: {what} plus synthetic images"
        return {"arm": found.name, "recommended": rival}, reason

    taken: dict[str, Any] = work.session.decide(named_choice("primary_arm", split), choose)
    return Contrast(generative=taken["arm"], rival=rival, recommended=taken["recommended"])


def _compared_with(work: Work, best: str) -> str:
    """The rival of the pair: the best, or that with the recipe of the arm that a user names."""
    primary = work.session.study.primary
    if primary.generative == "auto" or primary.rival != "auto" or work.selection != "predeclared":
        return best
    alike = rival_of_same_recipe(
        work.arms, unbalanced=work.unbalanced, generative=primary.generative
    )
    return best if alike is None else alike.name


def _stand_for(work: Work, name: str, chosen: str, index: int) -> None:
    work.models[name, index] = work.models[chosen, index]
    work.trained[name, index] = work.trained[chosen, index]


def _pooled(work: Work, pairs: Sequence[Contrast]) -> Contrast:
    """The pair of stand-ins; recipes for use and display are those that most folds chose."""
    rival = _most(pair.rival for pair in pairs)
    strength = _most(work.strengths.values()) if work.strengths else None
    tuned = {arm.name: with_strength(arm, strength) for arm in work.arms}
    for name in work.final_arms.keys() & tuned.keys():
        work.final_arms[name] = with_recipe(tuned[name], tuned[rival])
    generative = _most(pair.generative for pair in pairs)
    for name, stands_for in ((CHOSEN_RIVAL, rival), (CHOSEN_GENERATIVE, generative)):
        work.final_arms[name] = work.final_arms[stands_for].model_copy(update={"name": name})
    return Contrast(
        generative=CHOSEN_GENERATIVE,
        rival=CHOSEN_RIVAL,
        recommended=_most(pair.recommended for pair in pairs),
    )


Value = TypeVar("Value")


def _most(values: Iterable[Value]) -> Value:
    """The most frequent value; the first of equals."""
    return Counter(values).most_common(1)[0][0]
