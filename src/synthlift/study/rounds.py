"""Training in rounds: rivals and generators, then curated images, then the arms that use them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from synthlift.spec.arms import Arm
from synthlift.spec.study import Component
from synthlift.store import StageRequest
from synthlift.study.aiming import aim
from synthlift.study.choices import with_recipe
from synthlift.study.contrast import best_rival, declare_contrast
from synthlift.study.evidence import predict_all
from synthlift.study.filter_strength import choose_strengths
from synthlift.study.filtering import curation_of
from synthlift.study.flips import settings_of_draws
from synthlift.study.gate import stopped_generators
from synthlift.study.generation import fill, fit_request
from synthlift.study.layout import FitUnit, Replicate, most_wanted
from synthlift.study.modelling import model_request, scorer_request
from synthlift.study.pools import Pool
from synthlift.study.retrieving import retrieve
from synthlift.study.sharing import unit_of
from synthlift.study.streams import make_streams
from synthlift.study.strength import tune_augmentation, with_strength
from synthlift.study.work import Work

Trained = Mapping[Replicate, Sequence[Arm]]


def train_round(work: Work, replicates: Sequence[Replicate]) -> None:
    """Train every arm for these replicates, fitting the generators that they need."""
    tune_augmentation(work, replicates)
    aim(work, replicates)
    retrieve(work, replicates)
    rivals = {r: [arm for arm in _tuned(work, r) if arm.role == "rival"] for r in replicates}
    units = work.prepared.layout.units_of(tuple(replicates))
    fits = [
        fit_request(work.session, component, unit, work.prepared.data)
        for component, unit in missing_pools(work, replicates)
    ]
    scorers = [scorer_request(work.session, work.shared, unit) for unit in units if fits]
    # One batch, the longest first: rivals fill the cores while generators train.
    models = _requests(work, rivals)
    work.session.ask([*fits, *scorers, *models.values()])
    _keep(work, rivals, models)
    _make_pools(work, replicates)
    choose_strengths(work, replicates)
    fill(work.session, _pools_of(work, replicates), work.generation)
    if not work.replicates:
        work.stopped.update(stopped_generators(work))
    others = {r: list(_others(work, r)) for r in replicates}
    models = _requests(work, others)
    work.session.ask(models.values())
    _keep(work, others, models)
    (work.added if work.opened else work.replicates).extend(replicates)


def add_round(work: Work, replicates: Sequence[Replicate]) -> None:
    """Train and test one more round after the opening."""
    fresh = {replicate.draw for replicate in replicates} - set(work.shared.training)
    work.shared.training.update(
        settings_of_draws(work.session, work.prepared, fresh, steps=work.training_steps)
    )
    train_round(work, replicates)
    if work.splits is not None:
        declare_contrast(work)
    predict_all(work)


def used_generators(work: Work) -> list[Component]:
    """The study's generators that some arm uses and that were not stopped."""
    wanted = {arm.generator for arm in work.arms if arm.uses_synthetic}
    return [
        component
        for component in work.session.study.generators
        if component.title in wanted and component.title not in work.stopped
    ]


def _tuned(work: Work, replicate: Replicate) -> list[Arm]:
    strength = work.strengths.get(work.split_of(replicate))
    return [with_strength(arm, strength) for arm in work.arms]


def _others(work: Work, replicate: Replicate) -> Iterable[Arm]:
    """All arms but the rivals, with the recipe of the rival that this replicate follows."""
    arms = _tuned(work, replicate)
    name = best_rival(work, work.split_of(replicate))
    rival = next(arm for arm in arms if arm.name == name)
    return (
        with_recipe(arm, rival)
        for arm in arms
        if arm.role != "rival" and arm.generator not in work.stopped
    )


def _requests(work: Work, arms: Trained) -> dict[tuple[str, int], StageRequest]:
    return {
        (arm.name, replicate.index): model_request(
            work.session,
            work.shared,
            arm,
            replicate,
            work.pool_of(arm.generator, replicate),
        )
        for replicate, members in arms.items()
        for arm in members
    }


def _keep(work: Work, arms: Trained, models: Mapping[tuple[str, int], StageRequest]) -> None:
    for replicate, members in arms.items():
        for arm in members:
            work.final_arms.setdefault(arm.name, arm)
            work.trained[arm.name, replicate.index] = arm
    for place, request in models.items():
        work.models[place] = work.session.store.open(request.key)


def missing_pools(work: Work, replicates: Sequence[Replicate]) -> list[tuple[Component, FitUnit]]:
    """Generators and fits that these replicates need and that are not there yet."""
    units = work.prepared.layout.units_of(tuple(replicates))
    return [
        (component, unit)
        for component in used_generators(work)
        for unit in dict.fromkeys(unit_of(component, one) for one in units)
        if (component.title, unit.index) not in work.pools
    ]


def _pools_of(work: Work, replicates: Sequence[Replicate]) -> list[Pool]:
    names = {pool.generator for pool in work.pools.values()}
    found = (work.pool_of(name, one) for name in sorted(names) for one in replicates)
    return list({id(pool): pool for pool in found if pool is not None}.values())


def _make_pools(work: Work, replicates: Sequence[Replicate]) -> None:
    session = work.session
    for component, unit in missing_pools(work, replicates):
        arms = [arm for arm in work.arms if arm.generator == component.title]
        wanted = most_wanted(work.shared.wanted(arm, unit.draw) for arm in arms)
        fitted = fit_request(session, component, unit, work.prepared.data)
        work.pools[component.title, unit.index] = Pool(
            generator=component.title,
            unit=unit,
            fitted=session.store.open(fitted.key),
            data=work.prepared.data,
            scorer=scorer_request(session, work.shared, unit).key,
            streams=make_streams(work.generation.classes, wanted),
            wanted=wanted,
            curation=curation_of(session.study.curation, {}),
            hard_cases=work.shared.hard_cases(unit.draw),
        )
