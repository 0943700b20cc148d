"""Components of a study with all defaults filled in, as plain JSON that a worker can rebuild."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from synthlift.errors import InputError, nearest_name
from synthlift.registry import ComponentConfig, Descriptor, Group, descriptor
from synthlift.spec.study import Component

Resolved = dict[str, Any]


def resolve_component(group: Group, component: Component) -> Resolved:
    """Fill in defaults and the component's identity.

    Returns:
        ``{"kind", "identity", "config"}``, the JSON that takes part in keys.

    Raises:
        InputError: unknown kind, unknown key (nearest valid one named) or a wrong value.
    """
    found = descriptor(group, component.kind)
    config = settings_of(group, component)
    return {
        "kind": found.kind,
        "identity": found.identity(),
        "config": config.model_dump(mode="json"),
    }


def settings_of(group: Group, component: Component) -> ComponentConfig:
    """The component's Config with its defaults; errors as in :func:`resolve_component`."""
    found = descriptor(group, component.kind)
    try:
        return found.config.model_validate(component.settings())
    except ValidationError as error:
        raise _explain(group, component, found, error) from None


def _explain(
    group: Group, component: Component, found: Descriptor, error: ValidationError
) -> InputError:
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"])
    hint = ""
    if first["type"] == "extra_forbidden":
        hint = nearest_name(key, found.config.model_fields)
    place = f"'{key}' of " if key else ""
    return InputError(
        f"{place}{group[:-1]} '{component.title}' ({component.kind}): {first['msg']}{hint}",
        rule=f"'{component.kind}' takes: {', '.join(found.config.model_fields) or 'no settings'}",
        remedy="correct the entry; docs/reference/study.md describes every setting",
    )


def rebuild(group: Group, resolved: Mapping[str, Any]) -> tuple[Descriptor, ComponentConfig]:
    """Find the descriptor again and validate its Config, e.g. inside a worker."""
    found = descriptor(group, resolved["kind"])
    return found, found.config.model_validate(resolved["config"])


def build(group: Group, resolved: Mapping[str, Any]) -> Any:
    """Build the component itself."""
    found, config = rebuild(group, resolved)
    return found.build(config)
