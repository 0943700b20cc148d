"""What is wrong with the data: the faults found, by kind, as one JSON-able answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from synthlift.data.faults.features import simple_features
from synthlift.data.faults.labels import LabelErrors, likely_label_errors
from synthlift.data.faults.leaks import Leak, conflicts, leaks
from synthlift.data.faults.near_duplicates import Pair
from synthlift.data.faults.outliers import class_outliers, oddities
from synthlift.data.faults.shortcuts import find_shortcuts
from synthlift.data.findings.looking import Looked
from synthlift.data.findings.tables import attribute_tables, design_table, spreads
from synthlift.data.findings.words import estimated_errors
from synthlift.data.grouping import STEM, suspected_groups
from synthlift.data.inventory import Row
from synthlift.data.parting import Parting
from synthlift.spec.data import Data
from synthlift.types import Int64

FEWEST_FEATURES = 50
"""A classifier that learnt from fewer images contradicts nobody."""

Step = Callable[[str], None]


def find_faults(
    rows: Sequence[Row],
    *,
    given: Sequence[Row],
    looked: Looked,
    alike: Sequence[Pair],
    parting: Parting,
    data: Data,
    facts: Mapping[str, Any],
    step: Step,
) -> dict[str, Any]:
    """Say what is wrong with the data and what they can show.

    Args:
        rows: the inventory after near-duplicates joined groups.
        given: the inventory before.
        looked: what was seen of the usable images.
        alike: pairs of rows that look alike.
        parting: what fixes parts in a study.
        data: the part ``data:`` of the study.
        facts: what :func:`synthlift.data.inspection.inspect_inventory` says.
        step: called with the name of each step that takes long.

    Returns:
        JSON; images by id. See the functions below for the parts.
    """
    classes = [str(found["name"]) for found in facts["classes"]]
    step("seeking label errors")
    learnt = _learnt(rows, looked)
    step("seeking shortcuts")
    return {
        "looked_at": {"images": len(looked.places), "usable": looked.usable},
        "attributes": attribute_tables(rows, classes=classes),
        "spread": spreads(rows, looked),
        "unreadable": [
            {"id": row.id, "reason": row.reason} for row in given if row.reason and not row.sha256
        ],
        "duplicates": duplicates(given, alike, parting=parting),
        **learnt,
        "oddities": [
            {"id": rows[place].id, "label": rows[place].label, "kind": kind, "detail": detail}
            for row, kind, detail in oddities(looked.measures)
            for place in [looked.places[row]]
        ],
        "shortcuts": _shortcuts(rows, looked),
        "designs": design_table(rows, data=data, facts=facts),
        "suspected_groups": _suspected(rows, data),
    }


def duplicates(
    rows: Sequence[Row], alike: Sequence[Pair], *, parting: Parting | None = None
) -> dict[str, Any]:
    """Exact copies by content and pictures that look alike, as pairs and as counts (JSON).

    Args:
        rows: the inventory, sorted by id, nothing joined yet.
        alike: pairs of rows that look alike.
        parting: what fixes parts in a study; None = what the data bring.
    """
    pairs = sorted([*_copies(rows), *alike])
    torn = conflicts(pairs, labels=[row.label for row in rows])
    leaking: dict[int, Leak] = {}
    tested: set[int] = set()
    across: dict[Pair, list[str]] = {}
    for parts in (parting or Parting()).draws(rows):
        here = leaks(pairs, parts=parts)
        crossing = {row for leak in here for row in leak.rows}
        leaking = {leak.rows[0]: leak for leak in here} | leaking
        tested |= {row for row in crossing if parts[row] == "test"}
        for pair in pairs:
            if {pair.first, pair.second} <= crossing and parts[pair.first] != parts[pair.second]:
                across.setdefault(pair, [parts[pair.first], parts[pair.second]])
    differing = set(torn)
    found: list[dict[str, Any]] = []
    for pair in pairs:
        a, b = rows[pair.first], rows[pair.second]
        found.append(
            {
                "ids": [a.id, b.id],
                "labels": [a.label, b.label],
                "parts": across.get(pair, [a.part, b.part]),
                "kind": pair.kind,
                "distance": pair.distance,
                "different_labels": pair in differing,
                "across_parts": pair in across,
                "one_group": a.group == b.group,
            }
        )
    found.sort(key=lambda p: (not p["different_labels"], not p["across_parts"], p["distance"]))
    return {
        "exact": sum(pair.kind == "exact" for pair in pairs),
        "near": sum(pair.kind == "near" for pair in pairs),
        "different_labels": len(torn),
        "leaks": [
            {"ids": [rows[row].id for row in leak.rows], "parts": list(leak.parts)}
            for leak in sorted(leaking.values())
        ],
        "leaking_test_images": len(tested),
        "pairs": found,
    }


def _copies(rows: Sequence[Row]) -> list[Pair]:
    firsts: dict[str, int] = {}
    pairs = []
    for place, row in enumerate(rows):
        if row.sha256:
            first = firsts.setdefault(row.sha256, place)
            if first != place:
                pairs.append(Pair(first, place, 0.0, "exact"))
    return pairs


def _learnt(rows: Sequence[Row], looked: Looked) -> dict[str, Any]:
    """Label errors and outliers, from features of a sample of the usable labelled images."""
    from threadpoolctl import threadpool_limits

    if len(looked.learnt) < FEWEST_FEATURES:
        return {"learnt_from": 0, **_label_errors(LabelErrors(), [], []), "outliers": []}
    used = [rows[looked.places[i]] for i in looked.learnt]
    names, labels = _indices(used)
    features = simple_features(looked.colour)
    # Products this small are faster on one thread, by far where other programs run beside.
    with threadpool_limits(limits=1):
        errors = likely_label_errors(features, labels=labels, groups=[row.group for row in used])
        outliers = class_outliers(features, labels=labels)
    return {
        "learnt_from": len(used),
        **_label_errors(errors, used, names),
        "outliers": [
            {"id": used[row].id, "label": used[row].label, "score": round(score, 2)}
            for row, score in outliers
        ],
    }


def _label_errors(errors: LabelErrors, rows: Sequence[Row], names: Sequence[str]) -> dict[str, Any]:
    return {
        "label_errors": [
            {
                "id": rows[one.row].id,
                "given": names[one.given],
                "suggested": names[one.suggested],
                "p_given": round(one.p_given, 4),
                "p_suggested": round(one.p_suggested, 4),
                "p_wrong": round(one.p_wrong, 4),
            }
            for one in errors.suspects
        ],
        "wrong_labels": {
            "share": round(errors.wrong_share, 4),
            "found": round(errors.found_share, 3),
            "words": estimated_errors(errors.wrong_share, errors.found_share, images=len(rows)),
        },
    }


def _shortcuts(rows: Sequence[Row], looked: Looked) -> list[dict[str, Any]]:
    used = [rows[place] for place in looked.places]
    if not used:
        return []
    _, labels = _indices(used)
    found = find_shortcuts(looked.nuisances, labels=labels, groups=[row.group for row in used])
    return [one._asdict() for one in found]


def _indices(rows: Sequence[Row]) -> tuple[list[str], Int64]:
    names, labels = np.unique(np.array([row.label for row in rows], dtype=str), return_inverse=True)
    return [str(name) for name in names], labels.astype(np.int64)


def _suspected(rows: Sequence[Row], data: Data) -> dict[str, Any] | None:
    """Names that look like groups, where none was declared."""
    found = None if data.group else suspected_groups([row.id for row in rows])
    if found is None:
        return None
    return {
        "images": found.images,
        "stems": found.stems,
        "examples": list(found.examples),
        "warning": found.warning,
        "option": f"data.group={STEM}",
    }
