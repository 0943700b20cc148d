"""Counts and spreads by class."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from synthlift.data.designs import LETTERS, Design, Kind, choose_design, groups_per_class
from synthlift.data.findings.looking import Looked
from synthlift.data.inspection import expected_effect, tested_in_all, wilson_width
from synthlift.data.inventory import Row, attribute_columns, usable
from synthlift.errors import InputError
from synthlift.spec.data import Data, Split
from synthlift.spec.values import in_order

MOST_VALUES = 40
_QUANTILES = (0, 0.25, 0.5, 0.75, 1)


def attribute_tables(rows: Sequence[Row], *, classes: Sequence[str]) -> list[dict[str, Any]]:
    """Usable images by class and value of each attribute.

    Args:
        rows: the inventory.
        classes: all class names, those without a usable image too.

    Returns:
        By attribute: ``values`` ("" = missing), ``counts`` [K][V], and ``empty``: the pairs
        (class, value) that no image has. More than 40 values are only counted (``too_many``).
    """
    used = usable(rows)
    tables = []
    for name, column in attribute_columns(used).items():
        values = in_order(column)
        if len(values) > MOST_VALUES:
            tables.append({"name": name, "too_many": len(values)})
            continue
        found = Counter(zip([row.label for row in used], column, strict=True))
        counts = [[found[label, value] for value in values] for label in classes]
        empty = [[c, v] for c in classes for v in values if not found[c, v]]
        tables.append({"name": name, "values": values, "counts": counts, "empty": empty})
    return tables


def spreads(rows: Sequence[Row], looked: Looked) -> dict[str, Any]:
    """Least value, quartiles and largest value by measure and class, and grey images by class.

    Brightness, contrast and sharpness as :func:`synthlift.data.faults.spread.measure` has them,
    ``size`` the shorter side in pixels.
    """
    labels = np.array([rows[place].label for place in looked.places], dtype=str)
    columns = {
        name: np.array([getattr(one, name) for one in looked.measures])
        for name in ("brightness", "contrast", "sharpness")
    }
    sizes = [min(rows[place].width, rows[place].height) for place in looked.places]
    columns["size"] = np.array(sizes, dtype=float)
    grey = np.array([rows[place].channels == 1 for place in looked.places], dtype=bool)
    found: dict[str, Any] = {name: {} for name in columns}
    found["grey_images"] = {}
    for label in sorted(set(labels.tolist())):
        own = labels == label
        for name, values in columns.items():
            quantiles = np.quantile(values[own], _QUANTILES)
            found[name][label] = [round(float(q), 2) for q in quantiles]
        found["grey_images"][label] = int(grey[own].sum())
    return found


def design_table(
    rows: Sequence[Row], *, data: Data, facts: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """What each of the three designs could show on this data.

    Args:
        rows: the inventory, groups joined.
        data: the part ``data:`` of the study.
        facts: what :func:`synthlift.data.inspection.inspect_inventory` says.

    Returns:
        By design: smallest difference in balanced accuracy found with 80 % power (None = none),
        and by class how many groups are tested and how wide their 95 % interval may be. A design
        that this data, split as asked for, cannot have is left out; empty where none is possible.
    """
    if facts["design"] is None:
        return []
    used = usable(rows)
    columns: dict[str, Any] = {
        "labels": [row.label for row in used],
        "groups": [row.group for row in used],
        "ids": [row.id for row in used],
        "parts": [row.part for row in used],
        "attributes": attribute_columns(used),
    }
    counts = groups_per_class(columns["labels"], columns["groups"])
    chosen = facts["design"]["kind"]
    found = []
    for kind, letter in LETTERS.items():
        if kind == chosen:
            effect, tested = facts["minimal_detectable_effect"]["value"], facts["classes"]
        else:
            design = _other_design(kind, data.split, columns)
            if design is None:
                continue
            effect = expected_effect(design, counts)["value"]
            tested = [
                {"name": k, "test_groups": n, "wilson_width": wilson_width(n) if n else None}
                for k, n in tested_in_all(design, counts).items()
            ]
        found.append(
            {
                "letter": letter,
                "kind": kind,
                "chosen": kind == chosen,
                "minimal_detectable_effect": effect,
                "classes": [
                    {name: one[name] for name in ("name", "test_groups", "wilson_width")}
                    for one in tested
                ],
            }
        )
    return found


def _other_design(kind: Kind, split: Split, columns: Mapping[str, Any]) -> Design | None:
    """A design that was not chosen; None where the data, or the keys of the split, rule it out."""
    if split.file is not None:
        return None
    try:
        design = choose_design(split.model_copy(update={"design": kind}), **columns)
    except InputError:
        return None
    return design if design.kind == kind else None
