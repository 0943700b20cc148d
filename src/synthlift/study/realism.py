"""How real the images of each generator look: measured fit by fit, and put together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from synthlift.seeds import seed_for
from synthlift.spec.facts import Estimate, QualityFigure
from synthlift.store import Artefact, StageRequest
from synthlift.store.images import as_inputs
from synthlift.study.energy import sum_known
from synthlift.study.pools import Pool
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


def energy_kwh(pools: Sequence[Pool], kwh: Mapping[str, float | None]) -> float | None:
    """Energy of all fits of a generator, of its samples and of judging them.

    Args:
        pools: of the generator.
        kwh: of each artefact, by key; None = not known.
    """
    keys = dict.fromkeys(key for pool in pools for key in pool.spent())
    return sum_known(kwh.get(key) for key in keys)
