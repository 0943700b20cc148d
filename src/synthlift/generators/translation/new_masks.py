"""Masks drawn by another generator, which is fitted on the masks as if they were images.

The first half of a chain: masks are made, then translated into images (Lee 2021).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthlift.errors import InputError
from synthlift.generators.learning.timing import MEASURED
from synthlift.generators.translation.config import mask_component
from synthlift.generators.translation.sources import Sources
from synthlift.rows import in_blocks
from synthlift.seeds import generator_for, seed_for
from synthlift.types import (
    FitInputs,
    FittedGenerator,
    Generator,
    ImageSet,
    RunContext,
    SampleRequest,
    SamplesInChunks,
    UInt8,
)

FOLDER = "masks"
MARKED = 128
"""Grey level from which a pixel is marked."""
TRIES = 8
"""Draws until a mask marks as much as a training mask of its class may."""


@dataclass(frozen=True)
class NewMasks:
    """A generator of masks, and how much those of each class mark.

    Attributes:
        kind: of the generator.
        fitted: on masks of 0 and 255.
        areas: pixels that each training mask of a class marks, ascending, by class.
    """

    kind: str
    fitted: FittedGenerator
    areas: tuple[NDArray[np.int64], ...]

    def has(self, label: int) -> bool:
        """Whether there were masks of a class to learn from."""
        return len(self.areas[label]) > 0

    def in_chunks_of(self, most: int) -> NewMasks:
        """The same masks, at most so many drawn together, where their generator has chunks."""
        fitted = self.fitted
        if not isinstance(fitted, SamplesInChunks) or fitted.micro_batch <= most:
            return self
        return replace(self, fitted=fitted.with_micro_batch(most))

    def draw(self, requests: Sequence[SampleRequest]) -> UInt8:
        """One mask for each request, uint8 [n, H, W, 1] of 0 and 255.

        A drawn image is marked where it is light. One that marks less than the smallest or more
        than the largest training mask of its class is drawn again, and after :data:`TRIES` draws
        marked where it is lightest, as far as one of these masks, taken by the request's seed.

        Args:
            requests: of classes that have masks.
        """
        height, width, _ = self.fitted.image_shape
        found = np.zeros((len(requests), height, width, 1), np.uint8)
        grey = found.copy()
        waiting = np.arange(len(requests))
        for turn in range(TRIES):
            asked = [
                replace(requests[row], seed=seed_for(requests[row].seed, "mask", turn), sources=())
                for row in waiting.tolist()
            ]
            if not asked:
                break
            grey[waiting] = np.concatenate([batch.pixels for batch in self.fitted.sample(asked)])
            found[waiting] = np.where(grey[waiting] >= MARKED, np.uint8(255), np.uint8(0))
            count = (found[waiting] > 0).sum(axis=(1, 2, 3))
            own = [self.areas[requests[row].label] for row in waiting.tolist()]
            low, high = (np.array([least(one) for one in own]) for least in (np.min, np.max))
            waiting = waiting[(count < low) | (count > high)]
        for row in waiting.tolist():
            rng = generator_for(requests[row].seed, "mask", "area")
            count = int(rng.choice(self.areas[requests[row].label]))
            lightest = np.argsort(-grey[row].astype(np.int64), axis=None, kind="stable")[:count]
            found[row] = 0
            found[row].reshape(-1)[lightest] = 255
        return found


def fit_masks(
    component: Mapping[str, Any],
    sources: Sources,
    inputs: FitInputs,
    *,
    together: int,
    run: RunContext,
) -> NewMasks:
    """Fit the generator that a Config names under ``masks`` on the training masks.

    Args:
        component: its kind and settings.
        sources: the masks.
        inputs: those of the translation, for the lock.
        together: how many are translated at once: so many masks are drawn at once where their
            generator is to find out how many that should be.
        run: of the translation; check-points go into a folder beside its own.

    Raises:
        InputError: as the generator does.
    """
    folder = run.folder / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    masks, none = sources.images, np.empty(0, np.intp)
    held_out = sources.held_out[0] if sources.held_out else masks.subset(none)
    seen = FitInputs(train=masks, validation=held_out, test=inputs.test)
    own = replace(run, folder=folder, seed=seed_for(run.seed, FOLDER), monitor=None)
    if component.get("micro_batch") == MEASURED:
        component = {**component, "micro_batch": together}
    fitted = _build(component).fit(seen, run=own)
    return _new_masks(component, fitted, masks)


def read_masks(
    component: Mapping[str, Any], sources: Sources, folder: Path, *, device: str
) -> NewMasks:
    """Read back what was saved in ``folder``, beside the same masks."""
    fitted = _build(component).load(folder / FOLDER, device=device)
    return _new_masks(component, fitted, sources.images)


def _build(component: Mapping[str, Any]) -> Generator:
    descriptor, config = mask_component(component)
    built: Generator = descriptor.build(config)
    return built


def _new_masks(component: Mapping[str, Any], fitted: FittedGenerator, masks: ImageSet) -> NewMasks:
    if fitted.image_shape != masks.image_shape:
        raise InputError(
            f"generator '{component['kind']}' under 'masks' gives images of {fitted.image_shape}",
            rule=f"masks are {masks.image_shape}, as the training images with one channel",
            remedy="name another kind under 'masks'",
        )
    marked = np.concatenate([(b > 0).sum(axis=(1, 2, 3)) for b in in_blocks(masks.source)])
    every = range(len(masks.classes))
    areas = tuple(np.sort(marked[masks.labels == label]).astype(np.int64) for label in every)
    return NewMasks(str(component["kind"]), fitted, areas)
