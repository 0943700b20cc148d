"""Components of a study with all defaults filled in, as plain JSON that a worker can rebuild."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from synthlift.errors import InputError, nearest_name
from synthlift.registry import ComponentConfig, Descriptor, Group, descriptor
from synthlift.spec.study import Component, FilterComponent

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
        config = found.config.model_validate(component.settings())
        if not isinstance(component, FilterComponent) or component.strength is None:
            return config
        strength = _strengths(component, config).get(component.strength, {})
        return found.config.model_validate({**component.settings(), **strength})
    except ValidationError as error:
        raise _explain(group, component, found, error) from None


def makes_from_sources(component: Component) -> bool:
    """Whether a generator can be asked to make images from chosen training images of a class."""
    if "sources" not in descriptor("generators", component.kind).conditions:
        return False
    return settings_of("generators", component).heeds_sources()


def strengths_of(component: FilterComponent) -> tuple[str, ...]:
    """What ``strength: auto`` of a filter chooses among, the weakest first.

    Raises:
        InputError: the filter is unknown or has no strengths, or a setting is wrong or one that
            its strength decides.
    """
    found = settings_of("filters", component)
    return tuple(_strengths(component, found))


def _strengths(
    component: FilterComponent, config: ComponentConfig
) -> Mapping[str, Mapping[str, Any]]:
    found = config.strengths()
    if not found:
        raise InputError(
            f"filter '{component.title}' ({component.kind}) with strength: {component.strength}",
            rule="this filter has no strengths; copies are rejected for what they are, not for "
            "what they do to a score",
            remedy="remove 'strength' there",
        )
    decided = {key for settings in found.values() for key in settings}
    if given := sorted(decided & set(component.settings())):
        raise InputError(
            f"filter '{component.title}' ({component.kind}) with strength: {component.strength} "
            f"and {given[0]}: {component.settings()[given[0]]}",
            rule=f"a strength of '{component.kind}' sets: {', '.join(sorted(decided))}",
            remedy=f"remove 'strength' or '{given[0]}'",
        )
    return found


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
