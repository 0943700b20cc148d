"""Generators that are made of real images keep what those show: digits stay digits.

The classifier is independent: it learnt from digits of which the generators have none. Chance is
10 %; what is asked for is 80 %.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from sklearn.svm import SVC

from synthlift.registry import available
from synthlift.types import (
    FitInputs,
    FittedGenerator,
    GuardedPixels,
    ImageBatch,
    ImageSet,
    RunContext,
    SampleRequest,
    UInt8,
)
from tests.unit.generators.one_pass import DIGITS, digits, inputs_of

USED = 300
LEAST = 0.8
STROKE = 60


def _fit(kind: str, folder: Path, inputs: FitInputs, **settings: Any) -> FittedGenerator:
    descriptor = available("generators")[kind]
    generator = descriptor.build(descriptor.config.model_validate(settings))
    found: FittedGenerator = generator.fit(inputs, run=RunContext(folder=folder, seed=2))
    return found


def _masks(batch: ImageBatch) -> UInt8:
    assert batch.masks is not None
    return batch.masks


def _cropped(image: UInt8, marked: np.ndarray) -> UInt8:
    """What is marked, brought to 8 × 8 pixels."""
    rows, columns = (np.flatnonzero(marked.any(axis=axis)) for axis in (1, 0))
    part = image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1, 0]
    return np.asarray(Image.fromarray(part).resize((8, 8), Image.Resampling.BILINEAR))


def test_pasted_digits_are_recognised_where_their_masks_say(tmp_path: Path) -> None:
    pixels, labels = digits()
    rng = np.random.default_rng(0)
    canvas = rng.integers(0, 30, (USED + 40, 20, 20, 1)).astype(np.uint8)
    canvas[:USED, 6:14, 6:14] = np.maximum(canvas[:USED, 6:14, 6:14], pixels[:USED])
    masks = np.zeros((USED + 40, 20, 20, 1), np.uint8)
    masks[:USED, 6:14, 6:14] = pixels[:USED] > STROKE
    train = ImageSet.from_arrays(
        canvas, np.concatenate([labels[:USED], np.full(40, 10)]), (*DIGITS, "empty")
    )
    inputs = replace(inputs_of(train), masks=GuardedPixels(masks, np.arange(len(masks))))
    settings: dict[str, Any] = {
        "rotation": (-15, 15),
        "flip": False,
        "blend": "alpha",
        "feather": 0,
    }
    fitted = _fit("cut_paste", tmp_path, inputs, backgrounds=["empty"], **settings)
    requests = [SampleRequest(index=i, label=i % 10, seed=i) for i in range(200)]
    batches = list(fitted.sample(requests))
    shown = [
        _cropped(image, mask > 0)
        for batch in batches
        for image, mask in zip(batch.pixels, _masks(batch), strict=True)
    ]
    assert len(shown) == len(requests)
    unseen = [_cropped(image, image[:, :, 0] > STROKE) for image in pixels[USED:]]
    classifier = SVC(C=10).fit(np.reshape(unseen, (len(unseen), -1)), labels[USED:])
    wanted = [request.label for request in requests]
    assert classifier.score(np.reshape(shown, (len(shown), -1)), wanted) > LEAST
    corners = np.concatenate([batch.pixels for batch in batches])[:, :8, :8]
    assert classifier.score(corners.reshape(len(corners), -1), wanted) < 0.5, "not the mask's place"


def test_a_pool_under_other_conditions_is_recognised(tmp_path: Path) -> None:
    pixels, labels = digits()
    pool = ImageSet.from_arrays(pixels[:USED], labels[:USED], DIGITS)
    inputs = replace(
        inputs_of(ImageSet.from_arrays(pixels[USED:500], labels[USED:500], DIGITS)),
        sources={"pool": pool},
    )
    conditions = {"share": 1, "light": (0.6, 1.4), "noise": (5, 25), "fog": (0, 0.3)}
    fitted = _fit("pool", tmp_path, inputs, source="./elsewhere", randomise=conditions)
    requests = [SampleRequest(index=i // 10, label=i % 10, seed=i) for i in range(150)]
    drawn = np.concatenate([batch.pixels for batch in fitted.sample(requests)])
    assert len(drawn) == len(requests)
    assert not {image.tobytes() for image in drawn} & {image.tobytes() for image in pixels}
    classifier = SVC(C=10).fit(pixels[USED:].reshape(-1, 64), labels[USED:])
    assert classifier.score(drawn.reshape(-1, 64), [r.label for r in requests]) > LEAST
