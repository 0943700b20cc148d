"""The filter ablation: arms that leave filters out, and the arm that each is compared with."""

from __future__ import annotations

from collections.abc import Iterable

from synthlift.spec.arms import Arm
from synthlift.spec.results import FilterEffect
from synthlift.study.pools import Pool
from synthlift.study.work import Work


def with_all_filters(arms: Iterable[Arm]) -> dict[str, str]:
    """Of every arm that leaves filters out, the arm that is equal but applies them all."""
    known = list(arms)
    full = {_apart_from_filters(arm): arm.name for arm in known if arm.curated and not arm.without}
    return {
        arm.name: full[_apart_from_filters(arm)]
        for arm in known
        if (arm.without or not arm.curated) and _apart_from_filters(arm) in full
    }


def _apart_from_filters(arm: Arm) -> str:
    """All that two arms must share; the recipe follows from the base."""
    return arm.model_dump_json(exclude={"name", "role", "recipe", "curated", "without"})


def filter_effects(work: Work) -> list[FilterEffect]:
    """What share of the sampled images every such arm, and the arm with all filters, may use."""
    arms = {arm.name: arm for arm in work.arms}
    pairs = with_all_filters(work.arms)
    return [
        FilterEffect(
            arm=name,
            reference=reference,
            left_out=arms[name].without,
            kept=_kept(work, arms[name]),
            reference_kept=_kept(work, arms[reference]),
        )
        for name, reference in pairs.items()
        if any(pool.generator == arms[name].generator for pool in work.pools.values())
    ]


def _kept(work: Work, arm: Arm) -> float:
    pools = [pool for pool in work.pools.values() if pool.generator == arm.generator]
    judged = sum(len(stream) for pool in pools for stream in pool.streams.values())
    if not arm.curated:
        return 1.0
    return sum(_usable(pool, arm) for pool in pools) / max(1, judged)


def _usable(pool: Pool, arm: Arm) -> int:
    return sum(stream.number_kept(without=arm.without) for stream in pool.streams.values())
