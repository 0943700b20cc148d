"""From the source to locked splits: read, decide size and design, resize, split."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from synthlift.store import Artefact
from synthlift.store.images import DataKeys
from synthlift.study.layout import Layout, make_layout
from synthlift.study.session import Session, study_key


@dataclass(frozen=True)
class Prepared:
    """The data of a study, ready for training.

    Attributes:
        data: keys of inventory, pixels and split.
        inventory, split: their artefacts.
        classes: class names in index order.
        image_size, channels: training size.
        layout: replicates and fits.
        counts: training images per class index, per draw.
        validation_groups: validation groups per class, the smallest over draws.
    """

    data: DataKeys
    inventory: Artefact
    split: Artefact
    classes: tuple[str, ...]
    image_size: int
    channels: int
    layout: Layout
    counts: Mapping[int, Mapping[int, int]]
    validation_groups: tuple[int, ...]

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width, channels."""
        return (self.image_size, self.image_size, self.channels)

    @property
    def test_hash(self) -> str:
        """Content hash of the locked test set (over all folds in design C)."""
        return str(self.split.summary["test_hash"])
