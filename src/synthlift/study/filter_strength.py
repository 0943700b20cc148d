"""Strengths of filters, chosen on validation by the arm that trains on what they keep (METHOD §7).

Filters with ``strength: auto`` are taken in study order. Each is tried at every strength, those
before it as chosen, those after it off; the weakest within one standard error of the best stays.
What is compared is the study's own training: of one arm of each generator, on the replicates of the
first round. The models of the chosen strengths are those that the study needs anyway.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from synthlift.errors import InputError
from synthlift.spec.arms import Arm
from synthlift.spec.results import StrengthChoice
from synthlift.store import StageRequest
from synthlift.study.choices import named_choice, predeclared_generative, with_recipe
from synthlift.study.contrast import best_rival
from synthlift.study.filtering import (
    PREDECLARED,
    FilterStrengths,
    Strengths,
    automatic,
    curation_of,
    known_strengths,
)
from synthlift.study.generation import collect
from synthlift.study.layout import Replicate
from synthlift.study.modelling import model_request
from synthlift.study.pools import Pool
from synthlift.study.streams import make_streams
from synthlift.study.strength import validated, with_strength
from synthlift.study.work import Work

DECISION = "filter_strengths"
OFF = "off"


@dataclass
class _Search:
    """The choice for one generator in one split, filter by filter."""

    generator: str
    probe: Arm
    replicates: Sequence[Replicate]
    chosen: dict[str, str]
    found: list[dict[str, Any]] = field(default_factory=list)


def choose_strengths(work: Work, replicates: Sequence[Replicate]) -> None:
    """Fix the strengths that ``auto`` stands for, as recorded decisions, in these fits' pools.

    Rivals are trained and generators fitted by then, and nothing of them is sampled yet. Where
    nothing is selected, the strengths are predeclared.
    """
    components = work.session.study.curation
    ladders = automatic(components)
    if not ladders:
        return
    for split, members in work.by_split(replicates).items():
        if split not in work.filter_strengths:
            work.filter_strengths[split] = _decide(work, split, members, ladders)
    for pool in work.pools.values():
        if not any(stream.chunks for stream in pool.streams.values()):
            split = None if work.splits is None else work.splits[pool.unit.draw]
            chosen = known_strengths(work.filter_strengths[split], pool.generator)
            pool.curation = curation_of(components, chosen)


def strength_choices(work: Work) -> list[StrengthChoice]:
    """What was tried and chosen, for the report."""
    metric = work.session.study.primary.metric
    return [
        StrengthChoice(generator=generator, split=split, metric=metric, **one)
        for split, chosen in work.filter_strengths.items()
        for generator, filters in chosen.items()
        for one in filters
    ]


def _decide(
    work: Work,
    split: int | None,
    members: Sequence[Replicate],
    ladders: Mapping[str, Sequence[str]],
) -> FilterStrengths:
    name, session = named_choice(DECISION, split), work.session
    searched: list[_Search] = []
    # What was tried belongs to the study's work when it is resumed, too.
    if work.selection == "validation" and name not in session.preset:
        searched = _searches(work, split, members, ladders)
        for title, strengths in ladders.items():
            _try(work, searched, title, strengths)
    found: FilterStrengths = {
        pool.generator: [
            {"filter": title, "strength": PREDECLARED, "tried": []} for title in ladders
        ]
        for pool in work.pools.values()
    }
    found |= {search.generator: search.found for search in searched}
    reason = "predeclared; nothing was selected"
    if searched:
        reason = (
            f"weakest within one standard error of the best {session.study.primary.metric} on "
            "validation, filter by filter in study order"
        )
    value: FilterStrengths = session.decide(name, lambda: (found, reason))
    _require(name, value, found, ladders)
    return value


def _searches(
    work: Work, split: int | None, members: Sequence[Replicate], ladders: Iterable[str]
) -> list[_Search]:
    """Of each generator, the arm that strengths are compared by."""
    tuned = {arm.name: with_strength(arm, work.strengths.get(split)) for arm in work.arms}
    rival = tuned[best_rival(work, split)]
    found = []
    for generator in dict.fromkeys(pool.generator for pool in work.pools.values()):
        own = [
            a for a in tuned.values() if a.generator == generator and a.curated and not a.without
        ]
        probe = predeclared_generative(own, unbalanced=work.unbalanced)
        if probe is not None:
            probe = with_recipe(probe, rival)
            found.append(_Search(generator, probe, members, dict.fromkeys(ladders, OFF)))
    return found


def _try(work: Work, searches: Sequence[_Search], title: str, strengths: Sequence[str]) -> None:
    """One filter at every strength, for all generators together."""
    pools = {
        (search.generator, strength, replicate.fit): _candidate(
            work, search, {**search.chosen, title: strength}, replicate
        )
        for search in searches
        for strength in strengths
        for replicate in search.replicates
    }
    collect(work.session, list(pools.values()), work.generation)
    probes = {
        (search.generator, strength, replicate): model_request(
            work.session,
            work.shared,
            search.probe.model_copy(update={"name": f"{title} {strength}"}),
            replicate,
            pools[search.generator, strength, replicate.fit],
        )
        for search in searches
        for strength in strengths
        for replicate in search.replicates
    }
    work.session.ask(probes.values())
    for search in searches:
        mine = {(s, r): request for (g, s, r), request in probes.items() if g == search.generator}
        chosen, scores = _compare(work, strengths, mine)
        kept = {
            strength: _share_kept(
                pool for (g, s, _), pool in pools.items() if (g, s) == (search.generator, strength)
            )
            for strength in strengths
        }
        search.chosen[title] = chosen
        tried = [{"strength": s, "score": scores[s], "kept": kept[s]} for s in strengths]
        search.found.append({"filter": title, "strength": chosen, "tried": tried})


def _candidate(work: Work, search: _Search, strengths: Strengths, replicate: Replicate) -> Pool:
    """The pool of a fit as these strengths would leave it, with what the probe needs."""
    pool = work.pool_of(search.generator, replicate)
    assert pool is not None, "strengths are chosen of generators that are fitted"
    wanted = work.shared.wanted(search.probe, pool.unit.draw)
    return replace(
        pool,
        streams=make_streams(work.generation.classes, wanted),
        wanted=wanted,
        curation=curation_of(work.session.study.curation, strengths),
        test_chunks=[],
    )


def _compare(
    work: Work, strengths: Sequence[str], probes: Mapping[tuple[str, Replicate], StageRequest]
) -> tuple[str, Mapping[str, float]]:
    from synthlift.evaluation.selection import weakest_of_the_best

    table = validated(work, probes)
    choice = weakest_of_the_best(table, arms=strengths, metric=work.session.study.primary.metric)
    return choice.arm, choice.values


def _share_kept(pools: Iterable[Pool]) -> float:
    streams = [stream for pool in pools for stream in pool.streams.values()]
    kept = sum(stream.number_kept() for stream in streams)
    return kept / max(1, sum(len(stream) for stream in streams))


def _require(
    name: str,
    value: FilterStrengths,
    generators: Iterable[str],
    ladders: Mapping[str, Sequence[str]],
) -> None:
    """Refuse a decision that a study file brought along and that does not fit the study."""
    for generator in generators:
        given = known_strengths(value, generator)
        for title, strengths in ladders.items():
            if given.get(title) not in strengths:
                raise InputError(
                    f"the decision '{name}' of the study file says '{given.get(title)}' for filter "
                    f"'{title}' of generator '{generator}'",
                    rule=f"its strengths are: {', '.join(strengths)}",
                    remedy="remove the decision from the file, so that it is taken anew",
                )
