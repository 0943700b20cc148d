"""The copying measures of a study's generators: one stage a fit, for the gate and the report."""

from __future__ import annotations

from synthlift.seeds import seed_for
from synthlift.store import Artefact, StageRequest
from synthlift.store.images import as_inputs
from synthlift.study.pools import Pool
from synthlift.study.work import Work


def copying_figures(work: Work) -> dict[str, list[Artefact]]:
    """Copying figures of every fit, by generator."""
    found: dict[str, list[Artefact]] = {}
    pools = list(work.pools.values())
    made = work.session.ask(_copying_request(work, pool) for pool in pools)
    for pool, artefact in zip(pools, made, strict=True):
        found.setdefault(pool.generator, []).append(artefact)
    return found


def _copying_request(work: Work, pool: Pool) -> StageRequest:
    manifest, chunks = pool.first_chunks()
    return StageRequest(
        stage="copying",
        function="synthlift.study.stages.evidence:copying",
        config={"draw": pool.unit.draw, "manifest": manifest},
        inputs={
            **as_inputs(pool.data),
            "scorer": pool.scorer,
            "chunks": chunks,
        },
        seed=seed_for(work.session.study.seed, "copying", pool.generator, pool.unit.index),
        numerics=work.session.numerics,
        version="2",
        label=f"copying check of {pool.generator}, {pool.unit.title}",
        local={"plugins": work.session.plugin_paths()},
    )


def measured_copies(work: Work) -> dict[str, tuple[int, int]]:
    """By generator: copies among uncurated samples of all its fits, and the samples looked at.

    Less as many as there are among new real images: of few held-out ones the first percentile is
    their smallest distance, which other new images undercut, too.
    """
    found: dict[str, tuple[int, int]] = {}
    figures = copying_figures(work)
    for name, made in figures.items():
        pools = [pool for pool in work.pools.values() if pool.generator == name]
        looked = [sum(len(one["rows"]) for one in pool.first_chunks()[0]) for pool in pools]
        copies = [
            round(max(0.0, one.summary["copies"] - one.summary["held_out_copies"]) * n)
            for one, n in zip(made, looked, strict=True)
        ]
        found[name] = sum(copies), sum(looked)
    return found
