"""Judging chunks with calibrated filters, and the gate against generators that copy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthlift.types import Filter, Float32, ImageBatch, Strings

COPY_FILTERS = ("exact_duplicates", "near_copies")


@dataclass(frozen=True)
class Judged:
    """The verdicts of all filters on one chunk, in request order.

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


def judge_chunk(filters: Mapping[str, Filter], *, batch: ImageBatch) -> Judged:
    """Have every filter judge every image, so that each filter's effect can be told apart.

    Args:
        filters: calibrated filters by name, in study order.
        batch: generated images.
    """
    count = len(batch)
    scores: dict[str, Float32] = {}
    flags: dict[str, NDArray[np.bool_]] = {}
    rejected_by, reasons = [""] * count, [""] * count
    for name, judge in filters.items():
        verdicts = judge.judge(batch)
        assert len(verdicts) == count, f"filter '{name}' gave {len(verdicts)} of {count} verdicts"
        scores[name] = np.array([v.score for v in verdicts], dtype=np.float32)
        flags[name] = np.array([v.flagged for v in verdicts], dtype=np.bool_)
        for row, verdict in enumerate(verdicts):
            if verdict.flagged and not rejected_by[row]:
                rejected_by[row], reasons[row] = name, verdict.reason
    return Judged(scores, flags, np.array(rejected_by, np.str_), np.array(reasons, np.str_))


@dataclass(frozen=True)
class GateReading:
    """What the memorisation gate says.

    Attributes:
        stopped: whether arms that use this generator must stop.
        copies: images that a copy filter flagged.
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
    limit: float = 0.1,
    copy_filters: Sequence[str] = COPY_FILTERS,
) -> GateReading:
    """Stop a generator of whose samples more than ``limit`` are copies (METHOD §5).

    Args:
        chunks: all judged chunks of one generator fit.
        generator: its name in the study, for the message.
        limit: largest acceptable share.
        copy_filters: names of the filters whose flags count as copies; absent ones are ignored.
    """
    judged = sum(len(chunk) for chunk in chunks)
    copies = sum(_copies(chunk, copy_filters) for chunk in chunks)
    share = copies / judged if judged else 0.0
    found = f"{copies} of {judged} samples ({share:.1%}) of generator '{generator}'"
    if share <= limit:
        return GateReading(False, copies, judged, f"{found} are copies of training images")
    return GateReading(
        True,
        copies,
        judged,
        f"{found} are copies of training images, more than {limit:.0%}: its arms are stopped. "
        "It has memorised instead of learnt; give it more images, or train it for fewer steps",
    )


def _copies(chunk: Judged, names: Sequence[str]) -> int:
    flagged = np.zeros(len(chunk), dtype=np.bool_)
    for name in names:
        if name in chunk.flags:
            flagged |= chunk.flags[name]
    return int(flagged.sum())
