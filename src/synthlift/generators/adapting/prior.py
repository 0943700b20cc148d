"""What the pipeline drew before it was adapted, so that it goes on drawing it."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from synthlift.errors import InputError
from synthlift.generators.adapting.drawing import PromptedDraws
from synthlift.generators.adapting.latents import Half, Latents, as_half, keep
from synthlift.generators.conditions import Vocabulary
from synthlift.generators.pipelines.adapter_settings import Prior
from synthlift.generators.pipelines.config import PipelineConfig
from synthlift.generators.pipelines.noting import wording_of
from synthlift.generators.pipelines.too_long import filled_too_long
from synthlift.generators.pipelines.wishes import companions
from synthlift.generators.prompts import placeholders
from synthlift.seeds import seed_for
from synthlift.types import RunContext, SampleRequest


@dataclass(frozen=True)
class Preserved:
    """Images that the pipeline drew.

    Attributes:
        latents: float16 [N, h, w, c].
        prompts: of each.
        black: how many more there would be, had they not stayed black.
        cut: what is said of prompts that the text encoder does not read to their end.
    """

    latents: Half
    prompts: tuple[str, ...]
    black: int
    cut: tuple[str, ...] = ()

    @property
    def warnings(self) -> list[str]:
        """What is to be told of words that are not read, and of images that are not learnt."""
        if not self.black:
            return [*self.cut]
        count = f"{self.black} of {self.black + len(self.prompts)} images of the prior"
        return [
            *self.cut,
            f"{count} stayed black, as a safety checker leaves what it objects to: none is learnt.",
        ]


def preserved(
    prior: Prior,
    draws: PromptedDraws,
    latents: Latents,
    *,
    config: PipelineConfig,
    facts: Mapping[str, Any],
    run: RunContext,
) -> Preserved:
    """Draw the images of the prior, or take what an earlier attempt has left.

    Args:
        prior: how many, from which prompts.
        draws: the pipeline before it is adapted.
        latents: of the pipeline.
        config: how the pipeline draws, and its words for the classes.
        facts: of the generator: classes, attribute values and how often they meet.
        run: folder for what was drawn, seed, progress.

    Raises:
        InputError: all of them stay black.
    """
    vocabulary = Vocabulary.from_json(facts)
    prompts = _prompts(prior, config, vocabulary, together=facts["together"], run=run)
    seeds = [seed_for(run.seed, "prior", i) for i in range(prior.images)]
    files = [
        run.folder / "prior" / f"{i:08d}-{_named(config, *one)}.npy"
        for i, one in enumerate(zip(prompts, seeds, strict=True))
    ]
    size = config.fixed_chunk()
    for start in range(0, prior.images, size):
        some = slice(start, start + size)
        # As a whole, as without an earlier attempt that was killed amid its files.
        if not all(file.is_file() for file in files[some]):
            drawn = draws.images(prompts[some], seeds=seeds[some])
            rows = as_half(latents.of_images(np.stack([one.pixels for one in drawn])))
            # Latents are finite, else they are refused: these rows stand for no image.
            rows[[one.black for one in drawn]] = np.nan
            for file, row in zip(files[some], rows, strict=True):
                keep(file, row)
        run.progress(min(start + size, prior.images), prior.images, "prior")
    every: Half = np.stack([np.load(file) for file in files])
    seen = np.isfinite(every.reshape(len(every), -1)).all(1)
    if not seen.any():
        raise InputError(
            f"all {len(every)} images of the prior stayed black",
            rule="a safety checker blackens what it objects to; each image was drawn four times",
            remedy="give other texts under adapt.prior.prompts, or leave 'prior' out",
        )
    kept = tuple(prompts[row] for row in np.flatnonzero(seen).tolist())
    cut = tuple(filled_too_long(config, prompts))
    return Preserved(every[seen], kept, len(every) - len(kept), cut)


def _named(config: PipelineConfig, prompt: str, seed: int) -> str:
    """An image by all that it is drawn from; with less memory it stays the same."""
    less: dict[str, Any] = {"micro_batch": True, "adapt": {"gradient_checkpointing": True}}
    identity = repr((config.model_dump_json(exclude=less), prompt, seed))
    return hashlib.sha256(identity.encode()).hexdigest()[:24]


def _prompts(
    prior: Prior,
    config: PipelineConfig,
    vocabulary: Vocabulary,
    *,
    together: Sequence[Any],
    run: RunContext,
) -> tuple[str, ...]:
    """Of each image: classes take turns, attributes are those of training images."""
    present = [label for label, count in enumerate(vocabulary.counts) if count]
    usual, templates = wording_of(config, seed=run.seed), _templates(prior, seed=run.seed)
    turns, told = itertools.count(), []
    for row in range(prior.images):
        wording, named = usual, True
        if templates:
            text = templates[row]
            wording = replace(usual, templates=(text,), own={}, every=False)
            named = bool(placeholders(text))
        # What names nothing takes no class's turn.
        lap, place = divmod(next(turns) if named else 0, len(present))
        label = present[place]
        asked = SampleRequest(index=row, label=label, seed=seed_for(run.seed, "prior words", row))
        values = companions(asked, names=tuple(vocabulary.attributes), together=together)
        told.append(wording.phrasing(vocabulary.classes[label], lap).says(values))
    return tuple(told)


def _templates(prior: Prior, *, seed: int) -> list[str]:
    """The text of each image, all of them equally often; none where the classes' own are used."""
    if not prior.prompts:
        return []
    order = torch.Generator().manual_seed(seed_for(seed, "prior prompts"))
    places = torch.randperm(prior.images, generator=order) % len(prior.prompts)
    return [prior.prompts[place] for place in places.tolist()]
