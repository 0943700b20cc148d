"""Sampling streams: what became of every generated image, in some twenty bytes an image.

Records of chunks and verdicts stay in the store and are opened where more is asked for, so that a
study of a million images plans in some hundred megabytes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from synthlift.spec.targets import Cell
from synthlift.store import Artefact
from synthlift.store.images import ManifestEntry

REPEATED = "repeated_sample"
_KEPT, _REPEATED = 0, 1
_HASH_BYTES = 16
"""Of an image's SHA-256: two different images that agree in so many are not to be expected."""

Place = tuple[str, int]
"""A generated image: its chunk's key and its row."""


class Judgement(NamedTuple):
    """What became of one generated image; ``rejected_by`` is "" where it was kept."""

    place: Place
    rejected_by: str
    reason: str


class Spent(NamedTuple):
    """What an artefact cost, attempts that were cut short included.

    ``earlier_seconds`` of the ``seconds`` were theirs; with ``at_least`` they took more than is
    known.
    """

    seconds: float
    earlier_seconds: float
    at_least: bool

    @classmethod
    def of(cls, artefact: Artefact) -> Spent:
        """From its record."""
        cost = artefact.record["cost"]
        earlier, at_least = cost.get("earlier_seconds", 0.0), cost.get("at_least", False)
        return cls(cost["seconds"], earlier, at_least)


class Chunk(NamedTuple):
    """A sampled chunk and its verdict, by key; ``images`` may be fewer than were asked for.

    ``redrawn`` of them came out black and were drawn anew, ``black`` of these stayed so.
    """

    key: str
    verdict: str
    images: int
    sampling: Spent
    judging: Spent
    redrawn: int = 0
    black: int = 0


@dataclass
class Stream:
    """One sampling stream of one fit and cell: its chunks in order, and what became of each image.

    Attributes:
        cell: that is asked for.
        chunks: sampled and judged so far.
    """

    cell: Cell
    chunks: list[Chunk] = field(default_factory=list)
    _names: list[str] = field(default_factory=lambda: ["", REPEATED])
    _by: bytearray = field(default_factory=bytearray, repr=False)
    _flags: dict[str, bytearray] = field(default_factory=dict, repr=False)
    _hashes: bytearray = field(default_factory=bytearray, repr=False)
    _reasons: dict[int, str] = field(default_factory=dict, repr=False)
    _again: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, np.bool_), repr=False)

    def __len__(self) -> int:
        """Images so far, kept or not."""
        return len(self._by)

    def add(self, chunk: Artefact, verdict: Artefact) -> None:
        """Take note of the next chunk and of its verdict."""
        hashes, found = chunk.summary["hashes"], verdict.summary
        for name in found["flags"]:
            self._flags.setdefault(name, bytearray(len(self)))
        for name, flags in self._flags.items():
            flags.extend(bytes(found["flags"].get(name, bytes(len(hashes)))))
        first = len(self)
        for row, (pixels, by, reason) in enumerate(
            zip(hashes, found["rejected_by"], found["reasons"], strict=True)
        ):
            if by not in self._names:
                self._names.append(by)
            self._by.append(self._names.index(by))
            self._hashes += bytes.fromhex(pixels)[:_HASH_BYTES]
            if reason:
                self._reasons[first + row] = reason
        told = {name: chunk.summary.get(name, 0) for name in ("redrawn", "black")}
        self.chunks.append(
            Chunk(chunk.key, verdict.key, len(hashes), Spent.of(chunk), Spent.of(verdict), **told)
        )

    def generated(self, *, without: str = "") -> NDArray[np.uint8]:
        """One code an image, in request order: 0 = kept, else see :meth:`name_of`.

        ``without`` a filter, what it alone rejects is kept.
        """
        codes = np.frombuffer(bytes(self._by), np.uint8).copy()
        if without in self._names[2:]:
            alone = codes == self._names.index(without)
            for name, flags in self._flags.items():
                if name != without:
                    alone &= np.frombuffer(bytes(flags), np.uint8) == 0
            codes[alone] = _KEPT
        codes[(codes == _KEPT) & self._repeats()] = _REPEATED
        return codes

    def name_of(self, code: int) -> str:
        """The filter behind a code, "" for kept images."""
        return self._names[code]

    def number_kept(self, *, without: str = "") -> int:
        """How many images are kept, see :meth:`generated`."""
        return int((self.generated(without=without) == _KEPT).sum())

    def rejected(self) -> Counter[str]:
        """Rejected images by the filter that rejected them."""
        counts = np.bincount(self.generated(), minlength=len(self._names))
        named = zip(self._names, counts.tolist(), strict=True)
        return Counter({name: count for name, count in named if name and count})

    def judged(self) -> Iterator[Judgement]:
        """Every image in request order."""
        codes, index = self.generated(), 0
        for chunk in self.chunks:
            for row in range(chunk.images):
                code = int(codes[index])
                reason = self._reasons.get(index, "") if code else ""
                if code == _REPEATED:
                    reason = "the same pixels as an earlier sample"
                yield Judgement((chunk.key, row), self._names[code], reason)
                index += 1

    def manifest(
        self,
        count: int,
        *,
        curated: bool,
        without: str = "",
        random: np.random.Generator | None = None,
    ) -> list[ManifestEntry]:
        """The first ``count`` kept (or all) images, in request order.

        With ``random``, as many are drawn from them without return, so that of equal generators
        smaller draws are part of larger ones.
        """
        codes = self.generated(without=without)
        found = np.flatnonzero(codes == _KEPT) if curated else np.arange(len(codes))
        if random is not None:
            found = random.permutation(found)
        taken = np.sort(found[:count])
        ends = np.cumsum([chunk.images for chunk in self.chunks])
        entries: list[ManifestEntry] = []
        for chunk, end, rows in zip(
            self.chunks, ends, np.split(taken, np.searchsorted(taken, ends)), strict=False
        ):
            if len(rows):
                own = (rows - (end - chunk.images)).tolist()
                entries.append({"chunk": chunk.key, "label": self.cell.label, "rows": own})
        return entries

    def _repeats(self) -> NDArray[np.bool_]:
        """Whether an image's pixels came before, bool [n]; found anew when there are more."""
        if len(self._again) != len(self):
            kinds = np.frombuffer(bytes(self._hashes), np.dtype((np.void, _HASH_BYTES)))
            self._again = np.ones(len(self), np.bool_)
            self._again[np.unique(kinds, return_index=True)[1]] = False
        return self._again


def make_streams(classes: int, wanted: Mapping[Cell, int]) -> dict[Cell, Stream]:
    """Streams of all classes and of the cells that are wanted."""
    return {cell: Stream(cell) for cell in sorted({*map(Cell, range(classes)), *wanted})}
