"""Questions in plain words, the studies that answer them, and when the data cannot answer one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from synthlift.web.pools import LISTED

Question = Literal["help", "classes", "group", "label", "pool"]
Budget = Literal["5m", "15m", "30m", "1h", "2h", "8h"]
BUDGETS: dict[Budget, str] = {
    "5m": "5 minutes – a first look",
    "15m": "15 minutes",
    "30m": "30 minutes – usual",
    "1h": "1 hour",
    "2h": "2 hours",
    "8h": "8 hours – over night",
}
DERIVED = {
    "brightness": "how bright the picture is",
    "sharpness": "how sharp the picture is",
    "background": "the colour of its background",
    "size": "how large the original is",
}
"""Groups that can be read off the pictures where no table names any."""
FEWEST_LABELLED = 20
"""Pictures of the smallest class, below which half of them is no training set."""
NEARLY_EQUAL = 1.2
"""Largest class over smallest, below which no class is the rare one."""
RIVALS = ["real", "augmented", "class_balanced", "logit_adjusted"]
Settings = dict[str, Any]


@dataclass(frozen=True)
class Choices:
    """What was chosen beside the question.

    Attributes:
        table: joined to the pictures.
        group: its column with what must not be torn apart; "" = none.
        attributes: its columns that are kept for subgroups.
        attribute: of the question about groups; "" = none.
        derived: whether that is read off the pictures, see :data:`DERIVED`, and no column.
        pool: a table of the pictures of a pool.
    """

    table: Path | None = None
    group: str = ""
    attributes: tuple[str, ...] = ()
    attribute: str = ""
    derived: bool = False
    pool: Path | None = None


@dataclass(frozen=True)
class Seen:
    """What a look at the pictures found, as far as questions depend on it.

    Attributes:
        classes: pictures of each class.
        smallest_effect: difference of the main figure that a study would find, 0–1; None = unknown.
        problem: why nothing can be studied; "" = nothing stands in the way.
    """

    classes: Mapping[str, int]
    smallest_effect: float | None = None
    problem: str = ""


@dataclass(frozen=True)
class Part:
    """One of the studies that answer a question.

    Attributes:
        title: what it is beside the others; "" where it is the only one.
        settings: of the study, where they differ from the usual ones.
    """

    title: str
    settings: Settings


@dataclass(frozen=True)
class Asked:
    """A question.

    Attributes:
        title: in plain words.
        meaning: what is compared to answer it, and what the answer does not say.
        parts: the studies.
        obstacle: why it cannot be answered with what was seen; "" = it can.
        looks: whether the pictures must have been looked at to know that.
    """

    title: str
    meaning: str
    parts: Callable[[Choices], list[Part]]
    obstacle: Callable[[Choices, Seen | None], str]
    looks: bool = False


def _usual(_choices: Choices) -> list[Part]:
    return [Part("", {})]


def _classes(_choices: Choices) -> list[Part]:
    arms = [*RIVALS, {"kind": "targeted", "multiples": [1]}, "targeted_duplication"]
    return [Part("", {"arms": arms})]


def _group(choices: Choices) -> list[Part]:
    name = choices.attribute
    target = {"cells": ["label", name], "fill_to": "largest"}
    return [
        Part(
            "",
            {
                "data.split.stratify": [name],
                "generators": [{"kind": "flow", "attributes": [name]}],
                "arms": [
                    *RIVALS,
                    {"kind": "mixed", "multiples": [1]},
                    {"kind": "targeted", "multiples": [1], "target": target},
                ],
            },
        )
    ]


def _label(_choices: Choices) -> list[Part]:
    arms = [*RIVALS, {"kind": "mixed", "multiples": [1]}]
    return [
        Part(title, {"data.split.fraction": share, "arms": arms})
        for title, share in (("half of the labels", 0.5), ("all labels", 1.0))
    ]


def _pool(choices: Choices) -> list[Part]:
    pool = {
        "kind": "pool",
        "source": str(choices.pool),
        "label": LISTED[1],
        "reserved": 0,
    }
    arms = [*RIVALS, {"kind": "mixed", "multiples": [1]}, {"kind": "targeted", "multiples": [1]}]
    return [Part("", {"generators": [pool], "arms": arms})]


# ── what stands in the way ────────────────────────────────────────────────────────────────────


def _never(_choices: Choices, _seen: Seen | None) -> str:
    return ""


def _no_rare_class(_choices: Choices, seen: Seen | None) -> str:
    if seen is None or not seen.classes:
        return ""
    largest, smallest = max(seen.classes.values()), min(seen.classes.values())
    if largest >= NEARLY_EQUAL * smallest:
        return ""
    return (
        f"Your classes have nearly equal numbers of pictures ({smallest:,} to {largest:,}): none "
        "is the rare one that could be filled up. Ask the first question: its report shows every "
        "class."
    )


def _no_group(choices: Choices, _seen: Seen | None) -> str:
    if choices.attribute:
        return ""
    return (
        "Nothing says yet which group a picture belongs to. Choose a column of your table under "
        "“The group”, or something that can be read off the pictures, such as their brightness."
    )


def _too_few_labels(_choices: Choices, seen: Seen | None) -> str:
    if seen is None or not seen.classes:
        return ""
    name = min(seen.classes, key=lambda one: seen.classes[one])
    if seen.classes[name] >= FEWEST_LABELLED:
        return ""
    return (
        f"Class {name} has {seen.classes[name]:,} pictures. Learning from half of them and testing "
        f"on others needs at least {FEWEST_LABELLED}. Label more of it first, that much is sure."
    )


def _no_pool(choices: Choices, _seen: Seen | None) -> str:
    if choices.pool is not None:
        return ""
    return "There is no pool to test. Make one on the page “Chain”: draw pictures and keep some."


QUESTIONS: dict[Question, Asked] = {
    "help": Asked(
        "Do generated images help my classifier?",
        "Compares training with and without generated images, and with the best that can be done "
        "without them.",
        _usual,
        _never,
    ),
    "classes": Asked(
        "Which class needs help?",
        "Generates images of the rarer classes only, up to the largest one, and shows class by "
        "class what that changes.",
        _classes,
        _no_rare_class,
        looks=True,
    ),
    "group": Asked(
        "Does my model fail on a group?",
        "Shows how well each group of pictures is recognised – of one age, device or brightness – "
        "and whether images generated for the weaker groups change it. It says which group fares "
        "worse, not why.",
        _group,
        _no_group,
    ),
    "label": Asked(
        "Label more, or generate?",
        "Runs two studies on the same test pictures, with half of your labels and with all of "
        "them. Side by side they show what twice as many labels brought, and what generating "
        "brought instead. They say what doubling did, not what the next doubling will do; the "
        "second study counts as exploratory, since the first has opened the test set.",
        _label,
        _too_few_labels,
        looks=True,
    ),
    "pool": Asked(
        "Do the pictures of my pool help?",
        "Takes generated pictures that you chose yourself instead of drawing new ones, and "
        "compares training with and without them.",
        _pool,
        _no_pool,
    ),
}


def obstacle(question: Question, choices: Choices, seen: Seen | None) -> str:
    """Why a question cannot be answered with this data; "" where it can.

    Args:
        question: which.
        choices: what was chosen beside it.
        seen: what a look at the pictures found; None = nobody has looked.
    """
    if seen is not None and seen.problem:
        return seen.problem
    return QUESTIONS[question].obstacle(choices, seen)
