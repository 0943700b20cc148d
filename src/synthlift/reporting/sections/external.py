"""Test sets from elsewhere: how far the arms fall there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from synthlift.reporting import text
from synthlift.reporting.reading import Reading
from synthlift.spec.results import ExternalResult


@dataclass(frozen=True)
class Row:
    """One arm on one set."""

    name: str
    note: str
    here: Markup
    drop: Markup


@dataclass(frozen=True)
class Table:
    """One set."""

    name: str
    metric: str
    about: str
    difference: Markup
    p: str
    rows: Sequence[Row]


def tables(reading: Reading) -> list[Table]:
    """One table a set; none before the verdict."""
    if reading.state == "live":
        return []
    return [_table(reading, found) for found in reading.results.external]


def _table(reading: Reading, found: ExternalResult) -> Table:
    verdict = reading.results.verdict
    notes = {verdict.arm: "primary arm", verdict.rival: "its rival"} if verdict else {}
    about = f"{text.plural(found.images, 'image')} in {text.plural(found.groups, 'group')}"
    if found.missing_classes:
        about += f"; without images of {', '.join(found.missing_classes)}, hence accuracy"
    return Table(
        name=found.name,
        metric=found.metric.replace("_", " "),
        about=about,
        difference=reading.numbers.difference(found.contrast),
        p=text.p_value(found.contrast.p_holm),
        rows=[
            Row(
                name=reading.label(arm.name),
                note=notes.get(arm.name, ""),
                here=reading.numbers.value(found.metric, arm.estimate),
                drop=reading.numbers.difference(
                    found.contrast.model_copy(update={"difference": arm.drop})
                ),
            )
            for arm in found.arms
        ],
    )
