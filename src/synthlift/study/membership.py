"""Whether generators give their training images away: the attack on every fit, put together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from synthlift.seeds import seed_for
from synthlift.spec.facts import Estimate, MembershipFigure
from synthlift.store import Artefact, StageRequest
from synthlift.store.images import as_inputs
from synthlift.study.pools import Pool
from synthlift.study.stages.membership import ATTACKS
from synthlift.study.work import Work

NORMAL_QUANTILE = 1.96
MOST_IMAGES = {"loss": 500, "likelihood": 100}
"""Images of either side that are attacked, a likelihood taking far longer than a loss."""


def membership_figures(work: Work) -> dict[str, list[Artefact]]:
    """Attacks on every fit of the generators that tell how well they explain an image."""
    pools = [pool for pool in work.pools.values() if pool.fitted.summary.get("explains")]
    found: dict[str, list[Artefact]] = {}
    made = work.session.ask(_request(work, pool) for pool in pools)
    for pool, artefact in zip(pools, made, strict=True):
        found.setdefault(pool.generator, []).append(artefact)
    return found


def _request(work: Work, pool: Pool) -> StageRequest:
    session = work.session
    return StageRequest(
        stage="membership",
        function="synthlift.study.stages.membership:membership",
        config={"draw": pool.unit.draw, "most": MOST_IMAGES},
        inputs={**as_inputs(pool.data), "fit": pool.fitted.key},
        seed=seed_for(session.study.seed, "membership", pool.generator, pool.unit.index),
        numerics=session.numerics,
        label=f"membership attack on {pool.generator}, {pool.unit.title}",
        device=session.device,
        local={"plugins": session.plugin_paths()},
    )


def membership_results(figures: Sequence[Artefact]) -> list[MembershipFigure]:
    """The attacks on one generator, averaged over its fits.

    The interval treats images as shared by all fits, which they mostly are, and adds what fits
    differ by.
    """
    found = []
    for name in ATTACKS:
        fits = [told for one in figures if (told := one.summary["attacks"].get(name))]
        if not fits:
            continue
        values = np.array([told["auc"] for told in fits])
        caught = [told["caught"] for told in fits]
        spread = values.var(ddof=1) / len(fits) if len(fits) > 1 else 0.0
        error = float(np.sqrt(np.mean([told["error"] ** 2 for told in fits]) + spread))
        mean = float(values.mean())
        found.append(
            MembershipFigure(
                attack=name,
                auc=Estimate(
                    value=mean,
                    low=max(0.0, mean - NORMAL_QUANTILE * error),
                    high=min(1.0, mean + NORMAL_QUANTILE * error),
                    n=len(fits),
                    method="mean over fits; images (DeLong) and fits in the interval",
                ),
                caught=Estimate(
                    value=float(np.mean(caught)),
                    low=min(caught),
                    high=max(caught),
                    n=len(fits),
                    method="mean and range over fits, at most 1 % false alarms",
                ),
                images=round(float(np.mean([told["images"] for told in fits]))),
            )
        )
    return found
