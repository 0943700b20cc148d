"""The images that a run's rival model was trained on, where its store still has them."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from synthlift.api.classifying import ARM, MODELS
from synthlift.api.sources import is_run_folder
from synthlift.rows import is_mapped
from synthlift.study.folder import run_facts

if TYPE_CHECKING:
    from synthlift.types import ImageSet, UInt8
    from synthlift.vision.prediction import Classifier
    from synthlift.vision.typicality import Typical

MOST = 5000
"""Training images that pictures are compared with; of more, so many are drawn by a seed."""


@dataclass(frozen=True)
class Reference:
    """Training images of a run.

    Attributes:
        train: those that pictures are compared with.
        typical: how far held-out real images lie from them.
        total: training images there are.
    """

    train: ImageSet
    typical: Typical
    total: int

    @property
    def nbytes(self) -> int:
        """Memory that they take: their features, and their pixels where these stay in memory."""
        features = 4 * math.prod(self.typical.references.shape)
        kept = is_mapped(self.train.source)
        return features + (len(self.train) * math.prod(self.train.image_shape) if kept else 0)

    def picture(self, row: int) -> tuple[UInt8, str]:
        """A training image and its class."""
        (pixels,) = self.train.pixels(np.array([row]))
        return pixels, self.train.classes[int(self.train.labels[row])]


def open_reference(run: Path, rival: Classifier) -> Reference | None:
    """Training images of the run's rival, compared with by its own features.

    Only training and validation images are read; the test set stays locked.

    Returns:
        None where the run does not say what its rival was trained on, or no store has it any more.
    """
    from synthlift.store import Store
    from synthlift.store.images import DataKeys, read_part
    from synthlift.vision.encoders import CallableEncoder
    from synthlift.vision.features import some_rows
    from synthlift.vision.typicality import Typical

    root = run_facts(run).get("store") if is_run_folder(run) else None
    key = _model_key(run)
    if not key or not root or not Path(root).is_dir():
        return None
    store = Store(Path(root))
    if not store.has(key):
        return None
    record = store.open(key).record
    inputs, draw = record["inputs"], int(record["config"]["draw"])
    if not all(store.has(inputs[name]) for name in ("inventory", "pixels", "split")):
        return None
    data = DataKeys(inventory=inputs["inventory"], pixels=inputs["pixels"], split=inputs["split"])
    train = read_part(store, data, draw=draw, part="train")
    held_out = read_part(store, data, draw=draw, part="validation")
    if len(train) < 2 or not len(held_out) or train.image_shape != rival.facts.image_shape:
        return None
    chosen = train.subset(some_rows(len(train), MOST, "reference", "train"))
    judged = held_out.subset(some_rows(len(held_out), MOST, "reference", "held_out"))
    trained = CallableEncoder("rival", rival.features)
    return Reference(
        train=chosen,
        typical=Typical.of(chosen.source, held_out=judged.source, trained=trained),
        total=len(train),
    )


def _model_key(run: Path) -> str:
    try:
        facts = json.loads((run / MODELS / "rival" / ARM).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ""
    return str(facts.get("key", ""))
