"""Stage before a generator is fitted: what it warns of, as far as words alone tell."""

from __future__ import annotations

import numpy as np

from synthlift.generators.prompts import Foretells
from synthlift.imagesets import GuardedPixels, ImageSet
from synthlift.store import StageContext, StageRequest, Summary
from synthlift.store.images import attribute_columns, class_names, usable_rows
from synthlift.study.components import build
from synthlift.study.stages.common import load_plugins


def foretell(request: StageRequest, context: StageContext) -> Summary:
    """Stage: what a generator warns of by the classes and attributes of all images; no pixels."""
    load_plugins(request)
    generator = build("generators", request.config["generator"])
    if not isinstance(generator, Foretells):
        return {"warnings": []}
    inventory = request.one("inventory")
    rows = usable_rows(context.store, inventory)
    classes = class_names(context.store, inventory)
    count = len(rows["id"])
    nothing = np.broadcast_to(np.zeros(1, np.uint8), (count, 1, 1, 1))
    images = ImageSet(
        ids=rows["id"],
        labels=np.searchsorted(np.array(classes), rows["label"]).astype(np.int64),
        groups=rows["group"],
        classes=classes,
        source=GuardedPixels(nothing, np.arange(count)),
        attributes=attribute_columns(context.store, inventory),
    )
    return {"warnings": generator.foretold(images)}
