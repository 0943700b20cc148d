"""Stages after training: the evaluation, the copying figures and the pictures of the report."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from synthlift.rows import in_blocks
from synthlift.spec.targets import Cell
from synthlift.store import StageContext, StageRequest, Store, Summary
from synthlift.store.images import (
    ManifestEntry,
    attribute_columns,
    generated_rows,
    read_generated,
    usable_rows,
)
from synthlift.study.stages.common import (
    classifier,
    fit_inputs,
    load_plugins,
    reference,
    text_match,
)
from synthlift.study.tables import Entry, gather
from synthlift.types import UInt8

HOW_MANY = ((100, "100 or more"), (20, "20 to 100"), (5, "5 to 20"))
"""Ranges of a cell's training images; means over draws need not be whole."""
TABLE, OUTCOME, PICTURES = "predictions.parquet", "outcome.json", "pictures.npz"


def evaluate(request: StageRequest, context: StageContext) -> Summary:
    """Stage: gather all predictions and evaluate them; writes the table and the outcome."""
    from synthlift.evaluation.outcome import evaluate_study
    from synthlift.evaluation.plan import EvaluationPlan, PlannedArm
    from synthlift.evaluation.predictions import write

    wanted = [Entry(**entry) for entry in request.config["entries"]]
    table = gather(context.store, wanted, request.config["classes"])
    write(table, context.out / TABLE)
    given: Mapping[str, Any] = request.config["plan"]
    if given["generative"] is None:
        return {"evaluated": False}
    arms = [PlannedArm(**arm) for arm in given["arms"]]
    inventory, cells = request.one("inventory"), request.config["cells"]
    attributes = _attributes(context.store, inventory)
    attributes |= _by_cell(context.store, inventory, request.config["classes"], cells)
    plan = EvaluationPlan(**{**given, "arms": arms, "attributes": attributes}, seed=request.seed)
    outcome = evaluate_study(table, plan)
    parts = {name: _plain(getattr(outcome, name)) for name in outcome.__dataclass_fields__}
    (context.out / OUTCOME).write_text(json.dumps(parts), encoding="utf-8")
    return {"evaluated": True, "word": outcome.verdict.word}


def _attributes(store: Store, inventory: str) -> dict[str, dict[str, str]]:
    ids = usable_rows(store, inventory)["id"].tolist()
    columns = attribute_columns(store, inventory)
    return {name: dict(zip(ids, column.tolist(), strict=True)) for name, column in columns.items()}


def _by_cell(
    store: Store, inventory: str, classes: Sequence[str], cells: Sequence[Mapping[str, Any]]
) -> dict[str, dict[str, str]]:
    """The cell of each image, and how many training images that cell has, as subgroups."""
    rows = usable_rows(store, inventory)
    ids, labels = rows["id"].tolist(), rows["label"].tolist()
    columns = attribute_columns(store, inventory)
    index = {name: k for k, name in enumerate(classes)}
    found: dict[str, dict[str, str]] = {}
    for one in cells:
        names = one["attributes"]
        values = zip(*(columns[name].tolist() for name in names), strict=True)
        titles = [
            Cell.of(index[label], dict(zip(names, own, strict=True))).title(classes)
            for label, own in zip(labels, values, strict=True)
        ]
        together = " × ".join(("class", *names))
        found[together] = dict(zip(ids, titles, strict=True))
        counts = [_how_many(one["train"].get(title, 0.0)) for title in titles]
        found[f"training images of {together}"] = dict(zip(ids, counts, strict=True))
    return found


def _how_many(images: float) -> str:
    """In ranges, from none to many."""
    if images == 0:
        return "0"
    return next((words for least, words in HOW_MANY if images >= least), "below 5")


def _plain(value: Any) -> Any:
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    return [_plain(item) for item in value] if isinstance(value, list) else value


def copying(request: StageRequest, context: StageContext) -> Summary:
    """Stage: how close uncurated samples of one fit lie to its training images (METHOD §5)."""
    from synthlift.vision.copying import StoredImages, copying_reference, measure_copying

    load_plugins(request)
    inputs = fit_inputs(request, context.store)
    known = reference(request, context.store)
    measured = copying_reference(
        inputs.train,
        held_out=inputs.validation,
        encoder=known.encoder,
        features=known.features,
        seed=request.seed,
    )
    result = measure_copying(
        measured,
        generated=StoredImages(*generated_rows(context.store, request.config["manifest"])),
        classes=inputs.train.classes,
    )
    return asdict(result)


def quality(request: StageRequest, context: StageContext) -> Summary:
    """Stage: how real uncurated samples of one fit look, each figure beside its floor (METHOD §5).

    ``gan_test`` is the balanced accuracy on them of the study's judging classifier, which learnt
    from the training images alone (Shmelkov 2018), beside that on validation images. ``cmmd`` is
    there where the study names a CLIP checkpoint.
    """
    from synthlift.vision.features import encode
    from synthlift.vision.quality import balanced, cmmd, matched_rows, measure_quality

    load_plugins(request)
    store = context.store
    inputs, known = fit_inputs(request, store), reference(request, store)
    pixels, labels = generated_rows(store, request.config["manifest"])
    held_out = inputs.validation
    found = measure_quality(
        encode(known.encoder, pixels),
        labels,
        train=known.features[np.arange(len(inputs.train))],
        train_labels=inputs.train.labels,
        held_out=encode(known.encoder, held_out.source),
        held_out_labels=held_out.labels,
        seed=request.seed,
    )
    if found is None:
        return {"measured": False}
    judge = classifier(store, request.one("scorer"))
    generated, floor = asdict(found.generated), asdict(found.floor)
    for figures, rows, given in (
        (generated, pixels, labels),
        (floor, held_out.source, held_out.labels),
    ):
        right = np.concatenate(
            [judge.probabilities(block).argmax(axis=1) for block in in_blocks(rows)]
        )
        figures["gan_test"] = balanced(right == given, given)
    if match := text_match(request.config, inputs.train.classes):
        mine, theirs, real = matched_rows(
            labels, train=inputs.train.labels, held_out=held_out.labels, seed=request.seed
        )
        wanted = match.embed(held_out.source[real])
        generated["cmmd"] = cmmd(match.embed(pixels[mine]), wanted)
        floor["cmmd"] = cmmd(match.embed(inputs.train.source[theirs]), wanted)
    return {
        "measured": True,
        "generated": generated,
        "floor": floor,
        "images": found.images,
        "held_out": found.held_out,
    }


def pictures(request: StageRequest, context: StageContext) -> Summary:
    """Stage: real, kept and rejected images, and the closest generated–training pairs."""
    from synthlift.vision.features import encode
    from synthlift.vision.neighbours import nearest

    load_plugins(request)
    inputs = fit_inputs(request, context.store)
    images: list[UInt8] = []
    items: list[dict[str, Any]] = []
    train = inputs.train
    for label, name in enumerate(train.classes):
        rows = np.flatnonzero(train.labels == label)[: request.config["per_class"]]
        images.extend(train.pixels(rows))
        items.extend({"kind": "real", "label": name} for _ in rows)
    for kind in ("kept", "rejected"):
        shown = request.config[kind]
        if shown:
            pixels, labels = read_generated(context.store, [_entry(item) for item in shown])
            images.extend(pixels)
            items.extend(
                {"kind": kind, "label": train.classes[k], "reason": item["reason"]}
                for k, item in zip(labels, shown, strict=True)
            )
    if request.config["manifest"] and len(train):
        generated, labels = generated_rows(context.store, request.config["manifest"])
        known = reference(request, context.store)
        near = nearest(encode(known.encoder, generated), references=known.features)
        order = np.argsort(near.distances[:, 0], kind="stable")[: request.config["pairs"]]
        for pair, row in enumerate(order):
            facts = {"pair": pair, "distance": float(near.distances[row, 0])}
            neighbour = int(near.indices[row, 0])
            images.extend([generated[row[None]][0], train.pixels(np.array([neighbour]))[0]])
            query = {"kind": "copy_query", "label": train.classes[labels[row]]}
            closest = {"kind": "copy_neighbour", "label": train.classes[train.labels[neighbour]]}
            items.extend([{**query, **facts}, {**closest, **facts}])
    np.savez(context.out / PICTURES, pixels=np.stack(images))
    return {"items": items}


def _entry(item: Mapping[str, Any]) -> ManifestEntry:
    return {"chunk": item["chunk"], "label": item["label"], "rows": [item["row"]]}
