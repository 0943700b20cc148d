"""How real the images of each generator look: measured fit by fit, and put together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from synthlift.seeds import seed_for
from synthlift.spec.facts import Estimate, QualityFigure
from synthlift.store import Artefact, StageRequest
from synthlift.store.images import as_inputs
from synthlift.study.environment import WATTS_PER_CORE
from synthlift.study.pools import Pool, spent_on
from synthlift.study.pretrained import checkpoint_of
from synthlift.study.work import Work

NAMES = (
    "kid",
    "precision",
    "recall",
    "density",
    "coverage",
    "cas",
    "gan_test",
    "told_apart",
    "cmmd",
)


def quality_figures(work: Work) -> dict[str, list[Artefact]]:
    """Quality of uncurated samples of every fit, by generator."""
    found: dict[str, list[Artefact]] = {}
    pools = list(work.pools.values())
    made = work.session.ask(_request(work, pool) for pool in pools)
    for pool, artefact in zip(pools, made, strict=True):
        found.setdefault(pool.generator, []).append(artefact)
    return found


def _request(work: Work, pool: Pool) -> StageRequest:
    manifest, chunks = pool.first_chunks()
    clip = checkpoint_of(work.session.study)
    return StageRequest(
        stage="quality",
        function="synthlift.study.stages.evidence:quality",
        config={
            "draw": pool.unit.draw,
            "manifest": manifest,
            **({} if clip is None else {"clip": clip}),
        },
        inputs={**as_inputs(pool.data), "scorer": pool.scorer, "chunks": chunks},
        seed=seed_for(work.session.study.seed, "quality", pool.generator, pool.unit.index),
        numerics=work.session.numerics,
        label=f"image quality of {pool.generator}, {pool.unit.title}",
        local={"plugins": work.session.plugin_paths()},
    )


def quality_results(figures: Sequence[Artefact]) -> list[QualityFigure]:
    """The figures of one generator, averaged over its fits."""
    measured = [artefact.summary for artefact in figures if artefact.summary["measured"]]
    found = []
    for name in NAMES:
        values = [one["generated"][name] for one in measured if name in one["generated"]]
        floors = [one["floor"][name] for one in measured if name in one["floor"]]
        if values and np.isfinite([*values, *floors]).all():
            found.append(
                QualityFigure(
                    name=name,
                    value=Estimate(
                        value=float(np.mean(values)),
                        low=min(values),
                        high=max(values),
                        n=len(values),
                        method="mean and range over fits, uncurated samples",
                    ),
                    floor=float(np.mean(floors)),
                    images=round(float(np.mean([one["images"] for one in measured]))),
                    held_out=round(float(np.mean([one["held_out"] for one in measured]))),
                )
            )
    return found


def energy_kwh(pools: Sequence[Pool], *, device: str) -> float | None:
    """Estimated energy of all fits of a generator, of its samples and of judging them.

    None on a GPU, whose draw is not measured: what its core takes meanwhile is the least of it.
    """
    if device != "cpu":
        return None
    seconds = sum(one.cpu_seconds for one in spent_on(pools))
    return float(seconds * WATTS_PER_CORE / 3.6e6)
