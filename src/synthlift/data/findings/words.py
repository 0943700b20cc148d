"""Findings in words: the warnings that matter most, counts by kind, and the printed summary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

HONESTY = (
    "Inspection looks at every image, those that will be tested on included. Mend faults for all "
    "parts alike; choose no test image and no label by what is seen here."
)
TELLING = 0.15
"""How far beyond chance a nuisance must tell the class before it is called a shortcut."""
_LARGE_RATIO = 3.0
_LARGE_EFFECT = 0.03
_FEW = 5


def telling(found: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The nuisances that tell the class clearly better than chance does."""
    return [
        one
        for one in found["shortcuts"]
        if one["p_value"] <= 0.05 and one["balanced_accuracy"] - one["chance"] >= TELLING
    ]


def estimated_errors(share: float, found: float, *, images: int) -> str:
    """What the model of label noise believes, in words.

    Args:
        share: of the labels that are wrong.
        found: share of these that are among the suspects.
        images: how many were judged.
    """
    wrong = round(share * images)
    if not wrong:
        return "hardly any label is believed to be wrong, so most of these are false alarms"
    return (
        f"about {_many(wrong, 'label')} of all {'is' if wrong == 1 else 'are'} believed to be "
        f"wrong, of which about {100 * found:.0f} % are among these"
    )


def warnings(facts: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    """What could make a study of this data wrong or empty, the worst first."""
    copies, lines = found["duplicates"], []
    if facts["problem"]:
        lines.append(f"cannot be studied as it is: {facts['problem']}")
    masks = found.get("masks")
    if masks and masks["another_size"]:
        lines.append(
            f"{_many(len(masks['another_size']), 'mask')} of another size than their image, which "
            f"a study refuses: {_listed(masks['another_size'])}"
        )
    if generated := facts.get("generated", 0):
        lines.append(
            f"{_many(generated, 'image')} {'was' if generated == 1 else 'were'} generated, as "
            "their files say: a test on such says nothing of real images, so study the real ones "
            "alone"
        )
    if copies["leaks"]:
        lines.append(_leaking(len(copies["leaks"]), copies["leaking_test_images"]))
    lines += copies.get("apart", ())
    if found["suspected_groups"]:
        lines.append(str(found["suspected_groups"]["warning"]))
    if copies["different_labels"]:
        lines.append(
            f"{_many(copies['different_labels'], 'pair')} showing one picture under two labels: "
            "one of each is likely wrong"
        )
    for one in telling(found):
        lines.append(f"{one['words']}: a classifier may learn that instead of what is shown")
    errors = len(found["label_errors"])
    if errors:
        lines.append(
            f"{_many(errors, 'label')} of {found['learnt_from']:,} may be wrong "
            f"({100 * errors / found['learnt_from']:.1f} %), the likeliest first: "
            f"{found['wrong_labels']['words']}"
        )
    small = [one["name"] for one in facts["classes"] if one["too_small_to_evaluate"]]
    if small and not facts["problem"]:
        lines.append(f"too few test images to judge alone: {_listed(small)}")
    effect = facts["minimal_detectable_effect"]
    if effect and effect["value"] is None:
        lines.append("no difference can be found: a class has no test image")
    elif effect and effect["value"] > _LARGE_EFFECT:
        lines.append(
            f"differences below about {100 * effect['value']:.1f} points of balanced accuracy "
            "will hardly be found"
        )
    doubled = [
        _many(copies[kind], "pair") + words
        for kind, words in (("exact", " of exact copies"), ("near", " that look alike"))
        if copies[kind]
    ]
    if doubled:
        lines.append(
            f"{' and '.join(doubled)}: a study keeps one of each copy, and look-alikes in one part"
        )
    if found["unreadable"]:
        lines.append(f"{_many(len(found['unreadable']), 'file')} cannot be used")
    if (facts["imbalance_ratio"] or 1) >= _LARGE_RATIO:
        lines.append(f"the largest class has {facts['imbalance_ratio']:.1f} × the smallest")
    return lines


def fault_counts(found: Mapping[str, Any]) -> list[tuple[str, int]]:
    """How many there are of each kind of fault, in words."""
    copies = found["duplicates"]
    kinds = sorted({one["kind"] for one in found["oddities"]})
    masks = found.get("masks")
    return [
        ("files that cannot be used", len(found["unreadable"])),
        ("pairs of exact copies", copies["exact"]),
        ("pairs that look alike", copies["near"]),
        ("pairs of either kind under two labels", copies["different_labels"]),
        ("pictures in several given parts (leaks)", len(copies["leaks"])),
        ("labels that may be wrong", len(found["label_errors"])),
        ("images unlike all others of their class", len(found["outliers"])),
        *(
            (f"{kind} images", sum(one["kind"] == kind for one in found["oddities"]))
            for kind in kinds
        ),
        *(
            (words, len(masks[key]))
            for key, words in (
                ("another_size", "masks of another size than their image"),
                ("unreadable", "masks that cannot be read"),
            )
            if masks
        ),
    ]


def notes(found: Mapping[str, Any]) -> list[str]:
    """What was looked at, where that is less than everything."""
    looked, said = found["looked_at"], []
    if looked["images"] < looked["usable"]:
        said.append(
            f"a sample of {looked['images']:,} of {looked['usable']:,} usable images was looked "
            "at closely"
        )
    if not found["learnt_from"]:
        said.append("too few images to seek wrong labels and outliers")
    elif found["learnt_from"] < looked["images"]:
        said.append(
            f"wrong labels and outliers were sought in a sample of {found['learnt_from']:,} images"
        )
    return said


def render_findings(found: Mapping[str, Any]) -> str:
    """Faults with numbers, empty cells, the three worst warnings and the advice, as plain text."""
    counts = fault_counts(found)
    width = max(len(f"{n:,}") for _, n in counts)
    lines = ["faults"]
    lines += [f"  {n:>{width},}  {words}" for words, n in counts]
    lines += [f"  ({note})" for note in notes(found)]
    for table in found["attributes"]:
        empty = [f"{label} × {value or 'missing'}" for label, value in table.get("empty", ())]
        if empty:
            lines.append(f"{table['name']}: no image for {_listed(empty)}")
    shown = found["warnings"][:3]
    if shown:
        lines += ["", "most important"]
        lines += [f"  {rank}. {words}" for rank, words in enumerate(shown, 1)]
        more = len(found["warnings"]) - len(shown)
        lines += [f"  … and {_many(more, 'further warning')}, on the page"] if more else []
    lines += ["", "advice"]
    for one in found["advice"]:
        lines.append(f"  {one['title']}")
        lines.append(f"    {one['command'] or one['text']}")
    return "\n".join([*lines, "", HONESTY]) + "\n"


def _leaking(pictures: int, tested: int) -> str:
    if tested:
        what = f"{_many(tested, 'test image')} also {'lies' if tested == 1 else 'lie'} in another"
        what += " given part: results on them would be too good"
    else:
        what = f"{_many(pictures, 'picture')} trained on and validated on: choices would be too"
        what += " good"
    return f"{what} (a study leaves the training copies out)"


def _many(count: int, one: str) -> str:
    return f"{count:,} {one}" if count == 1 else f"{count:,} {one}s"


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _FEW} more" if len(names) > _FEW else ""
    return ", ".join(names[:_FEW]) + more
