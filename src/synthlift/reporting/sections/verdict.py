"""The answer on top of the report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from synthlift.reporting import svg, text
from synthlift.reporting.reading import Reading
from synthlift.spec.results import Verdict


@dataclass(frozen=True)
class Fact:
    """A named figure beneath the verdict; ``term`` is explained in the glossary."""

    term: str
    words: str
    value: Markup | str


@dataclass(frozen=True)
class View:
    """The verdict, its drawing and its facts."""

    word: str
    verdict: Verdict
    drawing: Markup
    axis: Markup
    axis_label: str
    facts: Sequence[Fact]


def view(reading: Reading) -> View | None:
    """None while there is no verdict."""
    verdict = reading.results.verdict
    if verdict is None:
        return None
    contrast, margin = verdict.contrast, verdict.margin
    estimate = contrast.difference
    inner = (contrast.equivalence_low, contrast.equivalence_high)
    scale = svg.scale_for(
        [estimate.value, estimate.low, estimate.high, *inner],
        include=(-1.4 * margin, 1.4 * margin),
        label=lambda value: text.metric_difference(verdict.metric, value),
    )
    drawing = svg.strip(
        scale,
        series="verdict",
        shape="diamond",
        value=estimate.value,
        low=estimate.low,
        high=estimate.high,
        inner=inner,
        reference=0.0,
        band=(-margin, margin),
    )
    unit = "" if verdict.metric in text.NOT_SHARES else ", percentage points"
    return View(
        word=text.VERDICT_WORDS[verdict.word],
        verdict=verdict,
        drawing=drawing,
        axis=svg.axis_row(scale),
        axis_label=f"{text.metric_words(verdict.metric)}: {reading.label(verdict.arm)} minus "
        f"{reading.label(verdict.rival)}{unit}",
        facts=_facts(reading, verdict),
    )


def _facts(reading: Reading, verdict: Verdict) -> list[Fact]:
    contrast, study = verdict.contrast, reading.results.study
    unit = "" if verdict.metric in text.NOT_SHARES else f"{text.SPACE}points"
    metric = verdict.metric
    plain_margin = text.metric_difference(metric, verdict.margin).lstrip("+")
    facts = [
        Fact("", "difference", reading.numbers.difference(contrast)),
        Fact("margin", "margin", f"±{text.SPACE}{plain_margin}{unit}"),
    ]
    smallest = contrast.minimal_detectable_effect
    if smallest is not None:
        written = text.metric_difference(metric, smallest).lstrip("+")
        effect = Markup("{}{}{}").format(written, unit, reading.numbers.tag)
        facts.append(Fact("minimal detectable effect", "", effect))
    facts.append(Fact("replicate", "paired replicates", text.count(study.replicates)))
    return [*facts, _fits(reading)]


def _fits(reading: Reading) -> Fact:
    """How many training sets there were, or fits; of several generators, how many of each."""
    study, generators = reading.results.study, reading.results.generators
    each = max((one.fits for one in generators), default=study.generator_fits)
    if study.design == "redrawn":
        drawn = each if study.draws is None else study.draws
        return Fact("draw", "training sets drawn", text.count(drawn))
    several = f" ({each} of each generator)" if each < study.generator_fits else ""
    return Fact("generator fit", "generator fits", text.count(study.generator_fits) + several)
