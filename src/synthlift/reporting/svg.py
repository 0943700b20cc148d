"""Small SVG building blocks that stay sharp and readable at any width.

Charts carry no ``viewBox``: horizontal (and in plots vertical) positions are percentages and sizes
are pixels, so that a chart shrinks to a phone while its text and markers do not. Colours come from
CSS classes, so that light, dark and print share one drawing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from markupsafe import Markup, escape

Marker = str  # circle, diamond, triangle, square


def element(name: str, *children: str, **attributes: object) -> Markup:
    """One SVG element; text and attribute values are escaped, ``None`` attributes left out.

    ``class_`` becomes ``class`` and underscores become hyphens.
    """
    pairs = Markup("").join(
        Markup(' {}="{}"').format(Markup(key.rstrip("_").replace("_", "-")), value)
        for key, value in attributes.items()
        if value is not None
    )
    inner = Markup("").join(escape(child) for child in children)
    tag = Markup(name)
    return Markup("<{}{}>{}</{}>").format(tag, pairs, inner, tag)


def join(parts: Sequence[Markup]) -> Markup:
    """Concatenate drawings."""
    return Markup("").join(parts)


@dataclass(frozen=True)
class Scale:
    """Maps data onto percentages of the drawing.

    Attributes:
        low, high: data at 0 % and 100 %.
        ticks: where labels stand.
        label: writes a tick.
        warp: a monotone function applied before mapping (identity by default).
        flip: True for vertical axes, whose pixels grow downwards.
    """

    low: float
    high: float
    ticks: tuple[float, ...] = ()
    label: Callable[[float], str] = "{:g}".format
    warp: Callable[[float], float] = field(default=float)
    flip: bool = False

    def fraction(self, value: float) -> float:
        """Position in [0, 1], clamped."""
        low, high = self.warp(self.low), self.warp(self.high)
        part = (self.warp(value) - low) / ((high - low) or 1.0)
        part = min(max(part, 0.0), 1.0)
        return 1 - part if self.flip else part

    def at(self, value: float) -> str:
        """Position as an SVG percentage."""
        return f"{100 * self.fraction(value):.2f}%"


def nice_ticks(low: float, high: float, *, wanted: int = 5) -> tuple[float, ...]:
    """Round numbers inside [low, high], about ``wanted`` of them, at steps 1, 2 or 5 × 10^k."""
    span = max(high - low, 1e-12)
    power = 10.0 ** math.floor(math.log10(span / wanted))
    step = next(s * power for s in (1, 2, 5, 10) if span / (s * power) <= wanted)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return tuple(round(i * step, 12) for i in range(first, last + 1))


def scale_for(
    values: Sequence[float | None],
    *,
    label: Callable[[float], str],
    include: Sequence[float] = (),
    limits: tuple[float, float] = (-math.inf, math.inf),
    flip: bool = False,
    wanted: int = 5,
) -> Scale:
    """A scale with a little air around ``values`` and ``include``, kept inside ``limits``."""
    known = [v for v in [*values, *include] if v is not None and math.isfinite(v)] or [0.0, 1.0]
    low, high = min(known), max(known)
    air = 0.05 * ((high - low) or abs(high) or 1.0)
    low, high = max(low - air, limits[0]), min(high + air, limits[1])
    return Scale(low, high, nice_ticks(low, high, wanted=wanted), label, flip=flip)


_SHAPES: dict[str, tuple[str, dict[str, object]]] = {
    "circle": ("circle", {"r": 5}),
    "diamond": ("path", {"d": "M0-6.6 6.6 0 0 6.6-6.6 0Z"}),
    "triangle": ("path", {"d": "M0-6 5.8 4.8H-5.8Z"}),
    "square": ("path", {"d": "M-4.6-4.6H4.6V4.6H-4.6Z"}),
}


def marker(shape: Marker, *, x: str = "50%", y: str = "50%", title: str = "") -> Markup:
    """A marker of fixed size at a relative position; its colour comes from the parent's class."""
    name, attributes = _SHAPES[shape]
    inner = element(name, **attributes)
    parts = [element("title", title), inner] if title else [inner]
    return element("svg", *parts, class_="at", x=x, y=y, overflow="visible")


def key_dot(shape: Marker, series: str) -> Markup:
    """A marker alone, to stand beside a name."""
    return element(
        "svg",
        marker(shape, x="8", y="8"),
        class_=f"key s-{series}",
        width=16,
        height=16,
        aria_hidden="true",
    )


def key_mark(shape: Marker, series: str, *, dashed: bool = False) -> Markup:
    """The small drawing beside a legend entry."""
    line = element("line", x1=0, x2=28, y1=8, y2=8, class_="join dashed" if dashed else "join")
    return element(
        "svg",
        line,
        marker(shape, x="14", y="8"),
        class_=f"key s-{series}",
        width=28,
        height=16,
        aria_hidden="true",
    )


def strip(
    scale: Scale,
    *,
    series: str,
    shape: Marker,
    value: float,
    low: float | None = None,
    high: float | None = None,
    inner: tuple[float | None, float | None] = (None, None),
    reference: float | None = None,
    band: tuple[float, float] | None = None,
) -> Markup:
    """One row of a forest plot: grid, reference line, margin band, interval and marker.

    Args:
        scale: the shared horizontal scale.
        series: colour class.
        shape: marker.
        value: where the marker stands.
        low, high: the interval (thin line with caps).
        inner: a narrower interval (thick line), e.g. the one that proves equivalence.
        reference: a vertical line to compare with.
        band: a shaded range, e.g. the margin.
    """
    parts = backdrop(scale, reference=reference, band=band)
    if low is not None and high is not None:
        a, b = scale.at(low), scale.at(high)
        parts.append(element("line", x1=a, x2=b, y1="50%", y2="50%", class_="ci"))
        for end in (a, b):
            cap = element("line", x1=0, x2=0, y1=-4, y2=4, class_="ci")
            parts.append(element("svg", cap, x=end, y="50%", class_="at", overflow="visible"))
    if inner[0] is not None and inner[1] is not None:
        a, b = scale.at(inner[0]), scale.at(inner[1])
        parts.append(element("line", x1=a, x2=b, y1="50%", y2="50%", class_="ci thick"))
    parts.append(marker(shape, x=scale.at(value)))
    return _strip_svg(parts, series)


def empty_strip(
    scale: Scale, *, reference: float | None = None, band: tuple[float, float] | None = None
) -> Markup:
    """A forest row without a value: the grid goes on."""
    return _strip_svg(backdrop(scale, reference=reference, band=band), "none")


def _strip_svg(parts: Sequence[Markup], series: str) -> Markup:
    return element("svg", *parts, class_=f"strip s-{series}", aria_hidden="true")


def backdrop(
    scale: Scale, *, reference: float | None, band: tuple[float, float] | None
) -> list[Markup]:
    """Band, grid lines and reference line of a forest row, over its full height."""
    parts: list[Markup] = []
    if band is not None:
        left, right = scale.fraction(band[0]), scale.fraction(band[1])
        width = f"{100 * (right - left):.2f}%"
        parts.append(
            element("rect", x=scale.at(band[0]), width=width, height="100%", class_="band")
        )
    for tick in scale.ticks:
        x = scale.at(tick)
        parts.append(element("line", x1=x, x2=x, y1=0, y2="100%", class_="grid"))
    if reference is not None:
        x = scale.at(reference)
        parts.append(element("line", x1=x, x2=x, y1=0, y2="100%", class_="reference"))
    return parts


def axis_row(scale: Scale) -> Markup:
    """The tick labels of a forest plot as a strip of their own."""
    parts = []
    for tick in scale.ticks:
        x = scale.fraction(tick)
        anchor = "start" if x < 0.04 else "end" if x > 0.96 else "middle"
        parts.append(element("text", scale.label(tick), x=scale.at(tick), y=14, text_anchor=anchor))
    return element("svg", *parts, class_="axis", height=20, aria_hidden="true")


def bar(share: float, *, series: str) -> Markup:
    """A horizontal bar of ``share`` of the width, in [0, 1]; never invisible when above zero."""
    width = f"{100 * min(max(share, 0.0), 1.0):.2f}%"
    sizes = (2, width) if share > 0 else ()
    drawn = [element("rect", width=size, height="100%", class_="bar") for size in sizes]
    return element("svg", *drawn, class_=f"barline s-{series}", height=14, aria_hidden="true")
