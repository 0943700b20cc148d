"""What is said of a picture beside its class: where a model looked, and what it is like."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synthlift.errors import InputError
from synthlift.study.folder import RESULTS
from synthlift.web.inference.loaded import Loaded

if TYPE_CHECKING:
    from synthlift.api.references import Reference
    from synthlift.types import UInt8
    from synthlift.vision.prediction import Classifier

NEAREST = "nearest"
"""Folder, beside that of generated images, for the training images that they are nearest to."""


class References:
    """Training images of runs, ready to be compared with; they count among the loaded models.

    Args:
        loaded: where they are kept.
    """

    def __init__(self, loaded: Loaded) -> None:
        self._loaded = loaded

    def of(self, run: Path, rival: Classifier) -> Reference | None:
        """Those of a run; None where they are not to be had."""
        results = run / RESULTS
        key = (str(results), results.stat().st_mtime)
        return self._loaded.hold(key, lambda: _opened(run, rival), weigh=_bytes_of)


def _bytes_of(reference: Reference | None) -> int:
    """With the model whose features they are compared by: it stays with them, come what may."""
    from synthlift.vision.holding import held_bytes

    return 0 if reference is None else reference.nbytes + held_bytes(reference)


def _opened(run: Path, rival: Classifier) -> Reference | None:
    from synthlift.api.references import open_reference

    try:
        return open_reference(run, rival)
    except (InputError, OSError):  # a store that was changed since is as good as none
        return None


def png(pixels: UInt8) -> bytes:
    """A PNG of uint8 [H, W, 1 or 3]; nothing in it says that it is synthetic."""
    from PIL import Image

    stream = io.BytesIO()
    image = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    image.save(stream, "PNG", compress_level=1)  # seen once: who asks waits for it
    return stream.getvalue()


def looked_at(classifier: Classifier, images: UInt8, rows: Any) -> list[str]:
    """For each picture a PNG as base64 of where its most probable class was seen.

    Args:
        classifier: the model.
        images: uint8 [n, H, W, C] as it takes them.
        rows: its probabilities [n, K].

    Returns:
        "" where the model has no map of places.
    """
    from synthlift.vision.saliency import grad_cam, overlay

    maps = grad_cam(classifier, images, classes=rows.argmax(axis=1))
    if maps is None:
        return [""] * len(images)
    laid = [overlay(image, heat) for image, heat in zip(images, maps, strict=True)]
    return [base64.b64encode(png(one)).decode() for one in laid]


def likeness(reference: Reference | None, images: Sequence[UInt8]) -> list[dict[str, Any] | None]:
    """For each picture its nearest training image, and how unusual it is; None without such data.

    Keys: row, label, unusual (share of held-out real pictures that are less so), near_copy.
    """
    import numpy as np

    if reference is None:
        return [None] * len(images)
    return [
        {
            "row": one.nearest,
            "label": reference.picture(one.nearest)[1],
            "unusual": round(one.farther_than, 4),
            "near_copy": one.near_copy,
        }
        for one in reference.typical.look(np.stack(list(images)))
    ]
