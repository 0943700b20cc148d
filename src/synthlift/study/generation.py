"""Fitting generators, sampling until enough images are kept, and the account of every image."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from synthlift.seeds import seed_for
from synthlift.spec.study import Component
from synthlift.spec.targets import SOURCES, Cell
from synthlift.store import Artefact, StageRequest
from synthlift.store.images import DataKeys, ManifestEntry, as_inputs
from synthlift.store.keys import canonical
from synthlift.study.beside import inputs_beside
from synthlift.study.components import Resolved, resolve_component
from synthlift.study.layout import FitUnit
from synthlift.study.session import Session

_STAGES = "synthlift.study.stages.generation"
REFILL_LIMIT = 3
MARGIN = 1.15
REPEATED = "repeated_sample"

Place = tuple[str, int]
"""A generated image: its chunk's key and its row."""


class Judgement(NamedTuple):
    """What became of one generated image; ``rejected_by`` is "" where it was kept."""

    place: Place
    rejected_by: str
    reason: str


@dataclass
class Stream:
    """One sampling stream of one fit and cell: chunks asked for and their verdicts, in order."""

    cell: Cell
    chunks: list[Artefact] = field(default_factory=list)
    verdicts: list[Artefact] = field(default_factory=list)

    def judged(self, *, without: str = "") -> Iterator[Judgement]:
        """Every image in request order; ``without`` a filter, what it alone rejects is kept."""
        seen: set[str] = set()
        for chunk, verdict in zip(self.chunks, self.verdicts, strict=True):
            found = verdict.summary
            columns = zip(
                chunk.summary["hashes"], found["rejected_by"], found["reasons"], strict=True
            )
            others = [flags for name, flags in found["flags"].items() if name != without]
            for row, (pixels, by, reason) in enumerate(columns):
                if by == without and not any(flags[row] for flags in others):
                    by, reason = "", ""
                if pixels in seen and not by:
                    by, reason = REPEATED, "the same pixels as an earlier sample"
                seen.add(pixels)
                yield Judgement((chunk.key, row), by, reason)

    def kept(self, *, without: str = "") -> list[Place]:
        """Kept images in request order, see :meth:`judged`."""
        return [one.place for one in self.judged(without=without) if not one.rejected_by]


@dataclass
class Pool:
    """All images of one generator fit.

    Attributes:
        generator: name in the study.
        unit: the fit.
        fitted: its artefact.
        streams: one per class, whose first chunks calibrate the filters, and per cell wanted.
        wanted: kept images wanted per cell.
        test_chunks: chunks of the reserved test stream, one per class.
        hard_cases: key of the errors that tell hard training images; "" where none are asked for.
    """

    generator: str
    unit: FitUnit
    fitted: Artefact
    data: DataKeys
    scorer: str
    streams: dict[Cell, Stream]
    wanted: dict[Cell, int]
    test_chunks: list[Artefact] = field(default_factory=list)
    hard_cases: str = ""

    def manifest(
        self, counts: Mapping[Cell, int], *, curated: bool, without: str = ""
    ) -> list[ManifestEntry]:
        """The first ``counts[cell]`` kept (or all) images of each cell, in request order.

        ``without`` a filter, those that it alone rejects are kept, too.
        """
        entries: list[ManifestEntry] = []
        for cell, count in sorted(counts.items()):
            stream = self.streams[cell]
            every = (one.place for one in stream.judged())
            places = stream.kept(without=without) if curated else list(every)
            for chunk, row in places[:count]:
                if not entries or entries[-1]["chunk"] != chunk:
                    entries.append({"chunk": chunk, "label": cell.label, "rows": []})
                entries[-1]["rows"].append(row)
        return entries

    def test_manifest(self) -> list[ManifestEntry]:
        """All images of the reserved test stream."""
        return [
            {
                "chunk": chunk.key,
                "label": chunk.record["config"]["label"],
                "rows": list(range(len(chunk.summary["hashes"]))),
            }
            for chunk in self.test_chunks
            if chunk.summary["hashes"]
        ]

    def artefacts(self) -> Iterator[Artefact]:
        """The fit and all that was made with it so far."""
        yield self.fitted
        for stream in self.streams.values():
            yield from stream.chunks
            yield from stream.verdicts
        yield from self.test_chunks

    def first_chunks(self) -> tuple[list[dict[str, Any]], list[str]]:
        """A manifest of the first, uncurated samples of every class, and the chunks they are in."""
        first = [s.chunks[0] for s in self.class_streams() if s.chunks[0].summary["hashes"]]
        manifest = [
            {
                "chunk": chunk.key,
                "label": chunk.record["config"]["label"],
                "rows": list(range(len(chunk.summary["hashes"]))),
            }
            for chunk in first
        ]
        return manifest, [chunk.key for chunk in first]

    def rejected(self) -> Counter[str]:
        """Rejected images by the filter that rejected them."""
        judged = (one for stream in self.streams.values() for one in stream.judged())
        return Counter(one.rejected_by for one in judged if one.rejected_by)

    def class_streams(self) -> list[Stream]:
        """The streams of whole classes, in class order."""
        return [self.streams[cell] for cell in sorted(self.streams) if not cell.attributes]

    def fell_short(self) -> dict[Cell, int]:
        """Missing kept images per cell, where sampling stopped at the limit."""
        missing = {k: n - len(self.streams[k].kept()) for k, n in self.wanted.items()}
        return {k: n for k, n in missing.items() if n > 0}


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


def make_streams(classes: int, wanted: Iterable[Cell]) -> dict[Cell, Stream]:
    """Streams of all classes and of the cells that are wanted."""
    return {cell: Stream(cell) for cell in sorted({*map(Cell, range(classes)), *wanted})}


def fit_request(
    session: Session, component: Component, unit: FitUnit, data: DataKeys
) -> StageRequest:
    """Ask for one generator fit."""
    resolved: Resolved = resolve_component("generators", component)
    return StageRequest(
        stage="fit",
        function=f"{_STAGES}:fit",
        config={"generator": resolved, "draw": unit.draw, "monitor": "copying"},
        inputs={**as_inputs(data), **inputs_beside(session, component)},
        seed=seed_for(session.study.seed, "fit", component.title, unit.index),
        numerics=session.numerics,
        version="2",
        label=f"fit {component.title}, {unit.title}",
        device=session.device,
        local={"plugins": session.plugin_paths()},
    )


def _sample_request(
    session: Session, pool: Pool, plan: GenerationPlan, *, cell: Cell, chunk: int, stream: str
) -> StageRequest:
    size = plan.chunk if stream == "train" else plan.reserved
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
        numerics={**session.numerics, "chunk": size},
        label=f"sample {pool.generator}, {pool.unit.title}",
        device=session.device,
        local={"plugins": session.plugin_paths()},
    )


def _judge_request(
    session: Session, pool: Pool, chunk: StageRequest, reference: Sequence[StageRequest]
) -> StageRequest:
    filters = [
        {"name": component.title, **resolve_component("filters", component)}
        for component in session.study.curation
    ]
    return StageRequest(
        stage="judge",
        function=f"{_STAGES}:judge",
        config={"draw": pool.unit.draw, "filters": filters},
        inputs={
            **as_inputs(pool.data),
            "scorer": pool.scorer,
            "reference": [request.key for request in reference],
            "chunk": chunk.key,
        },
        numerics=session.numerics,
        version="2",
        label=f"judge {pool.generator}, {pool.unit.title}",
        local={"plugins": session.plugin_paths()},
    )


def fill(session: Session, pools: Sequence[Pool], plan: GenerationPlan) -> None:
    """Sample and judge until every pool holds what is wanted, or 3 × that was requested."""
    while True:
        batch: list[tuple[Pool, Stream, StageRequest, StageRequest]] = []
        for pool in pools:
            reference = [
                _sample_request(session, pool, plan, cell=Cell(k), chunk=0, stream="train")
                for k in range(plan.classes)
            ]
            for stream in pool.streams.values():
                first = len(stream.chunks)
                for chunk in range(first, first + _more(pool, stream, plan)):
                    wanted = _sample_request(
                        session, pool, plan, cell=stream.cell, chunk=chunk, stream="train"
                    )
                    verdict = _judge_request(session, pool, wanted, reference)
                    batch.append((pool, stream, wanted, verdict))
        if not batch:
            break
        # All chunks before all verdicts: the first chunks of every class calibrate the filters.
        session.ask([wanted for _, _, wanted, _ in batch] + [verdict for *_, verdict in batch])
        for _, stream, wanted, verdict in batch:
            stream.chunks.append(session.store.open(wanted.key))
            stream.verdicts.append(session.store.open(verdict.key))
    _reserve(session, pools, plan)
    for pool in pools:
        _report(session, pool)


def _more(pool: Pool, stream: Stream, plan: GenerationPlan) -> int:
    """How many further chunks to ask for now."""
    wanted = pool.wanted.get(stream.cell, 0)
    if not stream.chunks:
        return max(1, -(-round(wanted * MARGIN) // plan.chunk))
    if len(stream.chunks[-1].summary["hashes"]) < plan.chunk:
        return 0  # a fixed stock is used up
    kept, asked = len(stream.kept()), len(stream.chunks) * plan.chunk
    if kept >= wanted or asked >= max(REFILL_LIMIT * wanted, plan.chunk):
        return 0
    rate = max(kept / asked, 1 / REFILL_LIMIT)
    needed = -(-int((wanted - kept) / rate + 1) // plan.chunk)
    limit = -(-REFILL_LIMIT * wanted // plan.chunk) - len(stream.chunks)
    return max(1, min(needed, limit))


def _reserve(session: Session, pools: Sequence[Pool], plan: GenerationPlan) -> None:
    if not plan.reserved:
        return
    for pool in pools:
        if pool.test_chunks:
            continue
        pool.test_chunks = session.ask(
            _sample_request(session, pool, plan, cell=Cell(k), chunk=0, stream="test")
            for k in range(plan.classes)
        )


def _report(session: Session, pool: Pool) -> None:
    session.log(
        "curated",
        generator=pool.generator,
        fit=pool.unit.index,
        generated=sum(1 for s in pool.streams.values() for _ in s.judged()),
        rejected=dict(pool.rejected()),
        fell_short=sum(pool.fell_short().values()),
    )


def verdict_rows(pool: Pool) -> Iterable[dict[str, Any]]:
    """One row per generated image for ``verdicts.parquet``."""
    for cell, stream in sorted(pool.streams.items()):
        scores = {
            verdict.record["inputs"]["chunk"]: verdict.summary["scores"]
            for verdict in stream.verdicts
        }
        told = {chunk.key: chunk.summary for chunk in stream.chunks}
        for index, ((chunk, row), rejected_by, reason) in enumerate(stream.judged()):
            yield {
                "generator": pool.generator,
                "fit": pool.unit.index,
                "label": cell.label,
                "attributes": canonical(dict(cell.attributes)),
                "index": index,
                "chunk": chunk,
                "row": row,
                "kept": not rejected_by,
                "rejected_by": rejected_by,
                "reason": reason,
                "made_from": told[chunk].get("origins", {row: ""})[row],
                "prompt": told[chunk].get("prompts", {row: ""})[row],
                **{f"score_{name}": values[row] for name, values in scores[chunk].items()},
            }
