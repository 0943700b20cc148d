"""Which training image a request starts from. No torch here.

Shape letters: N training images, H height, W width.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from synthlift.errors import InputError
from synthlift.generators.image_to_image.config import ImageToImageConfig
from synthlift.generators.wording import turn
from synthlift.types import FitInputs, GuardedPixels, SampleRequest, UInt8

Rows = NDArray[np.intp]
BLOCK = 512


class StartingImages:
    """Training images, and masks where the method needs them.

    Args:
        inputs: of the fit.
        config: the method, and what it needs.
        seed: of the order in which images have their turn.

    Raises:
        InputError: masks are needed, and there are none, or none marks anything.
    """

    def __init__(self, inputs: FitInputs, config: ImageToImageConfig, *, seed: int) -> None:
        self._train, self._seed, self._config = inputs.train, seed, config
        self._mask_rows = _masks(inputs) if config.wants_masks() else None
        # By id, so that the order of files changes nothing.
        by_id = np.argsort(inputs.train.ids, kind="stable")
        around = config.method == "inpainting" and config.repaint == "background"
        usable = np.ones(len(by_id), np.bool_)
        if self._mask_rows:
            usable = _marked(self._mask_rows, leaving=around)
        self._rows: Rows = by_id[usable[by_id] & (inputs.train.labels[by_id] >= 0)]
        if not len(self._rows):
            raise InputError(
                "no mask of a training image "
                + ("leaves a background to repaint" if around else "marks anything"),
                rule="images are started from whose mask has values other than 0"
                + (", and some that are 0" if around else ""),
                remedy="check data.masks: masks are found by the image's path or name",
            )
        self._known: dict[tuple[object, ...], Rows] = {}

    def row(self, request: SampleRequest) -> int | None:
        """Row of the training image that a request starts from; None = there is none."""
        rows = self._candidates(request)
        if not len(rows):
            return None
        # A lap goes through all images; the strengths have turns of their own.
        purpose = ("starting image", request.stream, request.label)
        return int(rows[turn(self._seed, *purpose, index=request.index, options=len(rows))])

    def strength(self, request: SampleRequest) -> float:
        """How much of the image is lost."""
        options = self._config.shares_lost
        purpose = ("strength", request.stream, request.label)
        usual = options[turn(self._seed, *purpose, index=request.index, options=len(options))]
        return float(request.params.get("strength", usual))

    def pixels(self, row: int) -> UInt8:
        """One image, uint8 [H, W, C]."""
        (found,) = self._train.pixels(np.array([row]))
        return np.asarray(found)

    def mask(self, row: int) -> UInt8:
        """What its mask marks, uint8 [H, W], 255 or 0."""
        assert self._mask_rows is not None
        marked = self._mask_rows.read(np.array([row]))[0, :, :, 0] > 0
        return np.where(marked, 255, 0).astype(np.uint8)

    def label(self, row: int) -> int:
        """Its class index."""
        return int(self._train.labels[row])

    def name(self, row: int) -> str:
        """Its id."""
        return str(self._train.ids[row])

    def attributes(self, row: int) -> Mapping[str, str]:
        """Its attribute values by name."""
        return {name: str(values[row]) for name, values in self._train.attributes.items()}

    def _candidates(self, request: SampleRequest) -> Rows:
        wanted = tuple(sorted(request.attributes.items()))
        key = (request.label, wanted, request.sources)
        if key not in self._known:
            labels = self._train.labels[self._rows]
            own = labels == request.label
            found = self._rows[~own if self._config.method == "between_classes" else own]
            if request.sources:
                found = found[np.isin(self._train.ids[found], request.sources)]
            self._known[key] = self._like(found, dict(wanted))
        return self._known[key]

    def _like(self, rows: Rows, wanted: Mapping[str, str]) -> Rows:
        """Those with the wanted attribute values where there are any, else all."""
        fits = np.ones(len(rows), np.bool_)
        for name, value in wanted.items():
            if name in self._train.attributes:
                fits &= self._train.attributes[name][rows] == value
        return rows[fits] if fits.any() else rows


def _masks(inputs: FitInputs) -> GuardedPixels:
    if inputs.masks is None:
        raise InputError(
            "the data have no masks",
            rule="inpainting needs masks that say what is repainted, and so does control_image: "
            "mask",
            remedy="name their folder or column under data.masks",
        )
    return inputs.masks


def _marked(masks: GuardedPixels, *, leaving: bool) -> NDArray[np.bool_]:
    """Which masks mark something, and leave something where that is wanted."""
    count = masks.shape[0]
    found = np.zeros(count, np.bool_)
    for start in range(0, count, BLOCK):
        rows = np.arange(start, min(start + BLOCK, count))
        read = masks.read(rows)
        found[rows] = read.any(axis=(1, 2, 3))
        if leaving:
            found[rows] &= ~read.all(axis=(1, 2, 3))
    return found
