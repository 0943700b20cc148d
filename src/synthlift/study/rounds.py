"""Training in rounds: rivals and generators, then curated images, then the arms that use them."""

from __future__ import annotations

from collections.abc import Sequence

from synthlift.spec.arms import Arm
from synthlift.spec.study import Component
from synthlift.store import StageRequest
from synthlift.study.choices import (
    Contrast,
    named_arm,
    predeclared_generative,
    predeclared_rival,
    with_recipe,
)
from synthlift.study.evidence import predict_all
from synthlift.study.flips import settings_of_draws
from synthlift.study.gate import stopped_generators
from synthlift.study.generation import Pool, Stream, fill, fit_request
from synthlift.study.layout import FitUnit, Replicate, wanted_images
from synthlift.study.modelling import model_request, scorer_request
from synthlift.study.selection import selected_generative, selected_rival
from synthlift.study.work import Work


def train_round(work: Work, replicates: Sequence[Replicate]) -> None:
    """Train every arm for these replicates, fitting the generators that they need."""
    rivals = [arm for arm in work.arms if arm.role == "rival"]
    units = work.prepared.layout.units_of(tuple(replicates))
    fits = [
        fit_request(work.session, component, unit, work.prepared.data)
        for component in used_generators(work)
        for unit in units
        if (component.title, unit.index) not in work.pools
    ]
    scorers = [scorer_request(work.session, work.shared, unit) for unit in units if fits]
    # One batch, the longest first: rivals fill the cores while generators train.
    models = _requests(work, rivals, replicates)
    work.session.ask([*fits, *scorers, *models.values()])
    _keep(work, rivals, models)
    _make_pools(work, units)
    fill(
        work.session, [pool for pool in work.pools.values() if pool.unit in units], work.generation
    )
    if not work.replicates:
        work.stopped.update(stopped_generators(work))
    rival = best_rival(work)
    others = [
        with_recipe(arm, rival)
        for arm in work.arms
        if arm.role != "rival" and arm.generator not in work.stopped
    ]
    models = _requests(work, others, replicates)
    work.session.ask(models.values())
    _keep(work, others, models)
    (work.added if work.contrast else work.replicates).extend(replicates)


def add_round(work: Work, replicates: Sequence[Replicate]) -> None:
    """Train and test one more round after the opening."""
    fresh = {replicate.draw for replicate in replicates} - set(work.shared.training)
    work.shared.training.update(
        settings_of_draws(work.session, work.prepared, fresh, steps=work.training_steps)
    )
    train_round(work, replicates)
    predict_all(work)


def used_generators(work: Work) -> list[Component]:
    """The study's generators that some arm uses and that were not stopped."""
    wanted = {arm.generator for arm in work.arms if arm.uses_synthetic}
    return [
        component
        for component in work.session.study.generators
        if component.title in wanted and component.title not in work.stopped
    ]


def _requests(
    work: Work, arms: Sequence[Arm], replicates: Sequence[Replicate]
) -> dict[tuple[str, int], StageRequest]:
    return {
        (arm.name, replicate.index): model_request(
            work.session,
            work.shared,
            arm,
            replicate,
            work.pools[arm.generator, replicate.fit] if arm.generator else None,
        )
        for replicate in replicates
        for arm in arms
    }


def _keep(work: Work, arms: Sequence[Arm], models: dict[tuple[str, int], StageRequest]) -> None:
    work.final_arms.update({arm.name: arm for arm in arms})
    for place, request in models.items():
        work.models[place] = work.session.store.open(request.key)


def _make_pools(work: Work, units: Sequence[FitUnit]) -> None:
    session = work.session
    for component in used_generators(work):
        arms = [arm for arm in work.arms if arm.generator == component.title]
        for unit in units:
            place = (component.title, unit.index)
            if place in work.pools:
                continue
            counts = work.shared.counts[unit.draw]
            needs = [wanted_images(arm, counts) for arm in arms]
            fitted = fit_request(session, component, unit, work.prepared.data)
            work.pools[place] = Pool(
                generator=component.title,
                unit=unit,
                fitted=session.store.open(fitted.key),
                data=work.prepared.data,
                scorer=scorer_request(session, work.shared, unit).key,
                streams={k: Stream(k) for k in range(work.generation.classes)},
                wanted={k: max(need[k] for need in needs) for k in counts},
            )


def best_rival(work: Work) -> Arm:
    """The rival whose recipe generative arms share; recorded once."""
    rivals = [arm for arm in work.arms if arm.role == "rival"]
    named = work.session.study.primary.rival

    def choose() -> tuple[str, str]:
        if named != "auto":
            return named_arm(rivals, named, role="rival").name, "named in the study file"
        if work.selection == "validation":
            return selected_rival(work, rivals)
        rival = predeclared_rival(rivals, unbalanced=work.unbalanced)
        shape = "unbalanced" if work.unbalanced else "balanced"
        return rival.name, f"predeclared for {shape} classes; nothing was selected"

    chosen = work.session.decide("best_rival", choose)
    return next(arm for arm in rivals if arm.name == chosen)


def declare_contrast(work: Work) -> Contrast | None:
    """The primary pair; None when no arm with synthetic images is left."""
    rival = best_rival(work)
    arms = [arm for arm in work.final_arms.values() if arm.role == "generative"]
    if not arms:
        return None
    named = work.session.study.primary.generative

    def choose() -> tuple[dict[str, str], str]:
        if named != "auto":
            arm = named_arm(arms, named, role="generative")
            return {"arm": arm.name, "recommended": rival.name}, "named in the study file"
        if work.selection == "validation":
            return selected_generative(work, arms, rival)
        found = predeclared_generative(arms, unbalanced=work.unbalanced)
        assert found is not None
        reason = "predeclared: the rival's recipe plus synthetic images"
        return {"arm": found.name, "recommended": rival.name}, reason

    chosen = work.session.decide("primary_arm", choose)
    return Contrast(generative=chosen["arm"], rival=rival.name, recommended=chosen["recommended"])
