"""Rows that set the generative arm against the rival: of a class, or of a subgroup."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from synthlift.reporting import svg, text
from synthlift.reporting.reading import Reading
from synthlift.spec.facts import Estimate
from synthlift.spec.results import ClassVerdict, SubgroupVerdict

Verdict = ClassVerdict | SubgroupVerdict


@dataclass(frozen=True)
class Compared:
    """What the two arms do on some test images; too small parts have no difference."""

    name: str
    word: str
    small: bool
    strip: Markup
    difference: Markup
    difference_sort: float
    rival: Markup
    generative: Markup
    levels_sort: tuple[float, float]
    p: str
    images: str
    groups: str


def scale_of(found: Sequence[Verdict]) -> svg.Scale:
    """One scale for all differences, 0 in it."""
    intervals = [one.contrast.difference for one in found if one.contrast is not None]
    values = [v for e in intervals for v in (e.value, e.low, e.high)]
    return svg.scale_for(values, include=(-0.02, 0.02), label=text.points, limits=(-1, 1))


def compare(
    reading: Reading, item: Verdict, scale: svg.Scale, *, name: str, metric: str
) -> Compared:
    """The row of a class or a subgroup.

    Args:
        reading: the results.
        item: what was found.
        scale: of all rows.
        name: as the row is called.
        metric: in which both arms are measured.
    """
    contrast, small = item.contrast, item.contrast is None
    return Compared(
        name=name,
        word=text.VERDICT_WORDS[item.word],
        small=small,
        strip=_strip(item, scale),
        difference=reading.numbers.difference(contrast),
        difference_sort=contrast.difference.value if contrast else -math.inf,
        rival=_level(reading, item.rival, metric, small=small),
        generative=_level(reading, item.generative, metric, small=small),
        levels_sort=(_sorted_by(item.rival), _sorted_by(item.generative)),
        p=text.p_value(contrast.p_holm if contrast else None),
        images=text.count(item.test_images),
        groups=text.count(item.test_groups),
    )


def _strip(item: Verdict, scale: svg.Scale) -> Markup:
    if item.contrast is None:
        return svg.empty_strip(scale, reference=0.0)
    estimate = item.contrast.difference
    return svg.strip(
        scale,
        series="generative",
        shape="diamond",
        value=estimate.value,
        low=estimate.low,
        high=estimate.high,
        reference=0.0,
    )


def _sorted_by(estimate: Estimate) -> float:
    return estimate.value if estimate.n else -math.inf


def _level(reading: Reading, estimate: Estimate, metric: str, *, small: bool) -> Markup:
    """A value with its interval; of a part too small to judge, counts; a dash without images."""
    if not estimate.n:
        return Markup(text.MISSING)
    if not small:
        return reading.numbers.value(metric, estimate)
    right = text.count(estimate.value * estimate.n)
    return Markup(
        '<span class="est"><b>{} of {}</b> <span class="interval">{} %</span>{}</span>'
    ).format(
        right, text.count(estimate.n), text.metric_interval(metric, estimate), reading.numbers.tag
    )
