"""Choosing inside the training sets, where validation is too small to choose on (METHOD §2).

Every training set is cut into three folds of whole groups. The whole study up to its choices runs
on two of them, the third serves as validation, and the choices are pooled over all folds of all
training sets; with cross-validation, over the three folds of each training set by itself. The
study's own validation and test images take no part.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from synthlift.seeds import seed_for
from synthlift.store import Artefact, StageContext, StageRequest, Summary
from synthlift.store.images import (
    SPLIT,
    DataKeys,
    as_inputs,
    class_names,
    members,
    positions,
    usable_rows,
)
from synthlift.study.census import aimed_at, count_cells
from synthlift.study.choices import named_choice
from synthlift.study.contrast import declare_contrast
from synthlift.study.flips import settings_of_draws
from synthlift.study.layout import Replicate, make_layout
from synthlift.study.rounds import train_round
from synthlift.study.work import Work

FOLDS = 3


def cross_select(work: Work, replicates: Sequence[Replicate]) -> None:
    """Take the choices – augmentation, best rival, primary arm – inside these training sets.

    They are recorded as decisions; the study itself then finds them taken. Choices that a study
    file brought along are not made again. Without splits that choose for themselves, the first
    round holds all training sets and chooses for the study.
    """
    if work.selection != "cross_selection" or (work.splits is None and work.replicates):
        return
    draws = sorted({replicate.draw for replicate in replicates})
    split = _split_request(work, draws)
    names = [named_choice("primary_arm", number) for number in work.by_split(replicates)]
    if all(map(work.session.decided, names)) and not work.session.store.has(split.key):
        return
    inner = _inside(work, split, draws)
    train_round(inner, inner.prepared.layout.replicates)
    declare_contrast(inner)


def _split_request(work: Work, draws: Sequence[int]) -> StageRequest:
    return StageRequest(
        stage="split",
        function="synthlift.study.crossing:split_inside",
        config={"draws": list(draws), "folds": FOLDS},
        inputs=as_inputs(work.prepared.data),
        seed=seed_for(work.session.study.seed, "cross_selection"),
        label="cutting the training sets into folds",
    )


def _inside(work: Work, request: StageRequest, draws: Sequence[int]) -> Work:
    session, prepared = work.session, work.prepared
    (split,) = session.ask([request])
    counts = _counts(split)
    inner = replace(
        prepared,
        data={**prepared.data, "split": split.key},
        split=split,
        layout=make_layout("redrawn", replicates=len(counts), fits=0, draws=len(counts)),
        counts=counts,
    )
    training = settings_of_draws(session, inner, counts, steps=work.training_steps)
    cells = count_cells(
        session.store,
        inner.data,
        draws=counts,
        classes=prepared.opened.classes,
        attributes=aimed_at(work.arms),
    )
    return replace(
        work,
        prepared=inner,
        shared=replace(
            work.shared,
            data=inner.data,
            training=training,
            counts=counts,
            cells=cells,
            aims={},
            retrieved={},
        ),
        generation=replace(work.generation, reserved=0),
        selection="validation",
        inside=True,
        splits=None if work.splits is None else {d: work.splits[draws[d // FOLDS]] for d in counts},
        strengths={},
        filter_strengths={},
        final_arms={},
        trained={},
        models={},
        pools={},
        stopped={},
        replicates=[],
        added=[],
        opened=False,
        contrast=None,
        tests={},
        generated={},
        outside={},
    )


def _counts(split: Artefact) -> dict[int, dict[int, int]]:
    found: list[list[int]] = split.summary["train_counts"]
    return {draw: dict(enumerate(counts)) for draw, counts in enumerate(found)}


def split_inside(request: StageRequest, context: StageContext) -> Summary:
    """Stage: a split with one draw for each training set and fold; the fold is its validation."""
    from synthlift.data.designs import Design
    from synthlift.data.splits import make_split

    store, folds = context.store, int(request.config["folds"])
    keys = cast(DataKeys, {r: request.one(r) for r in ("inventory", "pixels", "split")})
    rows = usable_rows(store, keys["inventory"])
    classes = class_names(store, keys["inventory"])
    design = Design("cross_validated", 1 / folds, 1e-9, folds=folds, repeats=1, draws=folds)
    columns: dict[str, list[np.ndarray]] = {"draw": [], "id": [], "part": []}
    train_counts: list[list[int]] = []
    for number, draw in enumerate(request.config["draws"]):
        ids = members(store, keys, draw, "train")
        where = positions(rows["id"], ids)
        labels = dict(zip(ids.tolist(), rows["label"][where].tolist(), strict=True))
        table = make_split(
            design,
            ids=ids,
            labels=rows["label"][where],
            groups=rows["group"][where],
            seed=seed_for(request.seed, draw),
        )
        part = np.where(table.part == "test", "validation", "train")
        for fold in range(folds):
            chosen = table.id[(table.draw == fold) & (part == "train")].tolist()
            train_counts.append(_per_class(chosen, labels, classes))
        columns["draw"].append(number * folds + table.draw)
        columns["id"].append(table.id)
        columns["part"].append(part)
    joined = {name: np.concatenate(parts).tolist() for name, parts in columns.items()}
    pq.write_table(pa.table(joined), context.out / SPLIT)
    return {"train_counts": train_counts}


def _per_class(ids: list[str], labels: Mapping[str, str], classes: tuple[str, ...]) -> list[int]:
    found = [labels[name] for name in ids]
    return [found.count(name) for name in classes]
