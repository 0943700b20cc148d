"""Stage behind ``synthlift curate``: every filter on every image of a pool, and the copying check.

Other than in a study nothing is sampled: the images are there, and each is judged once.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from synthlift.rows import FeatureRows
from synthlift.store import StageContext, StageRequest, Store, Summary
from synthlift.store.images import read_beside
from synthlift.study.components import build
from synthlift.study.stages.common import (
    classifier,
    fit_inputs,
    load_plugins,
    reference,
    text_match,
)
from synthlift.types import (
    Filter,
    FilterInputs,
    FitInputs,
    Float32,
    Float64,
    ImageBatch,
    ImageSet,
    Scorer,
    Selector,
)
from synthlift.vision.neighbours import Neighbours, nearest

if TYPE_CHECKING:
    from synthlift.curation.apply import Judged
    from synthlift.vision.copying import CopyingReference

VERDICTS = "verdicts.json"
SAME_PICTURE = "same_picture"
"""What rejects pictures of real images that were held out, which no filter knows."""
TOGETHER, TOGETHER_BYTES = 2000, 256 * 2**20
"""Images of a class that are judged together; a selector chooses among so many."""
CALIBRATING = 512
"""Images of each class that stand for the first chunk of a generator."""
PAIRS = 12


def judge_pool(request: StageRequest, context: StageContext) -> Summary:
    """Stage: judge the images of a pool; writes ``verdicts.json``, columns in the pool's order.

    Columns: id, label, rejected_by, reason, nearest_real (the real image that it is most like), and
    for every filter its score. The summary holds the
    copying figures, how accurate the classifier is on held-out images, what share of those every
    filter would reject, and the closest pairs.
    """
    from synthlift.curation.apply import judge_chunk
    from synthlift.vision.copying import StoredImages, copying_reference, measure_copying
    from synthlift.vision.features import kept_features

    load_plugins(request)
    store = context.store
    inputs = fit_inputs(request, store)
    inventory, pixels, overlap = list(request.inputs["pool"])
    pool = read_beside(
        store, inventory=inventory, pixels=pixels, classes=inputs.train.classes, left_out=()
    )
    scorer = classifier(store, request.one("scorer")).probabilities
    seen = _inputs(request, store, inputs, pool, scorer)
    filters = _calibrated(request, seen)
    known = copying_reference(
        seen.train,
        held_out=seen.validation,
        encoder=seen.encoder,
        features=seen.features,
        seed=request.seed,
    )
    features = kept_features(seen.encoder, pool.source, folder=store.scratch())
    shown = _shown(seen, pool, features, known, pairs=store.open(overlap).summary["pairs"])
    near = _nearest(seen, features)
    columns = _columns(pool, filters)
    columns["nearest_real"] = inputs.train.ids[near.indices[:, 0]].tolist()
    done = 0
    for rows in _together(pool, left_out=shown):
        judged = judge_chunk(filters, batch=_batch(pool, rows))
        _note(columns, rows, judged)
        done += len(rows)
        context.progress(done, len(pool), "judging images")
    _name_originals(columns, inputs.train)
    for row, name in shown.items():
        columns["rejected_by"][row] = SAME_PICTURE
        columns["reason"][row] = f"copy of held-out real image {name}"
        columns["nearest_real"][row] = name
    (context.out / VERDICTS).write_text(json.dumps(columns), encoding="utf-8")
    return {
        "copying": asdict(
            measure_copying(
                known, generated=StoredImages(pool.source, pool.labels), classes=pool.classes
            )
        ),
        "pairs": _pairs(columns, near.distances[:, 0]),
        "held_out": _held_out(seen, filters, scorer),
        "classes": list(pool.classes),
        "train": len(inputs.train),
    }


def _inputs(
    request: StageRequest, store: Store, inputs: FitInputs, pool: ImageSet, scorer: Scorer
) -> FilterInputs:
    known = reference(request, store)
    size = math.prod(pool.image_shape)
    most = max(1, min(CALIBRATING, TOGETHER_BYTES // (size * len(pool.classes))))
    first = [np.flatnonzero(pool.labels == k)[:most] for k in range(len(pool.classes))]
    return FilterInputs(
        train=inputs.train,
        validation=inputs.validation,
        test=inputs.test,
        encoder=known.encoder,
        features=known.features,
        reference=_batch(pool, np.concatenate(first)),
        scorer=scorer,
        texts=text_match(request.config, inputs.train.classes),
    )


def _calibrated(request: StageRequest, seen: FilterInputs) -> dict[str, Filter | Selector]:
    filters: dict[str, Filter | Selector] = {}
    for component in request.config["filters"]:
        filters[component["name"]] = build("filters", component)
        filters[component["name"]].calibrate(seen)
    return filters


def _columns(pool: ImageSet, filters: dict[str, Filter | Selector]) -> dict[str, Any]:
    return {
        "id": pool.ids.tolist(),
        "label": [pool.classes[label] for label in pool.labels],
        "rejected_by": [""] * len(pool),
        "reason": [""] * len(pool),
        "nearest_real": [""] * len(pool),
        **{f"score_{name}": [0.0] * len(pool) for name in filters},
    }


def _together(pool: ImageSet, *, left_out: Collection[int] = ()) -> Iterator[NDArray[np.intp]]:
    """Rows of one class at a time, in parts that fit into memory."""
    used = np.ones(len(pool), dtype=np.bool_)
    used[list(left_out)] = False
    size = max(1, min(TOGETHER, TOGETHER_BYTES // math.prod(pool.image_shape)))
    for label in np.unique(pool.labels):
        rows = np.flatnonzero((pool.labels == label) & used)
        if not len(rows):
            continue
        yield from np.array_split(rows, -(-len(rows) // size))


def _batch(images: ImageSet, rows: NDArray[np.intp]) -> ImageBatch:
    return ImageBatch(pixels=images.pixels(rows), labels=images.labels[rows])


def _note(columns: dict[str, Any], rows: NDArray[np.intp], judged: Judged) -> None:
    for place, row in enumerate(rows.tolist()):
        columns["rejected_by"][row] = str(judged.rejected_by[place])
        columns["reason"][row] = str(judged.reasons[place])
        for name, scores in judged.scores.items():
            columns[f"score_{name}"][row] = round(float(scores[place]), 6)


def _shown(
    seen: FilterInputs,
    pool: ImageSet,
    features: FeatureRows,
    known: CopyingReference,
    *,
    pairs: Sequence[tuple[str, str]],
) -> dict[int, str]:
    """Rows that show a real image which no filter knows, and that image's id.

    A validation image is shown where it is nearer than 99 % of validation images come to any
    training image; an image of the locked test set where the stage ``overlap`` found so.
    """
    from synthlift.vision.features import encode

    held_out = encode(seen.encoder, seen.validation.source)
    shown: dict[int, str] = {}
    for rows in np.array_split(np.arange(len(pool)), -(-len(pool) // TOGETHER)):
        near = nearest(features[rows], references=held_out)
        for place in np.flatnonzero(near.distances[:, 0] < known.distance_cut).tolist():
            shown[int(rows[place])] = str(seen.validation.ids[near.indices[place, 0]])
    places = {name: row for row, name in enumerate(pool.ids.tolist())}
    locked = set(seen.test.ids.tolist())
    tested = [(theirs, ours) for theirs, ours in pairs if ours in locked and theirs in places]
    return shown | {places[theirs]: ours for theirs, ours in reversed(tested)}


def _name_originals(columns: dict[str, Any], train: ImageSet) -> None:
    """The image that a filter says was copied is the one that matters."""
    known = set(train.ids.tolist())
    for row, reason in enumerate(columns["reason"]):
        name = reason.rpartition("training image ")[2]
        if name in known:
            columns["nearest_real"][row] = name


def _nearest(seen: FilterInputs, features: FeatureRows) -> Neighbours:
    """The training image nearest to each image of the pool."""
    assert seen.features is not None
    count = features.shape[0]
    parts = [
        nearest(features[rows], references=seen.features)
        for rows in np.array_split(np.arange(count), -(-count // TOGETHER))
    ]
    return Neighbours(
        np.concatenate([part.distances for part in parts]),
        np.concatenate([part.indices for part in parts]),
    )


def _pairs(columns: dict[str, Any], distances: Float64) -> list[dict[str, Any]]:
    """The images nearest to a training image, and that one."""
    shown = np.array([by == SAME_PICTURE for by in columns["rejected_by"]])
    order = np.argsort(np.where(shown, np.inf, distances), kind="stable")
    order = order[: min(PAIRS, int((~shown).sum()))]
    return [
        {
            "id": columns["id"][row],
            "real": columns["nearest_real"][row],
            "distance": float(distances[row]),
        }
        for row in order.tolist()
    ]


def _held_out(
    seen: FilterInputs, filters: dict[str, Filter | Selector], scorer: Scorer
) -> dict[str, Any]:
    """What the same filters say of real images that were not trained on, as a control."""
    images = seen.validation
    flags: dict[str, list[NDArray[np.bool_]]] = {name: [] for name in filters}
    right: list[NDArray[np.bool_]] = []
    for rows in _together(images):
        batch = _batch(images, rows)
        probabilities: Float32 = scorer(batch.pixels)
        right.append(probabilities.argmax(axis=1) == batch.labels)
        for name, judge in filters.items():
            if isinstance(judge, Filter):
                flags[name].append(np.array([v.flagged for v in judge.judge(batch)], np.bool_))
    return {
        "images": len(images),
        "accuracy": float(np.concatenate(right).mean()),
        "rejected": {
            name: float(np.concatenate(found).mean()) for name, found in flags.items() if found
        },
    }
