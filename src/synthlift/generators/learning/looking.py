"""Looks at what a generator draws while it trains."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import numpy as np
from torch import Tensor

from synthlift.generators.conditions import Vocabulary
from synthlift.generators.learning.loop import Look, Seen
from synthlift.seeds import seed_for
from synthlift.types import FittedGenerator, ImageBatch, RunContext, SampleRequest

Judge = Callable[[ImageBatch], Seen]


def looks_at_samples(
    fitted: Callable[[dict[str, Tensor]], FittedGenerator],
    *,
    vocabulary: Vocabulary,
    images: int,
    run: RunContext,
    judge: Judge | None = None,
    each: int = 0,
    stock: Sequence[int] | None = None,
) -> Look | None:
    """How samples are seen: the classes evenly, the same seeds at each look.

    Args:
        fitted: the generator that weights by name make.
        vocabulary: classes with their numbers of training images.
        images: how many are drawn, or more where the classes are so many that each would have
            fewer than ``each``.
        run: with the copying monitor, if there is one.
        judge: a second opinion on the same samples; both must accept them.
        each: images of a class that the judge needs.
        stock: images of each class that the generator has; without end if left out.

    Returns:
        None where nobody would judge.
    """
    monitor = run.monitor
    if monitor is None and judge is None:
        return None
    present = [label for label, count in enumerate(vocabulary.counts) if count]
    in_turn = (
        (turn, label)
        for turn in (itertools.count() if stock is None else range(max(stock)))
        for label in present
        if stock is None or turn < stock[label]
    )
    asked = list(itertools.islice(in_turn, max(images, each * len(present))))
    labels = np.array([label for _, label in asked], np.int64)
    requests = [
        SampleRequest(index=turn, label=label, seed=seed_for(run.seed, "monitor", i))
        for i, (turn, label) in enumerate(asked)
    ]

    def look(step: int, weights: dict[str, Tensor]) -> Seen:
        pixels = np.concatenate([batch.pixels for batch in fitted(weights).sample(requests)])
        samples = ImageBatch(pixels=pixels, labels=labels)
        seen = judge(samples) if judge else Seen(acceptable=True)
        if monitor is None:
            return seen
        copying = monitor(step, samples)
        return Seen(
            acceptable=seen.acceptable and copying.acceptable,
            copying=copying,
            curves=seen.curves,
            problem=seen.problem,
        )

    return look
