"""How many bytes a generator's pictures take in the store, once a preview has drawn some."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from synthlift.spec.study import Component
from synthlift.store import StageRequest
from synthlift.study.components import resolve_component
from synthlift.study.planning import Plan
from synthlift.study.preparation import Opened
from synthlift.study.session import Session


@dataclass(frozen=True)
class PackedSize:
    """Bytes of one picture, measured on several.

    Attributes:
        mean: of all.
        largest: of any.
    """

    mean: float
    largest: int


def note_sizes(
    session: Session, opened: Opened, plan: Plan, name: str, sizes: Iterable[int]
) -> None:
    """Keep what pictures of a generator took, for this and later forecasts; the first look counts.

    Args:
        session: of the study.
        opened: the data as read.
        plan: says how large images are.
        name: of the generator in the study.
        sizes: bytes of each picture as the store would hold it.
    """
    if measured := list(sizes):
        session.ask([_request(opened, plan, _asked(session, name), measured)])


def known_sizes(session: Session, opened: Opened, plan: Plan) -> dict[str, PackedSize]:
    """What is known, by generator."""
    found = {}
    for component in session.asked_study.generators:
        key = _request(opened, plan, component, []).key
        if session.store.has(key):
            told = session.store.open(key).summary
            found[component.title] = PackedSize(told["mean"], told["largest"])
    return found


def _asked(session: Session, name: str) -> Component:
    """The generator as it was before a budget cut its steps."""
    return next(one for one in session.asked_study.generators if one.title == name)


def _request(opened: Opened, plan: Plan, component: Component, sizes: list[int]) -> StageRequest:
    return StageRequest(
        stage="measure",
        function="synthlift.study.stages.measure:packed_sizes",
        config={
            "shape": [plan.image_size, plan.image_size, plan.channels],
            "generator": resolve_component("generators", component),
        },
        inputs={"inventory": opened.inventory.key},
        label="measuring the size of pictures",
        local={"sizes": sizes},
    )
