"""What tests of translation share: digits in another look, and how requests are made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage
from sklearn.svm import SVC

from synthlift.generators.translation.fitted import TranslationFitted
from synthlift.types import (
    FitInputs,
    ImageSet,
    SampleRequest,
    UInt8,
)
from tests.unit.generators.one_pass import DIGITS, digits
from tests.unit.generators.one_pass import fit as fit_kind

TINY: dict[str, Any] = {"steps": 3, "batch_size": 4, "width": 8, "micro_batch": 4}
MODES: dict[str, dict[str, Any]] = {
    "unpaired": {"source": "./x"},
    "by name": {"source": "./x", "pairing": "name"},
    "masks": {"source": "masks"},
}


def fit(folder: Path, inputs: FitInputs, **settings: Any) -> TranslationFitted:
    found = fit_kind("translation", folder, inputs, **settings)
    assert isinstance(found, TranslationFitted)
    return found


def requests_of(label: int, count: int, **changes: Any) -> list[SampleRequest]:
    return [
        SampleRequest(**{"index": i, "label": label, "seed": 50 + i, **changes})
        for i in range(count)
    ]


def origins_of(fitted: TranslationFitted, requests: list[SampleRequest]) -> list[str]:
    return [name for batch in fitted.sample(requests) for name in batch.origins or ()]


def digit_set(first: int, last: int, place: str, change: Any = lambda images: images) -> ImageSet:
    pixels, labels = digits()
    ids = [f"{place}/{i}.png" for i in range(first, last)]
    return ImageSet.from_arrays(change(pixels[first:last]), labels[first:last], DIGITS, ids=ids)


def inverted(images: UInt8) -> UInt8:
    return np.asarray(255 - images, np.uint8)


def blurred(images: UInt8) -> UInt8:
    soft = ndimage.gaussian_filter(images.astype(np.float64), (0, 1, 1, 0))
    return np.asarray(np.rint(soft), np.uint8)


def right(classifier: SVC, pixels: UInt8, labels: np.ndarray) -> float:
    return float(classifier.score(pixels.reshape(len(pixels), -1), labels))
