"""Generators: how they learnt, whether they copy, whether they were stopped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile

from markupsafe import Markup

from synthlift.reporting import plots, svg, text
from synthlift.reporting.reading import Reading
from synthlift.spec.facts import GeneratorResult

_MOST_POINTS = 120
_ASKED = {"loss": "its loss", "likelihood": "its likelihood"}


@dataclass(frozen=True)
class View:
    """One generator."""

    result: GeneratorResult
    facts: Sequence[tuple[str, Markup | str]]
    warnings: Sequence[str]
    ratio_rows: Sequence[tuple[str, Markup, Markup]]
    ratio_axis: Markup
    membership: Sequence[tuple[str, Markup, Markup]]
    privacy: str
    curves: Sequence[tuple[str, Markup, Markup]]
    config: Sequence[tuple[str, str]]


def views(reading: Reading) -> list[View]:
    """All generators of the study."""
    return [_view(reading, result) for result in reading.results.generators]


def _view(reading: Reading, result: GeneratorResult) -> View:
    rows, axis = _ratios(reading, result)
    facts: list[tuple[str, Markup | str]] = [
        ("kind", result.kind),
        ("fits", "one pool for all" if result.one_pool else text.count(result.fits)),
    ]
    if result.parameters:
        facts.append(("parameters", text.count(result.parameters)))
    if result.images_per_second is not None:
        facts.append(("speed", f"{text.rate(result.images_per_second)} images per second"))
    if result.kept_share is not None:
        facts.append(("kept by filters", text.percent(result.kept_share)))
    facts += [*_pairs(result), *_adaptation(result)]
    facts.append(("copying gate", _gate(result)))
    if result.copies is not None:
        facts.append(("copies, by their features", _copies(result)))
    return View(
        result=result,
        facts=facts,
        warnings=_warnings(result),
        ratio_rows=rows,
        ratio_axis=axis,
        membership=[
            (
                _ASKED[one.attack],
                reading.numbers.plain(one.auc),
                reading.numbers.value("accuracy", one.caught),
            )
            for one in result.membership
        ],
        privacy=privacy(result),
        curves=_curves(result),
        config=[(key, text.plain_value(value)) for key, value in sorted(result.config.items())],
    )


def _pairs(result: GeneratorResult) -> list[tuple[str, Markup | str]]:
    """What is known of translation with pairs."""
    told = result.pairs
    if not told:
        return []
    found: list[tuple[str, Markup | str]] = [
        ("pairs learnt from", f"{told['training']:,.0f}"),
        ("pairs held out", f"{told['validation']:,.0f}"),
    ]
    for name, words, form in (
        ("ssim", "structural similarity to the partner", "{:.3f}"),
        ("psnr", "peak signal-to-noise ratio", "{:.1f} dB"),
    ):
        if name in told:
            value = form.format(told[name])
            before = told.get(f"{name}_untranslated")
            if before is not None:
                value += f" (untranslated {form.format(before)})"
            found.append((words, value))
    return found


def _adaptation(result: GeneratorResult) -> list[tuple[str, Markup | str]]:
    """How a pretrained pipeline was adapted to the training images."""
    told = result.adaptation
    if told is None:
        return []
    way = {"lora": "low-rank additions (LoRA)", "textual_inversion": "new words"}[told.kind]
    found: list[tuple[str, Markup | str]] = [
        ("adapted by", way + (f", {told.adapters} adapters" if told.adapters > 1 else "")),
        ("adapted to", f"{text.count(told.images)} training images"),
        ("steps used", f"{text.count(told.steps_kept)} of {text.count(told.steps_done)}"),
    ]
    if told.loss_before is not None and told.loss_after is not None:
        losses = f"{told.loss_before:.4g} before, {told.loss_after:.4g} after"
        mean = ", mean over classes" if told.adapters > 1 else ""
        found.append((f"loss on validation images{mean}", losses))
    if told.adapters > 1:
        found.append(("curves", "means over the classes, which have an adapter each"))
    found.append(("what was learnt, SHA-256", ", ".join(one[:12] for one in told.sha256)))
    return found


def _gate(result: GeneratorResult) -> str:
    if result.pastes:
        return "not applied: it changes a part of training images by design"
    return "stopped this generator" if result.gate_stopped else "passed"


def _copies(result: GeneratorResult) -> str:
    told = f"{text.percent(result.copies or 0.0)} of its samples before filtering"
    if result.held_out_copies is None:
        return told
    return f"{told}; {text.percent(result.held_out_copies)} of real images that were held out"


def _warnings(result: GeneratorResult) -> list[str]:
    told = list(result.warnings)
    if result.gate_stopped:
        told.append(
            "The copying gate stopped this generator: too many of its images are near-copies of "
            "training images."
        )
    if result.under_trained:
        told.append(
            "Under-trained: the time given ended before this generator stopped improving. A longer "
            "training may change the answer."
        )
    return told


def privacy(result: GeneratorResult) -> str:
    """What the strongest membership attack means, in one sentence; "" where there was none."""
    if not result.membership:
        return ""
    worst = max(result.membership, key=lambda one: one.auc.value)
    auc, images = worst.auc, text.count(worst.images)
    low, high = (text.percent(v) for v in (auc.low or 0.0, auc.high or 1.0))
    told = (
        f"of a training and an unseen image, {_ASKED[worst.attack]} tells which is which in "
        f"{text.percent(auc.value)} of the cases ({low} to {high}; 50 % is guessing; {images} "
        f"images of each kind in a fit), and {text.percent(worst.caught.value)} of the training "
        "images are told at 1 % false alarms (guessing: 1 %)"
    )
    if auc.low is not None and auc.low > 0.5:
        return (
            f"A sign that the generator gives away what it was trained on: {told}. Where it must "
            "stay private whose images it saw, do not pass it on."
        )
    return (
        f"No sign that the generator gives away what it was trained on: {told}. A stronger attack "
        "may still find more; this is no proof of privacy."
    )


def _ratios(
    reading: Reading, result: GeneratorResult
) -> tuple[list[tuple[str, Markup, Markup]], Markup]:
    """The copying ratio and its controls as a small forest chart around 1."""
    ratio, controls = result.copying_ratio, result.copying_controls
    if ratio is None:
        return [], Markup("")
    values = [ratio.value, ratio.low, ratio.high, *controls.values()]
    scale = svg.scale_for(values, include=(0.8, 1.2), label="{:g}".format)
    drawing = svg.strip(
        scale,
        series="generative",
        shape="diamond",
        value=ratio.value,
        low=ratio.low,
        high=ratio.high,
        reference=1.0,
    )
    rows = [("generated images", drawing, reading.numbers.plain(ratio))]
    for name, value in controls.items():
        control = svg.strip(scale, series="control", shape="triangle", value=value, reference=1.0)
        words = f"control: {name.replace('_', ' ')} held-out images"
        rows.append((words, control, Markup("<b>{}</b>").format(text.number(value, 2))))
    return rows, svg.axis_row(scale)


def _curves(result: GeneratorResult) -> list[tuple[str, Markup, Markup]]:
    """Everything that was noted against training step; each kind with its own axis."""
    names = list(dict.fromkeys(k for r in result.history for k in r if k != "step"))
    copying = [n for n in names if "copy" in n or "ratio" in n]
    loss = [n for n in names if "loss" in n and n not in copying]
    panels = [("Training loss", loss, None), ("Copying ratio while training", copying, 1.0)]
    rest = [n for n in names if n not in copying and n not in loss]
    panels += [(title, keys, None) for title, keys in _alike(rest).items()]
    found = []
    for title, keys, level in panels:
        series = [_line(result, key, index) for index, key in enumerate(keys)]
        series = [s for s in series if len(s.points) > 1]
        if series:
            found.append((title, _panel(series, title, level), plots.legend(series)))
    return found


def _alike(names: Sequence[str]) -> dict[str, list[str]]:
    """Curves whose names begin with the same word share a panel, titled by what they share."""
    found: dict[str, list[str]] = {}
    for name in names:
        found.setdefault(name.partition("_")[0], []).append(name)
    return {" ".join(_shared_words(keys)).capitalize(): keys for keys in found.values()}


def _shared_words(names: Sequence[str]) -> list[str]:
    columns = zip(*(name.split("_") for name in names), strict=False)
    return [words[0] for words in takewhile(lambda words: len(set(words)) == 1, columns)]


def _line(result: GeneratorResult, key: str, index: int) -> plots.Series:
    readings = [(r["step"], r[key]) for r in result.history if "step" in r and key in r]
    every = max(1, len(readings) // _MOST_POINTS)
    kept = [*readings[::every], *(readings[-1:] if (len(readings) - 1) % every else [])]
    found = tuple(plots.Point(x, y, title=f"step {x:,.0f}: {y:.3g}") for x, y in kept)
    shapes = ("circle", "diamond", "square", "triangle")
    return plots.Series(
        key.replace("_", " "),
        found,
        "abcd"[index % 4],
        shapes[index % 4],
        dashed=index % 2 == 1,
        marks=len(found) <= 25,
    )


def _panel(series: Sequence[plots.Series], title: str, level: float | None) -> Markup:
    everything = [p for s in series for p in s.points]
    last = max(p.x for p in everything)
    include = () if level is None else (level,)
    return plots.plot(
        series,
        x=svg.Scale(0, last, svg.nice_ticks(0, last, wanted=4), "{:,.0f}".format),
        y=svg.scale_for(
            [p.y for p in everything], include=include, label="{:g}".format, flip=True, wanted=4
        ),
        x_label="training step",
        y_label="",
        description=f"{title} against training step",
        height=180,
        level=level,
    )
