"""Two-dimensional plots and confusion matrices as inline SVG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from synthlift.reporting.svg import Marker, Scale, element, join, key_dot, key_mark, marker

_LABEL_HEIGHT = 17.0
"""Pixels that a name beside a line takes."""


@dataclass(frozen=True)
class Point:
    """One point: position, optional vertical interval, words for its tooltip.

    Without ``mark`` it is only where a line passes.
    """

    x: float
    y: float
    low: float | None = None
    high: float | None = None
    title: str = ""
    mark: bool = True


@dataclass(frozen=True)
class Series:
    """A line with markers.

    Attributes:
        name: words in the legend.
        points: in order of x.
        colour: CSS series class (``s-<colour>``).
        shape: marker.
        dashed: whether the line is dashed (a second cue besides colour).
        marks: False draws the line alone.
        shift: horizontal shift in pixels, so that intervals of two series do not overlap.
    """

    name: str
    points: tuple[Point, ...]
    colour: str
    shape: Marker = "circle"
    dashed: bool = False
    marks: bool = True
    shift: float = 0.0


def plot(
    series: Sequence[Series],
    *,
    x: Scale,
    y: Scale,
    x_label: str,
    y_label: str,
    description: str,
    height: int = 260,
    level: float | None = None,
    diagonal: bool = False,
    name_ends: Sequence[Series] = (),
) -> Markup:
    """Lines over two axes.

    Args:
        series: what is drawn, in order.
        x, y: scales; ``y`` must be flipped.
        x_label, y_label: words beside the axes.
        description: text alternative.
        height: pixels.
        level: a horizontal reference line.
        diagonal: draw the line y = x from corner to corner.
        name_ends: lines to be named beside their end, where there is room; the legend stays.
    """
    grid = [_grid_line(y, tick) for tick in y.ticks]
    if level is not None:
        at = y.at(level)
        grid.append(element("line", x1=0, x2="100%", y1=at, y2=at, class_="reference"))
    if diagonal:
        line = element("line", x1=0, x2="100%", y1="100%", y2=0, class_="reference")
        grid.append(line)
    body = join([*grid, *(_series(s, x, y) for s in series)])
    area = element("svg", body, class_="area", height=height, overflow="visible")
    ends = _ends(name_ends, y, height) if name_ends else Markup("")
    plot_body = element("div", _y_axis(y, height), area, ends, class_="plot-body")
    return element(
        "div",
        element("div", y_label, class_="y-label"),
        plot_body,
        _x_axis(x),
        element("div", x_label, class_="x-label"),
        class_="plot named" if name_ends else "plot",
        role="img",
        aria_label=description,
    )


def legend(series: Sequence[Series]) -> Markup:
    """The key to a plot: marker, line style and name."""
    items = [element("li", _key(one), one.name) for one in series]
    return element("ul", *items, class_="legend")


def _key(series: Series) -> Markup:
    if len(series.points) == 1:
        return key_dot(series.shape, series.colour)
    return key_mark(series.shape, series.colour, dashed=series.dashed)


def _ends(series: Sequence[Series], y: Scale, height: int) -> Markup:
    """The names of lines beside their last points, from top to bottom, none over another."""
    wanted = sorted(series, key=lambda one: y.fraction(one.points[-1].y))
    at = [height * y.fraction(one.points[-1].y) for one in wanted]
    for i in range(1, len(at)):
        at[i] = max(at[i], at[i - 1] + _LABEL_HEIGHT)
    below = max(0.0, at[-1] - (height - _LABEL_HEIGHT / 2))
    at = [place - below for place in at]
    names = [
        element(
            "svg",
            marker(one.shape, x="8", y=f"{place:.1f}"),
            element("text", one.name, x=18, y=f"{place:.1f}", dy="0.35em"),
            class_=f"series s-{one.colour}",
            overflow="visible",
        )
        for one, place in zip(wanted, at, strict=True)
    ]
    return element("svg", *names, class_="ends", height=height, aria_hidden="true")


def _grid_line(y: Scale, tick: float) -> Markup:
    return element("line", x1=0, x2="100%", y1=y.at(tick), y2=y.at(tick), class_="grid")


def _y_axis(y: Scale, height: int) -> Markup:
    labels = [
        element("text", y.label(t), x=44, y=y.at(t), dy="0.32em", text_anchor="end")
        for t in y.ticks
    ]
    return element("svg", *labels, class_="axis y", width=48, height=height, overflow="visible")


def _x_axis(x: Scale) -> Markup:
    labels = []
    for tick in x.ticks:
        part = x.fraction(tick)
        anchor = "start" if part < 0.02 else "end" if part > 0.98 else "middle"
        labels.append(element("text", x.label(tick), x=x.at(tick), y=15, text_anchor=anchor))
    return element("svg", *labels, class_="axis x", height=20, overflow="visible")


def _series(series: Series, x: Scale, y: Scale) -> Markup:
    parts: list[Markup] = []
    for a, b in zip(series.points, series.points[1:], strict=False):
        parts.append(
            element(
                "line",
                x1=x.at(a.x),
                y1=y.at(a.y),
                x2=x.at(b.x),
                y2=y.at(b.y),
                class_="join dashed" if series.dashed else "join",
            )
        )
    for point in series.points:
        at = x.at(point.x)
        if point.low is not None and point.high is not None:
            low, high = y.at(point.low), y.at(point.high)
            parts.append(element("line", x1=at, x2=at, y1=low, y2=high, class_="ci"))
        if series.marks and point.mark:
            parts.append(marker(series.shape, x=at, y=y.at(point.y), title=point.title))
    return element(
        "svg", *parts, x=series.shift, class_=f"series s-{series.colour}", overflow="visible"
    )


def confusion(
    counts: Sequence[Sequence[int]], classes: Sequence[str], *, description: str
) -> Markup:
    """A confusion matrix, each row (true class) normalised to 100 %.

    The shade is the share; up to 12 classes the share is also written. The count is in every
    cell's tooltip and replaces the share on paper.

    Args:
        counts: [K][K], rows = true class.
        classes: K names.
        description: text alternative.
    """
    size = 34 if len(classes) <= 12 else 14
    font = 11 if len(classes) <= 12 else 10
    gutter = 8 + round(font * 0.62 * min(max(map(len, classes), default=1), 16))
    parts: list[Markup] = []
    for row, (name, line) in enumerate(zip(classes, counts, strict=True)):
        total = sum(line)
        middle = gutter + (row + 0.5) * size
        short = name if len(name) <= 16 else name[:15] + "…"
        label = element("title", name)
        parts.append(
            element("text", short, label, x=gutter - 5, y=middle, dy="0.35em", text_anchor="end")
        )
        turn = f"translate({middle} {gutter - 5}) rotate(-90)"
        parts.append(element("text", short, label, transform=turn, dy="0.35em"))
        for column, value in enumerate(line):
            words = f"{name} taken for {classes[column]}: {value:,} of {total:,}"
            if column == row:
                words = f"{name} recognised: {value:,} of {total:,}"
            x, y = gutter + column * size, gutter + row * size
            parts.append(_cell(value, total, x=x, y=y, size=size, title=words, hit=column == row))
    side = gutter + len(classes) * size + 1
    return element(
        "svg",
        *parts,
        class_="confusion",
        viewBox=f"0 0 {side} {side}",
        style=f"max-width:{round(side * 1.25)}px;min-width:{min(side, 460)}px;font-size:{font}px",
        role="img",
        aria_label=description,
    )


def _cell(
    value: int, total: int, *, x: float, y: float, size: int, title: str, hit: bool
) -> Markup:
    share = value / total if total else 0.0
    parts = [
        element("title", title),
        element("rect", x=x, y=y, width=size - 1, height=size - 1, class_="cell-ground"),
        element(
            "rect",
            x=x,
            y=y,
            width=size - 1,
            height=size - 1,
            class_="cell-hit" if hit else "cell-miss",
            fill_opacity=f"{share**0.5:.2f}",
        ),
    ]
    if value:
        place = {"x": x + (size - 1) / 2, "y": y + (size - 1) / 2, "dy": "0.35em"}
        tone = "strong" if share > 0.3 else "weak"
        if size > 20:
            written = "<1" if 0 < share < 0.005 else f"{100 * share:.0f}"
            parts.append(element("text", written, **place, class_=f"cell {tone} screen-only"))
        small = round(min(size * 0.36, 1.7 * size / max(len(str(value)), 2)), 1)
        parts.append(
            element(
                "text",
                str(value),
                **place,
                class_=f"cell {tone} print-only",
                style=f"font-size:{small}px",
            )
        )
    return element("g", *parts)
