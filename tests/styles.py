"""A style that no embedded model was shown, and classifiers that tell it.

The paper behind a drawing is chequered, white and grey. The classifiers share nothing with the
models: support vector machines, trained on drawings of the digits that were held out.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage
from sklearn.decomposition import PCA
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.svm import SVC

from synthlift.drawings import WORDS, Traits
from synthlift.types import UInt8
from tests.judges import centred, fresh_drawings

SQUARE = 8
"""Pixels."""
PAPER = (250.0, 128.0)
LEAST_COLOUR = 20
"""Difference of channels below which ink is taken for paper."""


def chequered(pictures: UInt8, *, seed: int) -> UInt8:
    """The same drawings on chequered paper, whose squares begin at random."""
    rng = np.random.default_rng(seed)
    down, across = np.mgrid[: pictures.shape[1], : pictures.shape[2]] // SQUARE
    made = []
    for pixels in pictures.astype(np.float64):
        rim = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
        away = np.linalg.norm(pixels - np.median(rim, axis=0), axis=2)
        cover = np.clip(away / np.quantile(away, 0.995), 0, 1)[..., None]
        ink = (pixels * cover**4).sum((0, 1)) / (cover**4).sum()
        dark = (down + across + rng.integers(2)) % 2
        paper = np.choose(dark, PAPER)[..., None] + rng.uniform(-8, 5)
        made.append(np.rint(paper + cover * (ink - paper)))
    drawn: UInt8 = np.clip(np.stack(made), 0, 255).astype(np.uint8)
    return drawn


def one_of_each(*, seed: int) -> tuple[UInt8, list[Traits]]:
    """A drawing of each class, of digits that the models learnt from, on plain paper."""
    made = [
        fresh_drawings(1, seed=1000 * seed + place, held_out=False, shown={"word": word})
        for place, word in enumerate(WORDS)
    ]
    return np.concatenate([one[0] for one in made]), [one[1][0] for one in made]


class StyleJudge:
    """Tells chequered paper from plain, and the classes on both.

    Args:
        count: drawings that it learns from, each on plain and on chequered paper.
        seed: of these.
    """

    def __init__(self, *, count: int = 2500, seed: int = 501) -> None:
        plain, traits = fresh_drawings(count, seed=seed)
        both = np.concatenate([plain, chequered(plain, seed=seed)])
        words = [one.word for one in traits]
        style = np.repeat([False, True], count)
        self._style: Pipeline = make_pipeline(SVC(C=10)).fit(_light(both), style)
        self._word = make_pipeline(PCA(60, random_state=0), SVC(C=10)).fit(_form(both), words * 2)

    def chequered(self, pictures: UInt8) -> float:
        """Share of pictures on chequered paper."""
        return float(self._style.predict(_light(pictures)).mean())

    def right(self, pictures: UInt8, traits: Sequence[Traits]) -> float:
        """Share of pictures that show the class that was asked for."""
        wanted = np.array([one.word for one in traits])
        return float((self._word.predict(_form(pictures)) == wanted).mean())


def _light(pictures: UInt8) -> np.ndarray:
    """Lightness of 8 × 8 places [n, 64]; a stroke's colour counts little."""
    darkest = pictures.astype(np.float32).min(axis=3)
    places = np.asarray(ndimage.uniform_filter(darkest, (0, 4, 4)))[:, 2::4, 2::4]
    return places.reshape(len(pictures), -1)


def _form(pictures: UInt8) -> np.ndarray:
    """Where there is more colour than on the rim: ink, whatever the paper is like."""
    pixels = pictures.astype(np.float32)
    colour = pixels.max(axis=3) - pixels.min(axis=3)
    rim = np.concatenate([colour[:, 0], colour[:, -1], colour[:, :, 0], colour[:, :, -1]], axis=1)
    above = np.clip(colour - np.median(rim, axis=1)[:, None, None], 0, None)
    strongest = np.quantile(above, 0.99, axis=(1, 2), keepdims=True)
    ink = np.clip(above / np.maximum(strongest, LEAST_COLOUR), 0, 1)
    blurred = np.asarray(ndimage.gaussian_filter(centred(ink), (0, 1.2, 1.2)))[:, ::2, ::2]
    form = blurred.reshape(len(pictures), -1)
    unit: np.ndarray = form / np.maximum(np.linalg.norm(form, axis=1, keepdims=True), 1e-6)
    return unit
