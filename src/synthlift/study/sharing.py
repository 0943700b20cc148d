"""One pool for all fits of a generator that learns nothing (METHOD §1).

Its fits on one training set would differ by their seed alone, so that more of them would cost as
much sampling again and teach little: a study samples one pool, which its fits share. Where not even
the words depend on the training images, the pool serves all training sets and folds; what each
keeps of it is then judged by filters of its own.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from synthlift.registry import OnePool, descriptor
from synthlift.seeds import seed_for
from synthlift.spec.study import Component
from synthlift.study.components import settings_of
from synthlift.study.layout import FitUnit, Replicate


def one_pool(component: Component) -> OnePool:
    """How far one pool of a generator's images serves; see ``ComponentConfig.one_pool``."""
    return settings_of("generators", component).one_pool()


def sharing(components: Iterable[Component]) -> dict[str, OnePool]:
    """How far one pool serves, by name, of the generators that learn nothing."""
    found = {one.title: one_pool(one) for one in components}
    return {name: reach for name, reach in found.items() if reach != "no"}


def stocked(components: Iterable[Component]) -> list[str]:
    """Names of generators that hand out images which were made before, and learn nothing.

    Their fits take different images from one stock, and say nothing of what another would hold.
    """
    needs = {one.title: descriptor("generators", one.kind).needs for one in components}
    return [name for name, needed in needs.items() if "stock" in needed and "labels" not in needed]


def unit_of(component: Component, unit: FitUnit) -> FitUnit:
    """The fit that stands for a fit: itself, or the one that its training set shares."""
    return unit if one_pool(component) == "no" else replace(unit, index=unit.draw)


def pools_in(component: Component, replicates: Iterable[Replicate]) -> int:
    """Pools that are sampled for some replicates."""
    members = list(replicates)
    reach = one_pool(component)
    if reach == "study":
        return min(1, len(members))
    return len({one.draw if reach == "training set" else one.fit for one in members})


def fit_seed(study_seed: int, generator: str, index: int, *, shared: bool) -> int:
    """The seed of a fit; where a pool is shared, all fits have that of the first."""
    return seed_for(study_seed, "fit", generator, 0 if shared else index)


def set_seed(study_seed: int, generator: str, replicate: int) -> int:
    """What draws the images of a replicate from a pool that replicates share."""
    return seed_for(study_seed, "set", generator, replicate)
