"""Stage before a generator is fitted: what it warns of, as far as words alone tell."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

import numpy as np

from synthlift.generators.pipelines.too_long import MOST_CHECKED
from synthlift.generators.prompts import Foretells, KnowsPrompts
from synthlift.imagesets import GuardedPixels, ImageSet
from synthlift.store import StageContext, StageRequest, Summary
from synthlift.store.images import attribute_columns, class_names, usable_rows
from synthlift.study.components import build
from synthlift.study.stages.common import load_plugins


def foretell(request: StageRequest, context: StageContext) -> Summary:
    """Stage: what a generator warns of by the classes and attributes of all images; no pixels.

    With a CLIP checkpoint, which a filter compares images and prompts with, of those that it reads
    in part, too.
    """
    load_plugins(request)
    generator = build("generators", request.config["generator"])
    checkpoint = request.config.get("clip")
    if not isinstance(generator, Foretells | KnowsPrompts):
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
    told = generator.foretold(images) if isinstance(generator, Foretells) else []
    if checkpoint is not None and isinstance(generator, KnowsPrompts):
        told = [*told, *_not_compared(generator.prompts_for(images), checkpoint)]
    return {"warnings": told}


def _not_compared(
    prompts: Iterable[tuple[str, str]], checkpoint: Mapping[str, Any]
) -> Iterator[str]:
    """One warning of prompts that a CLIP checkpoint reads in part: that of the longest."""
    from synthlift.vision.clip.config import ClipCheckpoint
    from synthlift.vision.clip.texts import tokens_for

    tokens = tokens_for(ClipCheckpoint.model_validate(checkpoint))
    distinct = dict.fromkeys(text for _, text in islice(prompts, MOST_CHECKED))
    long = {text: count for text in distinct if (count := tokens.count(text)) > tokens.most}
    if not long:
        return
    text, count = max(long.items(), key=lambda one: one[1])
    others = f"; so it is with {len(long) - 1:,} more" if len(long) > 1 else ""
    yield (
        f"filter 'clip_score' compares images with the beginning of the prompt '{text}': its "
        f"checkpoint reads {tokens.most} of the {count} tokens{others}"
    )
