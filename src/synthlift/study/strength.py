"""The strength of tuned augmentation: chosen on validation, equal for all arms that use it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from synthlift.spec.arms import Arm, Augmentation
from synthlift.store import StageRequest
from synthlift.study.choices import named_choice
from synthlift.study.layout import Replicate
from synthlift.study.modelling import model_request
from synthlift.study.tables import Entry, gather
from synthlift.study.work import Work

if TYPE_CHECKING:
    from synthlift.evaluation.predictions import Predictions

Strength = TypeVar("Strength", bound=str)

STRENGTHS: tuple[Augmentation, ...] = ("light", "medium", "strong")
PREDECLARED: Augmentation = "medium"


def tune_augmentation(work: Work, replicates: Sequence[Replicate]) -> None:
    """Fix the strength that ``tuned`` stands for, as a recorded decision.

    On validation the strengths are compared by plain augmentation over these replicates, each
    split for itself where splits choose; where nothing is selected, the strength is predeclared.
    """
    if not any(arm.recipe.augmentation == "tuned" for arm in work.arms):
        return
    waiting = {
        split: members
        for split, members in work.by_split(replicates).items()
        if split not in work.strengths
    }
    if work.selection != "validation":
        for split in waiting:
            work.strengths[split] = work.session.decide(
                named_choice("augmentation", split),
                lambda: (PREDECLARED, "predeclared; nothing was selected"),
            )
        return
    probes = {split: _probes(work, members) for split, members in waiting.items()}
    undecided = [
        request
        for split, asked in probes.items()
        if not work.session.decided(named_choice("augmentation", split))
        for request in asked.values()
    ]
    work.session.ask(undecided)
    for split, asked in probes.items():
        name = named_choice("augmentation", split)
        work.strengths[split] = work.session.decide(name, partial(_compare, work, asked))
        work.session.remember(asked.values())


def with_strength(arm: Arm, strength: Augmentation | None) -> Arm:
    """The arm with ``tuned`` replaced by a strength."""
    if arm.recipe.augmentation != "tuned" or strength is None:
        return arm
    recipe = arm.recipe.model_copy(update={"augmentation": strength})
    return arm.model_copy(update={"recipe": recipe})


def _probes(
    work: Work, replicates: Sequence[Replicate]
) -> dict[tuple[Augmentation, Replicate], StageRequest]:
    """Plain augmentation at each strength."""
    tuned = Arm.model_validate(
        {"name": "augmented", "role": "rival", "recipe": {"augmentation": "tuned"}}
    )
    return {
        (strength, replicate): model_request(
            work.session, work.shared, with_strength(tuned, strength), replicate, None
        )
        for strength in STRENGTHS
        for replicate in replicates
    }


def _compare(
    work: Work, probes: Mapping[tuple[Augmentation, Replicate], StageRequest]
) -> tuple[Augmentation, str]:
    from synthlift.evaluation.selection import best_rival

    table = validated(work, probes)
    metric = work.session.study.primary.metric
    choice = best_rival(table, rivals=list(STRENGTHS), metric=metric)
    chosen = next(strength for strength in STRENGTHS if strength == choice.arm)
    return chosen, f"highest {metric} on validation among {', '.join(STRENGTHS)}"


def validated(work: Work, probes: Mapping[tuple[Strength, Replicate], StageRequest]) -> Predictions:
    """Predictions on validation of models by strength (in place of an arm) and replicate."""
    entries = [
        Entry(
            key=request.key,
            arm=strength,
            multiple=0.0,
            replicate=replicate.index,
            fit=replicate.fit,
            fold=-1,
            evaluation_set="validation",
        )
        for (strength, replicate), request in probes.items()
    ]
    return gather(work.session.store, entries, work.prepared.opened.classes)
