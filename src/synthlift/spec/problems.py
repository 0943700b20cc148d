"""Turns pydantic's complaints into one :class:`InputError` that names places and nearest keys."""

from __future__ import annotations

import re
import typing
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from synthlift.errors import InputError, nearest_name

Place = tuple[str | int, ...]

_REMEDY = "correct it; 'synthlift schema' prints every key with its type"


class _Problem(NamedTuple):
    given: str
    rule: str
    remedy: str = ""


_WORDS = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "string": "text (put it in quotes)",
    "tuple": "a list, e.g. [a, b]",
    "list": "a list, e.g. [a, b]",
    "model": "a section of keys",
    "dict": "a section of keys",
    "none": "empty",
}


def input_error(
    error: ValidationError, *, model: type[BaseModel], content: object, title: str
) -> InputError:
    """Explain a failed validation of ``content`` by ``model``.

    Args:
        error: what pydantic raised.
        model: the model at the top.
        content: what was validated, to tell keys from the names of pydantic's inner branches.
        title: what was read, in words ("study file 'a.yaml'").

    Returns:
        One error; a single problem is named in its first line, several are listed.
    """
    problems: dict[Place, list[ErrorDetails]] = {}
    for detail in error.errors():
        if not _is_echo(detail):
            problems.setdefault(_place(detail, content), []).append(detail)
    found = [_describe(place, details, model) for place, details in problems.items()]
    rules = list(dict.fromkeys(problem.rule for problem in found))
    remedies = list(dict.fromkeys(problem.remedy for problem in found if problem.remedy))
    head = f"{title}: {found[0].given}"
    if len(found) > 1:
        listed = "".join(f"\n  - {problem.given}" for problem in found)
        head = f"{title} has {len(found)} problems:{listed}"
    return InputError(head, rule="; ".join(rules), remedy="; ".join(remedies) or _REMEDY)


def written(place: Place) -> str:
    """A place as a person writes it: ``arms[0].multiples[1]``."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place)
    return text.lstrip(".")


def _is_echo(detail: ErrorDetails) -> bool:
    # A list whose items failed is also reported as too short, which would mislead.
    return detail["type"] == "too_short" and bool(detail["input"])


def _place(detail: ErrorDetails, content: object) -> Place:
    """The part of ``loc`` that exists in what was given, plus a key that is missing or unknown."""
    place: list[str | int] = []
    node = content
    for part in detail["loc"]:
        if _holds(node, part):
            node = node[part]  # type: ignore[index]
        elif detail["type"] == "missing" and isinstance(node, Mapping):
            node = None
        else:
            continue
        place.append(part)
    return tuple(place)


def _holds(node: object, part: str | int) -> bool:
    if isinstance(node, list | tuple):
        return isinstance(part, int) and part < len(node)
    return isinstance(node, Mapping) and part in node


def _describe(place: Place, details: Sequence[ErrorDetails], model: type[BaseModel]) -> _Problem:
    first = details[0]
    parent = written(place[:-1])
    if first["type"] in ("extra_forbidden", "invalid_key"):
        owners = _models_at(model, place[:-1])
        known = sorted({name for owner in owners for name in owner.model_fields})
        rule = f"keys of {repr(parent) if parent else 'a study'} are: {', '.join(known)}"
        near = nearest_name(str(place[-1]), known)
        return _Problem(f"unknown key '{written(place)}'{near}", rule)
    if first["type"] == "missing":
        return _Problem(f"'{written(place)}' is missing", f"'{parent}' needs a '{place[-1]}'")
    subject = f"'{written(place)}'" if place else "the study"
    if first["type"] == "value_error":
        return _own_words(subject, first)
    rules = " or ".join(dict.fromkeys(_rule(detail) for detail in details))
    given = f"{subject} is {_shown(first['input'])}{_nearest_choice(details)}"
    return _Problem(given, f"{subject} must be {rules}")


def _own_words(subject: str, detail: ErrorDetails) -> _Problem:
    """Our own validators say ``problem; known: names`` or ``rule; remedy``."""
    message, _, rest = str(detail["ctx"]["error"]).partition("; ")
    if rest.startswith("known: "):
        return _Problem(f"{subject}: {message}", rest)
    return _Problem(f"{subject} is {_shown(detail['input'])}", message, rest)


def _rule(detail: ErrorDetails) -> str:
    """What a value must be, in words."""
    kind, context = detail["type"], detail.get("ctx", {})
    stem = kind.split("_")[0]
    if kind == "literal_error":
        return _choices(detail)
    if kind == "too_short":
        return f"a list of at least {context['min_length']}"
    if kind == "string_pattern_mismatch":
        return f"text of the form {context['pattern']}"
    if stem in _WORDS and kind.endswith(("_type", "_parsing", "_from_float")):
        return _WORDS[stem]
    words = re.sub(r"^(Input|Value|\w+) should (be )?", "", detail["msg"])
    return words[:1].lower() + words[1:]


def _choices(detail: ErrorDetails) -> str:
    choices = str(detail["ctx"]["expected"])
    return f"one of {choices}" if "," in choices or " or " in choices else choices


def _nearest_choice(details: Sequence[ErrorDetails]) -> str:
    for detail in details:
        if detail["type"] == "literal_error" and isinstance(detail["input"], str):
            return nearest_name(
                detail["input"], re.findall(r"'([^']*)'", detail["ctx"]["expected"])
            )
    return ""


def _shown(value: object) -> str:
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _models_at(model: type[BaseModel], place: Place) -> Iterator[type[BaseModel]]:
    """The models that may stand at a place below ``model``."""
    if not place:
        yield model
        return
    head, rest = place[0], place[1:]
    if isinstance(head, int):
        yield from _models_at(model, rest)
        return
    field = model.model_fields.get(head)
    if field is not None:
        for inner in models_in(field.annotation):
            yield from _models_at(inner, rest)


def models_in(annotation: Any) -> list[type[BaseModel]]:
    """All pydantic models that an annotation mentions."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in typing.get_args(annotation) for model in models_in(part)]
