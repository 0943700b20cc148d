"""How many training images every cell has, in every draw."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from math import prod

import numpy as np

from synthlift.errors import InputError, nearest_name
from synthlift.registry import descriptor
from synthlift.spec.arms import Arm
from synthlift.spec.study import Component
from synthlift.spec.targets import SOURCES, Cell
from synthlift.store import Store
from synthlift.store.images import (
    DataKeys,
    attribute_columns,
    class_names,
    members,
    positions,
    usable_rows,
)
from synthlift.types import Strings

LARGEST_NUMBER = 500
"""Cells of a study; beyond it an attribute has nearly one value an image."""


def aimed_at(arms: Iterable[Arm]) -> tuple[str, ...]:
    """Attributes that some arm's target names, sorted."""
    return tuple(sorted({name for arm in arms for name in arm.target.attributes}))


def count_cells(
    store: Store,
    data: DataKeys,
    *,
    draws: Iterable[int],
    classes: Sequence[str],
    attributes: Sequence[str],
) -> dict[int, dict[Cell, int]]:
    """Training images of every cell, by draw; empty where no attribute counts.

    A class that a draw has no image of stands as a cell without attributes.
    """
    if not attributes:
        return {}
    rows = usable_rows(store, data["inventory"])
    cells = _cells(rows["label"].tolist(), _columns(store, data["inventory"], attributes), classes)
    found: dict[int, dict[Cell, int]] = {}
    for draw in draws:
        where = positions(rows["id"], members(store, data, draw, "train"))
        counts = Counter(cells[row] for row in where.tolist())
        present = {cell.label for cell in counts}
        counts.update({Cell(k): 0 for k in range(len(classes)) if k not in present})
        found[draw] = dict(sorted(counts.items()))
    return found


def cells_of(
    store: Store, data: DataKeys, ids: Strings, *, attributes: Sequence[str]
) -> list[Cell]:
    """The cell of each image."""
    rows = usable_rows(store, data["inventory"])
    where = positions(rows["id"], ids)
    columns = {
        name: np.array(column)[where].tolist()
        for name, column in _columns(store, data["inventory"], attributes).items()
    }
    classes = class_names(store, data["inventory"])
    return _cells(rows["label"][where].tolist(), columns, classes)


def expected_cells(
    store: Store, inventory: str, *, attributes: Sequence[str], shares: Sequence[float]
) -> dict[Cell, int]:
    """Training images of every cell to expect.

    Args:
        store: with the inventory.
        inventory: its key.
        attributes: that make cells beside the class.
        shares: of each class's images that a training set holds, by class index.
    """
    rows = usable_rows(store, inventory)
    labels = rows["label"].tolist()
    cells = _cells(labels, _columns(store, inventory, attributes), class_names(store, inventory))
    counts = sorted(Counter(cells).items())
    return {cell: max(1, round(n * shares[cell.label])) for cell, n in counts}


def _columns(store: Store, inventory: str, attributes: Sequence[str]) -> dict[str, list[str]]:
    columns = attribute_columns(store, inventory)
    return {name: columns[name].tolist() for name in attributes}


def _cells(
    labels: Sequence[str], columns: Mapping[str, Sequence[str]], classes: Sequence[str]
) -> list[Cell]:
    index = {name: k for k, name in enumerate(classes)}
    return [
        Cell(index[label], tuple((name, columns[name][row]) for name in sorted(columns)))
        for row, label in enumerate(labels)
    ]


def require_reachable(
    arms: Sequence[Arm], generators: Sequence[Component], *, store: Store, inventory: str
) -> None:
    """Refuse targets that the data or a generator cannot serve.

    Raises:
        InputError: an attribute that the images do not have or with nearly one value an image, or
            a generator that cannot be conditioned on attributes.
    """
    columns = attribute_columns(store, inventory)
    for arm in arms:
        for name in arm.target.attributes:
            if name == SOURCES:
                raise InputError(
                    f"arm '{arm.name}' aims at cells of an attribute called '{SOURCES}'",
                    rule="that name stands for the training images that an image is made from",
                    remedy="call the column otherwise",
                )
            if name not in columns:
                raise InputError(
                    f"arm '{arm.name}' aims at cells of '{name}'{nearest_name(name, columns)}",
                    rule="cells are made of 'label' and attributes of the images, which are: "
                    + (", ".join(columns) or "none"),
                    remedy="name the column under data.attributes, or correct the target",
                )
        if arm.target.attributes and arm.generator:
            _require_conditional(arm, generators)
    names = aimed_at(arms)
    rows = usable_rows(store, inventory)
    cells = set(zip(rows["label"], *(columns[name] for name in names), strict=True))
    number = len(cells)
    if any(arm.target.unseen for arm in arms):
        number = prod(len(set(column)) for column in zip(*cells, strict=True))
    if names and number > LARGEST_NUMBER:
        raise InputError(
            f"the targets of this study make {number} cells of {', '.join(names)}",
            rule=f"at most {LARGEST_NUMBER} cells can be aimed at",
            remedy="leave an attribute out, or bin a number with data.bins",
        )


def _require_conditional(arm: Arm, generators: Sequence[Component]) -> None:
    component = next(one for one in generators if one.title == arm.generator)
    found = descriptor("generators", component.kind)
    if "attributes" not in found.conditions:
        raise InputError(
            f"arm '{arm.name}' aims at cells of {', '.join(arm.target.attributes)} with generator "
            f"'{component.title}'",
            rule=f"kind '{component.kind}' makes images of a class and knows no attributes",
            remedy="use a generator that does, such as 'flow', or aim at classes",
        )


def conditioned(
    component: Component, arms: Iterable[Arm], *, names: Mapping[str, str]
) -> Component:
    """The component with what the study tells it, unless it says so itself.

    Args:
        component: a generator.
        arms: the attributes that they aim at are those that it must know.
        names: words for classes, for a generator that works with words.
    """
    fields = descriptor("generators", component.kind).config.model_fields
    wanted = aimed_at(arm for arm in arms if arm.generator == component.title)
    told: dict[str, object] = {}
    if wanted and "attributes" not in component.settings():
        told["attributes"] = list(wanted)
    if names and "names" in fields and "names" not in component.settings():
        told["names"] = dict(names)
    return Component.model_validate({**component.model_dump(), **told}) if told else component
