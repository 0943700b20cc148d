"""Judging chunks with calibrated filters and selectors, and the gate against copying generators."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthlift.registry import Origins
from synthlift.types import Filter, Float32, ImageBatch, Selector, Strings

COPIES_AT_MOST = 0.1
"""Largest acceptable share of copies among a generator's samples (METHOD §5)."""
COPY_FILTERS = ("exact_duplicates", "near_copies", "pixel_copies")
ALIKE = "others that are kept stand for it"


@dataclass(frozen=True)
class Judged:
    """The verdicts of all filters on one chunk, in request order.

    A selector flags none of the images that a filter flagged: it does not see them.

    Attributes:
        scores: float32 [n] in [0, 1] by filter; 1 = certainly fine.
        flags: bool [n] by filter.
        rejected_by: name of the first filter, in study order, that rejected; "" where kept.
        reasons: that filter's words; "" where kept.
    """

    scores: Mapping[str, Float32]
    flags: Mapping[str, NDArray[np.bool_]]
    rejected_by: Strings
    reasons: Strings

    def __len__(self) -> int:
        return len(self.rejected_by)

    @property
    def kept(self) -> NDArray[np.bool_]:
        """Which images no filter rejected [n]."""
        kept: NDArray[np.bool_] = self.rejected_by == ""
        return kept

    def columns(self) -> dict[str, NDArray[Any]]:
        """One table: ``kept``, ``rejected_by``, ``reason``, and ``score_<filter>`` by filter."""
        table: dict[str, NDArray[Any]] = {
            "kept": self.kept,
            "rejected_by": self.rejected_by,
            "reason": self.reasons,
        }
        return table | {f"score_{name}": score for name, score in self.scores.items()}

    def rejections(self) -> dict[str, int]:
        """Rejected images by the filter that comes first; with the kept ones they sum to n."""
        return {name: int((self.rejected_by == name).sum()) for name in self.scores}


def judge_chunk(filters: Mapping[str, Filter | Selector], *, batch: ImageBatch) -> Judged:
    """Have every filter judge every image, so that each filter's effect can be told apart.

    Selectors come last, whatever the order: each chooses, class by class, among the images that
    no filter and no earlier selector rejected.

    Args:
        filters: calibrated filters and selectors by name, in study order.
        batch: generated images.
    """
    count = len(batch)
    scores: dict[str, Float32] = {}
    flags: dict[str, NDArray[np.bool_]] = {}
    reasons: dict[str, list[str]] = {}
    for name, judge in filters.items():
        if isinstance(judge, Filter):
            verdicts = judge.judge(batch)
            assert len(verdicts) == count, f"filter '{name}': {len(verdicts)} of {count} verdicts"
            scores[name] = np.array([v.score for v in verdicts], dtype=np.float32)
            flags[name] = np.array([v.flagged for v in verdicts], dtype=np.bool_)
            reasons[name] = [verdict.reason for verdict in verdicts]
    rejected = np.logical_or.reduce([np.zeros(count, np.bool_), *flags.values()])
    for name, judge in filters.items():
        if isinstance(judge, Selector):
            scores[name], flags[name] = _selected(judge, batch, among=~rejected)
            reasons[name] = [ALIKE] * count
            rejected = rejected | flags[name]
    rejected_by, words = [""] * count, [""] * count
    for name in filters:
        for row in np.flatnonzero(flags[name]).tolist():
            if not rejected_by[row]:
                rejected_by[row], words[row] = name, reasons[name][row]
    return Judged(
        scores={name: scores[name] for name in filters},
        flags={name: flags[name] for name in filters},
        rejected_by=np.array(rejected_by, np.str_),
        reasons=np.array(words, np.str_),
    )


def _selected(
    selector: Selector, batch: ImageBatch, *, among: NDArray[np.bool_]
) -> tuple[Float32, NDArray[np.bool_]]:
    """Scores by rank within the class, 1 where no choice was made; and what is not kept."""
    scores = np.ones(len(batch), dtype=np.float32)
    flags = np.zeros(len(batch), dtype=np.bool_)
    for label in np.unique(batch.labels[among]):
        rows = np.flatnonzero(among & (batch.labels == label))
        order = rows[selector.order(ImageBatch(batch.pixels[rows], batch.labels[rows]))]
        assert len(np.unique(order)) == len(rows), "a selector gives a permutation"
        scores[order] = 1 - np.arange(len(rows)) / len(rows)
        # Rounded first: 0.7·10 is a hair below 7.
        flags[order[math.ceil(round(selector.share * len(rows), 9)) :]] = True
    return scores, flags


NEAR = "lie as near to training images as copies"
LEARNT = "It has memorised instead of learnt; give it more images, or train it for fewer steps"
WHY: dict[Origins, str] = {
    "learnt": LEARNT,
    "changed": "It starts from training images and changes them too little to be new; raise its "
    "strength, or adapt it for fewer steps if at all",
    "along": "It draws along training images; lower its control_scale",
    "part": "It changes too little of training images",
    "elsewhere": "It has not learnt from them here: it may hold or know them from elsewhere, or "
    "show the same few things. Look at the pairs; take what was made of these images out of a "
    "pool, or vary the prompts of a pipeline",
}
"""What a generator that is stopped has done, and what to do."""


@dataclass(frozen=True)
class GateReading:
    """What the memorisation gate says.

    Attributes:
        stopped: whether arms that use this generator must stop.
        copies: images that a copy filter flagged, or that the copying measure calls copies.
        judged: images seen.
        message: one sentence for the user.
    """

    stopped: bool
    copies: int
    judged: int
    message: str


def memorisation_gate(
    chunks: Sequence[Judged],
    *,
    generator: str,
    limit: float = COPIES_AT_MOST,
    copy_filters: Sequence[str] = COPY_FILTERS,
    measured: tuple[int, int] = (0, 0),
    origins: Origins = "learnt",
) -> GateReading:
    """Stop a generator of whose samples more than ``limit`` are copies (METHOD §5).

    Args:
        chunks: all judged chunks of one generator fit.
        generator: its name in the study, for the message.
        limit: largest acceptable share.
        copy_filters: names of the filters whose flags count as copies; absent ones are ignored.
        measured: copies that the copying measure finds, and the images that it looked at. They
            count where they are the larger share.
        origins: how its images come of the training images.
    """
    flagged = sum(_copies(chunk, copy_filters) for chunk in chunks)
    counts = [(flagged, sum(len(chunk) for chunk in chunks)), measured]
    share, copies, judged = max((n / of if of else 0.0, n, of) for n, of in counts)
    found = f"{copies} of {judged} samples ({share:.1%}) of generator '{generator}'"
    what = NEAR if origins == "elsewhere" else "are copies of training images"
    if share <= limit:
        return GateReading(False, copies, judged, f"{found} {what}")
    stopped = f"{found} {what}, more than {limit:.0%}: its arms are stopped. {WHY[origins]}"
    return GateReading(True, copies, judged, stopped)


def _copies(chunk: Judged, names: Sequence[str]) -> int:
    flagged = np.zeros(len(chunk), dtype=np.bool_)
    for name in names:
        if name in chunk.flags:
            flagged |= chunk.flags[name]
    return int(flagged.sum())
