"""What makes a study this one: what its file asks for, and what lies where it names something.

Decisions and openings of the test set are recorded under its key. So it follows contents – of the
data set, a published split, masks, images beside the data set, weights, plug-ins – and no place:
a folder that was moved is the same study, another one at the same place is not.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from synthlift.registry import Group
from synthlift.spec.study import Component, Study
from synthlift.store import digest
from synthlift.store.files import hash_file
from synthlift.study.beside import digests_beside, pools_of
from synthlift.study.components import settings_of
from synthlift.study.pretrained import checkpoint_of

if TYPE_CHECKING:
    from synthlift.study.preparation import Opened
    from synthlift.study.session import Session

_HASH = "sha256"


def study_key(session: Session, opened: Opened, *, beside: bool) -> str:
    """The identity of a session's study.

    Names, places and terms are left out.

    Args:
        session: its study as it was given.
        opened: its data.
        beside: read what it names beside its data; else that counts by its name, which will do
            where nothing is concluded from it.

    Raises:
        InputError: what it names beside its data cannot be used, or a component is wrong.
    """
    study = session.study
    left_out = ("source", "metadata", "masks", "terms", "redistribute")
    places: dict[str, Any] = dict.fromkeys(left_out, True)
    places["external"] = {"__all__": {"source", "metadata"}}
    asked = study.model_dump(mode="json", exclude={"name": True, "plugins": True, "data": places})
    named: dict[str, Any] = {}
    if opened.published is not None:
        asked["data"]["split"]["file"] = ""
        named["split"] = opened.published
    if study.data.masks is not None:
        named["masks"] = opened.read.summary["masks"]["digest"]
    if beside:
        named |= digests_beside(session, opened)
        asked["data"]["unlabelled"] = ["" for _ in study.data.unlabelled]
        asked |= _components(study, asked)
    plugins = [hash_file(session.base / path) for path in study.plugins]
    whole = {"study": asked, "plugins": plugins, "content": opened.read.summary["digest"]}
    # Where nothing is named, a key is what it was before contents counted.
    return digest({**whole, "named": named} if named else whole)


def _components(study: Study, asked: Mapping[str, Any]) -> dict[str, Any]:
    """Generators, filters, classifier and checkpoint as asked for, without places."""
    groups: dict[str, Group] = {"generators": "generators", "curation": "filters"}
    found: dict[str, Any] = {
        part: [
            _component(group, one, told)
            for one, told in zip(getattr(study, part), asked[part], strict=True)
        ]
        for part, group in groups.items()
    }
    found["classifier"] = _component("classifiers", study.classifier, asked["classifier"])
    checkpoint = checkpoint_of(study)
    return found if checkpoint is None else {**found, "clip": _by_content(checkpoint)}


def _component(group: Group, component: Component, told: dict[str, Any]) -> dict[str, Any]:
    settings = settings_of(group, component).model_dump(mode="json")
    by_content = _by_content(settings)
    if by_content != settings:
        # What was read of the weights stands among the settings, so all of them count as filled in.
        told = {name: v for name, v in told.items() if name not in component.settings()}
        told = {**by_content, **told}
    for pool in pools_of(component).values() if group == "generators" else ():
        for name in ("source", "metadata"):
            if told.get(name) == getattr(pool, name):
                told = {key: value for key, value in told.items() if key != name}
    return told


def _by_content(settings: Any) -> Any:
    """Settings without the places of files whose hashes stand beside them."""
    if isinstance(settings, list):
        return [_by_content(one) for one in settings]
    if not isinstance(settings, dict):
        return settings
    known = {place for name, value in settings.items() if value for place in _places(name)}
    return {name: _by_content(v) for name, v in settings.items() if name not in known}


def _places(name: str) -> tuple[str, ...]:
    """The settings that say where the files of a hash are."""
    if name == _HASH:
        return ("path",)
    what, mark, _ = name.rpartition(f"_{_HASH}")
    if not mark:
        return ()
    return (what, f"{what}_model", *(("text_model", "config") if what == "model" else ()))
