"""Strengths of filters that validation chose: what each would have kept, and how it scored."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from synthlift.reporting import text
from synthlift.reporting.reading import Reading
from synthlift.spec.results import StrengthChoice


@dataclass(frozen=True)
class Row:
    """One strength of a filter."""

    strength: str
    score: str
    kept: str
    chosen: str


@dataclass(frozen=True)
class Table:
    """One filter on one generator's images."""

    generator: str
    filter: str
    metric: str
    splits: int
    rows: Sequence[Row]


def tables(reading: Reading) -> list[Table]:
    """One table a generator and filter, the means over splits; none where nothing was tried."""
    found: dict[tuple[str, str], list[StrengthChoice]] = {}
    for choice in reading.results.strengths:
        if choice.tried:
            found.setdefault((choice.generator, choice.filter), []).append(choice)
    return [_table(choices) for choices in found.values()]


def _table(choices: Sequence[StrengthChoice]) -> Table:
    first, times = choices[0], Counter(choice.strength for choice in choices)
    crossed = first.split is not None
    rows = []
    for place, one in enumerate(first.tried):
        tried = [choice.tried[place] for choice in choices]
        chosen = times[one.strength]
        words = f"in {chosen} of {len(choices)} folds" if crossed else "chosen"
        rows.append(
            Row(
                strength=one.strength,
                score=text.number(100 * sum(t.score for t in tried) / len(tried), 1),
                kept=text.percent(sum(t.kept for t in tried) / len(tried)),
                chosen=words if chosen else "",
            )
        )
    return Table(
        generator=first.generator,
        filter=first.filter,
        metric=first.metric.replace("_", " "),
        splits=len(choices),
        rows=rows,
    )
