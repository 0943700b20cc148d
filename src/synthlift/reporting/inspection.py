"""The page that ``synthlift inspect`` writes: what is here, what is wrong with it, what to do."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from markupsafe import Markup

from synthlift.reporting import svg, text
from synthlift.reporting.gallery import encode_png, thumbnail
from synthlift.reporting.pages import render_page
from synthlift.types import UInt8

MOST_PAIRS, MOST_SUSPECTS, MOST_OUTLIERS = 24, 24, 16
_SECTIONS = (
    ("here", "What is here"),
    ("faults", "Faults"),
    ("power", "What the data can show"),
    ("shortcuts", "Shortcuts"),
    ("advice", "What to do now"),
)
_MEASURES = ("brightness", "contrast", "sharpness")


@dataclass(frozen=True)
class Words:
    """What :mod:`synthlift.data` says of the findings in words.

    Attributes:
        counts: kind of fault and how many there are.
        notes: what was looked at, where that is less than everything.
        honesty: what the findings must not be used for.
        classes: class name → words for people, where there are any.
    """

    counts: Sequence[tuple[str, int]]
    notes: Sequence[str]
    honesty: str
    classes: Mapping[str, str] = field(default_factory=dict)

    def display(self, label: str) -> str:
        """A class with its words: ``mel (melanoma)``."""
        said = self.classes.get(label, label)
        return label if said == label else f"{label} ({said})"


def shown_images(found: Mapping[str, Any]) -> list[str]:
    """Ids of all images whose picture the page shows."""
    ids = [name for pair in found["duplicates"]["pairs"][:MOST_PAIRS] for name in pair["ids"]]
    for kind, most in (
        ("label_errors", MOST_SUSPECTS),
        ("outliers", MOST_OUTLIERS),
        ("oddities", MOST_OUTLIERS),
    ):
        ids += [one["id"] for one in found[kind][:most]]
    return sorted(set(ids))


def render_inspection_page(
    name: str, facts: Mapping[str, Any], *, words: Words, pictures: Mapping[str, UInt8]
) -> str:
    """The page as HTML text that needs no network and no other file.

    Args:
        name: of the data.
        facts: what ``api.inspect`` gives, with ``findings``.
        words: of the findings.
        pictures: uint8 [H, W, C] by image id, of :func:`shown_images`; shown where present.
    """
    found = facts["findings"]
    shown = {key: _uri(pixels) for key, pixels in pictures.items()}
    groups = [_pairs(found, shown), *_singles(found, shown)]
    return render_page(
        "inspection.html",
        styles=("style.css", "inspection.css"),
        name=name,
        facts=facts,
        found=found,
        text=text,
        sections=_SECTIONS,
        headline=_headline(facts),
        honesty=words.honesty,
        counts=words.counts,
        notes=words.notes,
        heat=_heat(facts, words),
        display=words.display,
        uncounted=[
            (one["name"], one["too_many"]) for one in found["attributes"] if "too_many" in one
        ],
        spread=_spread(found["spread"], words),
        groups=[group for group in groups if group.figures],
    )


def _headline(facts: Mapping[str, Any]) -> str:
    if facts["problem"]:
        return text.as_sentence(facts["problem"])
    effect = facts["minimal_detectable_effect"]["value"]
    images = text.plural(facts["usable"], "usable image")
    if effect is None:
        return f"{images}, but a class without test images."
    least = text.number(100 * effect)
    return f"{images}; a study would find differences from about {least} points on."


# ── counts ────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Heat:
    """Counts by class and value, each with its shade in [0, 1]."""

    caption: str
    columns: Sequence[str]
    rows: Sequence[tuple[str, Sequence[tuple[int, str]]]]
    empty: int


def _heat(facts: Mapping[str, Any], words: Words) -> list[Heat]:
    classes = [words.display(str(one["name"])) for one in facts["classes"]]
    tables = [one for one in facts["findings"]["attributes"] if "counts" in one]
    if not tables:
        counts = [[one["images"]] for one in facts["classes"]]
        return [_shaded("Usable images by class", ["images"], classes, counts)]
    return [
        _shaded(
            f"Usable images by class and {one['name']}",
            [value or "missing" for value in one["values"]],
            classes,
            one["counts"],
        )
        for one in tables
    ]


def _shaded(
    caption: str, columns: Sequence[str], classes: Sequence[str], counts: Sequence[Sequence[int]]
) -> Heat:
    most = max((value for line in counts for value in line), default=0) or 1
    rows = [
        (name, [(value, f"{math.sqrt(value / most):.2f}") for value in line])
        for name, line in zip(classes, counts, strict=True)
    ]
    return Heat(caption, columns, rows, sum(value == 0 for line in counts for value in line))


def _spread(spread: Mapping[str, Any], words: Words) -> dict[str, Any]:
    scales = {
        name: svg.scale_for(
            [value for quantiles in spread[name].values() for value in quantiles],
            label=text.count,
            include=(0,),
            limits=(0, math.inf),
            wanted=3,
        )
        for name in _MEASURES
    }
    rows = [
        {
            "label": words.display(label),
            "cells": [_box(scales[name], spread[name][label], name) for name in _MEASURES],
            "grey": text.count(spread["grey_images"][label]),
            "size": f"{text.count(quantiles[2])} px",
        }
        for label, quantiles in spread["size"].items()
    ]
    columns = [
        {"name": name.capitalize(), "axis": svg.axis_row(scales[name])} for name in _MEASURES
    ]
    return {"columns": columns, "rows": rows}


def _box(scale: svg.Scale, quantiles: Sequence[float], name: str) -> dict[str, Any]:
    least, lower, median, upper, most = quantiles
    return {
        "name": name.capitalize(),
        "words": f"{name} {median:g}, middle half {lower:g} to {upper:g}",
        "strip": svg.strip(
            scale,
            series="a",
            shape="circle",
            value=median,
            low=least,
            high=most,
            inner=(lower, upper),
        ),
    }


# ── pictures ──────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Figure:
    """One picture, or two side by side, and the lines below."""

    images: Sequence[Mapping[str, str]]
    lines: Sequence[str]


@dataclass(frozen=True)
class Group:
    """Figures under one title; ``more`` are not shown."""

    title: str
    lead: str
    figures: Sequence[Figure]
    more: int


def _pairs(found: Mapping[str, Any], shown: Mapping[str, str]) -> Group:
    pairs = found["duplicates"]["pairs"]
    figures = [
        Figure([_image(name, shown) for name in pair["ids"]], _pair_lines(pair))
        for pair in pairs[:MOST_PAIRS]
    ]
    lead = (
        "Exact copies and pictures that look alike even when flipped, cropped or brightened; "
        "under different labels and across given parts first. If two are not the same picture, "
        "the search was too eager: data.near_duplicates=ignore leaves them apart."
    )
    return Group("The same picture twice", lead, figures, max(0, len(pairs) - MOST_PAIRS))


def _pair_lines(pair: Mapping[str, Any]) -> list[str]:
    kind = (
        "exact copy" if pair["kind"] == "exact" else f"look alike, distance {pair['distance']:.2f}"
    )
    if pair["different_labels"]:
        kind += ", different labels"
    if pair["across_parts"]:
        kind += f", {pair['parts'][0]} and {pair['parts'][1]}"
    if pair["one_group"]:
        kind += ", one group already"
    labels = pair["labels"] if pair["different_labels"] else ["", ""]
    names = [
        f"{name} ({label})" if label else name
        for name, label in zip(pair["ids"], labels, strict=True)
    ]
    return [kind, *names]


def _singles(found: Mapping[str, Any], shown: Mapping[str, str]) -> list[Group]:
    return [
        Group(
            "Labels that may be wrong",
            "A simple classifier that learnt from other images, and from none of the same group, "
            "believes in another class; the likeliest errors first. About 4 % of the right labels "
            f"are shown here too, which is what finding the wrong ones costs: "
            f"{found['wrong_labels']['words']}.",
            [
                Figure(
                    [_image(one["id"], shown)],
                    [
                        f"wrong with {text.percent(one['p_wrong'])}",
                        f"given {one['given']} ({text.percent(one['p_given'])})",
                        f"rather {one['suggested']} ({text.percent(one['p_suggested'])})",
                        one["id"],
                    ],
                )
                for one in found["label_errors"][:MOST_SUSPECTS]
            ],
            max(0, len(found["label_errors"]) - MOST_SUSPECTS),
        ),
        Group(
            "Unlike all others of their class",
            "Farther from the images of their class than these are from each other: another "
            "object, another camera, or simply rare. The number says how many deviations farther.",
            [
                Figure(
                    [_image(one["id"], shown)],
                    [one["label"], f"{one['score']:.1f} deviations", one["id"]],
                )
                for one in found["outliers"][:MOST_OUTLIERS]
            ],
            max(0, len(found["outliers"]) - MOST_OUTLIERS),
        ),
        Group(
            "Hardly anything to see",
            "Blank, very dark, very bright or blurred.",
            [
                Figure(
                    [_image(one["id"], shown)],
                    [f"{one['kind']}: {one['detail']}", one["label"], one["id"]],
                )
                for one in found["oddities"][:MOST_OUTLIERS]
            ],
            max(0, len(found["oddities"]) - MOST_OUTLIERS),
        ),
    ]


def _image(name: str, shown: Mapping[str, str]) -> dict[str, str]:
    return {"uri": shown.get(name, ""), "alt": name}


def _uri(pixels: UInt8) -> Markup:
    data = base64.b64encode(encode_png(thumbnail(pixels))).decode()
    return Markup("data:image/png;base64,") + data
