"""The only module that reads test images.

The test set is opened once all planned models are committed. Each opening goes into the ledger
first; a prediction stage then refuses to run for a model that the ledger does not name.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from synthlift.errors import LeakageError
from synthlift.store import StageContext, StageRequest, Store, Summary
from synthlift.store.images import (
    PIXELS,
    DataKeys,
    as_inputs,
    class_names,
    members,
    positions,
    usable_rows,
)
from synthlift.store.pixel_files import open_rows
from synthlift.study.ledger import Ledger
from synthlift.study.stages.common import data_keys, load_plugins
from synthlift.types import GuardedPixels, ImageSet

PREDICTIONS = "predictions.npz"
_FUNCTION = "synthlift.study.open_test:predict_test"


def open_test(
    store: Store, *, test_hash: str, study: str, models: Sequence[str], ledger: Ledger
) -> None:
    """Record the opening of the test set for ``models``.

    Raises:
        LeakageError: a planned model is not committed yet.
    """
    missing = [key for key in models if not store.has(key)]
    if missing:
        raise LeakageError(
            f"the test set stays locked: {len(missing)} of {len(models)} planned models are not "
            "committed yet"
        )
    ledger.record(test_hash=test_hash, study=study, models=models)


def prediction_request(
    model: str,
    data: DataKeys,
    *,
    draw: int,
    test_hash: str,
    ledger: Ledger,
    plugins: list[str],
    classes: Sequence[str] | None = None,
) -> StageRequest:
    """Ask for one model's probabilities on the test images of its draw (or fold).

    ``classes`` are the model's, for a test set from elsewhere that may lack some of them.
    """
    return StageRequest(
        stage="predict",
        function=_FUNCTION,
        config={
            "draw": draw,
            "test_hash": test_hash,
            **({} if classes is None else {"classes": list(classes)}),
        },
        inputs={"model": model, **as_inputs(data)},
        numerics={"device": "cpu", "dtype": "float32", "threads": 1},
        label="test predictions",
        local={"ledger": str(ledger.path), "plugins": plugins},
    )


@functools.lru_cache(maxsize=4)
def _read_test(
    root: Path,
    inventory: str,
    pixels: str,
    split: str,
    draw: int,
    classes: tuple[str, ...] | None = None,
) -> ImageSet:
    store = Store(root)
    keys: DataKeys = {"inventory": inventory, "pixels": pixels, "split": split}
    columns = usable_rows(store, inventory)
    rows = positions(columns["id"], members(store, keys, draw, "test"))
    classes = classes or class_names(store, inventory)
    base = open_rows(store.open(pixels).path(PIXELS))
    return ImageSet(
        ids=columns["id"][rows],
        labels=np.searchsorted(np.array(classes), columns["label"][rows]).astype(np.int64),
        groups=columns["group"][rows],
        classes=classes,
        source=GuardedPixels(base, rows),
    )


def predict_test(request: StageRequest, context: StageContext) -> Summary:
    """Stage: write ``predictions.npz`` (ids, groups, labels, probabilities float32 [n, K])."""
    from synthlift.vision.prediction import load_classifier

    model = request.one("model")
    ledger = Ledger(Path(request.local["ledger"]))
    if not ledger.opened(test_hash=request.config["test_hash"], model=model):
        raise LeakageError(f"no opening of the test set is on record for {model}")
    load_plugins(request)
    keys = data_keys(request)
    named = request.config.get("classes")
    test = _read_test(
        context.store.root,
        **keys,
        draw=request.config["draw"],
        classes=None if named is None else tuple(named),
    )
    classifier = load_classifier(context.store.open(model).folder)
    np.savez(
        context.out / PREDICTIONS,
        ids=test.ids,
        groups=test.groups,
        labels=test.labels,
        probabilities=classifier.probabilities(test.source),
    )
    return {"images": len(test)}
