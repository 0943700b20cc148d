"""The answer as plain text, for a terminal."""

from __future__ import annotations

import textwrap

from synthlift.reporting import text
from synthlift.reporting.reading import Reading
from synthlift.spec.results import ArmResult, Results

WIDTH = 88


def summary_text(results: Results) -> str:
    """The verdict's sentence, its conditions and the table of arms.

    Intervals are 95 % intervals; differences are to the rival of the verdict, in points. An
    exploratory study says so beside every row.
    """
    reading = Reading(results)
    blocks = [*_heading(reading), _table(reading), _notes(reading)]
    return "\n\n".join(block for block in blocks if block) + "\n"


def _heading(reading: Reading) -> list[str]:
    verdict = reading.results.verdict
    if verdict is None:
        title = (
            "The test set has not been opened; validation figures only."
            if reading.state == "live"
            else "No verdict."
        )
        because = reading.results.verdict_missing_because
        return [title, _wrap(text.as_sentence(because))] if because else [title]
    blocks = []
    if verdict.exploratory:
        why = "; ".join(verdict.exploratory_reasons)
        blocks.append(_wrap(f"EXPLORATORY, no verdict: {why}"))
    return [*blocks, *(_wrap(t) for t in (verdict.sentence, verdict.detail, verdict.scope) if t)]


def _table(reading: Reading) -> str:
    """Arms by role: name, value with its interval, difference to the rival with its interval."""
    rival = reading.results.verdict.rival if reading.results.verdict else ""
    against = f"minus {reading.label(rival)}" if rival else ""
    mark = f"({reading.numbers.mark})" if reading.numbers.mark else ""
    metric = text.metric_words(reading.metric)
    rows = [("arm", f"{metric}, 95 % interval", against, "")]
    rows += [
        (f"  {reading.label(arm.name)}", *_cells(reading, arm, rival), mark) for arm in reading.arms
    ]
    if len(rows) == 1:
        return ""
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    told = [lines[0], "─" * max(map(len, lines))]
    for role, words in _ROLES.items():
        mine = [n for n, arm in enumerate(reading.arms) if arm.role == role]
        told += [words, *(lines[1 + n] for n in mine)] if mine else []
    return "\n".join(told)


_ROLES = {"rival": "rivals", "generative": "with synthetic images", "control": "controls"}


def _cells(reading: Reading, arm: ArmResult, rival: str) -> tuple[str, str]:
    estimate = reading.metrics_of(arm).get(reading.metric)
    value = text.MISSING
    if estimate is not None:
        written = text.metric_value(reading.metric, estimate.value)
        value = _with_interval(written, text.metric_interval(reading.metric, estimate))
    if not rival:
        return value, ""
    if arm.name == rival:
        return value, "reference"
    contrast = reading.contrast(arm.name, rival)
    if contrast is None:
        return value, text.MISSING
    difference = text.metric_difference(contrast.metric, contrast.difference.value)
    around = text.metric_interval(contrast.metric, contrast.difference)
    return value, _with_interval(difference.rjust(5), around)


def _with_interval(value: str, interval: str) -> str:
    return f"{value} ({interval})" if interval else value


def _notes(reading: Reading) -> str:
    verdict = reading.results.verdict
    told = [*(verdict.warnings if verdict else []), *reading.results.notes]
    return "\n".join(_wrap(note, first="• ") for note in told)


def _wrap(words: str, *, first: str = "") -> str:
    printable = "".join(c if c.isprintable() else " " for c in words)  # no terminal codes in names
    return textwrap.fill(
        printable,
        WIDTH,
        initial_indent=first,
        subsequent_indent=" " * len(first),
        break_long_words=False,
    )
