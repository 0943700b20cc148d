"""Digits in two or more forms, of which each digit lacks one, and whether it is drawn all the same.

What no turn, mirroring or mapping of colours makes of a plain digit is in ``DRAWN_ON``: marks and
strokes. The weights of what is composed were chosen on ``CHOSEN_ON``, and not on the others.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage
from sklearn.datasets import load_digits
from sklearn.svm import SVC

from synthlift.generators.flow.config import FlowConfig
from synthlift.generators.flow.generator import FlowFitted, FlowGenerator
from synthlift.types import (
    FitInputs,
    Float64,
    ImageSet,
    Int64,
    LockedTest,
    RunContext,
    SampleRequest,
    UInt8,
)

DIGITS = tuple("0123456789")
CHOSEN_ON = ("dotted", "framed", "striped", "thick", "slanted")
DRAWN_ON = (*CHOSEN_ON, "blurred", "crossed", "halved", "marked")
VALUES = {"coloured": 3, "inverted": 2, "rotated": 4, **dict.fromkeys(DRAWN_ON, 2), "marked": 3}
COLOURS = np.array([[1, 0.15, 0.15], [0.15, 1, 0.15], [0.15, 0.15, 1]])


def changed(kind: str) -> tuple[UInt8, Int64, Int64]:
    """All digits, each with a value of the attribute at random: pixels, digits, values."""
    digits = load_digits()
    grey = digits.images / 16
    value = np.random.default_rng(0).integers(0, VALUES[kind], len(grey))
    if kind == "coloured":
        images = grey[..., None] * COLOURS[value][:, None, None, :]
    elif kind == "rotated":
        images = np.stack([np.rot90(one, v) for one, v in zip(grey, value, strict=True)])[..., None]
    elif kind == "inverted":
        images = np.where(value[:, None, None] == 1, 1 - grey, grey)[..., None]
    else:
        images = np.stack([_drawn_on(one, kind, v) for one, v in zip(grey, value, strict=True)])
        images = images[..., None].clip(0, 1)
    return np.rint(images * 255).astype(np.uint8), digits.target.astype(np.int64), value


def _drawn_on(grey: Float64, kind: str, value: int) -> Float64:
    image = grey.copy()
    if not value:
        return image
    if kind == "dotted":
        image[:2, :2] = 1
    elif kind == "framed":
        image[[0, -1]] = image[:, [0, -1]] = 1
    elif kind == "striped":
        image[:, ::2] = np.maximum(image[:, ::2], 0.45)
    elif kind == "thick":
        image = ndimage.grey_dilation(image, size=(2, 2))
    elif kind == "slanted":
        image = ndimage.affine_transform(image, [[1, 0], [0.5, 1]], offset=[0, -1.75], order=1)
    elif kind == "blurred":
        image = ndimage.uniform_filter(image, 3)
    elif kind == "crossed":
        np.fill_diagonal(image, 1)
    elif kind == "halved":
        image[::2] *= 0.25
    else:
        image[(slice(0, 2) if value == 1 else slice(6, 8)), :2] = 1
    return image


def unseen_cells(kind: str) -> list[tuple[int, int]]:
    """One value that each digit is not seen with; of two values, 1, 4 and 7 are seen with both."""
    count = VALUES[kind]
    return [(d, d % count) for d in range(10) if count > 2 or d % 3 != 1]


def without_cells(kind: str) -> ImageSet:
    """The digits that are left."""
    pixels, digit, value = changed(kind)
    missing = set(unseen_cells(kind))
    rows = [i for i in range(len(digit)) if (int(digit[i]), int(value[i])) not in missing]
    images = ImageSet.from_arrays(pixels[rows], digit[rows], DIGITS)
    return replace(images, attributes={"kind": np.array([f"v{v}" for v in value[rows]])})


def fit(train: ImageSet, folder: Path, **settings: Any) -> FlowFitted:
    """A flow that is asked by digit and form."""
    lock = LockedTest(ids=train.ids[:0], groups=train.ids[:0], hashes=train.ids[:0])
    inputs = FitInputs(train=train, validation=train.subset(np.arange(20)), test=lock)
    config = FlowConfig(attributes=("kind",), readings=0, **settings)
    return FlowGenerator(config).fit(inputs, run=RunContext(folder=folder, seed=1))


def requests_for(kind: str, *, each: int) -> list[SampleRequest]:
    """For every combination that was left out."""
    return [
        SampleRequest(index=k, label=d, seed=1000 * d + k, attributes={"kind": f"v{v}"})
        for d, v in unseen_cells(kind)
        for k in range(each)
    ]


def recognised(kind: str, fitted: FlowFitted, *, each: int) -> tuple[float, float]:
    """Shares of the images of unseen cells whose attribute, and whose digit, is the wanted one.

    The judges are support vector machines on real images of all cells, which the generator lacked.
    """
    pixels, digit, value = changed(kind)
    drawn = np.concatenate([b.pixels for b in fitted.sample(requests_for(kind, each=each))])
    if drawn.shape[1] > pixels.shape[1]:  # see large()
        drawn = drawn[:, 1::4, 1::4, : pixels.shape[3]]
    real, flat = (images.reshape(len(images), -1) for images in (pixels, drawn))
    wanted = np.repeat(np.array(unseen_cells(kind)), each, axis=0)
    by_value = SVC(C=10).fit(real, value).score(flat, wanted[:, 1])
    by_digit = SVC(C=10).fit(real, digit).score(flat, wanted[:, 0])
    return float(by_value), float(by_digit)


def large(train: ImageSet) -> ImageSet:
    """The same images with every pixel as a square of four by four, in three colours."""
    pixels = train.pixels().repeat(4, axis=1).repeat(4, axis=2)
    pixels = pixels if pixels.shape[3] == 3 else pixels.repeat(3, axis=3)
    images = ImageSet.from_arrays(pixels, train.labels, train.classes)
    return replace(images, attributes=train.attributes)
