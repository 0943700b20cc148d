"""The truth about the data before anything is trained: counts, faults, and what can be shown."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from synthlift.data.designs import (
    Design,
    choose_design,
    groups_per_class,
    test_groups_per_class,
)
from synthlift.data.given import Published
from synthlift.data.integrity import CONFLICT
from synthlift.data.inventory import Row, attribute_columns, usable
from synthlift.data.sizes import choose_channels, choose_size
from synthlift.errors import InputError
from synthlift.spec.data import Data

FEW_TEST_GROUPS = 10
ASSUMED_DISCORDANT = 0.1


def inspect_inventory(
    rows: Sequence[Row],
    *,
    summary: Mapping[str, Any],
    data: Data,
    published: Published | None = None,
) -> dict[str, Any]:
    """Say what was found and what a study of it could show.

    Args:
        rows: the whole inventory that the ``read`` stage wrote.
        summary: that stage's summary.
        data: the section ``data`` of the study file.
        published: what ``split.file`` says.

    Returns:
        JSON: counts per class with test groups and the widest 95 % Wilson interval that they
        allow, imbalance ratio, sizes, channels, exclusions by reason, the design with its reason
        and the minimal detectable effect to expect. ``problem`` says why no design is possible,
        ``remedy`` what to do about it.
    """
    used = usable(rows)
    counts = groups_per_class([r.label for r in used], [r.group for r in used])
    counts = {**dict.fromkeys(sorted({r.label for r in rows}), 0), **counts}
    design, problem, remedy = _design(data, used, counts, published)
    excluded: Mapping[str, int] = summary["excluded"]
    kept = ("read", "usable", "excluded", "excluded_examples", "ignored", "notes")
    images: Mapping[str, int] = summary["classes"]
    return {
        **{name: summary[name] for name in kept},
        "classes": _classes(images, counts, design),
        "imbalance_ratio": _imbalance(list(images.values())),
        "duplicates": excluded.get("duplicate", 0),
        "conflicting_labels": excluded.get(CONFLICT, 0),
        "size_quartiles": summary["size_quartiles"],
        "grey_images": summary["grey_images"],
        **_training_form(data, used),
        "design": _design_facts(design),
        "minimal_detectable_effect": None if design is None else expected_effect(design, counts),
        "problem": problem,
        "remedy": remedy,
    }


def _design(
    data: Data, used: Sequence[Row], counts: Mapping[str, int], published: Published | None
) -> tuple[Design | None, str | None, str]:
    if min(counts.values(), default=0) == 0:
        empty = [name for name, n in counts.items() if n == 0]
        what = f"no usable image in {', '.join(empty) or 'the source'}"
        return None, what, "see what was left out and why, and bring images that can be read"
    try:
        design = choose_design(
            data.split,
            labels=[row.label for row in used],
            groups=[row.group for row in used],
            ids=[row.id for row in used],
            parts=[row.part for row in used],
            attributes=attribute_columns(used),
            published=published,
        )
        return design, None, ""
    except InputError as error:
        return None, error.given, error.remedy


def _classes(
    images: Mapping[str, int], counts: Mapping[str, int], design: Design | None
) -> list[dict[str, Any]]:
    tested = {} if design is None else tested_in_all(design, counts)
    facts = []
    for name, groups in counts.items():
        n = tested.get(name, 0)
        facts.append(
            {
                "name": name,
                "images": images.get(name, 0),
                "groups": groups,
                "test_groups": n,
                "wilson_width": wilson_width(n) if n else None,
                "too_small_to_evaluate": n < FEW_TEST_GROUPS,
            }
        )
    return facts


def tested_in_all(design: Design, counts: Mapping[str, int]) -> Mapping[str, int]:
    """Groups by class that are tested: in design C every group is, once a repeat."""
    if design.kind == "cross_validated":
        return counts
    return test_groups_per_class(design, counts)


def _imbalance(images: Sequence[int]) -> float | None:
    return max(images) / min(images) if images and min(images) else None


def _training_form(data: Data, used: Sequence[Row]) -> dict[str, Any]:
    if not used:
        return {"image_size": None, "channels": None}
    if data.image_size == "auto":
        size, why = choose_size([r.width for r in used], [r.height for r in used])
    else:
        size, why = data.image_size, f"{data.image_size} pixels, as asked for"
    channels, colour = choose_channels([r.channels == 1 for r in used], wanted=data.channels)
    return {
        "image_size": {"value": size, "reason": why},
        "channels": {"value": channels, "reason": colour},
    }


def _design_facts(design: Design | None) -> dict[str, Any] | None:
    if design is None:
        return None
    return {**design.config(), "letter": design.letter, "reason": design.reason}


# ── what the test sets allow ──────────────────────────────────────────────────────────────────


def expected_effect(design: Design, counts: Mapping[str, int]) -> dict[str, Any]:
    """The minimal detectable effect of a design, and what it assumes (JSON).

    ``value`` is None where a class has no test group, so that no difference can be found.
    """
    test = list(test_groups_per_class(design, counts).values())
    ratio = 0.0
    if design.kind == "cross_validated":
        share = 1 / design.folds
        ratio = share / ((1 - share) * (1 - design.validation))
    value = minimal_detectable_effect(
        test, models=design.draws, cross_validated=design.kind == "cross_validated", ratio=ratio
    )
    return {
        "metric": "balanced_accuracy",
        "value": value if math.isfinite(value) else None,
        "assumes": f"{100 * ASSUMED_DISCORDANT:g} % discordant pairs, no spread between models",
    }


def minimal_detectable_effect(
    test_groups: Sequence[int],
    *,
    models: int = 1,
    cross_validated: bool = False,
    ratio: float = 0.0,
    discordant: float = ASSUMED_DISCORDANT,
) -> float:
    """The difference in balanced accuracy found with 80 % power at two-sided 5 % (METHOD §2, §4).

    MDE = (t.975 + t.80) · SE. With a share q of groups on which the two models disagree, one
    group's paired difference is −1, 0 or 1 with variance q, so one test set has
    s² = Σ_k q / (K² · n_k).

    - Designs A and B: SE² = s², n − K degrees of freedom. All models see the same groups, so
      more of them do not help; spread between models comes on top once it is known.
    - Design C: SE² = (1/J + n_test / n_train) · s², J − 1 degrees of freedom (Nadeau & Bengio
      2003, "Inference for the generalization error", section 3).

    Args:
        test_groups: n_k, groups per class in one locked test set.
        models: J, folds × repeats in design C.
        cross_validated: whether the design is C.
        ratio: n_test / n_train in design C, n_train without validation.
        discordant: q in (0, 1].

    Returns:
        A difference in [0, 1], 0.01 = 1 point; infinite where a class has no test group.
    """
    from scipy.special import stdtrit

    classes = len(test_groups)
    if min(test_groups) == 0:
        return math.inf
    variance = sum(discordant / (classes**2 * n) for n in test_groups)
    freedom = max(1, sum(test_groups) - classes)
    if cross_validated:
        variance *= 1 / models + ratio
        freedom = max(1, models - 1)
    factor = float(stdtrit(freedom, 0.975) + stdtrit(freedom, 0.80))
    return factor * math.sqrt(variance)


def wilson_width(n: int, *, share: float = 0.5, z: float = 1.959963984540054) -> float:
    """Width of Wilson's 95 % interval for ``share`` right among ``n``; widest at a half.

    Wilson 1927, "Probable inference, the law of succession, and statistical inference", eq. for
    the limits of p.
    """
    half = z * math.sqrt(share * (1 - share) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    return 2 * half


# ── words ─────────────────────────────────────────────────────────────────────────────────────


def render_inspection(facts: Mapping[str, Any]) -> str:
    """The findings of :func:`inspect_inventory` as plain text."""
    lines = [f"{facts['read']:,} images read, {facts['usable']:,} usable"]
    for reason, n in facts["excluded"].items():
        lines.append(f"  left out: {n:,} – {reason}")
        lines.extend(f"    {example}" for example in facts["excluded_examples"][reason])
    if facts["ignored"]:
        listed = ", ".join(f"{n:,} × {name}" for name, n in facts["ignored"].items())
        lines.append(f"  other files, not read: {listed}")
    lines.extend(f"  {note}" for note in facts["notes"])
    lines += ["", *_render_classes(facts["classes"])]
    if facts["imbalance_ratio"]:
        lines.append(f"imbalance: largest class / smallest class = {facts['imbalance_ratio']:.1f}")
    if facts["image_size"]:
        lines.append(f"size: {facts['image_size']['reason']}")
        lines.append(f"channels: {facts['channels']['reason']}")
    lines.extend(_render_design(facts))
    return "\n".join(lines) + "\n"


def _render_classes(classes: Sequence[Mapping[str, Any]]) -> list[str]:
    width = max([len(str(c["name"])) for c in classes] + [5])
    lines = [f"{'class':<{width}}  images  groups  tested"]
    for found in classes:
        line = (
            f"{found['name']:<{width}}  {found['images']:>6,}  {found['groups']:>6,}  "
            f"{found['test_groups']:>6,}"
        )
        if found["too_small_to_evaluate"] and found["wilson_width"]:
            points = 100 * found["wilson_width"]
            line += f"  too few to judge alone: interval up to {points:.0f} points wide"
        lines.append(line)
    return lines


def _render_design(facts: Mapping[str, Any]) -> list[str]:
    if facts["problem"]:
        return [f"cannot be studied: {facts['problem']}"]
    design = facts["design"]
    effect = effect_in_words(facts["minimal_detectable_effect"])
    return [
        f"design {design['letter']}: {design['reason']}",
        f"smallest difference that a study would find: {effect}",
    ]


def effect_in_words(effect: Mapping[str, Any]) -> str:
    """What :func:`expected_effect` says, for a sentence."""
    if effect["value"] is None:
        return "none, since a class has no test image"
    points = f"{100 * effect['value']:.1f} points of balanced accuracy"
    return f"{points}, assuming {effect['assumes']}"
