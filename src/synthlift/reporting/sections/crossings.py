"""The 3 × 3 table, the 2 × 2 interaction, and calibration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from synthlift.reporting import plots, svg, text
from synthlift.reporting.reading import SHAPES, Reading
from synthlift.spec.facts import Estimate
from synthlift.spec.results import ArmResult, Cell, CurvePoint

KINDS = ("real", "synthetic", "mixed")


@dataclass(frozen=True)
class Crossing:
    """Trained on a row, tested on a column; each cell has its numbers and a shade in [0, 1]."""

    columns: Sequence[str]
    rows: Sequence[tuple[str, str, Sequence[tuple[Markup, str]]]]


def three_by_three(reading: Reading) -> Crossing | None:
    """Train on real / synthetic / mixed, test on the same."""
    cells: dict[tuple[str, str], Cell] = {(c.train, c.test): c for c in reading.results.table_3x3}
    if not cells:
        return None
    rows = []
    for train in KINDS:
        line, arms = [], []
        for test in KINDS:
            cell = cells.get((train, test))
            line.append(_shaded(reading, cell.estimate if cell else None))
            arms += [reading.label(cell.arm)] if cell else []
        if arms:
            rows.append((train, ", ".join(dict.fromkeys(arms)), line))
    return Crossing(KINDS, rows)


def _shaded(reading: Reading, estimate: Estimate | None) -> tuple[Markup, str]:
    share = min(max(estimate.value, 0.0), 1.0) if estimate else 0.0
    return reading.numbers.value(reading.metric, estimate), f"{share:.2f}"


@dataclass(frozen=True)
class Interaction:
    """The 2 × 2 (recipe × synthetic images) and the difference of differences."""

    table: Crossing | None
    difference: Markup
    multiple: str


def interaction(reading: Reading) -> Interaction | None:
    """Whether synthetic images add more to the plain recipe than to the best rival's."""
    contrast, verdict = reading.results.interaction, reading.results.verdict
    if contrast is None:
        return None
    points = reading.results.curve
    primary = next((p for p in points if verdict and p.arm == verdict.arm), None)
    table = _two_by_two(reading, points, primary) if primary else None
    return Interaction(
        table,
        reading.numbers.difference(contrast),
        text.multiple(primary.multiple) if primary else "",
    )


def _two_by_two(
    reading: Reading, points: Sequence[CurvePoint], primary: CurvePoint
) -> Crossing | None:
    """Both arms with synthetic images are those of the primary arm's own generator."""

    def generator(point: CurvePoint) -> str:
        arm = reading.arm(point.arm)
        return arm.generator if arm else ""

    rows = []
    for base, words in (("plain", "plain recipe"), ("best_rival", "best rival's recipe")):
        without = next((p for p in points if p.base == base and p.multiple == 0), None)
        same = (base, primary.target, primary.multiple)
        alike = [p for p in points if (p.base, p.target, p.multiple) == same]
        own = [p for p in alike if generator(p) == generator(primary)]
        # An arm that differs by its filters or its tuning alone has another name, too.
        named = primary.arm.removesuffix("+rival") + ("" if base == "plain" else "+rival")
        with_ = next((p for p in own if p.arm == named), None)
        if without is None or with_ is None:
            return None
        cells = [_shaded(reading, p.estimate) for p in (without, with_)]
        arms = f"{reading.label(without.arm)}, {reading.label(with_.arm)}"
        rows.append((words, arms, cells))
    return Crossing(("without synthetic images", "with synthetic images"), rows)


@dataclass(frozen=True)
class Calibration:
    """The reliability diagram and its bins."""

    plot: Markup
    legend: Markup
    rows: Sequence[tuple[str, str, str, str, str]]
    errors: Sequence[tuple[str, Markup]]


def calibration(reading: Reading) -> Calibration | None:
    """Confidence against accuracy, for the two arms of the verdict (else the first two)."""
    verdict = reading.results.verdict
    wanted = [verdict.rival, verdict.arm] if verdict else [a.name for a in reading.arms]
    arms = [a for name in wanted if (a := reading.arm(name)) and a.reliability][:2]
    if not arms or reading.state == "live":
        return None
    series = [_reliability(arm, reading.label(arm.name), n) for n, arm in enumerate(arms)]
    scale = svg.Scale(0, 1, (0, 0.25, 0.5, 0.75, 1), lambda v: f"{100 * v:.0f} %")
    rows = [
        (
            reading.label(arm.name),
            text.percent(bin_["confidence"]),
            text.percent(bin_["accuracy"]),
            text.count(bin_["count"]),
            text.points(bin_["accuracy"] - bin_["confidence"]),
        )
        for arm in arms
        for bin_ in arm.reliability
        if bin_["count"] > 0
    ]
    plot = plots.plot(
        series,
        x=scale,
        y=svg.Scale(0, 1, scale.ticks, scale.label, flip=True),
        x_label="stated confidence",
        y_label="share that was right",
        description="Reliability diagram: stated confidence against the share that was right",
        height=280,
        diagonal=True,
    )
    return Calibration(plot, plots.legend(series), rows, _errors(reading, arms))


def _reliability(arm: ArmResult, name: str, index: int) -> plots.Series:
    found = [b for b in arm.reliability if b["count"] > 0]
    marks = tuple(
        plots.Point(
            b["confidence"],
            b["accuracy"],
            title=f"{text.percent(b['accuracy'])} of {text.count(b['count'])} were right",
        )
        for b in sorted(found, key=lambda b: b["confidence"])
    )
    return plots.Series(
        name, marks, arm.role, SHAPES[arm.role], dashed=index == 0, shift=3 * index - 1
    )


def _errors(reading: Reading, arms: Sequence[ArmResult]) -> list[tuple[str, Markup]]:
    names = ("ece", "expected_calibration_error")
    return [
        (reading.label(arm.name), reading.numbers.value(name, arm.metrics[name]))
        for arm in arms
        for name in names
        if name in arm.metrics
    ]
