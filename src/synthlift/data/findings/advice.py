"""What to do and to study next, as commands."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from synthlift.data.findings.words import telling
from synthlift.spec.data import Data
from synthlift.spec.values import MISSING
from synthlift.spec.yaml12 import as_json

_LARGE_RATIO = 3.0
_SOFT, _SHARP = 0.5, 2.0
_MOST_BINS = 8
_UNKNOWN = ("", MISSING, "unknown", "na", "n/a", "nan")
_TARGETED = (
    "real",
    "augmented",
    "class_balanced",
    "logit_adjusted",
    "targeted_duplication",
    {"kind": "targeted", "multiples": [1, 2]},
)


def advise(
    facts: Mapping[str, Any], found: Mapping[str, Any], *, data: Data, said: Sequence[str]
) -> list[dict[str, str]]:
    """What to do, in this order; each with a command, "" where there is none.

    Args:
        facts: what :func:`synthlift.data.inspection.inspect_inventory` says.
        found: what :func:`synthlift.data.findings.find_faults` says.
        data: the part ``data:`` of the study.
        said: the words after ``synthlift inspect`` that name the data.
    """
    remedy = facts["remedy"] if facts["problem"] else ""
    if (found.get("masks") or {}).get("another_size"):
        remedy = remedy or "export the masks at the size of the images"
    if facts["problem"] or remedy:
        sentence = f"{remedy[:1].upper()}{remedy[1:]}."
        return [_advice("Mend what keeps the data from being studied", sentence)]
    words = list(said)
    first = []
    if found["suspected_groups"]:
        option = found["suspected_groups"]["option"]
        words += ["--set", option]
        first.append(
            _advice(
                "Say which images belong together, and look again",
                "Names repeat, so that images of one patient or object could be trained on and "
                "tested. Group them by name, or name a column of a table with --metadata and "
                "--group.",
                _command("inspect", words),
            )
        )
    first += _mending(found, said)
    return [*first, *_studies(facts, found, data, words)]


def _mending(found: Mapping[str, Any], said: Sequence[str]) -> list[dict[str, str]]:
    faults = len(found["label_errors"]) + found["duplicates"]["different_labels"]
    if not faults:
        return []
    return [
        _advice(
            "Look at the suspected labels, in all parts alike",
            "Only someone who knows the images can say which are wrong. The whole list, for a "
            "program:",
            _command("inspect", said, "--json") + " > faults.json",
        )
    ]


def _studies(
    facts: Mapping[str, Any], found: Mapping[str, Any], data: Data, words: Sequence[str]
) -> list[dict[str, str]]:
    advice = [
        _advice(
            "Ask whether synthetic images help here",
            "All arms, as much as fits into half an hour.",
            _command("run", words, "--budget", "30m"),
        )
    ]
    if (facts["imbalance_ratio"] or 1) >= _LARGE_RATIO:
        advice.append(
            _advice(
                "Fill up the small classes only",
                f"The largest class has {facts['imbalance_ratio']:.1f} × the smallest: images for "
                "the small ones, against weights, sampling and copies.",
                _command("run", words, "--set", f"arms={as_json(_TARGETED)}"),
            )
        )
    if weak := _weak_cells(found):
        name, low, high = weak
        target = {"cells": ["label", name], "fill_to": "median"}
        arms = ["real", "augmented", {"kind": "targeted", "target": target}]
        advice.append(
            _advice(
                f"Fill up the weakest cells of class and '{name}'",
                f"Within one class, one value has {high:,} images and another {low:,}: images for "
                "the cells that have few. Combinations without any image are left alone; where "
                'they can be, add "unseen": true to the target.',
                _command("run", words, "--set", f"arms={as_json(arms)}"),
            )
        )
    effects = {one["kind"]: one["minimal_detectable_effect"] for one in found["designs"]}
    fixed, crossed = effects.get("fixed"), effects.get("cross_validated")
    chosen = next((one["kind"] for one in found["designs"] if one["chosen"]), "")
    if chosen == "fixed" and fixed and crossed and crossed < 0.75 * fixed:
        advice.append(
            _advice(
                "Find smaller differences",
                f"A cross-validation would find {100 * crossed:.1f} points instead of "
                f"{100 * fixed:.1f}; it trains longer.",
                _command("run", words, "--set", "data.split.design=cross_validated"),
            )
        )
    return advice + _questions(found, data, words)


def _weak_cells(found: Mapping[str, Any]) -> tuple[str, int, int] | None:
    """The attribute whose values are spread most unevenly within a class, and two such counts."""
    worst: tuple[float, str, int, int] | None = None
    for table in found["attributes"]:
        values = table.get("values", ())
        known = [place for place, value in enumerate(values) if value.casefold() not in _UNKNOWN]
        if len(values) > _MOST_BINS:
            continue
        for line in table.get("counts", ()):
            counts = [line[place] for place in known if line[place]]
            if len(counts) > 1 and max(counts) / min(counts) >= _LARGE_RATIO:
                ratio = max(counts) / min(counts)
                one = (ratio, str(table["name"]), min(counts), max(counts))
                worst = max(worst, one) if worst else one
    return None if worst is None else worst[1:]


def _questions(found: Mapping[str, Any], data: Data, words: Sequence[str]) -> list[dict[str, str]]:
    """Further questions that the data raise: borders, subgroups, numbers without bins."""
    advice = []
    names = {one["name"] for one in telling(found)}
    if names & {"border_colour", "aspect"} and data.fit == "pad":
        advice.append(
            _advice(
                "See whether the result stands without the borders",
                "The class shows in the border or the proportions; a central crop takes both away.",
                _command("run", words, "--set", "data.fit=crop"),
            )
        )
    for table in found["attributes"]:
        values = table.get("values", ())
        wide = "too_many" in table or (len(values) > _MOST_BINS and all(map(_number, values)))
        if wide and table["name"] not in data.bins:
            advice.append(
                _advice(
                    f"Put '{table['name']}' into bins",
                    f"It has {table.get('too_many', len(values)):,} values; if they are numbers, "
                    "bins give subgroups.",
                    _command("inspect", words, "--set", _bins(str(table["name"]), data)),
                )
            )
    if not found["attributes"] and not data.derived and _differ(found["spread"]["sharpness"]):
        advice.append(
            _advice(
                "See whether blurred or dark images are judged worse",
                "Brightness and sharpness differ widely within the classes: take them as "
                "subgroups.",
                _command("run", words, "--set", 'data.derived=["brightness", "sharpness"]'),
            )
        )
    return advice


def _bins(name: str, data: Data) -> str:
    """Four bins of an attribute; whole where the name cannot be a part of a key."""
    if re.search(r"[].=[]|^\s|\s$", name):
        return f"data.bins={as_json({**data.bins, name: 4})}"
    return f"data.bins.{name}=4"


def _number(value: str) -> bool:
    """Whether a value is a number, or missing."""
    try:
        float(value or 0)
    except ValueError:
        return False
    return True


def _differ(quartiles: Mapping[str, Sequence[float]]) -> bool:
    """Whether in some class the upper quartile is more than twice the lower."""
    return any(q[3] > _SHARP * max(q[1], _SOFT) for q in quartiles.values())


def _command(verb: str, words: Sequence[str], *more: str) -> str:
    return shlex.join(["synthlift", verb, *words, *more])


def _advice(title: str, text: str, command: str = "") -> dict[str, str]:
    return {"title": title, "text": text, "command": command}
