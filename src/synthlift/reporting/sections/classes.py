"""Classes: who gained, who lost, and what is taken for what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from synthlift.reporting import plots, svg, text
from synthlift.reporting.reading import Reading
from synthlift.reporting.sections.compared import Compared, compare, scale_of
from synthlift.spec.results import ArmResult, ClassVerdict


@dataclass(frozen=True)
class Row:
    """One class: what both arms do on it, and what it was trained on."""

    compared: Compared
    train: str
    train_sort: float
    synthetic: str


@dataclass(frozen=True)
class View:
    """The per-class chart with its numbers."""

    rows: Sequence[Row]
    axis: Markup
    too_small: int
    words: Sequence[tuple[str, int]]


def view(reading: Reading) -> View | None:
    """Per-class recall, generative arm against rival; None before the verdict."""
    found = reading.results.classes
    if not found or reading.state == "live":
        return None
    scale = scale_of(found)
    ordered = sorted(found, key=lambda c: (c.train_images, c.name))
    words = [text.VERDICT_WORDS[c.word] for c in found]
    known = [w for w in text.VERDICT_WORDS.values() if w in words]
    return View(
        rows=[_row(reading, item, scale) for item in ordered],
        axis=svg.axis_row(scale),
        too_small=sum(item.contrast is None for item in found),
        words=[(word, words.count(word)) for word in known],
    )


def _row(reading: Reading, item: ClassVerdict, scale: svg.Scale) -> Row:
    name = reading.display(item.name)
    return Row(
        compared=compare(reading, item, scale, name=name, metric="recall"),
        train=text.count(item.train_images),
        train_sort=item.train_images,
        synthetic=text.count(item.synthetic_images),
    )


@dataclass(frozen=True)
class Matrix:
    """One arm's confusion matrix, drawn and as counts."""

    title: str
    drawing: Markup
    counts: Sequence[tuple[str, Sequence[int]]]


@dataclass(frozen=True)
class Confusions:
    """Two matrices side by side and the most frequent confusions of either."""

    classes: Sequence[str]
    matrices: Sequence[Matrix]
    columns: Sequence[str]
    frequent: Sequence[tuple[str, str, Sequence[str]]]


def confusions(reading: Reading) -> Confusions | None:
    """Rival and generative arm of the verdict (else the first two arms that have a matrix)."""
    verdict = reading.results.verdict
    wanted = [verdict.rival, verdict.arm] if verdict else [a.name for a in reading.arms]
    size = len(reading.results.study.classes)
    arms = [a for name in wanted if (a := reading.arm(name)) and len(a.confusion) == size][:2]
    if not arms or reading.state == "live":
        return None
    classes = reading.displays(reading.results.study.classes)
    return Confusions(
        classes=classes,
        matrices=[_matrix(arm, reading.label(arm.name), classes) for arm in arms],
        columns=[reading.label(arm.name) for arm in arms],
        frequent=_frequent(arms, classes),
    )


def _matrix(arm: ArmResult, name: str, classes: Sequence[str]) -> Matrix:
    total = sum(map(sum, arm.confusion))
    title = f"{name} ({arm.role}), {text.plural(total, 'prediction')}"
    described = f"Confusion matrix of {name}: rows are true classes. Counts in the table below."
    drawing = plots.confusion(arm.confusion, classes, description=described)
    return Matrix(title, drawing, list(zip(classes, arm.confusion, strict=True)))


def _frequent(
    arms: Sequence[ArmResult], classes: Sequence[str], *, most: int = 8
) -> list[tuple[str, str, list[str]]]:
    size = len(classes)
    pairs = [(i, j) for i in range(size) for j in range(size) if i != j]
    share = {p: max(_share(arm, *p) for arm in arms) for p in pairs}
    worst = sorted((p for p in pairs if share[p] > 0), key=lambda p: (-share[p], p))[:most]
    return [(classes[i], classes[j], [_of(arm, i, j) for arm in arms]) for i, j in worst]


def _share(arm: ArmResult, row: int, column: int) -> float:
    total = sum(arm.confusion[row])
    return arm.confusion[row][column] / total if total else 0.0


def _of(arm: ArmResult, row: int, column: int) -> str:
    total = sum(arm.confusion[row])
    share = text.percent(_share(arm, row, column))
    return f"{share} ({arm.confusion[row][column]:,} of {total:,})"
