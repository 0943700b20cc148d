"""What generators warn of, told as soon as it is known: before they are fitted, and after."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from synthlift.registry import descriptor
from synthlift.store import StageRequest
from synthlift.study.components import Resolved, resolve_component, settings_of
from synthlift.study.pretrained import checkpoint_for

if TYPE_CHECKING:
    from synthlift.spec.study import Component, Study
    from synthlift.study.planning import Plan
    from synthlift.study.preparation import Opened
    from synthlift.study.session import Session

WORDS = "prompt"
"""The condition of generators that are told words."""
TEXT = "text"
"""The setting of filters that says which text an image is compared with."""
TITLE = "title"
"""Under ``local`` of a fit's request: what the study calls the generator."""
CUT = re.compile(r"(Generator '.*?': the prompt) '.* is longer than the text encoder reads: ", re.S)
"""How a warning begins that shows one of a class's prompts; each fit has others."""


def told_by_fit(request: StageRequest, facts: Mapping[str, Any]) -> list[str]:
    """What one fit warns of, beginning with its generator's name.

    Args:
        request: for the fit.
        facts: that it gave.
    """
    name = request.local.get(TITLE, request.config["generator"]["kind"])
    return [_of(name, words) for words in facts.get("warnings", ())]


def foretold(session: Session, opened: Opened, plan: Plan) -> list[str]:
    """What generators warn of that words alone tell; no weights are read for it.

    Args:
        session: of the study.
        opened: the data as read.
        plan: names the generators that are used.
    """
    used = {arm.generator for arm in plan.arms if arm.uses_synthetic}
    told = {
        one.title: _request(session, opened, one)
        for one in plan.generators
        if one.title in used and WORDS in descriptor("generators", one.kind).conditions
    }
    found = zip(told, session.ask(told.values()), strict=True)
    return [_of(name, words) for name, one in found for words in one.summary["warnings"]]


def kind_of(text: str) -> str:
    """What a warning has in common with those that show other prompts; "" = nothing is known."""
    found = CUT.match(text)
    return found[1] if found else ""


def _request(session: Session, opened: Opened, component: Component) -> StageRequest:
    return StageRequest(
        stage="foretell",
        function="synthlift.study.stages.foretelling:foretell",
        config={"generator": resolve_component("generators", component), **_beside(session.study)},
        inputs={"inventory": opened.inventory.key},
        label=f"reading the prompts of {component.title}",
        local={"plugins": session.plugin_paths()},
    )


def _beside(study: Study) -> dict[str, Resolved]:
    """The CLIP checkpoint, where a filter compares images with their prompts."""
    compares = [
        one for one in study.curation if getattr(settings_of("filters", one), TEXT, "") == WORDS
    ]
    return checkpoint_for(study, compares)


def _of(name: str, words: str) -> str:
    return f"Generator '{name}': {words}"


def early(session: Session, requests: list[StageRequest]) -> Iterator[str]:
    """What fits warn of that were made before; those that are made now tell it themselves."""
    for one in requests:
        if one.stage == "fit" and session.store.has(one.key):
            yield from told_by_fit(one, session.store.open(one.key).summary)
