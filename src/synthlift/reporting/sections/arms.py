"""Arms: the forest chart with its numbers, and the further metrics."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from synthlift.reporting import svg, text
from synthlift.reporting.reading import ROLE_ORDER, SHAPES, Reading
from synthlift.spec.results import ArmResult


@dataclass(frozen=True)
class Row:
    """One arm; ``filed`` is its name in files and commands where people read another."""

    name: str
    filed: str
    role: str
    key: Markup
    recipe: str
    note: str
    real: str
    synthetic: str
    replicates: int
    n: str
    strip: Markup
    value: Markup
    sort: float
    difference: Markup
    difference_sort: float
    p: str


@dataclass(frozen=True)
class Forest:
    """The chart of arms."""

    metric: str
    rival: str
    rows: Sequence[Row]
    axis: Markup
    roles: Sequence[tuple[str, Markup]]
    others: Sequence[tuple[str, Markup, str]]


def forest(reading: Reading) -> Forest | None:
    """All arms on the primary metric; None while none has a figure."""
    metric, verdict = reading.metric, reading.results.verdict
    estimates = [reading.metrics_of(arm).get(metric) for arm in reading.arms]
    known = [e for e in estimates if e is not None]
    if not known:
        return None
    limits = (-math.inf, math.inf) if metric in text.NOT_SHARES else (0.0, 1.0)
    scale = svg.scale_for(
        [v for e in known for v in (e.value, e.low, e.high)],
        label=lambda v: text.metric_value(metric, v).replace(".0", ""),
        limits=limits,
    )
    rival = reading.arm(verdict.rival) if verdict else None
    base = reading.metrics_of(rival).get(metric) if rival else None
    level = base.value if base else None
    roles = [r for r in ROLE_ORDER if any(arm.role == r for arm in reading.arms)]
    return Forest(
        metric=text.metric_words(metric),
        rival=reading.label(verdict.rival) if verdict else "",
        rows=[_row(reading, arm, scale, level) for arm in reading.arms],
        axis=svg.axis_row(scale),
        roles=[(role, _key(role)) for role in roles],
        others=_against_other_rivals(reading),
    )


def _against_other_rivals(reading: Reading) -> list[tuple[str, Markup, str]]:
    """The primary arm's difference to every other rival, with Holm's p-value."""
    return [
        (reading.label(found.reference), reading.numbers.difference(found), _p(found.p_holm))
        for found in reading.results.contrasts
        if found.family == "generative_against_other_rivals" and found.metric == reading.metric
    ]


def _key(role: str) -> Markup:
    return svg.key_dot(SHAPES[role], role)


def _row(reading: Reading, arm: ArmResult, scale: svg.Scale, level: float | None) -> Row:
    estimate = reading.metrics_of(arm).get(reading.metric)
    verdict = reading.results.verdict
    contrast = reading.contrast(arm.name, verdict.rival) if verdict else None
    strip = svg.empty_strip(scale, reference=level)
    if estimate is not None:
        strip = svg.strip(
            scale,
            series=arm.role,
            shape=SHAPES[arm.role],
            value=estimate.value,
            low=estimate.low,
            high=estimate.high,
            reference=level,
        )
    note = ""
    if verdict and arm.name in (verdict.arm, verdict.rival):
        note = "primary arm" if arm.name == verdict.arm else "its rival"
    return Row(
        name=reading.label(arm.name),
        filed="" if reading.label(arm.name) == arm.name else arm.name,
        role=arm.role,
        key=_key(arm.role),
        recipe=text.recipe_words(arm.recipe),
        note=note,
        real=text.count(sum(arm.real.values())),
        synthetic=text.count(sum(arm.synthetic.values())),
        replicates=arm.replicates,
        n=text.count(estimate.n) if estimate and estimate.n else text.MISSING,
        strip=strip,
        value=reading.numbers.value(reading.metric, estimate),
        sort=estimate.value if estimate else -math.inf,
        difference=reading.numbers.difference(contrast),
        difference_sort=contrast.difference.value if contrast else -math.inf,
        p=_p(contrast.p_holm if contrast else None),
    )


def _p(value: float | None) -> str:
    return text.p_value(value)


@dataclass(frozen=True)
class Metrics:
    """Every further metric of every arm."""

    names: Sequence[str]
    rows: Sequence[tuple[str, Markup, Sequence[tuple[Markup, float]]]]


def metrics(reading: Reading) -> Metrics | None:
    """None when arms have no metric besides the primary one."""
    names = list(dict.fromkeys(n for a in reading.arms for n in reading.metrics_of(a)))
    others = [name for name in names if name != reading.metric]
    if not others:
        return None
    rows = []
    for arm in reading.arms:
        found = reading.metrics_of(arm)
        cells = [
            (reading.numbers.value(n, found.get(n)), found[n].value if n in found else -math.inf)
            for n in others
        ]
        rows.append((reading.label(arm.name), _key(arm.role), cells))
    return Metrics([_direction(name) for name in others], rows)


def _direction(name: str) -> str:
    better = " (lower is better)" if name in text.LOWER_IS_BETTER else ""
    return text.metric_words(name) + better
