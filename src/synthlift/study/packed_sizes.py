"""How many bytes a generator's pictures take in the store, once a preview has drawn some."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import count, takewhile

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
        mean: of all, in the look that saw most.
        largest: of any, in all looks.
        pictures: of the look that saw most.
    """

    mean: float
    largest: int
    pictures: int = 1


def note_sizes(
    session: Session, opened: Opened, plan: Plan, name: str, sizes: Iterable[int]
) -> None:
    """Keep what pictures of a generator took, for this and later forecasts.

    A look counts where it saw more pictures than those before, or a larger one.

    Args:
        session: of the study.
        opened: the data as read.
        plan: says how large images are.
        name: of the generator in the study.
        sizes: bytes of each picture as the store would hold it.
    """
    component, measured = _asked(session, name), list(sizes)
    if not measured:
        return
    looks = _looks(session, opened, plan, component)
    known = _combined(looks)
    if known is None or len(measured) > known.pictures or max(measured) > known.largest:
        session.ask([_request(opened, plan, component, len(looks), measured)])


def known_sizes(session: Session, opened: Opened, plan: Plan) -> dict[str, PackedSize]:
    """What is known, by generator."""
    asked = session.asked_study.generators
    found = {one.title: _combined(_looks(session, opened, plan, one)) for one in asked}
    return {name: size for name, size in found.items() if size is not None}


def _looks(session: Session, opened: Opened, plan: Plan, component: Component) -> list[PackedSize]:
    """What each look measured, the first one first."""
    keys = (_request(opened, plan, component, number, []).key for number in count())
    found = [session.store.open(key).summary for key in takewhile(session.store.has, keys)]
    return [PackedSize(one["mean"], one["largest"], one["pictures"]) for one in found]


def _combined(looks: Sequence[PackedSize]) -> PackedSize | None:
    """What the looks say together; None without one."""
    if not looks:
        return None
    most = max(looks, key=lambda one: one.pictures)
    return replace(most, largest=max(one.largest for one in looks))


def _asked(session: Session, name: str) -> Component:
    """The generator as it was before a budget cut its steps."""
    return next(one for one in session.asked_study.generators if one.title == name)


def _request(
    opened: Opened, plan: Plan, component: Component, look: int, sizes: list[int]
) -> StageRequest:
    return StageRequest(
        stage="measure",
        function="synthlift.study.stages.measure:packed_sizes",
        config={
            "shape": [plan.image_size, plan.image_size, plan.channels],
            "generator": resolve_component("generators", component),
            "look": look,
        },
        inputs={"inventory": opened.inventory.key},
        label="measuring the size of pictures",
        local={"sizes": sizes},
    )
