"""Rejects the images of each class that go least with their text, as a CLIP checkpoint sees it."""

from __future__ import annotations

import numpy as np

from synthlift.curation.config import ClipScoreConfig
from synthlift.curation.tails import lowest_kept
from synthlift.errors import InputError
from synthlift.types import Filter, FilterInputs, Float64, ImageBatch, TextMatch, Verdict


class ClipScore(Filter):
    """Cosine of image and text below the class's own quantile.

    The CLIP score of Hessel et al. (2021, eq. 1) without its factor. Cosines are comparable
    within a class only, hence the threshold is taken class by class, on the first chunk, as for
    ``class_agreement``; a class that the chunk does not contain is not judged.
    """

    def __init__(self, config: ClipScoreConfig) -> None:
        self.config = config
        self._match: TextMatch | None = None
        self._lowest: Float64 = np.zeros(0)
        self._classes: tuple[str, ...] = ()

    def calibrate(self, inputs: FilterInputs) -> None:
        """Take the thresholds from ``inputs.reference``.

        Raises:
            InputError: no checkpoint or no first chunk was given, or its images have no prompts.
        """
        if inputs.texts is None or inputs.reference is None:
            missing = "CLIP checkpoint" if inputs.texts is None else "first chunk of images"
            raise InputError(
                f"filter 'clip_score' got no {missing}",
                rule="it compares images with texts as a CLIP checkpoint sees both",
                remedy="name one with clip: PATH, or remove 'clip_score' from 'curation'",
            )
        self._match, self._classes = inputs.texts, inputs.train.classes
        self._lowest = lowest_kept(
            self._cosines(inputs.reference),
            inputs.reference.labels,
            classes=len(self._classes),
            keep=self.config.keep,
            unseen=-1.0,
        )

    def judge(self, batch: ImageBatch) -> list[Verdict]:
        """The score is the cosine brought from [-1, 1] to [0, 1]."""
        cosines = self._cosines(batch)
        flagged = (cosines < self._lowest[batch.labels]) & (self.config.keep < 1)
        return [
            Verdict(float(score), bool(reject), self._reason(cosine, label, reject))
            for score, cosine, reject, label in zip(
                np.clip((1 + cosines) / 2, 0, 1), cosines, flagged, batch.labels, strict=True
            )
        ]

    def _cosines(self, batch: ImageBatch) -> Float64:
        assert self._match is not None, "calibrate() comes first"
        if self.config.text == "class":
            every = np.asarray(self._match.classes(batch.pixels), dtype=np.float64)
            own: Float64 = every[np.arange(len(batch)), batch.labels]
            return own
        if batch.prompts is None:
            raise InputError(
                "filter 'clip_score' with text: prompt got images without prompts",
                rule="images that were not drawn from words have the text of their class only",
                remedy="set text: class",
            )
        return np.asarray(self._match.prompts(batch.pixels, batch.prompts), dtype=np.float64)

    def _reason(self, cosine: float, label: int, rejected: bool) -> str:
        if not rejected:
            return ""
        of = "the text" if self.config.text == "class" else "prompts"
        return f"among the least like {of} of '{self._classes[label]}' (cosine {cosine:.3f})"
