"""The strength of tuned augmentation: chosen on validation, equal for all arms that use it."""

from __future__ import annotations

from collections.abc import Mapping

from synthlift.spec.arms import Arm, Augmentation
from synthlift.store import StageRequest
from synthlift.study.layout import Replicate
from synthlift.study.modelling import model_request
from synthlift.study.tables import Entry, gather
from synthlift.study.work import Work

STRENGTHS: tuple[Augmentation, ...] = ("light", "medium", "strong")
PREDECLARED: Augmentation = "medium"


def tune_augmentation(work: Work) -> tuple[Arm, ...]:
    """The study's arms with ``tuned`` replaced by the chosen strength, as a recorded decision.

    On validation the strengths are compared by plain augmentation over the first round of
    replicates; where nothing is selected, the strength is predeclared.
    """
    if not any(arm.recipe.augmentation == "tuned" for arm in work.arms):
        return work.arms

    probes = _probes(work) if work.selection == "validation" else {}

    def choose() -> tuple[Augmentation, str]:
        if not probes:
            return PREDECLARED, "predeclared; nothing was selected"
        return _compare(work, probes)

    strength: Augmentation = work.session.decide("augmentation", choose)
    work.session.remember(probes.values())
    return tuple(_with_strength(arm, strength) for arm in work.arms)


def _with_strength(arm: Arm, strength: Augmentation) -> Arm:
    if arm.recipe.augmentation != "tuned":
        return arm
    recipe = arm.recipe.model_copy(update={"augmentation": strength})
    return arm.model_copy(update={"recipe": recipe})


def _probes(work: Work) -> dict[tuple[Augmentation, Replicate], StageRequest]:
    """Plain augmentation at each strength, for the first round of replicates."""
    tuned = Arm.model_validate(
        {"name": "augmented", "role": "rival", "recipe": {"augmentation": "tuned"}}
    )
    return {
        (strength, replicate): model_request(
            work.session, work.shared, _with_strength(tuned, strength), replicate, None
        )
        for strength in STRENGTHS
        for replicate in next(work.prepared.layout.rounds())
    }


def _compare(
    work: Work, probes: Mapping[tuple[Augmentation, Replicate], StageRequest]
) -> tuple[Augmentation, str]:
    from synthlift.evaluation.selection import best_rival

    work.session.ask(probes.values())
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
    table = gather(work.session.store, entries, work.prepared.opened.classes)
    metric = work.session.study.primary.metric
    choice = best_rival(table, rivals=list(STRENGTHS), metric=metric)
    chosen = next(strength for strength in STRENGTHS if strength == choice.arm)
    return chosen, f"highest {metric} on validation among {', '.join(STRENGTHS)}"
