"""All generators side by side: what they are worth, how real they look, and what they cost."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from synthlift.reporting import plots, svg, text
from synthlift.reporting.reading import Reading
from synthlift.spec.facts import GeneratorResult, QualityFigure
from synthlift.spec.results import ArmResult, Contrast

_SHARES = ("told_apart", "cas", "gan_test", "precision", "recall", "coverage")
MEASURES = (
    "cas",
    "gan_test",
    "kid",
    "cmmd",
    "told_apart",
    "precision",
    "recall",
    "density",
    "coverage",
)
"""Columns of the table, in order; the glossary explains them by :data:`WORDS`."""
WORDS = {
    "cas": "CAS",
    "gan_test": "GAN-test",
    "kid": "KID",
    "cmmd": "CMMD",
    "told_apart": "told apart",
    "precision": "image precision",
    "recall": "image recall",
    "density": "density",
    "coverage": "coverage",
}


@dataclass(frozen=True)
class Row:
    """One generator; cells in the order of the heads."""

    name: str
    kind: str
    lift: Markup
    arm: str
    kept: str
    measures: Sequence[tuple[str, Markup | str]]
    copying: Markup
    fit: str
    speed: str
    energy: str
    sort: Mapping[str, float]
    """Of the cells that are written for people, what they are sorted by."""


@dataclass(frozen=True)
class Group:
    """Generators that were measured on as many images, and what real images reach there.

    Figures of different groups are not comparable: a generator that makes no images of a class is
    measured on the others.
    """

    rows: Sequence[Row]
    floors: Sequence[tuple[str, str]]
    words: str


@dataclass(frozen=True)
class View:
    """The table, and the chart of realism against efficiency.

    ``level`` says whether the chart has one line for what real images reach.
    """

    groups: Sequence[Group]
    heads: Sequence[tuple[str, str]]
    level: bool
    at_least: bool
    unknown_energy: bool
    chart: Markup
    legend: Markup


def view(reading: Reading) -> View | None:
    """None where no generator's images were measured."""
    results = [one for one in reading.results.generators if one.quality]
    if not results:
        return None
    shown = [name for name in MEASURES if any(_figure(one, name) for one in results)]
    alike: dict[tuple[int, int], list[GeneratorResult]] = {}
    for one in results:
        alike.setdefault((one.quality[0].images, one.quality[0].held_out), []).append(one)
    series, level = _series(reading, results), len(alike) == 1
    return View(
        groups=[_group(reading, members, shown) for members in alike.values()],
        heads=[(name, WORDS[name]) for name in shown],
        level=level,
        at_least=any(one.cost_at_least for one in results),
        unknown_energy=any(one.energy_kwh is None for one in results),
        chart=_chart(series, _floor(results, "cas") if level else None),
        legend=plots.legend(series),
    )


def _figure(result: GeneratorResult, name: str) -> QualityFigure | None:
    return next((one for one in result.quality if one.name == name), None)


def _written(name: str, value: float) -> str:
    return text.percent(value) if name in _SHARES else text.number(value, 2)


def _floor(results: Sequence[GeneratorResult], name: str) -> float | None:
    found = [figure.floor for one in results if (figure := _figure(one, name))]
    return sum(found) / len(found) if found else None


def _group(reading: Reading, members: Sequence[GeneratorResult], shown: Sequence[str]) -> Group:
    floors = [(name, _floor(members, name)) for name in shown]
    first = members[0].quality[0]
    return Group(
        rows=[_row(reading, one, shown) for one in members],
        floors=[
            (WORDS[name], text.MISSING if value is None else _written(name, value))
            for name, value in floors
        ],
        words=(
            f"{text.count(first.images)} training images in place of generated ones, against "
            f"{text.count(first.held_out)} held-out ones"
        ),
    )


def _row(reading: Reading, result: GeneratorResult, shown: Sequence[str]) -> Row:
    arm = _best_arm(reading, result.name)
    contrast = _contrast(reading, arm)
    measures = []
    for name in shown:
        figure = _figure(result, name)
        if figure is None:
            measures.append((WORDS[name], text.MISSING))
            continue
        title = f"{figure.value.method} (n = {figure.value.n})"
        value = Markup('<span title="{}"><b>{}</b></span>').format(
            title, _written(name, figure.value.value)
        )
        measures.append((WORDS[name], value))
    speed, energy = result.images_per_second, result.energy_kwh
    fit = text.MISSING if result.fit_seconds is None else text.duration(result.fit_seconds)
    spent = text.MISSING if energy is None else text.digits(1000 * energy, 3)
    return Row(
        name=result.name,
        kind=result.kind,
        lift=reading.numbers.difference(contrast),
        arm=arm.name.removeprefix(f"{result.name}:") if arm else "",
        kept="" if result.kept_share is None else f"{text.percent(result.kept_share)} kept",
        measures=measures,
        copying=reading.numbers.plain(result.copying_ratio),
        fit=text.at_least(fit, known=not result.cost_at_least),
        speed=text.rate(speed),
        energy=text.at_least(spent, known=not result.cost_at_least),
        sort={"fit": result.fit_seconds or 0.0, "speed": speed or 0.0, "energy": energy or 0.0},
    )


def _best_arm(reading: Reading, generator: str) -> ArmResult | None:
    """The generator's arm in the verdict, else the one that was best on validation."""
    arms = [a for a in reading.arms if a.generator == generator and a.role == "generative"]
    verdict = reading.results.verdict
    chosen = [arm for arm in arms if verdict is not None and arm.name == verdict.arm]
    known = [arm for arm in arms if reading.metric in arm.validation]
    return next(
        iter(chosen or sorted(known, key=lambda a: -a.validation[reading.metric].value)), None
    )


def _contrast(reading: Reading, arm: ArmResult | None) -> Contrast | None:
    """The arm's difference to the best rival."""
    verdict = reading.results.verdict
    if arm is None or verdict is None:
        return None
    found = [verdict.contrast, *reading.results.contrasts]
    return next(
        (
            one
            for one in found
            if (one.arm, one.reference, one.metric) == (arm.name, verdict.rival, verdict.metric)
        ),
        None,
    )


# ── realism against efficiency ────────────────────────────────────────────────────────────────


def _series(reading: Reading, results: Sequence[GeneratorResult]) -> list[plots.Series]:
    shapes = ("circle", "diamond", "square", "triangle")
    found = []
    for index, one in enumerate(results):
        figure = _figure(one, "cas")
        if figure is None or not one.energy_kwh:
            continue
        value, lift = figure.value, _lift(reading, one)
        spent = text.at_least(text.digits(1000 * one.energy_kwh, 3), known=not one.cost_at_least)
        words = f"{one.name}: {text.percent(value.value)}, {spent} Wh, {lift}"
        point = plots.Point(1000 * one.energy_kwh, value.value, value.low, value.high, words)
        shape = shapes[(index + index // 4) % 4]
        found.append(plots.Series(f"{one.name}, {lift}", (point,), "abcd"[index % 4], shape))
    return found


def _lift(reading: Reading, result: GeneratorResult) -> str:
    """What the best arm of a generator changes against the rival, in words."""
    contrast = _contrast(reading, _best_arm(reading, result.name))
    if contrast is None:
        return "lift not tested"
    told, metric = contrast.difference, contrast.metric
    value = text.metric_difference(metric, told.value)
    unit = "" if metric in text.NOT_SHARES else " points"
    around = f" ({text.metric_interval(metric, told)})" if told.low is not None else ""
    mark = f", {reading.numbers.mark}" if reading.numbers.mark else ""
    return f"lift {value}{unit}{around}{mark}"


def _chart(series: Sequence[plots.Series], floor: float | None) -> Markup:
    if not series:
        return Markup("")
    points = [point for one in series for point in one.points]
    x = [point.x for point in points]
    low, high = math.floor(math.log10(min(x))), math.ceil(math.log10(max(x)))
    high = max(high, low + 1)
    decades = tuple(10.0**power for power in range(low, high + 1))
    return plots.plot(
        series,
        x=svg.Scale(10.0**low, 10.0**high, decades, "{:g}".format, warp=math.log10),
        y=svg.scale_for(
            [v for p in points for v in (p.y, p.low, p.high)],
            include=() if floor is None else (floor,),
            label=lambda v: text.percent(v).replace(".0", ""),
            limits=(0.0, 1.0),
            flip=True,
        ),
        x_label="energy of all fits and samples, Wh (each line ten times the last)",
        y_label="CAS",
        description="Realism against efficiency: CAS against energy, a marker for each generator",
        height=220,
        level=floor,
    )
