"""How many synthetic images: the primary metric against the multiple, a line for what is alike.

Arms that differ in nothing but the multiple share a line: one generator (or what poses as
synthetic), one target, one recipe. Up to five lines share a chart; more are set apart by generator.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from markupsafe import Markup

from synthlift.reporting import plots, svg, text
from synthlift.reporting.reading import Reading
from synthlift.spec.results import CurvePoint

MOST_LINES = 5
"""In one chart; where there are more, every generator has a chart of its own."""
_LABELLED = 4
"""Lines that are named beside their end, too, where the names are short."""
_LONGEST_LABEL = 16
_STEP = 7.0
"""Pixels between the intervals of two lines at the same multiple."""

_COLOURS = "abcde"
_SHAPES = ("circle", "diamond", "square", "triangle")
_BASES = {"plain": "plain recipe", "best_rival": "best rival's recipe"}


@dataclass(frozen=True)
class Panel:
    """One chart; ``title`` is its generator where there are several charts."""

    title: str
    plot: Markup


@dataclass(frozen=True)
class Row:
    """One point in words."""

    source: str
    target: str
    base: str
    multiple: str
    value: Markup


@dataclass(frozen=True)
class Curve:
    """The charts and their numbers.

    Attributes:
        panels: one chart, or one a generator, all with the same axes.
        legend: of all charts.
        shared: what all lines have in common, in words; "" = nothing.
        targeted: whether some line fills classes, so that a multiple means something else there.
        rows: the numbers.
        sources: whether rows differ in their generator.
    """

    panels: Sequence[Panel]
    legend: Markup
    shared: str
    targeted: bool
    rows: Sequence[Row]
    sources: bool


@dataclass(frozen=True)
class _Line:
    """What one line is of, and its points in order of the multiple."""

    source: str
    target: str
    base: str
    family: str
    points: tuple[CurvePoint, ...]


def curve(reading: Reading) -> Curve | None:
    """The primary metric against the multiple; None below two multiples."""
    found = reading.results.curve
    if len({p.multiple for p in found}) < 2:
        return None
    lines = _lines(reading, found)
    names, shared = _names(lines)
    x, y = _scales(reading, found)
    panels, shown = [], []
    for title, members in _apart(lines):
        series = _spread(
            [_series(reading, lines[i], names[i], _place(lines, i, title)) for i in members]
        )
        origins = _origins(reading, [lines[i] for i in members], series)
        panels.append(Panel(title, _plot(reading, series, origins, x, y)))
        shown += [*origins, *series]
    keys = {(one.name, one.colour, one.shape, one.dashed): one for one in shown}
    return Curve(
        panels=panels,
        legend=plots.legend(list(keys.values())),
        shared=shared,
        targeted=any(line.target != "all" for line in lines),
        rows=_rows(reading, lines),
        sources=len({line.source for line in lines}) > 1,
    )


def _lines(reading: Reading, found: Sequence[CurvePoint]) -> list[_Line]:
    """Every line, in the order of the study's arms; each begins without synthetic images."""
    origins = {p.base: p for p in found if p.multiple == 0}
    order = {arm.name: place for place, arm in enumerate(reading.arms)}
    members: dict[tuple[str, str], list[CurvePoint]] = {}
    for point in sorted(found, key=lambda p: (order.get(p.arm, len(order)), p.multiple)):
        if point.multiple > 0:
            members.setdefault((_family(point.arm), point.base), []).append(point)
    lines = []
    for (family, base), points in members.items():
        ordered = sorted(points, key=lambda p: p.multiple)
        begun = [origins[base]] if base in origins else []
        source = _source(reading, points[0].arm)
        lines.append(_Line(source, points[0].target, base, family, (*begun, *ordered)))
    return lines


def _family(arm: str) -> str:
    """The name of an arm without its multiple and recipe: ``flow:mixed@2+rival`` → flow:mixed."""
    return arm.partition("@")[0]


def _source(reading: Reading, name: str) -> str:
    """Whose images an arm trains on: its generator, or what poses as synthetic images."""
    arm = reading.arm(name)
    if arm is not None and arm.generator:
        return arm.generator
    prefix, colon, _ = name.partition(":")
    return prefix if colon else ""


def _names(lines: Sequence[_Line]) -> tuple[list[str], str]:
    """Words for every line – what tells it from the others –, and what all have in common."""
    words = [
        (line.source, text.target_words(line.target), _BASES.get(line.base, line.base))
        for line in lines
    ]
    varying = [i for i in range(3) if len({one[i] for one in words}) > 1]
    names = [", ".join(one[i] for i in varying if one[i]) for one in words]
    doubled = Counter(names)
    names = [
        f"{name} ({line.family})".strip() if doubled[name] > 1 or not name else name
        for name, line in zip(names, lines, strict=True)
    ]
    common = ", ".join(words[0][i] for i in range(3) if i not in varying and words[0][i])
    if len(lines) == 1:
        return [common], ""
    return names, common


def _apart(lines: Sequence[_Line]) -> list[tuple[str, list[int]]]:
    """Which lines share a chart: all, or those of a generator."""
    sources = list(dict.fromkeys(line.source for line in lines))
    everything = list(range(len(lines)))
    if len(lines) <= MOST_LINES or len(sources) == 1:
        return [("", everything)]
    return [(name, [i for i in everything if lines[i].source == name]) for name in sources]


def _place(lines: Sequence[_Line], index: int, title: str) -> int:
    """What decides colour and shape: the place among all lines, or among the kinds of line."""
    if not title:
        return index
    kinds = list(dict.fromkeys((line.target, line.base, _kind(line)) for line in lines))
    line = lines[index]
    return kinds.index((line.target, line.base, _kind(line)))


def _kind(line: _Line) -> str:
    return line.family.removeprefix(f"{line.source}:")


def _series(reading: Reading, line: _Line, name: str, place: int) -> plots.Series:
    marked = [_point(reading, p) for p in line.points]
    begins = line.points[0].multiple == 0
    if begins:  # every line of this recipe begins here: marked once, by _origins
        marked[0] = replace(marked[0], low=None, high=None, mark=False)
    return plots.Series(
        name,
        tuple(marked),
        _COLOURS[place % len(_COLOURS)],
        _SHAPES[place % len(_SHAPES)],
        dashed=line.base == "plain",
    )


def _point(reading: Reading, point: CurvePoint) -> plots.Point:
    estimate = point.estimate
    words = f"{reading.label(point.arm)}: {text.metric_value(reading.metric, estimate.value)}"
    return plots.Point(point.multiple, estimate.value, estimate.low, estimate.high, words)


def _origins(
    reading: Reading, lines: Sequence[_Line], series: Sequence[plots.Series]
) -> list[plots.Series]:
    """The arms without synthetic images, once each, amid the lines that begin there."""
    begun: dict[str, list[int]] = {}
    for index, line in enumerate(lines):
        if line.points[0].multiple == 0:
            begun.setdefault(line.points[0].arm, []).append(index)
    return [
        plots.Series(
            f"{reading.label(arm)}: no synthetic images",
            (_point(reading, lines[members[0]].points[0]),),
            "whole",
            _SHAPES[place % len(_SHAPES)],
            shift=sum(series[i].shift for i in members) / len(members),
        )
        for place, (arm, members) in enumerate(begun.items())
    ]


def _spread(series: Sequence[plots.Series]) -> list[plots.Series]:
    """Side by side, so that no interval covers another."""
    middle = (len(series) - 1) / 2
    return [replace(one, shift=_STEP * (i - middle)) for i, one in enumerate(series)]


def _scales(reading: Reading, found: Sequence[CurvePoint]) -> tuple[svg.Scale, svg.Scale]:
    multiples = sorted({p.multiple for p in found})
    # A logarithmic axis that includes 0, with air for the markers at both ends.
    x = svg.Scale(
        -0.09,
        1.07 * max(multiples) + 0.07,
        tuple(multiples),
        "{:g} ×".format,
        warp=lambda v: math.log2(1 + v),
    )
    y = svg.scale_for(
        [v for p in found for v in (p.estimate.value, p.estimate.low, p.estimate.high)],
        label=lambda v: text.metric_value(reading.metric, v).replace(".0", ""),
        flip=True,
    )
    return x, y


def _plot(
    reading: Reading,
    series: Sequence[plots.Series],
    origins: Sequence[plots.Series],
    x: svg.Scale,
    y: svg.Scale,
) -> Markup:
    metric = text.metric_words(reading.metric)
    return plots.plot(
        [*series, *origins],
        x=x,
        y=y,
        x_label="multiple (axis compressed to the right)",
        y_label=metric,
        description=f"{metric} against the multiple; the table has the numbers",
        height=300,
        name_ends=series if _may_be_labelled(series) else (),
    )


def _may_be_labelled(series: Sequence[plots.Series]) -> bool:
    """Few lines that end together, with names short enough to stand beside them."""
    ends = {one.points[-1].x for one in series}
    short = all(len(one.name) <= _LONGEST_LABEL for one in series)
    return 1 < len(series) <= _LABELLED and len(ends) == 1 and short


def _rows(reading: Reading, lines: Sequence[_Line]) -> list[Row]:
    rows: dict[tuple[str, str], Row] = {}
    for line in lines:
        for point in line.points:
            without = point.multiple == 0
            rows.setdefault(
                (point.arm, point.base),
                Row(
                    source=text.MISSING if without else line.source or text.MISSING,
                    target="no synthetic images" if without else text.target_words(point.target),
                    base=_BASES.get(point.base, point.base),
                    multiple=text.multiple(point.multiple),
                    value=reading.numbers.value(reading.metric, point.estimate),
                ),
            )
    return list(rows.values())
