"""The tables of a run folder, gathered from committed artefacts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from synthlift.store import Artefact, Store
from synthlift.study.census import aimed_at
from synthlift.study.generation import verdict_rows
from synthlift.study.layout import Replicate
from synthlift.study.open_test import PREDICTIONS
from synthlift.study.work import Work

if TYPE_CHECKING:
    from synthlift.evaluation.predictions import Predictions

Place = tuple[str, int]
ROWS_AT_ONCE = 8192


@dataclass(frozen=True)
class Entry:
    """One model's predictions on one evaluation set, by the artefact that holds them."""

    key: str
    arm: str
    multiple: float
    replicate: int
    fit: int
    fold: int
    evaluation_set: str

    def as_json(self) -> dict[str, Any]:
        """For a stage's request."""
        return asdict(self)


def entries(
    work: Work,
    places: Mapping[Place, Artefact],
    evaluation_set: str,
    *,
    only: Iterable[str] = (),
    replicates: Iterable[Replicate] | None = None,
) -> list[Entry]:
    """Entries of committed artefacts by (arm, replicate), of all arms or ``only`` some.

    ``replicates`` restricts them; by default all replicates in ``places``.
    """
    by_index = {replicate.index: replicate for replicate in work.prepared.layout.replicates}
    crossed = work.prepared.layout.design == "cross_validated"
    given_pool = work.given_pools_alone()
    wanted = set(only)
    indices = set(by_index) if replicates is None else {r.index for r in replicates}
    return [
        Entry(
            key=artefact.key,
            arm=arm,
            multiple=work.final_arms[arm].synthetic_multiple,
            replicate=index,
            fit=-1 if given_pool else by_index[index].fit,
            fold=by_index[index].draw if crossed else -1,
            evaluation_set=evaluation_set,
        )
        for (arm, index), artefact in places.items()
        if index in indices and (not wanted or arm in wanted)
    ]


def gather(store: Store, wanted: Sequence[Entry], classes: Sequence[str]) -> Predictions:
    """Read the predictions of all entries into one table."""
    import pyarrow as pa

    from synthlift.evaluation.predictions import as_table, check

    # Table by table: in arrays of text every cell would be as wide as the longest, four bytes
    # a character.
    parts = []
    for entry in wanted:
        with np.load(store.open(entry.key).path(PREDICTIONS)) as found:
            values = {
                **{name: value for name, value in asdict(entry).items() if name != "key"},
                "image_id": found["ids"],
                "group": found["groups"],
                "label": found["labels"],
                "probabilities": found["probabilities"],
            }
        parts.append(as_table(values))
    table = pa.concat_tables(parts).combine_chunks()
    parts.clear()
    return check(table, classes=classes)


def write_verdicts(work: Work, path: Path) -> None:
    """``verdicts.parquet``: one row per generated image with scores, verdict and reason."""
    import pandas as pd

    # Part by part, since a row of Python objects takes ten times the memory of a frame's.
    frames = [
        pd.DataFrame(rows)
        for pool in work.pools.values()
        for rows in _parts(verdict_rows(pool, work.session.store))
    ]
    frames = [frame for frame in frames if not frame.empty]
    frame = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()
    if not frame.empty:
        classes = np.array(work.prepared.opened.classes)
        frame["label"] = classes[frame["label"].to_numpy()]
    frame.to_parquet(path, index=False)


def _parts(rows: Iterator[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    while part := list(islice(rows, ROWS_AT_ONCE)):
        yield part


def write_splits(work: Work, path: Path) -> None:
    """``splits.csv``: id, label, group, content hash, draw and part of every usable image.

    Attributes that arms aim at stand beside them, since they decide what is generated.
    """
    import pandas as pd
    import pyarrow.parquet as pq

    from synthlift.store.images import SPLIT, attribute_columns, usable_rows

    split = pq.read_table(work.prepared.split.path(SPLIT)).to_pandas()
    used = {replicate.draw for replicate in [*work.replicates, *work.added]}
    store, inventory = work.session.store, work.prepared.data["inventory"]
    rows = usable_rows(store, inventory)
    facts = pd.DataFrame({name: rows[name] for name in ("id", "label", "group", "sha256")})
    aimed = aimed_at(work.arms)
    if aimed:
        columns = attribute_columns(store, inventory)
        facts = facts.assign(**{name: columns[name] for name in aimed})
    split[split["draw"].isin(used)].merge(facts, on="id").to_csv(path, index=False)
