"""Counts and spreads by class."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from synthlift.data.designs import choose_design, groups_per_class
from synthlift.data.findings.looking import Looked
from synthlift.data.inspection import expected_effect, tested_in_all, wilson_width
from synthlift.data.inventory import Row, attribute_columns, usable
from synthlift.errors import InputError
from synthlift.spec.data import Data
from synthlift.spec.values import in_order

MOST_VALUES = 40
_QUANTILES = (0, 0.25, 0.5, 0.75, 1)
_DESIGNS = ("fixed", "cross_validated")


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
    rows: Sequence[Row], *, data: Data, chosen: Mapping[str, Any] | None
) -> list[dict[str, Any]]:
    """What a fixed split and a cross-validation of this data could show.

    Args:
        rows: the inventory, groups joined.
        data: the part ``data:`` of the study.
        chosen: the design that the study would take; None = there is none.

    Returns:
        By design: smallest difference in balanced accuracy found with 80 % power (None = none),
        and by class how many groups are tested and how wide their 95 % interval may be. A design
        that this data cannot have is left out.
    """
    if chosen is None:
        return []
    used = usable(rows)
    labels, groups = [row.label for row in used], [row.group for row in used]
    counts = groups_per_class(labels, groups)
    found = []
    for kind in _DESIGNS if data.split.file is None else ():
        try:
            design = choose_design(
                data.split.model_copy(update={"design": kind}),
                labels=labels,
                groups=groups,
                ids=[row.id for row in used],
                parts=[row.part for row in used],
                attributes=attribute_columns(used),
            )
        except InputError:
            continue
        if design.kind != kind:
            continue
        effect = expected_effect(design, counts)["value"]
        tested = tested_in_all(design, counts)
        found.append(
            {
                "letter": design.letter,
                "kind": kind,
                "chosen": chosen["kind"] == kind,
                "minimal_detectable_effect": effect if np.isfinite(effect) else None,
                "classes": [
                    {"name": k, "test_groups": n, "wilson_width": wilson_width(n) if n else None}
                    for k, n in tested.items()
                ],
            }
        )
    return found
