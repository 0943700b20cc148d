"""Fitting generators, sampling until enough images are kept, and the account of every image."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from synthlift.errors import DeviceMemoryError
from synthlift.spec.study import Component
from synthlift.spec.targets import SOURCES, Cell
from synthlift.store import Artefact, StageRequest, Store
from synthlift.store.images import DataKeys, as_inputs
from synthlift.store.keys import canonical
from synthlift.study.beside import inputs_beside
from synthlift.study.components import Resolved, resolve_component
from synthlift.study.halving import Halving, Place, halve, halving_of, halvings_of
from synthlift.study.layout import FitUnit
from synthlift.study.pools import Pool
from synthlift.study.pretrained import checkpoint_for
from synthlift.study.session import Session
from synthlift.study.sharing import fit_seed, one_pool
from synthlift.study.streams import Stream
from synthlift.study.warning import TITLE

_STAGES = "synthlift.study.stages.generation"
REFILL_LIMIT = 3
MARGIN = 1.15
TOGETHER = 512
"""Chunks asked for at once: what is held of requests and records does not grow with their number.
"""


@dataclass(frozen=True)
class GenerationPlan:
    """What sampling needs to know, equal for all fits of a study.

    Attributes:
        classes: number of classes.
        image_shape: height, width, channels.
        chunk: images per chunk, fixed for the study.
        reserved: images per class of the reserved test stream (0 = none).
    """

    classes: int
    image_shape: tuple[int, int, int]
    chunk: int
    reserved: int


def sheets_of(generator: str, unit: FitUnit) -> str:
    """The sub-folder for sheets of samples of one fit while it trains."""
    return f"{generator}/fit-{unit.index}"


def fit_request(
    session: Session, component: Component, unit: FitUnit, data: DataKeys
) -> StageRequest:
    """Ask for one generator fit; one for all training sets where none of them matters."""
    resolved: Resolved = resolve_component("generators", component)
    reach, draw = one_pool(component), unit.draw
    if reach == "study" and session.common is not None:
        data, draw = session.common
    return StageRequest(
        stage="fit",
        function=f"{_STAGES}:fit",
        config={"generator": resolved, "draw": draw, "monitor": "copying"},
        inputs={**as_inputs(data), **inputs_beside(session, component)},
        seed=fit_seed(session.study.seed, component.title, unit.index, shared=reach != "no"),
        numerics=session.numerics,
        version="2",
        label=f"fit {component.title}, {unit.title}",
        device=session.device,
        local={
            **session.holds(component.title),
            TITLE: component.title,
            "plugins": session.plugin_paths(),
            "sheets": [str(session.sheets / sheets_of(component.title, unit))]
            if session.sheets
            else [],
        },
    )


def _sample_request(
    session: Session, pool: Pool, plan: GenerationPlan, place: Place, halvings: Sequence[Halving]
) -> StageRequest:
    stream, cell, chunk = place
    size = plan.chunk if stream == "train" else plan.reserved
    halving = halving_of(halvings, place)
    return StageRequest(
        stage="sample",
        function=f"{_STAGES}:sample",
        config={
            "label": cell.label,
            **({"attributes": dict(cell.attributes)} if cell.attributes else {}),
            "chunk": chunk,
            "size": size,
            "stream": stream,
            "image_shape": list(plan.image_shape),
        },
        inputs={
            "fit": pool.fitted.key,
            **({"errors": pool.hard_cases} if SOURCES in dict(cell.attributes) else {}),
        },
        seed=pool.fitted.record["seed"],
        numerics={
            **session.numerics,
            "chunk": size,
            **({} if halving is None else halving.numerics),
        },
        label=f"sample {pool.generator}, {pool.unit.title}",
        device=session.device,
        local={**session.holds(pool.generator), "plugins": session.plugin_paths()},
    )


def _judge_request(
    session: Session,
    pool: Pool,
    chunk: StageRequest,
    reference: list[str],
) -> StageRequest:
    return StageRequest(
        stage="judge",
        function=f"{_STAGES}:judge",
        config={
            "draw": pool.unit.draw,
            "filters": list(pool.curation.filters),
            **checkpoint_for(session.study, pool.curation.filters),
        },
        inputs={
            **as_inputs(pool.data),
            "scorer": pool.scorer,
            "reference": reference,
            "chunk": chunk.key,
        },
        numerics=session.numerics,
        version="2",
        label=f"judge {pool.generator}, {pool.unit.title}",
        local={"plugins": session.plugin_paths()},
    )


class _Wanted(NamedTuple):
    """A chunk to sample and judge."""

    pool: Pool
    stream: Stream
    chunk: int


def fill(session: Session, pools: Sequence[Pool], plan: GenerationPlan) -> None:
    """Sample and judge as :func:`collect` does, and sample the reserved test streams."""
    collect(session, pools, plan)
    _reserve(session, pools, plan)
    for pool in pools:
        _report(session, pool)


def collect(session: Session, pools: Sequence[Pool], plan: GenerationPlan) -> None:
    """Sample and judge until every pool holds what is wanted, or 3 × that was requested.

    Where selectors keep a share of what they are given, so many more are requested.
    """
    while wanted := _next_chunks(pools, plan):
        # The first chunks of every class calibrate the filters, so nothing is judged before them.
        first = [one for one in wanted if one.chunk == 0]
        later = [one for one in wanted if one.chunk]
        parts = [later[start : start + TOGETHER] for start in range(0, len(later), TOGETHER)]
        for part in ([first] if first else []) + parts:
            _sample_and_judge(session, part, plan)


def _next_chunks(pools: Sequence[Pool], plan: GenerationPlan) -> list[_Wanted]:
    return [
        _Wanted(pool, stream, len(stream.chunks) + further)
        for pool in pools
        for stream in pool.streams.values()
        for further in range(_more(pool, stream, plan))
    ]


def _sample_and_judge(
    session: Session,
    wanted: Sequence[_Wanted],
    plan: GenerationPlan,
) -> None:
    def requests(halved: Mapping[str, Sequence[Halving]]) -> list[StageRequest]:
        references: dict[str, list[str]] = {}
        chunks, verdicts = [], []
        for pool, stream, chunk in wanted:
            place, halvings = ("train", stream.cell, chunk), halved[pool.fitted.key]
            asked = _sample_request(session, pool, plan, place, halvings)
            if pool.fitted.key not in references:
                references[pool.fitted.key] = _first_keys(session, pool, plan, halvings)
            chunks.append(asked)
            known = list(references[pool.fitted.key])
            if stream.cell.attributes:
                # A cell is its own measure: a classifier that never saw an image of it would
                # reject all of them beside what it knows of the class.
                own = _sample_request(session, pool, plan, ("train", stream.cell, 0), halvings)
                known[stream.cell.label] = own.key
            verdicts.append(_judge_request(session, pool, asked, known))
        return [*chunks, *verdicts]

    made = _within_memory(session, [one.pool for one in wanted], requests)
    judged = zip(wanted, made[: len(wanted)], made[len(wanted) :], strict=True)
    for one, sampled, verdict in judged:
        one.stream.add(sampled, verdict)


def _first_keys(
    session: Session, pool: Pool, plan: GenerationPlan, halvings: Sequence[Halving]
) -> list[str]:
    places: list[Place] = [("train", Cell(k), 0) for k in range(plan.classes)]
    return [_sample_request(session, pool, plan, place, halvings).key for place in places]


def _more(pool: Pool, stream: Stream, plan: GenerationPlan) -> int:
    """How many further chunks to ask for now."""
    wanted = pool.wanted.get(stream.cell, 0)
    before = wanted / pool.curation.share
    if not stream.chunks:
        return max(1, -(-round(before * MARGIN) // plan.chunk))
    if stream.chunks[-1].images < plan.chunk:
        return 0  # a fixed stock is used up
    kept, asked = stream.number_kept(), len(stream.chunks) * plan.chunk
    most = math.ceil(round(REFILL_LIMIT * before, 6))
    if kept >= wanted or asked >= max(most, plan.chunk):
        return 0
    rate = max(kept / asked, wanted / most)
    needed = -(-int((wanted - kept) / rate + 1) // plan.chunk)
    limit = -(-most // plan.chunk) - len(stream.chunks)
    return max(1, min(needed, limit))


def _reserve(session: Session, pools: Sequence[Pool], plan: GenerationPlan) -> None:
    if not plan.reserved:
        return
    for pool in pools:
        if pool.test_chunks:
            continue
        places: list[Place] = [("test", Cell(k), 0) for k in range(plan.classes)]

        def requests(
            halved: Mapping[str, Sequence[Halving]], pool: Pool = pool, places: list[Place] = places
        ) -> list[StageRequest]:
            halvings = halved[pool.fitted.key]
            return [_sample_request(session, pool, plan, place, halvings) for place in places]

        pool.test_chunks = _within_memory(session, [pool], requests)


def _within_memory(
    session: Session,
    pools: Sequence[Pool],
    requests: Callable[[Mapping[str, Sequence[Halving]]], list[StageRequest]],
) -> list[Artefact]:
    """Ask for chunks; where memory runs out, again with half as many images at once."""
    # Pools of several training sets may share a fit, and with it what is decided for it.
    known: dict[str, list[Pool]] = {}
    for pool in pools:
        known.setdefault(pool.fitted.key, []).append(pool)
    while True:
        halved = {key: halvings_of(session, alike[0].name) for key, alike in known.items()}
        asked = requests(halved)
        try:
            return session.ask(asked)
        except DeviceMemoryError as error:
            if error.fit not in known:
                raise
            alike = known[error.fit]
            committed = {place for pool in alike for place in pool.places()}
            committed.update(_committed(session, asked, error.fit))
            halve(session, error, fit=alike[0].name, committed=committed)


def _committed(session: Session, asked: Sequence[StageRequest], fit: str) -> Iterator[Place]:
    for one in asked:
        if one.stage == "sample" and one.one("fit") == fit and session.store.has(one.key):
            cell = Cell.of(one.config["label"], one.config.get("attributes"))
            yield one.config["stream"], cell, one.config["chunk"]


def _report(session: Session, pool: Pool) -> None:
    session.log(
        "curated",
        generator=pool.generator,
        fit=pool.unit.index,
        generated=sum(map(len, pool.streams.values())),
        rejected=dict(pool.rejected()),
        fell_short=sum(pool.fell_short().values()),
    )


def verdict_rows(pool: Pool, store: Store) -> Iterator[dict[str, Any]]:
    """One row per generated image for ``verdicts.parquet``."""
    for cell, stream in sorted(pool.streams.items()):
        attributes, judged = canonical(dict(cell.attributes)), stream.judged()
        index = 0
        for chunk in stream.chunks:
            told = store.open(chunk.key).summary
            scores = store.open(chunk.verdict).summary["scores"]
            for row in range(chunk.images):
                (key, _), rejected_by, reason = next(judged)
                yield {
                    "generator": pool.generator,
                    "fit": pool.unit.index,
                    "label": cell.label,
                    "attributes": attributes,
                    "index": index,
                    "chunk": key,
                    "row": row,
                    "kept": not rejected_by,
                    "rejected_by": rejected_by,
                    "reason": reason,
                    "made_from": told["origins"][row] if "origins" in told else "",
                    "prompt": told["prompts"][row] if "prompts" in told else "",
                    **{f"score_{name}": values[row] for name, values in scores.items()},
                }
                index += 1
