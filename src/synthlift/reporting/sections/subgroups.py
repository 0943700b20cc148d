"""Subgroups: the primary pair within each value of each attribute."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from synthlift.reporting import svg, text
from synthlift.reporting.reading import Reading
from synthlift.reporting.sections.compared import Compared, compare, scale_of
from synthlift.spec.results import SubgroupGap, SubgroupVerdict
from synthlift.spec.values import in_order

MANY = 24
"""Values above which a table is folded up."""


@dataclass(frozen=True)
class Table:
    """One attribute: its values, and the gap between them in words.

    Attributes:
        many: how many values there are, where they are shown on demand only.
    """

    attribute: str
    rows: Sequence[Compared]
    axis: Markup
    gap: str
    many: int


def tables(reading: Reading) -> list[Table]:
    """One table an attribute; none before the verdict."""
    found = reading.results.subgroups
    if reading.state == "live":
        return []
    gaps = {gap.attribute: gap for gap in reading.results.gaps}
    names = dict.fromkeys(one.attribute for one in found)
    return [
        _table(reading, [o for o in found if o.attribute == name], gaps.get(name)) for name in names
    ]


def _table(reading: Reading, found: Sequence[SubgroupVerdict], gap: SubgroupGap | None) -> Table:
    scale = scale_of(found)
    own = {one.value: one for one in found}
    return Table(
        attribute=found[0].attribute,
        rows=[
            compare(reading, own[value], scale, name=value, metric="accuracy")
            for value in in_order(own)
        ],
        axis=svg.axis_row(scale),
        gap="" if gap is None else _gap(gap),
        many=len(own) if len(own) > MANY else 0,
    )


def _gap(gap: SubgroupGap) -> str:
    rival, generative = (
        f"{100 * distance:.1f} points, worst for '{worst}' ({text.percent(accuracy)})"
        for distance, worst, accuracy in (
            (gap.gap_rival, gap.worst_with_rival, gap.worst_accuracy_rival),
            (gap.gap_generative, gap.worst_with_generative, gap.worst_accuracy_generative),
        )
    )
    said = f"Best minus worst value: with the rival {rival}; with synthetic images {generative}."
    change = gap.worst_change
    if change is None or change.low is None or change.high is None:
        return said
    return (
        f"{said} Accuracy of each model's own worst value, on average over models, with synthetic "
        f"images minus without: {100 * change.value:+.1f} points ({100 * change.low:.1f} to "
        f"{100 * change.high:.1f})."
    )
