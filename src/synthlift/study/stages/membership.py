"""Stage: attack a fitted generator, to see whether it tells its training images (METHOD §5)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Literal, TypeAlias

import numpy as np

from synthlift.store import StageContext, StageRequest, Summary
from synthlift.study.stages.common import fit_inputs, load_plugins
from synthlift.study.stages.generation import open_fit
from synthlift.types import ExposesLikelihood, ExposesLoss, FittedGenerator, Float32, ImageSet

AttackName: TypeAlias = Literal["loss", "likelihood"]
ATTACKS: tuple[AttackName, ...] = ("loss", "likelihood")
FEWEST = 10
"""Images of either side without which nothing is attacked."""


def membership(request: StageRequest, context: StageContext) -> Summary:
    """Stage: tell training images from validation images by what the generator says of them."""
    from synthlift.vision.membership import attack, matched_images

    load_plugins(request)
    inputs = fit_inputs(request, context.store)
    fitted = open_fit(context.store, request.one("fit"), device=request.device)
    most: Mapping[str, int] = request.config["most"]
    attacks = {}
    for name, score in scores(fitted).items():
        mine, theirs = matched_images(
            inputs.train.labels, inputs.validation.labels, most=most[name], seed=request.seed
        )
        if len(mine) < FEWEST:
            continue
        # Both sides at once: generators compute in chunks of one size, however few images are left.
        sides = [inputs.train.subset(mine), inputs.validation.subset(theirs)]
        told = score(ImageSet.joined(sides), request.seed)
        if np.isfinite(told).all():
            attacks[name] = asdict(attack(told[: len(mine)], told[len(mine) :]))
    return {"attacks": attacks}


def scores(fitted: FittedGenerator) -> dict[AttackName, Callable[[ImageSet, int], Float32]]:
    """What a generator tells of given images, by attack: float32 [N], lower = explained better."""
    found: dict[AttackName, Callable[[ImageSet, int], Float32]] = {}
    if isinstance(fitted, ExposesLoss):
        found["loss"] = lambda images, seed: fitted.loss(images, seed=seed)
    if isinstance(fitted, ExposesLikelihood):
        found["likelihood"] = lambda images, seed: -fitted.log_likelihood(images, seed=seed)
    return found
