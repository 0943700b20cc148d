"""Subgroups: the primary pair within each value of each attribute."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from synthlift.reporting import svg, text
from synthlift.reporting.reading import Reading
from synthlift.spec.results import SubgroupGap, SubgroupVerdict
from synthlift.spec.values import in_order


@dataclass(frozen=True)
class Row:
    """One value of an attribute."""

    value: str
    word: str
    small: bool
    strip: Markup
    difference: Markup
    difference_sort: float
    rival: Markup
    generative: Markup
    p: str
    images: str
    groups: str


@dataclass(frozen=True)
class Table:
    """One attribute: its values, and the gap between them in words."""

    attribute: str
    rows: Sequence[Row]
    axis: Markup
    gap: str


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
    own = {one.value: one for one in found}
    intervals = [one.contrast.difference for one in found if one.contrast is not None]
    values = [v for e in intervals for v in (e.value, e.low, e.high)]
    scale = svg.scale_for(values, include=(-0.02, 0.02), label=text.points, limits=(-1, 1))
    return Table(
        attribute=found[0].attribute,
        rows=[_row(reading, own[value], scale) for value in in_order(own)],
        axis=svg.axis_row(scale),
        gap="" if gap is None else _gap(gap),
    )


def _row(reading: Reading, item: SubgroupVerdict, scale: svg.Scale) -> Row:
    contrast = item.contrast
    strip = svg.empty_strip(scale, reference=0.0)
    if contrast is not None:
        estimate = contrast.difference
        strip = svg.strip(
            scale,
            series="generative",
            shape="diamond",
            value=estimate.value,
            low=estimate.low,
            high=estimate.high,
            reference=0.0,
        )
    return Row(
        value=item.value,
        word=text.VERDICT_WORDS[item.word],
        small=contrast is None,
        strip=strip,
        difference=reading.numbers.difference(contrast),
        difference_sort=contrast.difference.value if contrast else -math.inf,
        rival=reading.numbers.value("accuracy", item.rival),
        generative=reading.numbers.value("accuracy", item.generative),
        p=text.p_value(contrast.p_holm if contrast else None),
        images=text.count(item.test_images),
        groups=text.count(item.test_groups),
    )


def _gap(gap: SubgroupGap) -> str:
    rival, generative = (
        f"{100 * distance:.1f} points, worst for '{worst}' ({text.percent(accuracy)})"
        for distance, worst, accuracy in (
            (gap.gap_rival, gap.worst_with_rival, gap.worst_accuracy_rival),
            (gap.gap_generative, gap.worst_with_generative, gap.worst_accuracy_generative),
        )
    )
    return f"Best minus worst value: with the rival {rival}; with synthetic images {generative}."
