"""Facts: where the images went, what it cost, what was decided, with what it can be repeated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from synthlift.reporting import svg, text
from synthlift.reporting.curation import reason_words
from synthlift.reporting.reading import Reading
from synthlift.spec.facts import Cost, Counts, Decision


@dataclass(frozen=True)
class Step:
    """One line of the funnel: depth 0 is a whole, depth 1 a part of the line above it."""

    words: str
    count: str
    bar: Markup
    depth: int
    kind: str


@dataclass(frozen=True)
class Funnel:
    """Real images, then generated ones; and both by class."""

    real: Sequence[Step]
    generated: Sequence[Step]
    fell_short: Sequence[tuple[str, int]]
    lost: Sequence[str]
    columns: Sequence[str]
    per_class: Sequence[tuple[str, Sequence[tuple[str, float]]]]
    cell_columns: Sequence[str]
    per_cell: Sequence[tuple[str, Sequence[tuple[str, float]]]]


def funnel(reading: Reading) -> Funnel:
    """Read → excluded → train / validation / test → generated → kept / rejected."""
    counts = reading.results.counts
    columns, rows = _table(counts.per_class)
    cell_columns, cells = _table(counts.per_cell)
    return Funnel(
        real=_real_steps(counts),
        generated=_generated_steps(counts),
        fell_short=[(reading.display(n), k) for n, k in counts.fell_short.items()],
        lost=_lost(counts),
        columns=columns,
        per_class=[
            (reading.display(name), rows[name])
            for name in reading.class_order(list(counts.per_class))
        ],
        cell_columns=cell_columns,
        per_cell=list(cells.items()),
    )


def _table(
    counts: Mapping[str, Mapping[str, float]],
) -> tuple[list[str], dict[str, list[tuple[str, float]]]]:
    """Headings, and for each row its figures in words and for sorting."""
    columns = list(dict.fromkeys(kind for row in counts.values() for kind in row))
    rows = {
        name: [(text.count(v), v) for v in (row.get(kind, 0.0) for kind in columns)]
        for name, row in counts.items()
    }
    return [kind.replace("_", " ") for kind in columns], rows


def _step(words: str, value: float, whole: float, depth: int, kind: str) -> Step:
    share = value / whole if whole else 0.0
    return Step(words, text.count(value), svg.bar(share, series=kind), depth, kind)


def _real_steps(counts: Counts) -> list[Step]:
    whole = counts.read
    steps = [_step("read", whole, whole, 0, "whole")]
    steps += [_step(f"excluded: {why}", n, whole, 1, "gone") for why, n in counts.excluded.items()]
    if not counts.excluded:
        steps.append(_step("excluded", 0, whole, 1, "gone"))
    parts = [("training", counts.train), ("validation", counts.validation)]
    parts.append(("test (locked)", counts.test))
    steps += [_step(words, n, whole, 1, "rival") for words, n in parts if n]
    if counts.pool:
        steps.append(_step("not drawn, left in the pool", counts.pool, whole, 1, "control"))
    if counts.unlabelled:
        steps.append(_step("used without their labels", counts.unlabelled, whole, 1, "control"))
    return steps


def _generated_steps(counts: Counts) -> list[Step]:
    whole = counts.generated
    if not whole:
        return []
    steps = [_step("generated", whole, whole, 0, "whole")]
    steps.append(_step("kept", counts.kept, whole, 1, "generative"))
    reasons = sorted(counts.rejected.items(), key=lambda item: -item[1])
    return steps + [_step(_rejected(why), n, whole, 1, "gone") for why, n in reasons]


def _rejected(reason: str) -> str:
    """The filter, and what it rejects."""
    words = reason_words(reason)
    return f"rejected by {reason}: {words}" if words else f"rejected: {reason}"


def _lost(counts: Counts) -> list[str]:
    """Counts that do not add up are said aloud instead of being smoothed over."""
    told = []
    used = counts.train + counts.validation + counts.test + counts.pool + counts.unlabelled
    missing = counts.read - sum(counts.excluded.values()) - used
    if used and abs(missing) > 0.5:
        told.append(f"{text.count(abs(missing))} read images are not accounted for above")
    gap = counts.generated - counts.kept - sum(counts.rejected.values())
    if gap:
        told.append(f"{text.count(abs(gap))} generated images are not accounted for above")
    return told


@dataclass(frozen=True)
class CostRow:
    """One kind of stage; ``words`` say what it does."""

    cost: Cost
    words: str
    time: str
    cpu: str
    bar: Markup
    memory: str
    energy: str
    disk: str


@dataclass(frozen=True)
class Costs:
    """Every stage and the sum.

    ``at_least`` says that some of a killed attempt is not known; ``second_reading`` sets the
    primary pair against its cost.
    """

    rows: Sequence[CostRow]
    total: CostRow
    methods: Sequence[str]
    at_least: bool
    second_reading: str = ""


def costs(reading: Reading) -> Costs | None:
    """None before anything was measured."""
    found = reading.results.cost
    if not found:
        return None
    known = [c.energy_kwh for c in found if c.energy_kwh is not None]
    total = Cost(
        stage="all stages",
        tasks=sum(c.tasks for c in found),
        seconds=sum(c.seconds for c in found),
        cpu_seconds=sum(c.cpu_seconds for c in found),
        peak_memory_mib=max(c.peak_memory_mib for c in found),
        energy_kwh=sum(known) if known else None,
        disk_mib=sum(c.disk_mib for c in found),
        at_least=any(c.at_least for c in found),
    )
    longest = max(c.seconds for c in found) or 1.0
    methods = dict.fromkeys(c.energy_method for c in found if c.energy_method)
    partial = len(known) < len(found) and bool(known)
    notes = [*methods, *(["stages without an energy figure are not in the sum"] if partial else [])]
    rows = [_cost_row(c, longest) for c in found]
    return Costs(rows, _cost_row(total, 0), notes, total.at_least, _second_reading(reading))


def _second_reading(reading: Reading) -> str:
    """The primary pair at its cost, since equal steps are not equal effort."""
    verdict = reading.results.verdict
    arm, rival = (reading.arm(verdict.arm), reading.arm(verdict.rival)) if verdict else (None, None)
    if arm is None or rival is None or not rival.seconds:
        return ""
    times = (arm.seconds + arm.generation_seconds) / rival.seconds
    least = any(one.at_least for one in reading.results.cost)
    killed = " Some attempts were killed, and took more than is counted here." if least else ""
    names = reading.label(arm.name), reading.label(rival.name)
    plain, own, made = map(text.duration, (rival.seconds, arm.seconds, arm.generation_seconds))
    return (
        f"Second reading, at cost: '{names[1]}' took {plain} of training; '{names[0]}' took "
        f"{own}, and {made} for its synthetic images: {text.number(times, 1)} times as much. What "
        f"'{names[1]}' would gain from as much time was not measured; all arms train equally "
        f"many steps.{killed}"
    )


_STAGES = {
    "read": "reading and decoding the images",
    "inventory": "what becomes of each image",
    "pixels": "images at the training size",
    "masks": "masks at the training size",
    "overlap": "are further images in the data already?",
    "split": "who trains, validates, tests",
    "flip": "may images be mirrored?",
    "measure": "how fast is this machine?",
    "foretell": "are prompts read to their ends?",
    "fit": "training generators",
    "model": "training classifiers",
    "sample": "generating images",
    "judge": "filtering generated images",
    "predict": "classifying test images",
    "evaluate": "intervals and verdict",
    "copying": "are training images copied?",
    "quality": "how real images look",
    "membership": "do generators give away whom they saw?",
    "pictures": "pictures for this report",
    "retrieve": "real images from the unlabelled pool",
    "errors": "what the classifier gets wrong",
    "curate": "choosing among generated images",
    "check": "can the classifier's head be trained alone?",
}
"""What the stages that most studies have do; others are named alone."""


def _cost_row(cost: Cost, longest: float) -> CostRow:
    return CostRow(
        cost,
        _STAGES.get(cost.stage, ""),
        text.at_least(text.duration(cost.seconds), known=not cost.at_least),
        text.at_least(text.duration(cost.cpu_seconds), known=not cost.at_least),
        svg.bar(cost.seconds / longest, series="whole") if longest else Markup(""),
        text.memory(cost.peak_memory_mib),
        text.at_least(text.energy(cost.energy_kwh), known=not cost.at_least),
        text.memory(cost.disk_mib),
    )


def decisions(reading: Reading) -> list[tuple[str, str, str]]:
    """Name, value, reason of every recorded choice."""
    found = reading.results.decisions
    return [(d.name.replace("_", " "), _taken(d), d.reason) for d in found]


def _taken(decision: Decision) -> str:
    """The value for people; of filter strengths without what else was tried."""
    if decision.name.startswith("memorisation_gate") and not decision.value:
        return "no generator stopped"
    if not decision.name.startswith("filter_strengths"):
        return text.plain_value(decision.value)
    return "; ".join(
        f"{generator}: " + text.plain_value({one["filter"]: one["strength"] for one in chosen})
        for generator, chosen in decision.value.items()
    )


_DESIGNS = {
    "fixed": "fixed: one training set, one locked test set; the answer is for this training set",
    "redrawn": "re-drawn: several training sets from a larger pool, one locked test set; the "
    "answer is for training sets of this size, drawn from these images",
    "cross_validated": "cross-validated: every image is tested once per repeat by models that "
    "never saw it; the answer is for data like these",
}


def study_facts(reading: Reading) -> list[tuple[str, str]]:
    """How the study was made, as pairs for a definition list."""
    study = reading.results.study
    channels = "grey" if study.channels == 1 else "colour"
    size = f"{study.image_size} × {study.image_size} pixels, {channels}"
    if study.shrunk > 1.05:
        size += f", shrunk {study.shrunk:.1f} × from {study.original_size}"
    else:
        size += f"; original size {study.original_size}"
    return [
        ("source", study.source),
        ("classes", text.count(len(study.classes))),
        ("design", _DESIGNS[study.design]),
        ("classifier", f"{study.classifier}, {study.initialisation}"),
        ("image size", size),
        ("selection", study.selection),
        ("complete", "yes" if study.complete else "no: some planned models are missing"),
    ]


def environment(reading: Reading) -> list[tuple[str, str]]:
    """Seed, key and what the study ran on, nested records flattened."""
    study = reading.results.study
    pairs = [("seed", str(study.seed)), ("study key", study.key)]
    pairs += [("written", reading.results.created)]
    pairs += [("schema version", str(reading.results.schema_version))]
    for key, value in reading.results.environment.items():
        if isinstance(value, dict):
            pairs += [(f"{key}: {k}", text.plain_value(v)) for k, v in value.items()]
        else:
            pairs.append((key.replace("_", " "), text.plain_value(value)))
    return pairs
