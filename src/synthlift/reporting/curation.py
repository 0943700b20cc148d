"""The page that ``synthlift curate`` writes: which images can be used, and why others not."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from markupsafe import Markup

from synthlift.reporting import text
from synthlift.reporting.gallery import encode_png, thumbnail
from synthlift.reporting.inspection import Figure, Group
from synthlift.reporting.pages import render_page
from synthlift.types import UInt8

KEPT_WORDS = "kept"
_WORDS = {
    KEPT_WORDS: ("Kept", "Kept", "Examples of each class in turn."),
    "same_picture": (
        "Held-out copy",
        "Near-copies of held-out real images",
        (
            "Left the judged image, right a real one that the filters do not know; as a pool it "
            "would carry test images into training."
        ),
    ),
    "exact_duplicates": (
        "Duplicate",
        "Pixel by pixel a real image",
        "Every pixel equals a real image's.",
    ),
    "near_copies": (
        "Near-copy",
        "Near-copies by features",
        "Closer to one real image (right) than 99 % of new real images come to any.",
    ),
    "pixel_copies": (
        "Pixel copy",
        "Near-copies by pixels",
        (
            "Its pixels follow a real image's more closely than 99 % of new real images' do; "
            "brightness and mirroring do not count."
        ),
    ),
    "low_contrast": (
        "Nothing to see",
        "Hardly anything to see",
        "Black, white, constant or of low contrast.",
    ),
    "quality": (
        "Quality",
        "Blurrier, grainier or flatter than real images",
        "Contrast, sharpness or spectrum lie beyond the range of the class's real images.",
    ),
    "outliers": (
        "Outlier",
        "Unlike its class",
        "Its features lie farther from the class than those of new real images.",
    ),
    "confidence_band": (
        "Wrong class",
        "Not believed to be its class",
        (
            "A classifier of the real images believes in the class less, or more, than for new "
            "real images."
        ),
    ),
    "class_agreement": (
        "Least believed",
        "Least believed of its class",
        "The tail of each class is left out.",
    ),
    "clip_score": (
        "Off its text",
        "Least like the text of its class",
        "The tail of each class, as CLIP sees it, is left out.",
    ),
    "diversity": (
        "Redundant",
        "Others stand for it",
        "More telling images of the class were kept instead.",
    ),
}
"""Reason → head of a column, title of the examples, and what it means."""
_VERDICTS = {
    "fine": "No sign of copying",
    "close": "Closer to the real images than new ones are",
    "copies": "Real images were copied",
}


_COPIES = frozenset(("same_picture", "exact_duplicates", "near_copies", "pixel_copies"))
"""Reasons whose examples stand beside the real image that they are most like."""


def shown_examples(facts: Mapping[str, Any], *, most: int) -> list[tuple[str, str]]:
    """("pool" or "real", id) of the images whose picture the page shows among the examples."""
    return [
        place
        for reason, rows, _ in _examples(facts, most)
        for one in rows
        for place in _places(reason, one)
    ]


def _places(reason: str, one: Mapping[str, Any]) -> list[tuple[str, str]]:
    own = [("pool", str(one["id"]))]
    return [*own, ("real", str(one["nearest_real"]))] if reason in _COPIES else own


def render_curation_page(
    facts: Mapping[str, Any], *, pictures: Mapping[tuple[str, str], UInt8], most: int
) -> str:
    """The page as HTML text that needs no network and no other file.

    Args:
        facts: what ``api.curate`` gives, with ``pairs`` and ``place``, where the kept images lie.
        pictures: uint8 [H, W, C] by ("pool" or "real", id).
        most: examples of each reason.
    """
    shown = {key: _uri(pixels) for key, pixels in pictures.items()}
    reasons = _reasons(facts)
    return render_page(
        "curation.html",
        styles=("style.css", "inspection.css"),
        facts=facts,
        name=Path(str(facts["pool"])).name or str(facts["pool"]),
        text=text,
        headline=_headline(facts),
        place=str(facts["place"]),
        unusable=", ".join(f"{n} {why}" for why, n in facts["unusable"].items()),
        verdict=_VERDICTS[facts["copying"]["verdict"]],
        copying=_copying(facts["copying"]),
        reasons=reasons,
        head=lambda reason: _words(reason)[0],
        title=lambda reason: _words(reason)[1],
        groups=[_group(reason, rows, more, shown) for reason, rows, more in _examples(facts, most)],
        pairs=[_pair(pair, shown) for pair in facts["pairs"]],
    )


def _headline(facts: Mapping[str, Any]) -> str:
    kept, images = facts["kept"], facts["images"]
    return f"{text.count(kept)} of {text.plural(images, 'image')} can be used."


def _words(reason: str) -> tuple[str, str, str]:
    """Of a third party's filter, its name."""
    name = reason.replace("_", " ").capitalize()
    return _WORDS.get(reason, (name, name, ""))


def reason_words(reason: str) -> str:
    """What a built-in filter rejects, to stand in a sentence; "" of others."""
    title = _WORDS[reason][1] if reason in _WORDS else ""
    return title[:1].lower() + title[1:]


def _reasons(facts: Mapping[str, Any]) -> list[str]:
    """Reasons that occur, in the order of the filters."""
    order = ["same_picture", *(one["name"] for one in facts["filters"])]
    found = {reason for counts in facts["counts"].values() for reason in counts}
    return [reason for reason in order if reason in found]


def _examples(
    facts: Mapping[str, Any], most: int
) -> Iterator[tuple[str, list[Mapping[str, Any]], int]]:
    """A reason, its examples from all classes in turn, and how many more there are."""
    for reason in ["", *_reasons(facts)]:
        rows = [one for one in facts["verdicts"] if one["rejected_by"] == reason]
        by_class: dict[str, list[Mapping[str, Any]]] = {}
        for one in rows:
            by_class.setdefault(one["label"], []).append(one)
        each = -(-most // max(1, len(by_class)))
        spread = [_spread(own, each) for own in by_class.values()]
        turns = [own[n] for n in range(most) for own in spread if n < len(own)][:most]
        if rows:
            yield reason or KEPT_WORDS, turns, len(rows) - len(turns)


def _spread(rows: list[Mapping[str, Any]], most: int) -> list[Mapping[str, Any]]:
    """At most so many rows, evenly over all: names that begin alike often show alike images."""
    count = min(most, len(rows))
    return [rows[place * len(rows) // count] for place in range(count)]


def _group(
    reason: str,
    rows: list[Mapping[str, Any]],
    more: int,
    shown: Mapping[tuple[str, str], Markup],
) -> Group:
    _, title, lead = _words(reason)
    figures = [
        Figure(
            [{"uri": shown[place], "alt": place[1]} for place in _places(reason, one)],
            [one["label"], *([one["reason"]] if one["reason"] else []), one["id"]],
        )
        for one in rows
    ]
    return Group(title, lead, figures, more)


def _pair(pair: Mapping[str, Any], shown: Mapping[tuple[str, str], Markup]) -> Figure:
    images = [
        {"uri": shown["pool", pair["id"]], "alt": pair["id"]},
        {"uri": shown["real", pair["real"]], "alt": pair["real"]},
    ]
    lines = [f"distance {pair['distance']:.2f}", pair["id"], f"real: {pair['real']}"]
    return Figure(images, lines)


def _copying(facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    def ratio(value: float | None) -> str:
        return text.MISSING if value is None else text.number(value, 2)

    return [
        ("Copying ratio (1 = as near as new real images)", ratio(facts["ratio"])),
        *(
            (f"… of {name} held-out real images", ratio(value))
            for name, value in facts["controls"].items()
        ),
        ("Look like a copy", text.percent(facts["copies"])),
        ("… of held-out real images", text.percent(facts["held_out_copies"])),
        ("Held-out real images compared with", text.count(facts["held_out"])),
    ]


def _uri(pixels: UInt8) -> Markup:
    data = base64.b64encode(encode_png(thumbnail(pixels))).decode()
    return Markup("data:image/png;base64,") + data
