"""YAML as people expect it: the core schema of YAML 1.2 on PyYAML's parser.

PyYAML follows YAML 1.1, where ``no`` is false, ``010`` is eight, ``1:30`` is ninety, ``1e-3`` is
text, dates are dates, and of a key given twice the last one wins silently. Class names such as
``no`` or ``007`` and learning rates such as ``1e-3`` must survive, and a doubled key is a mistake.
"""

from __future__ import annotations

import json
import re
from typing import Any

import yaml

_PREFIX = "tag:yaml.org,2002:"
_RESOLVERS = (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?(?:0|[1-9][0-9]*)", "-+0123456789"),
    ("float", r"[-+]?(?:\d+\.\d*|\.\d+|\d+(?=[eE]))(?:[eE][-+]?\d+)?", "-+.0123456789"),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("merge", r"<<", "<"),
)


class _Loader(yaml.SafeLoader):
    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - PyYAML's own class attribute


for _name, _pattern, _first in _RESOLVERS:
    _Loader.add_implicit_resolver(_PREFIX + _name, re.compile(rf"^(?:{_pattern})$"), list(_first))


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[str, Any]:
    """A mapping whose keys are the text that was written, each once."""
    seen: set[str] = set()
    for key, _ in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise yaml.constructor.ConstructorError(
                problem="a key must be a word", problem_mark=key.start_mark
            )
        if key.value in seen:
            raise yaml.constructor.ConstructorError(
                problem=f"the key '{key.value}' is given twice", problem_mark=key.start_mark
            )
        seen.add(key.value)
    loader.flatten_mapping(node)
    return {key.value: loader.construct_object(value, deep=True) for key, value in node.value}


_Loader.add_constructor(_PREFIX + "map", _mapping)


def parse(text: str) -> Any:
    """Parse one YAML document.

    Raises:
        ValueError: it is none; the message says what is wrong, with line and column.
    """
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise ValueError(f"{where}{error.problem or error.context}") from None
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(str(error).splitlines()[0]) from None


_SPECIAL = re.compile(r"[\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]")
"""What YAML takes for a line's end, or refuses unless it is escaped."""


def as_json(value: object) -> str:
    """Write a value as JSON that :func:`parse` gives back.

    Letters stand as they are, since PyYAML does not join the two escapes that JSON has for those
    beyond the Basic Multilingual Plane.
    """
    text = json.dumps(value, ensure_ascii=False)
    return _SPECIAL.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


_PLAIN = re.compile(r"[\w./:+@ -]+")


def scalar(value: object) -> str:
    """Write one value on one line so that :func:`parse` gives it back; quotes where needed."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    assert isinstance(value, str), type(value)
    # Plain only where it stays this text as an item, as a key and as a value.
    if _PLAIN.fullmatch(value):
        try:
            if parse(f"[{value}, {{k: {value}}}, {{{value}: 1}}]") == [
                value,
                {"k": value},
                {value: 1},
            ]:
                return value
        except ValueError:
            pass
    quoted = yaml.dump(value, default_style='"', width=10**9, allow_unicode=True)
    return str(quoted).strip()


def flow(value: object) -> str:
    """Write lists and mappings in one line, ``{kind: mixed, multiples: [1.0, 2.0]}``."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{scalar(k)}: {flow(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(flow(item) for item in value) + "]"
    return scalar(value)
