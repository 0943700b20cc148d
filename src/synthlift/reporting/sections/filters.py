"""What each filter changes: a small table for every arm with a filter ablation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from synthlift.reporting import svg, text
from synthlift.reporting.reading import Reading
from synthlift.spec.results import Contrast, FilterEffect


@dataclass(frozen=True)
class Row:
    """One set of filters: what it keeps, and what an arm that uses it gains."""

    name: str
    arm: str
    kept: str
    strip: Markup
    lift: Markup
    change: Markup
    p: str


@dataclass(frozen=True)
class Table:
    """One arm: all filters first, then each left out."""

    arm: str
    rival: str
    rows: Sequence[Row]
    axis: Markup


def tables(reading: Reading) -> list[Table]:
    """One table an arm; none before the verdict."""
    verdict = reading.results.verdict
    if verdict is None:
        return []
    found: dict[str, list[FilterEffect]] = {}
    for effect in reading.results.filters:
        found.setdefault(effect.reference, []).append(effect)
    return [_table(reading, arm, verdict.rival, effects) for arm, effects in found.items()]


def _table(reading: Reading, arm: str, rival: str, effects: Sequence[FilterEffect]) -> Table:
    lifts = {name: reading.contrast(name, rival) for name in (arm, *(e.arm for e in effects))}
    known = [lift.difference for lift in lifts.values() if lift is not None]
    scale = svg.scale_for(
        [value for one in known for value in (one.value, one.low, one.high)],
        include=(-0.02, 0.02),
        label=text.points,
        limits=(-1, 1),
    )
    rows = [_row(reading, "all filters", arm, effects[0].reference_kept, lifts[arm], scale, None)]
    for effect in effects:
        words = f"without {effect.left_out}" if effect.left_out else "no filter"
        change = reading.contrast(effect.arm, arm)
        lift = lifts[effect.arm]
        rows.append(_row(reading, words, effect.arm, effect.kept, lift, scale, change))
    return Table(
        arm=reading.label(arm), rival=reading.label(rival), rows=rows, axis=svg.axis_row(scale)
    )


def _row(
    reading: Reading,
    name: str,
    arm: str,
    kept: float,
    lift: Contrast | None,
    scale: svg.Scale,
    change: Contrast | None,
) -> Row:
    strip = svg.empty_strip(scale, reference=0.0)
    if lift is not None:
        strip = svg.strip(
            scale,
            series="generative",
            shape="diamond",
            value=lift.difference.value,
            low=lift.difference.low,
            high=lift.difference.high,
            reference=0.0,
        )
    return Row(
        name=name,
        arm=reading.label(arm),
        kept=text.percent(kept),
        strip=strip,
        lift=reading.numbers.difference(lift),
        change=reading.numbers.difference(change),
        p=text.p_value(change.p_holm if change else None),
    )
