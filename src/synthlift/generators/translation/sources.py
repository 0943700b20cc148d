"""What is translated: images from elsewhere or masks, and which training image they belong to."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray

from synthlift.errors import InputError
from synthlift.generators.translation.config import SOURCE, TranslationConfig
from synthlift.rows import PixelRows, in_blocks
from synthlift.types import FitInputs, GuardedPixels, ImageSet, UInt8

NAMED = 5

Rows = NDArray[np.intp]


@dataclass(frozen=True)
class Sources:
    """Source images, and partners of training and validation images among them.

    Attributes:
        images: labelled source images of classes that are learnt; of masks, those that mark
            something: 0 and 255.
        learnt: rows of training images that are learnt from [P]; with pairs, of those that have
            a partner.
        partners: row in ``images`` of the partner of each of them [P]; empty without pairs.
        held_out: source images of validation pairs, and the validation images; None without any.
        left_out: source images that belong to a tested or validation image by name.
    """

    images: ImageSet
    learnt: Rows
    partners: Rows
    held_out: tuple[ImageSet, ImageSet] | None = None
    left_out: int = 0


def find_sources(config: TranslationConfig, inputs: FitInputs) -> Sources:
    """Everything that is translated and learnt from.

    Raises:
        InputError: there are no masks or none marks anything; no source image is left, or none of
            a class that has training images; source and training images differ in size; names
            are paired and none fits, or two fit.
    """
    if config.wants_masks():
        return _masks(inputs)
    source = inputs.sources[SOURCE]
    source = source.subset(source.labels >= 0)
    if not len(source):
        raise InputError(
            f"the source '{config.source}' has no image left",
            rule="a source has labelled images; pictures of the test set are left out of it",
            remedy="give a source with images of the study's classes",
        )
    if source.image_shape != inputs.train.image_shape:
        raise InputError(
            f"source images of {_size(source)}, training images of {_size(inputs.train)}",
            rule="both have the same height, width and channels",
            remedy="bring the source to the size of the training images",
        )
    if config.pairing == "name":
        return _by_name(source, inputs)
    return _by_class(config, source, inputs.train)


def _by_class(config: TranslationConfig, source: ImageSet, train: ImageSet) -> Sources:
    learnt = np.flatnonzero(np.isin(train.labels, source.labels))
    if not len(learnt):
        raise InputError(
            f"the source '{config.source}' has images of {_listed(_classes(source))}, and the "
            f"training images are of {_listed(_classes(train))}",
            rule="a class is translated into the look of its own training images",
            remedy="give source images of a class that has training images, or map the names "
            "under 'classes'",
        )
    source = source.subset(np.isin(source.labels, train.labels))
    return Sources(source, learnt.astype(np.intp), np.empty(0, np.intp))


# ── pairs by name ─────────────────────────────────────────────────────────────────────────────


def _by_name(source: ImageSet, inputs: FitInputs) -> Sources:
    train, held_out = inputs.train, inputs.validation
    found = _partners(train, source)
    if not (found >= 0).any():
        raise InputError(
            f"none of {len(source):,} source images ({_listed(source.ids.tolist())}) has the class "
            f"and name of one of {len(train):,} training images ({_listed(train.ids.tolist())})",
            rule="with pairing: name, a source image belongs to the training image of the same "
            "class and the same file name without its ending",
            remedy="give both the same names, or set pairing: none",
        )
    # Nobody says which class a tested image has, so that its name alone counts; a source image
    # with a partner in training is known to be that one's.
    judging = {_stem(name) for part in (inputs.test, held_out) for name in part.ids.tolist()}
    taken = np.isin(np.arange(len(source)), found)
    judged = np.array([_stem(name) in judging for name in source.ids.tolist()], np.bool_) & ~taken
    learnt = np.flatnonzero(found >= 0)
    # How a class without a pair looks is not learnt.
    used = ~judged & np.isin(source.labels, train.labels[learnt])
    kept, moved = np.flatnonzero(used), np.cumsum(used) - 1
    pairs = _partners(held_out, source)
    # A validation image may share its name and class with a training image.
    compared = np.flatnonzero((pairs >= 0) & ~np.isin(pairs, found))
    return Sources(
        images=source.subset(kept),
        learnt=learnt.astype(np.intp),
        partners=moved[found[learnt]].astype(np.intp),
        held_out=(source.subset(pairs[compared]), held_out.subset(compared))
        if len(compared)
        else None,
        left_out=int(judged.sum()),
    )


def _partners(images: ImageSet, source: ImageSet) -> Rows:
    """Row in ``source`` of each image's partner [N], -1 where it has none.

    Raises:
        InputError: a class has two source images of one name.
    """
    rows: dict[tuple[int, str], int] = {}
    named = zip(source.labels.tolist(), source.ids.tolist(), strict=True)
    for row, (label, name) in enumerate(named):
        first = rows.setdefault((label, _stem(name)), row)
        if first != row:
            raise InputError(
                f"two source images of class '{source.classes[label]}' are called "
                f"'{_stem(name)}': {source.ids[first]} and {name}",
                rule="with pairing: name, a class has one source image of a name",
                remedy="keep one of them, or rename one",
            )
    keys = zip(images.labels.tolist(), images.ids.tolist(), strict=True)
    return np.array([rows.get((label, _stem(name)), -1) for label, name in keys], np.intp)


def _stem(name: str) -> str:
    return PurePosixPath(name).stem


# ── masks ─────────────────────────────────────────────────────────────────────────────────────


class _Marked:
    """Masks uint8 [N, H, W, 1] as 0 and 255, whatever values mark an object."""

    def __init__(self, base: PixelRows) -> None:
        self._base, self.shape = base, base.shape

    def __getitem__(self, rows: NDArray[np.intp], /) -> UInt8:
        """The masks at ``rows``, 0 or 255."""
        return np.where(self._base[rows] > 0, np.uint8(255), np.uint8(0))


def _masks(inputs: FitInputs) -> Sources:
    if inputs.masks is None:
        raise InputError(
            "the data have no masks",
            rule="with source: masks, images are made from the masks beside the training images",
            remedy="name their folder or column under data.masks",
        )
    images, learnt = _marking(inputs.train, inputs.masks)
    if not len(images):
        raise InputError(
            "no mask of a training image marks anything",
            rule="images are made from what masks mark (values other than 0)",
            remedy="check data.masks: masks are found by the image's path or name",
        )
    held_out = None
    if inputs.validation_masks is not None:
        theirs, rows = _marking(inputs.validation, inputs.validation_masks)
        held_out = (theirs, inputs.validation.subset(rows)) if len(rows) else None
    return Sources(images, learnt, np.arange(len(learnt), dtype=np.intp), held_out)


def _marking(images: ImageSet, masks: GuardedPixels) -> tuple[ImageSet, Rows]:
    """Masks of labelled images that mark something, and the rows of these images."""
    blocks = [block.any(axis=(1, 2, 3)) for block in in_blocks(masks)]
    marks = np.concatenate(blocks) if blocks else np.zeros(0, np.bool_)
    rows = np.flatnonzero(marks & (images.labels >= 0)).astype(np.intp)
    there = images.subset(rows)
    pixels = GuardedPixels(_Marked(masks), rows)
    found = ImageSet(
        ids=there.ids,
        labels=there.labels,
        groups=there.groups,
        classes=there.classes,
        source=pixels,
    )
    return found, rows


# ── words ─────────────────────────────────────────────────────────────────────────────────────


def _classes(images: ImageSet) -> list[str]:
    return [images.classes[k] for k in np.unique(images.labels[images.labels >= 0]).tolist()]


def _size(images: ImageSet) -> str:
    return " × ".join(map(str, images.image_shape))


def _listed(names: Iterable[str]) -> str:
    """The first names, quoted."""
    several = list(names)
    shown = ", ".join(f"'{name}'" for name in several[:NAMED]) or "none"
    return f"{shown} and {len(several) - NAMED:,} more" if len(several) > NAMED else shown
