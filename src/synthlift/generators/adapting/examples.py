"""What an adapter learns from: latents with prompts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from synthlift.generators.adapting.latents import Half, Latents, kept_latents
from synthlift.generators.adapting.learner import Prompting
from synthlift.generators.adapting.prior import Preserved
from synthlift.generators.conditions import Vocabulary
from synthlift.generators.learning.examples import Examples, in_memory
from synthlift.generators.pipelines.config import PipelineConfig
from synthlift.generators.pipelines.noting import wording_of
from synthlift.types import ImageSet, RunContext


def training_examples(
    train: ImageSet,
    latents: Latents,
    *,
    config: PipelineConfig,
    vocabulary: Vocabulary,
    facts: Mapping[str, Any],
    run: RunContext,
) -> tuple[Examples, Prompting]:
    """The training images of the classes that the vocabulary counts, with their prompts."""
    settings = config.adapt
    assert settings is not None
    counts = np.array(vocabulary.counts)
    rows = np.flatnonzero((train.labels >= 0) & (counts[train.labels] > 0))
    versions = 2 if settings.flip else 1
    encoded = kept_latents(
        train.pixels(rows),
        latents,
        flip=settings.flip,
        part=config.fixed_chunk(),
        folder=run.folder / "latents",
    )
    weights = torch.from_numpy(counts[train.labels[rows]].astype(np.float64))
    weights = (weights**-settings.class_balance).repeat_interleave(versions)
    source = _source(encoded, weights / weights.sum(), device=run.device)
    return source, prompting_of(train, rows.tolist(), config, facts=facts, versions=versions)


def prompting_of(
    images: ImageSet,
    rows: Sequence[int],
    config: PipelineConfig,
    *,
    facts: Mapping[str, Any],
    versions: int = 1,
) -> Prompting:
    """What images at ``rows`` are called, each of them in ``versions`` rows of examples."""
    wording = wording_of(config, seed=facts["seed"], words=facts.get("words"))
    names = tuple(facts["attributes"])
    values = {name: images.attributes[name] for name in names}

    def prompting(place: int, number: int) -> str:
        row = rows[place // versions]
        label = images.classes[int(images.labels[row])]
        said = {name: str(values[name][row]) for name in names}
        return wording.phrasing(label, number).says(said)

    return prompting


def past_examples(past: Preserved, *, device: str) -> tuple[Examples, Prompting]:
    """What the pipeline drew before it was adapted, with its prompts."""
    weights = torch.full((len(past.prompts),), 1 / len(past.prompts), dtype=torch.float64)
    source = _source(past.latents, weights, device=device)
    return source, lambda place, _number: past.prompts[place]


def _source(latents: Half, weights: torch.Tensor, *, device: str) -> Examples:
    return Examples(
        source=latents,
        pixels_nchw=in_memory(latents, bytes_each=latents[0].nbytes, device=device),
        # What is wanted of an example is said in its prompt.
        wanted_nk=torch.zeros((len(latents), 1), dtype=torch.int64, device=device),
        unsaid_k=torch.zeros(1, dtype=torch.int64, device=device),
        weights_n=weights,
        seen=torch.Tensor.float,
    )
