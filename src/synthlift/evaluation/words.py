"""The verdict in plain words."""

from __future__ import annotations

from collections.abc import Sequence

from synthlift.evaluation.intervals import Interval
from synthlift.spec.results import EQUIVALENCE_LEVEL, VerdictWord

_LEVEL = f"{100 * EQUIVALENCE_LEVEL:g} %"
WITH = "with synthetic images in training"
FRAMES = {
    "balanced_accuracy": "of 100 images, spread evenly over the classes,",
    "macro_recall": "of 100 images, spread evenly over the classes,",
    "accuracy": "of 100 images like those tested",
    "weighted_recall": "of 100 images like those tested",
}
NAMES = {
    "balanced_accuracy": "balanced accuracy",
    "accuracy": "accuracy",
    "macro_f1": "macro F1",
    "macro_precision": "macro precision",
    "macro_recall": "macro recall",
    "weighted_f1": "weighted F1",
    "auroc": "AUROC",
    "average_precision": "average precision",
    "recall": "recall",
}


def sentence(word: VerdictWord, interval: Interval, *, metric: str, margin: float) -> str:
    """Page one's sentence, such as "With synthetic images in training, 3 more of 100 images …".

    Bounds are those of the 95 % interval, for *equivalent* of the interval that proves it.
    """
    frame = FRAMES.get(metric)
    if word in ("equivalent", "no_detectable_effect"):
        return _without_effect(word, interval, metric=metric, margin=margin)
    low, high = (100 * bound for bound in interval.bounds())
    up = interval.value > 0
    ends = (low, high) if up else (-high, -low)
    value, first, last = decimals((abs(100 * interval.value), *ends))
    if frame:
        said = f"{WITH}, {value} {'more' if up else 'fewer'} {frame} are right ({first} to {last})"
    else:
        verb = "rises" if up else "falls"
        said = f"{WITH}, {NAMES[metric]} {verb} by {value} points ({first} to {last})"
    if word.endswith("less_than_margin"):
        said += f" – less than the {100 * margin:g} that would matter"
    return _start(said) + "."


def detail(interval: Interval, *, arm: str, rival: str, metric: str, margin: float) -> str:
    """The same with everything a statistician asks for."""
    low, high = interval.bounds(0.95)
    inner_low, inner_high = interval.bounds(EQUIVALENCE_LEVEL)
    effect = interval.minimal_detectable_effect
    return (
        f"{_start(NAMES[metric])} of '{arm}' minus '{rival}': {points(interval.value)} points "
        f"(95 % interval {points(low)} to {points(high)}, {_LEVEL} interval "
        f"{points(inner_low)} to {points(inner_high)}, p = {interval.p_value:.2g}). Margin: "
        f"{100 * margin:g}. Minimal detectable effect: {100 * effect:.1f}. Method: "
        f"{interval.method}, {interval.degrees_of_freedom:.1f} degrees of freedom."
    )


def points(share: float) -> str:
    """A signed difference in points: 0.0312 → ``+3.1``."""
    return f"{100 * share:+.1f}"


def decimals(values: Sequence[float]) -> list[str]:
    """Format with as few decimals (0 to 2) as keep values apart and none of them at zero."""
    for places in (0, 1):
        rounded = [round(value, places) for value in values]
        if 0 not in rounded and len(set(rounded)) == len(set(values)):
            return [f"{value:.{places}f}" for value in values]
    return [f"{value:.2f}" for value in values]


def _without_effect(word: VerdictWord, interval: Interval, *, metric: str, margin: float) -> str:
    equivalent = word == "equivalent"
    low, high = interval.bounds(EQUIVALENCE_LEVEL if equivalent else 0.95)
    frame = FRAMES.get(metric)
    counted = bool(frame)
    texts = decimals((100 * low, 100 * high))
    first, last = (
        _side(text, bound, counted=counted) for text, bound in zip(texts, (low, high), strict=True)
    )
    if frame:
        range_said = f"{WITH}, between {first} and {last} {frame} are right"
    else:
        range_said = f"{WITH}, {NAMES[metric]} changes by between {first} and {last} points"
    if equivalent:
        return (
            f"No difference that matters: {range_said} ({_LEVEL} interval), "
            f"inside the margin of {100 * margin:g}."
        )
    (effect,) = decimals((100 * interval.minimal_detectable_effect,))
    unit = "" if frame else " points"
    return (
        f"No effect was detected: {range_said}. "
        f"An effect of {effect}{unit} would have been found in four of five such studies."
    )


def _side(text: str, bound: float, *, counted: bool) -> str:
    if not counted:
        return text if bound < 0 else f"+{text}"
    return f"{text.lstrip('-')} {'more' if bound > 0 else 'fewer'}"


def _start(text: str) -> str:
    return text[:1].upper() + text[1:]
