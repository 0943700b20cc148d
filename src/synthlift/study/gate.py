"""The memorisation gate over a study's generators (METHOD §5)."""

from __future__ import annotations

import numpy as np

from synthlift.curation.apply import COPY_FILTERS, Judged, memorisation_gate
from synthlift.registry import descriptor
from synthlift.spec.study import Component
from synthlift.store import Artefact
from synthlift.study.components import settings_of
from synthlift.study.copying import measured_copies
from synthlift.study.work import Work


def stopped_generators(work: Work) -> dict[str, str]:
    """Generators of which more than 10 % of the samples are copies, with the reason in words.

    Copies are what a filter against copies flags or, where those are more, what the copying
    measure finds: a study without such a filter, or with one that flags nothing, has a gate, too.
    Counted over the first chunk of every class and fit, so that asking for more images later
    cannot change the outcome. Recorded as a decision. What changes a part of training images alone
    resembles them by design and is not stopped; its copies are rejected one by one, as anyone's.
    """
    if not work.pools:
        return {}
    origins = {
        c.title: settings_of("generators", c).origins() for c in work.session.study.generators
    }
    names = [c.title for c in work.session.study.curation if c.kind in COPY_FILTERS]

    def choose() -> tuple[dict[str, str], str]:
        # Inside training sets nothing is reported, and the filters' flags are there already.
        measured = {} if work.inside and names else measured_copies(work)
        readings = {
            name: memorisation_gate(
                [
                    _judged(work.session.store.open(stream.chunks[0].verdict))
                    for pool in work.pools.values()
                    if pool.generator == name
                    for stream in pool.streams.values()
                ],
                generator=name,
                copy_filters=names,
                measured=measured.get(name, (0, 0)),
                origins=origins[name],
            )
            for name in sorted({pool.generator for pool in work.pools.values()})
        }
        pasting = {c.title for c in work.session.study.generators if pastes(c)}
        told = {
            name: f"{reading.copies} of {reading.judged} samples of generator '{name}' are close "
            "to training images, of which it changes a part by design"
            if name in pasting
            else reading.message
            for name, reading in readings.items()
        }
        stopped = {n: told[n] for n, one in readings.items() if one.stopped and n not in pasting}
        return stopped, "; ".join(told.values())

    name = "memorisation_gate_inside" if work.inside else "memorisation_gate"
    stopped: dict[str, str] = work.session.decide(name, choose)
    return stopped


def pastes(component: Component) -> bool:
    """Whether a generator's images are training images of which a part is new, by design."""
    if {"inputs", "masks"} <= descriptor("generators", component.kind).needs:
        return True
    return settings_of("generators", component).origins() == "part"


def _judged(verdict: Artefact) -> Judged:
    found = verdict.summary
    return Judged(
        scores={k: np.array(v, np.float32) for k, v in found["scores"].items()},
        flags={k: np.array(v, np.bool_) for k, v in found["flags"].items()},
        rejected_by=np.array(found["rejected_by"], np.str_),
        reasons=np.array(found["reasons"], np.str_),
    )
