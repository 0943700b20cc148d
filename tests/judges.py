"""Classifiers that tell a drawing's traits, one for each, from digits that no model was shown.

They share nothing with the embedded models: support vector machines over ink, not networks, and
trained on drawings of the digits that were held out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from scipy import ndimage
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestCentroid
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from synthlift.drawings import (
    DIGITS,
    HELD_OUT,
    Traits,
    digit_strokes,
    draw,
    random_traits,
    shape_strokes,
)
from synthlift.types import UInt8

TRAITS = ("word", "colour", "slant", "thickness", "background")


def fresh_drawings(
    count: int, *, seed: int, held_out: bool = True, shown: Mapping[str, str] | None = None
) -> tuple[UInt8, list[Traits]]:
    """Draw anew, from held-out digits or from those that the models learnt from.

    Args:
        count: how many.
        seed: of everything.
        held_out: which digits.
        shown: traits that all have; the others are random.
    """
    rng = np.random.default_rng(seed)
    strokes, digits = digit_strokes()
    rows = np.arange(len(digits))
    allowed = rows >= len(digits) - HELD_OUT if held_out else rows < len(digits) - HELD_OUT
    pictures, traits = [], []
    for _ in range(count):
        one = replace(random_traits(rng), **(shown or {}))
        if one.word in DIGITS:
            fitting = rows[allowed & (np.array(digits) == DIGITS.index(one.word))]
            lines = strokes[int(rng.choice(fitting))]
        else:
            lines = shape_strokes(one.word, rng)
        pictures.append(draw(lines, one, rng))
        traits.append(one)
    return np.stack(pictures), traits


class Judges:
    """One classifier a trait, trained on ``count`` drawings of held-out digits."""

    def __init__(self, *, count: int = 4000, seed: int = 7) -> None:
        pictures, traits = fresh_drawings(count, seed=seed)
        form = _form(pictures)
        self._judges: dict[str, Pipeline] = {
            "word": make_pipeline(PCA(60, random_state=0), SVC(C=10)),
            "slant": make_pipeline(PCA(60, random_state=0), SVC(C=10)),
            "thickness": make_pipeline(StandardScaler(), SVC(C=10)),
            "colour": make_pipeline(NearestCentroid()),
            "background": make_pipeline(NearestCentroid()),
        }
        for name, judge in self._judges.items():
            judge.fit(form[name], [getattr(one, name) for one in traits])

    def right(self, pictures: UInt8, traits: Sequence[Traits]) -> dict[str, np.ndarray]:
        """Trait → whether each picture shows it as it was asked for."""
        form = _form(pictures)
        return {
            name: judge.predict(form[name]) == np.array([getattr(one, name) for one in traits])
            for name, judge in self._judges.items()
        }


def _form(pictures: UInt8) -> dict[str, np.ndarray]:
    """What each judge looks at."""
    pixels = pictures.astype(np.float32)
    rim = np.concatenate([pixels[:, 0], pixels[:, -1], pixels[:, :, 0], pixels[:, :, -1]], axis=1)
    ground = np.median(rim, axis=1)
    away = np.linalg.norm(pixels - ground[:, None, None], axis=3)
    strongest = np.quantile(away, 0.99, axis=(1, 2), keepdims=True)
    ink = np.clip(away / np.maximum(strongest, 1), 0, 1)
    weight = (ink**4)[..., None]
    colour = (pixels * weight).sum((1, 2)) / np.maximum(weight.sum((1, 2)), 1e-6)
    blurred = ndimage.gaussian_filter(centred(ink), (0, 1.2, 1.2))[:, ::2, ::2]
    form = blurred.reshape(len(pictures), -1)
    form = form / np.maximum(np.linalg.norm(form, axis=1, keepdims=True), 1e-6)
    deep = np.stack([ndimage.distance_transform_edt(one > 0.5) for one in ink])
    count = np.maximum((deep > 0).sum((1, 2)), 1)
    width = np.stack(
        [deep.max((1, 2)), deep.sum((1, 2)) / count, count / 100, ink.sum((1, 2)) / 100], axis=1
    )
    return {
        "word": form,
        "slant": form,
        "thickness": width,
        "colour": colour,
        "background": ground,
    }


def centred(ink: np.ndarray) -> np.ndarray:
    """Each drawing with its centre of mass in the middle."""
    moved = []
    for one in ink:
        middle = np.array(ndimage.center_of_mass(one + 1e-6))
        moved.append(ndimage.shift(one, 15.5 - middle, order=1))
    return np.stack(moved)
