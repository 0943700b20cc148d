"""What a job's command is: questions in plain words become options of ``synthlift``."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from synthlift.web.settings import Settings

Question = Literal["help", "classes"]
Budget = Literal["5m", "15m", "30m", "1h", "2h", "8h"]
BUDGETS: dict[Budget, str] = {
    "5m": "5 minutes – a first look",
    "15m": "15 minutes",
    "30m": "30 minutes – usual",
    "1h": "1 hour",
    "2h": "2 hours",
    "8h": "8 hours – over night",
}


@dataclass(frozen=True)
class Asked:
    """A question in plain words.

    Attributes:
        title: the question.
        meaning: what is compared to answer it.
        settings: of the study, where they differ from the usual ones.
    """

    title: str
    meaning: str
    settings: dict[str, Any]


_RIVALS = ["real", "augmented", "class_balanced", "logit_adjusted"]
QUESTIONS: dict[Question, Asked] = {
    "help": Asked(
        "Do generated images help my classifier?",
        "Compares training with and without generated images, and with the best that can be done "
        "without them.",
        {},
    ),
    "classes": Asked(
        "Which class needs help?",
        "Generates images of the rarer classes only, up to the largest one, and shows class by "
        "class what that changes.",
        {"arms": [*_RIVALS, {"kind": "targeted", "multiples": [1]}, "targeted_duplication"]},
    ),
}


def study_file_command(settings: Settings, *, file: Path, out: Path) -> list[str]:
    """A study of our own."""
    return ["run", str(file), *_common(settings, out)]


def study_command(
    settings: Settings, *, source: Path, out: Path, question: Question, budget: Budget
) -> list[str]:
    """A study of a folder."""
    changes = [f"{key}={json.dumps(value)}" for key, value in QUESTIONS[question].settings.items()]
    sets = [part for change in changes for part in ("--set", change)]
    return ["run", str(source), "--budget", budget, *sets, *_common(settings, out)]


def inspect_command(source: Path, page: Path) -> list[str]:
    """A look at a folder, with a page."""
    return ["inspect", str(source), "--out", str(page), "--json", "--quiet"]


def _common(settings: Settings, out: Path) -> list[str]:
    words = ["--out", str(out), "--device", settings.device, "--json", "--quiet"]
    if settings.store is not None:
        words += ["--store", str(settings.store)]
    if settings.workers is not None:
        words += ["--workers", str(settings.workers)]
    return words
