"""Numbers as words: one way of writing a share, a difference, an interval, a time.

Shares and differences lie in [-1, 1] and are written in per cent and in percentage points with one
decimal, with a real minus sign; a value that rounds to zero carries no sign.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

from synthlift.spec.facts import Estimate

MINUS = "−"
SPACE = "\u00a0"  # no line break between a number and its unit
MISSING = "–"

METRIC_WORDS = {
    "auroc": "AUROC",
    "ece": "calibration error (ECE)",
    "expected_calibration_error": "calibration error (ECE)",
    "nll": "negative log-likelihood",
    "brier": "Brier score",
    "macro_f1": "macro F1",
    "weighted_f1": "weighted F1",
    "f1": "F1",
    "ppv": "PPV",
    "npv": "NPV",
}
NOT_SHARES = frozenset({"nll", "brier", "log_loss", "negative_log_likelihood"})
LOWER_IS_BETTER = NOT_SHARES | {"ece", "expected_calibration_error", "gap"}

VERDICT_WORDS = {
    "helps": "Helps",
    "helps_less_than_margin": "Helps, but less than the margin",
    "equivalent": "Equivalent",
    "no_detectable_effect": "No detectable effect",
    "harms_less_than_margin": "Harms, but less than the margin",
    "harms": "Harms",
    "too_small": "Too small to judge",
}


def metric_words(name: str) -> str:
    """A metric's name for people: ``balanced_accuracy`` → "balanced accuracy"."""
    return METRIC_WORDS.get(name, name.replace("_", " "))


def number(value: float, decimals: int = 1, *, signed: bool = False) -> str:
    """A decimal number with thousands separators and a real minus sign; never "−0.0"."""
    rounded = round(value, decimals) + 0.0
    sign = MINUS if rounded < 0 else "+" if signed and rounded > 0 else ""
    return f"{sign}{abs(rounded):,.{decimals}f}"


def percent(value: float) -> str:
    """A share in [0, 1] as "71.4 %"."""
    return f"{number(100 * value)}{SPACE}%"


def points(value: float) -> str:
    """A difference of shares as signed percentage points: "+3.1", "−0.4", "0.0"."""
    return number(100 * value, signed=True)


def interval(
    low: float | None, high: float | None, *, scale: float = 100, decimals: int = 1
) -> str:
    """ "1.2 to 4.5"; empty when there is no interval."""
    if low is None or high is None:
        return ""
    return f"{number(scale * low, decimals)} to {number(scale * high, decimals)}"


def metric_value(metric: str, value: float) -> str:
    """A metric's value in its own unit: per cent, or three decimals where it is no share."""
    return number(value, 3) if metric in NOT_SHARES else percent(value)


def metric_interval(metric: str, estimate: Estimate) -> str:
    """A metric's interval in its own unit, without the unit."""
    if metric in NOT_SHARES:
        return interval(estimate.low, estimate.high, scale=1, decimals=3)
    return interval(estimate.low, estimate.high)


def metric_difference(metric: str, value: float) -> str:
    """A signed difference in the metric's own unit."""
    return number(value, 3, signed=True) if metric in NOT_SHARES else points(value)


def count(value: float) -> str:
    """A count; a mean count keeps one decimal only where it is not whole."""
    return number(value, 0 if abs(value - round(value)) < 0.05 else 1)


def rate(value: float | None) -> str:
    """Images a second: two digits below 10, none after the point above, never an exponent."""
    return MISSING if value is None else digits(value, 2)


def digits(value: float, significant: int) -> str:
    """A positive number with so many significant digits, never an exponent."""
    if value <= 0:
        return "0"
    rounded = float(f"{value:.{significant - 1}e}")
    decimals = significant - 1 - math.floor(math.log10(rounded))
    return number(rounded if decimals > 0 else value, max(0, decimals))


def multiple(value: float) -> str:
    """A multiple of METHOD §1: "0.5 ×"."""
    return f"{value:g}{SPACE}×"


def as_sentence(words: str) -> str:
    """The words with a capital first letter and a full stop."""
    words = words.strip()
    return words[:1].upper() + words[1:] + ("" if words.endswith((".", "!", "?")) else ".")


def typeset(words: str) -> str:
    """Words that were written for a terminal: real minus signs, and no break before a unit."""
    words = re.sub(r"(?<![\w.@'-])-(?=\d)", MINUS, words)
    words = re.sub(r"(?<=\d) (?=[%×]|points?\b|pixels?\b)", SPACE, words)
    return re.sub(r"× (?=\d)", f"×{SPACE}", words)


def moment(created: str) -> str:
    """A time as it is recorded, "2026-11-29T11:40:44Z", for people; others as they are."""
    return re.sub(r"^(\d{4}-\d{2}-\d{2})T(\d{2}:\d{2}):\d{2}Z$", r"\1, \2 UTC", created)


def plural(value: float, one: str, many: str = "") -> str:
    """ "1 image", "2 images"."""
    return f"{count(value)}{SPACE}{one if value == 1 else many or one + 's'}"


def p_value(value: float | None) -> str:
    """Two decimals, three below 0.01, "< 0.001" at the end."""
    if value is None:
        return MISSING
    if value < 0.001:
        return f"<{SPACE}0.001"
    return f"{value:.3f}" if value < 0.01 else f"{value:.2f}"


def duration(seconds: float) -> str:
    """ "< 0.1 s", "0.4 s", "42 s", "2 min 34 s", "12 min", "3 h 20 min"."""
    if 0 < seconds < 0.05:
        return f"<{SPACE}0.1{SPACE}s"
    if seconds < 9.95:
        return f"{seconds:.1f}{SPACE}s"
    if seconds < 99.5:
        return f"{seconds:.0f}{SPACE}s"
    if seconds < 599.5:
        minutes, rest = divmod(round(seconds), 60)
        return f"{minutes}{SPACE}min" + (f" {rest}{SPACE}s" if rest else "")
    minutes = round(seconds / 60)
    if minutes < 100:
        return f"{minutes}{SPACE}min"
    return f"{minutes // 60}{SPACE}h {minutes % 60}{SPACE}min"


def memory(mib: float) -> str:
    """ "512 MiB", "1.4 GiB"; "< 1 MiB" below half."""
    if 0 < mib < 0.5:
        return f"<{SPACE}1{SPACE}MiB"
    return f"{mib:.0f}{SPACE}MiB" if mib < 1000 else f"{mib / 1024:.1f}{SPACE}GiB"


def energy(kwh: float | None) -> str:
    """Two significant digits in Wh or kWh; a dash where it is unknown."""
    if kwh is None:
        return MISSING
    if 0 < kwh < 5e-6:
        return f"<{SPACE}0.01{SPACE}Wh"
    value, unit = (kwh, "kWh") if kwh >= 1 else (1000 * kwh, "Wh")
    decimals = 0 if value >= 10 else 1 if value >= 1 else 2
    return f"{number(value, decimals)}{SPACE}{unit}"


def at_least(words: str, *, known: bool) -> str:
    """A cost of which a part is not known: "≥ 12 s"; as it is where all is ``known``."""
    return words if known or words == MISSING else f"≥{SPACE}{words}"


def plain_value(value: Any) -> str:
    """A recorded JSON value for people: text as it is, lists with commas, the rest as JSON."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return "none"
    if isinstance(value, str):
        return value
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        return ", ".join(plain_value(v) for v in value) or "none"
    if isinstance(value, dict):
        return ", ".join(f"{k}: {plain_value(v)}" for k, v in value.items()) or "none"
    return json.dumps(value, default=str)


_DEFAULTS: dict[str, tuple[Any, ...]] = {
    "augmentation": ("none",),
    "loss": ("cross_entropy",),
    "sampler": ("uniform",),
    "regime": ("joint",),
    "target": ("all",),
    "curated": (True,),
}


def recipe_words(recipe: dict[str, Any]) -> str:
    """What departs from the plain recipe, in words; "plain" when nothing does."""
    flat: dict[str, Any] = {}
    for key, value in recipe.items():
        flat.update(value if isinstance(value, dict) else {key: value})
    told = []
    for key, value in flat.items():
        empty = value is None or value is False or value == "" or value == 0
        if empty or key in ("name", "role", "base") or value in _DEFAULTS.get(key, ()):
            continue
        told.append(_recipe_item(key, value))
    return ", ".join(told) or "plain"


def _recipe_item(key: str, value: Any) -> str:
    words = plain_value(value).replace("_", " ")
    name = key.replace("_", " ")
    if key == "retrieved":
        return "retrieved real images"
    if value is True:
        return name
    if key == "curated":
        return "not curated"
    if key == "multiple":
        return f"{multiple(float(value))} synthetic"
    if key in ("regime", "target"):
        return _REGIMES.get(str(value), words)
    return f"{words} {name}" if key in ("augmentation", "sampler", "loss") else f"{name} {words}"


_BY = {
    "validation_error": "targeted by the error of the model on real images",
    "hard_cases": "targeted by hard cases",
}


_REGIMES = {
    "feature_smote": "head trained on features filled by SMOTE",
    "feature_mixup": "head trained on mixed features",
}


def target_words(title: str) -> str:
    """A target's title (``Target.title``) in words."""
    for by, words in _BY.items():
        if title == by:
            return words
        if title.startswith(f"{by}_"):
            rest = title.removeprefix(f"{by}_")
            spread = target_words(rest if rest.startswith("fill_") else f"all_{rest}")
            return f"{words} ({spread.removeprefix('targeted, ').removeprefix('all ')})"
    if title == "all":
        return "all classes"
    if title.startswith("all_"):
        return f"all {_cell_words(title.removeprefix('all_'))}"
    cells, _, level = title.removeprefix("fill_").rpartition("to_")
    goal = f"{level} images" if level.isdecimal() else f"the {level}"
    return f"targeted, filling {_cell_words(cells.rstrip('_'))} to {goal}"


def _cell_words(cells: str) -> str:
    """``label+sex`` as "cells of class × sex"; "classes" without attributes."""
    attributes = cells.split("+")[1:]
    return f"cells of {' × '.join(['class', *attributes])}" if attributes else "classes"
