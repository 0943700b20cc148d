"""Reading and writing study files: YAML in, a :class:`Study` or a clear ``InputError`` out."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from synthlift.errors import InputError
from synthlift.spec.arms import GENERATIVE, RIVALS, ArmSpec
from synthlift.spec.meanings import meanings
from synthlift.spec.problems import input_error
from synthlift.spec.study import METRICS, Component, Study
from synthlift.spec.yaml12 import flow, parse

Content = dict[str, Any]
WEIGHTS = "weights"
"""A setting of any component that is always a file, with or without ``./``."""


def load_study(source: Path | str | Mapping[str, Any], overrides: Sequence[str] = ()) -> Study:
    """Read a study from a YAML file or a mapping.

    An empty value stands for the default. In a file, these are relative to the file where they are
    relative: ``data.source`` and ``data.metadata``, those of external sets, ``data.unlabelled``,
    ``data.split.file``, ``plugins``, ``weights``, and whatever starts with ``./`` or ``../`` among
    ``data.masks``, ``clip``, the settings of components, and after a scheme (``hf:./folder``);
    everywhere else to the current folder.

    Args:
        source: a path, or the mapping that such a file holds; ``{}`` is the study of defaults.
        overrides: ``"training.steps=400"``: a dotted place (items of lists by number or name) and
            a YAML value.

    Raises:
        InputError: no file, no YAML, no mapping, a key given twice, an unknown key (with the
            nearest valid one), or a value that breaks a rule; every problem with its place.
    """
    if isinstance(source, Mapping):
        title, content = "the study", dict(source)
    else:
        title, content = f"study file '{source}'", _read(Path(source))
    for override in overrides:
        content = _override(content, override)
    content = _without_empty(content)
    try:
        return Study.model_validate(content)
    except ValidationError as error:
        raise input_error(error, model=Study, content=content, title=title) from None


def json_schema() -> Content:
    """The JSON schema (draft 2020-12) of a study file, for editors that complete and check."""
    schema = Study.model_json_schema()
    definitions = schema["$defs"]
    definitions["ArmSpec"]["properties"]["kind"]["enum"] = [*RIVALS, *GENERATIVE]
    definitions["Primary"]["properties"]["metric"]["enum"] = list(METRICS)
    bare = {"ArmSpec": {"enum": [*RIVALS, *GENERATIVE]}, "Component": {"type": "string"}}
    for name, alone in bare.items():  # a name alone stands for {kind: name}
        full = definitions[name]
        definitions[name] = {"title": full["title"], "anyOf": [alone, full]}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def dump_study(study: Study) -> str:
    """Write a study as YAML with every key and what it means; :func:`load_study` reads it back."""
    return "\n".join(_lines(study, indent="")) + "\n"


# ── reading ───────────────────────────────────────────────────────────────────────────────────


def _read(path: Path) -> Content:
    remedy = "give the path of a study file; 'synthlift init FOLDER' writes one"
    rule = "a study file is a YAML text of keys and values"
    try:
        content = parse(path.read_text(encoding="utf-8"))
    except OSError as error:
        reason = error.strerror or "cannot be read"
        raise InputError(f"study file '{path}': {reason}", rule=rule, remedy=remedy) from None
    except UnicodeDecodeError:
        given = f"study file '{path}' is no text in UTF-8"
        raise InputError(given, rule=rule, remedy=remedy) from None
    except ValueError as error:
        given = f"study file '{path}' is no valid YAML: {error}"
        raise InputError(given, rule=rule, remedy="correct the line, or its indentation") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        kind = "a list" if isinstance(content, list) else "a single value"
        given = f"study file '{path}' holds {kind}"
        raise InputError(given, rule=rule, remedy=remedy)
    return _beside(content, path.absolute().parent)


def _beside(content: Content, folder: Path) -> Content:
    """Make the paths of a study file absolute; the file may be used from any folder."""

    def absolute(text: object, *, dotted_only: bool) -> object:
        if not isinstance(text, str):
            return text
        scheme = re.match(r"[A-Za-z]\w+:", text)
        if scheme:
            rest = absolute(text[scheme.end() :], dotted_only=True)
            return f"{scheme[0]}{rest}"
        if dotted_only and not text.startswith(("./", "../")):
            return text
        return str((folder / Path(text).expanduser()).resolve())

    def component(item: object) -> object:
        if not isinstance(item, dict):
            return item
        return {key: setting(value, key) if value else value for key, value in item.items()}

    def setting(value: object, key: str) -> object:
        if isinstance(value, list):
            return [setting(one, key) for one in value]
        if isinstance(value, dict):
            return component(value)
        return absolute(value, dotted_only=key != WEIGHTS)

    content = dict(content)
    data = content.get("data")
    if isinstance(data, dict):
        content["data"] = _data_beside(data, absolute)
    if isinstance(content.get("plugins"), list):
        content["plugins"] = [absolute(item, dotted_only=False) for item in content["plugins"]]
    for name in ("generators", "curation"):
        if isinstance(content.get(name), list):
            content[name] = [component(item) for item in content[name]]
    if "classifier" in content:
        content["classifier"] = component(content["classifier"])
    if "clip" in content:
        content["clip"] = component(absolute(content["clip"], dotted_only=True))
    return content


def _data_beside(data: Content, absolute: Callable[..., object]) -> Content:
    """The part ``data:`` with its paths made absolute."""
    moved = dict(data)
    for name, dotted_only in (("source", False), ("metadata", False), ("masks", True)):
        if moved.get(name):
            moved[name] = absolute(moved[name], dotted_only=dotted_only)
    pools = moved.get("unlabelled")
    if pools:
        several = pools if isinstance(pools, list) else [pools]
        moved["unlabelled"] = [absolute(one, dotted_only=False) for one in several]
    if isinstance(moved.get("external"), list):
        moved["external"] = [
            _data_beside(beside, absolute) if isinstance(beside, dict) else beside
            for beside in moved["external"]
        ]
    split = moved.get("split")
    if isinstance(split, dict) and split.get("file"):
        moved["split"] = {**split, "file": absolute(split["file"], dotted_only=False)}
    return moved


def _without_empty(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_empty(item) for key, item in value.items() if item is not None}
    return [_without_empty(item) for item in value] if isinstance(value, list | tuple) else value


# ── overriding ────────────────────────────────────────────────────────────────────────────────


def _override(content: Content, text: str) -> Content:
    place, equals, value = text.partition("=")
    parts = place.strip().replace("[", ".").replace("]", "").split(".")
    rule = "overrides have the form KEY.KEY=VALUE, e.g. --set training.steps=400"
    if not equals or not all(parts):
        raise InputError(f"override '{text}'", rule=rule, remedy="write a key, '=' and a value")
    try:
        parsed = parse(value)
    except ValueError as error:
        given = f"override '{text}': the value is no valid YAML: {error}"
        raise InputError(
            given, rule=rule, remedy="put text with special characters in quotes"
        ) from None
    if parts[0] not in content and len(parts) > 1:
        # A place inside a default list or component: start from that default.
        content = {**content, **_defaults(parts[0])}
    changed = _put(content, parts, parsed, text)
    assert isinstance(changed, dict)
    return changed


def _defaults(name: str) -> Content:
    value = getattr(Study(), name, None)
    if isinstance(value, Component):
        return {name: value.model_dump(mode="json", exclude_unset=True)}
    if isinstance(value, tuple):
        items = [item.model_dump(mode="json", exclude_unset=True) for item in value]
        return {name: items}
    return {}


def _put(node: object, parts: Sequence[str], value: object, text: str) -> object:
    """``node`` with ``value`` at the place ``parts``; nothing given is changed."""
    if not parts:
        return value
    head, rest = parts[0], parts[1:]
    if isinstance(node, list | tuple):
        position = _position(node, head, text)
        items = list(node)
        items[position] = _put(items[position], rest, value, text)
        return items
    mapping = {"kind": node} if isinstance(node, str) else node
    if not isinstance(mapping, Mapping | None):
        raise InputError(
            f"override '{text}': nothing called '{head}' can lie below {mapping}",
            rule="a place leads through settings that hold others",
            remedy=f"leave '.{'.'.join(parts)}' out, or correct the place",
        )
    known: Content = dict(mapping or {})
    return {**known, head: _put(known.get(head), rest, value, text)}


def _position(items: Sequence[object], head: str, text: str) -> int:
    names = [_title(item) for item in items]
    if head.isdigit() and int(head) < len(items):
        return int(head)
    if names.count(head) == 1:
        return names.index(head)
    raise InputError(
        f"override '{text}': no single item '{head}'",
        rule=f"items are chosen by number from 0 or by name: {', '.join(names)}",
        remedy="name one of them",
    )


def _title(item: object) -> str:
    if isinstance(item, Mapping):
        return str(item.get("name") or item.get("kind"))
    return str(item)


# ── writing ───────────────────────────────────────────────────────────────────────────────────


def _lines(model: BaseModel, *, indent: str) -> Iterator[str]:
    explained = meanings(type(model))
    for name in type(model).model_fields:
        value = getattr(model, name)
        if not indent:
            yield ""
        words = explained.get(name, "").replace("``", "")
        yield from textwrap.wrap(
            words, 96, initial_indent=f"{indent}# ", subsequent_indent=f"{indent}# "
        )
        if isinstance(value, Component | ArmSpec):
            yield f"{indent}{name}: {flow(_item(value))}"
        elif isinstance(value, BaseModel):
            yield f"{indent}{name}:"
            yield from _lines(value, indent=indent + "  ")
        elif isinstance(value, tuple) and value and isinstance(value[0], BaseModel):
            yield f"{indent}{name}:"
            yield from (f"{indent}  - {flow(_item(entry))}" for entry in value)
        else:
            yield f"{indent}{name}: {flow(value)}"


def _item(entry: BaseModel) -> object:
    """A component or an arm: its name alone where nothing else is set."""
    keys = json.loads(entry.model_dump_json(exclude_defaults=True))
    return keys["kind"] if set(keys) == {"kind"} else keys
