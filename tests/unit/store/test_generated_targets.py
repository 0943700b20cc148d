"""Class probabilities of generated images, read beside their pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from synthlift.store import StageContext, StageRequest, Store, Summary
from synthlift.store.images import SOFT_LABELS, ManifestEntry, generated_targets


def a_chunk(request: StageRequest, context: StageContext) -> Summary:
    if request.config["mixes"]:
        np.save(context.out / SOFT_LABELS, np.array([[0.2, 0.8], [0.6, 0.4]], np.float32))
    return {}


def test_probabilities_are_read_where_images_mix_classes(tmp_path: Path) -> None:
    store = Store(tmp_path)
    keys = []
    for mixes in (True, False):
        function = f"{__name__}:a_chunk"
        request = StageRequest(stage="sample", function=function, config={"mixes": mixes})
        store.compute(request)
        keys.append(request.key)
    mixing, plain = keys
    entries: list[ManifestEntry] = [
        {"chunk": plain, "label": 1, "rows": [4, 7]},
        {"chunk": mixing, "label": 0, "rows": [1, 0]},
    ]
    found = generated_targets(store, entries, classes=2)
    assert found is not None
    expected = np.array([[0, 1], [0, 1], [0.6, 0.4], [0.2, 0.8]], np.float32)
    assert np.array_equal(found, expected)
    assert generated_targets(store, entries[:1], classes=2) is None
    assert generated_targets(store, [], classes=2) is None
