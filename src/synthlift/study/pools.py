"""All images of one generator fit, as far as they were asked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from synthlift.seeds import generator_for
from synthlift.spec.targets import Cell
from synthlift.store import Artefact
from synthlift.store.images import DataKeys, ManifestEntry
from synthlift.study.filtering import Curation
from synthlift.study.halving import Place
from synthlift.study.layout import FitUnit
from synthlift.study.streams import Spent, Stream


def fit_name(generator: str, key: str) -> str:
    """Name of a generator's fit within the study, by the key of its artefact."""
    return f"{generator}-{key.rpartition('-')[2][:12]}"


@dataclass
class Pool:
    """All images of one generator fit.

    Attributes:
        generator: name in the study.
        unit: the fit.
        fitted: its artefact.
        streams: one per class, whose first chunks calibrate the filters, and per cell wanted.
        wanted: kept images wanted per cell.
        curation: the filters that its images pass.
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
    curation: Curation
    test_chunks: list[Artefact] = field(default_factory=list)
    hard_cases: str = ""

    @property
    def name(self) -> str:
        """Of the generator, and a few letters of the fit's key."""
        return fit_name(self.generator, self.fitted.key)

    def places(self) -> Iterator[Place]:
        """The chunks that are sampled."""
        for cell, stream in self.streams.items():
            yield from (("train", cell, number) for number in range(len(stream.chunks)))
        yield from (("test", Cell(k), 0) for k in range(len(self.test_chunks)))

    def manifest(
        self,
        counts: Mapping[Cell, int],
        *,
        curated: bool,
        without: str = "",
        drawn_by: int | None = None,
    ) -> list[ManifestEntry]:
        """The first ``counts[cell]`` kept (or all) images of each cell, in request order.

        Args:
            counts: how many.
            curated: kept images only.
            without: those that this filter alone rejects are kept, too.
            drawn_by: a seed; the images are then drawn without return from all of the cell, so
                that several may take sets of their own from one pool, smaller ones within larger
                ones.
        """
        found = []
        for cell, count in sorted(counts.items()):
            random = None if drawn_by is None else generator_for(drawn_by, *cell.seed_parts)
            found += self.streams[cell].manifest(
                count, curated=curated, without=without, random=random
            )
        return found

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

    def spent(self) -> dict[str, Spent]:
        """What the fit cost, and then all that was made with it so far, by the artefact's key.

        Pools of several training sets may share artefacts: each cost what it cost once.
        """
        found = {self.fitted.key: Spent.of(self.fitted)}
        for stream in self.streams.values():
            for chunk in stream.chunks:
                found |= {chunk.key: chunk.sampling, chunk.verdict: chunk.judging}
        return found | {chunk.key: Spent.of(chunk) for chunk in self.test_chunks}

    def first_chunks(self) -> tuple[list[dict[str, Any]], list[str]]:
        """A manifest of the first, uncurated samples of every class, and the chunks they are in."""
        first = [(s.cell, s.chunks[0]) for s in self.class_streams() if s.chunks[0].images]
        manifest = [
            {"chunk": chunk.key, "label": cell.label, "rows": list(range(chunk.images))}
            for cell, chunk in first
        ]
        return manifest, [chunk.key for _, chunk in first]

    def rejected(self) -> Counter[str]:
        """Rejected images by the filter that rejected them."""
        counts: Counter[str] = Counter()
        for stream in self.streams.values():
            counts.update(stream.rejected())
        return counts

    def class_streams(self) -> list[Stream]:
        """The streams of whole classes, in class order."""
        return [self.streams[cell] for cell in sorted(self.streams) if not cell.attributes]

    def fell_short(self) -> dict[Cell, int]:
        """Missing kept images per cell, where sampling stopped at the limit."""
        missing = {k: n - self.streams[k].number_kept() for k, n in self.wanted.items()}
        return {k: n for k, n in missing.items() if n > 0}


def spent_on(pools: Iterable[Pool]) -> list[Spent]:
    """What some pools cost together, what they share counted once."""
    return list({key: one for pool in pools for key, one in pool.spent().items()}.values())


def fits_of(pools: Iterable[Pool]) -> list[Artefact]:
    """The fits behind some pools, each once."""
    return list({pool.fitted.key: pool.fitted for pool in pools}.values())
