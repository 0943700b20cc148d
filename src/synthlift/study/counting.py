"""Where every image went: read, excluded, split, generated, kept, rejected."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

from synthlift.spec.facts import Counts
from synthlift.spec.targets import Cell, combinations, grouped
from synthlift.study.modelling import from_hard_cases
from synthlift.study.pools import Pool
from synthlift.study.streams import Stream
from synthlift.study.work import Work

Number = TypeVar("Number", int, float)


def counts(work: Work) -> Counts:
    """From images read to images kept; nothing vanishes."""
    opened, split = work.prepared.opened, work.prepared.split.summary["images"]
    read = opened.read.summary
    draws = [r.draw for r in work.replicates or work.prepared.layout.replicates[: work.planned]]

    def mean(part: str) -> float:
        return float(np.mean([sum(split[draw].get(part, {}).values()) for draw in draws]))

    pools = list(work.pools.values())
    rejected: Counter[str] = Counter()
    fell_short: Counter[str] = Counter()
    for pool in pools:
        rejected.update(pool.rejected())
        fell_short.update(by_title(pool.fell_short(), opened.classes))
    made = sum(generated(pool) for pool in pools)
    return Counts(
        read=read["read"],
        excluded=dict(read["excluded"]),
        used=opened.usable,
        train=mean("train"),
        validation=mean("validation"),
        test=mean("test"),
        pool=mean("pool"),
        unlabelled=mean("unlabelled"),
        generated=made,
        kept=made - sum(rejected.values()),
        rejected=dict(sorted(rejected.items())),
        fell_short=dict(fell_short),
        per_class={
            name: {
                **{
                    part: float(np.mean([split[draw][part].get(name, 0) for draw in draws]))
                    for part in ("train", "validation", "test")
                },
                **_sampled(
                    stream
                    for pool in pools
                    for cell, stream in pool.streams.items()
                    if cell.label == label
                ),
            }
            for label, name in enumerate(opened.classes)
        },
        per_cell=_per_cell(work, draws),
    )


def _sampled(streams: Iterable[Stream]) -> dict[str, float]:
    counts = [(len(stream), stream.number_kept()) for stream in streams]
    made, kept = (float(sum(column)) for column in zip(*counts, strict=True)) if counts else (0, 0)
    return {"generated": made, "kept": kept} if made else {}


def _per_cell(work: Work, draws: Sequence[int]) -> dict[str, dict[str, float]]:
    """Cells of attributes that some arm aims at: real training images, generated and kept ones."""
    pools, classes = list(work.pools.values()), work.prepared.opened.classes
    found: dict[str, dict[str, float]] = {}
    for cells in cell_census(work, draws).values():
        for cell, train in cells.items():
            streams = (
                pool.streams[own]
                for pool in pools
                for own in (cell, from_hard_cases(cell))
                if own in pool.streams
            )
            own = found.setdefault(cell.title(classes), {})
            for name, images in {"train": train, **_sampled(streams)}.items():
                own[name] = own.get(name, 0.0) + images
    return found


def cell_census(work: Work, draws: Sequence[int]) -> dict[tuple[str, ...], dict[Cell, float]]:
    """Mean real training images of the cells that arms aim at, by the attributes they are of."""
    targets = {arm.target for arm in work.arms if arm.target.attributes}
    found: dict[tuple[str, ...], dict[Cell, float]] = {}
    for names in sorted({target.attributes for target in targets}):
        counts = [grouped(work.shared.census(draw), names) for draw in draws]
        cells = {cell for each in counts for cell in each}
        if any(target.unseen for target in targets if target.attributes == names):
            cells |= set(combinations(cells))
        found[names] = {
            cell: float(np.mean([each.get(cell, 0) for each in counts])) for cell in sorted(cells)
        }
    return found


def by_title(counts: Mapping[Cell, Number], classes: Sequence[str]) -> dict[str, Number]:
    """Counts of cells by their titles; a missing value and one called "missing" are one."""
    found: dict[str, Number] = {}
    for cell, n in counts.items():
        title = cell.title(classes)
        found[title] = found[title] + n if title in found else n
    return found


def cells_as_json(work: Work, draws: Sequence[int]) -> list[dict[str, Any]]:
    """Attributes that arms aim at cells of, and the training images of each cell by its title."""
    classes = work.prepared.opened.classes
    return [
        {"attributes": names, "train": by_title(counts, classes)}
        for names, counts in cell_census(work, draws).items()
    ]


def generated(pool: Pool) -> int:
    """Images sampled from a fit, the reserved test stream left out."""
    return sum(map(len, pool.streams.values()))
