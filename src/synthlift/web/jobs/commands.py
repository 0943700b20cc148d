"""What a job's command is: a question, a data set and choices become words of ``synthlift``."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from synthlift.spec.yaml12 import as_json
from synthlift.web.questions import QUESTIONS, Budget, Choices, Part, Question
from synthlift.web.settings import Settings

WITH_VALUE = frozenset(("--out", "--store", "--device", "--workers"))
ALONE = frozenset(("--json", "--quiet"))
"""Options that say nothing of a study, or too much of the server."""
_TABLE = "data.metadata="
_PLACE = re.compile(r'"(?:/|[A-Za-z]:\\\\)(?:[^"\\]|\\.)*[/\\](?:[^"\\/]|\\.)+"')
"""A JSON string with a path that names more than the top."""


def study_file_command(settings: Settings, *, file: Path, out: Path) -> list[str]:
    """A study of our own."""
    return ["run", str(file), *_common(settings, out)]


def parts_of(question: Question, choices: Choices) -> list[Part]:
    """The studies that answer a question, one after the other."""
    data = _data_settings(choices)
    return [
        replace(part, settings={**data, **part.settings})
        for part in QUESTIONS[question].parts(choices)
    ]


def study_command(
    settings: Settings, *, source: Path, out: Path, part: Part, budget: str
) -> list[str]:
    """A study of a folder."""
    return ["run", *_asked(source, part, budget), *_common(settings, out)]


def forecast_command(
    settings: Settings, *, source: Path, out: Path, part: Part, budget: str
) -> list[str]:
    """What that study would take."""
    return ["plan", *_asked(source, part, budget), *_common(settings, out)]


def inspect_command(source: Path, page: Path, choices: Choices) -> list[str]:
    """A look at a folder, with a page."""
    sets = _sets(_data_settings(choices))
    return ["inspect", str(source), *sets, "--out", str(page), "--json", "--quiet"]


def table_setting(choices: Choices) -> str:
    """The word of a command that joins the chosen table; "" = there is none."""
    return f"{_TABLE}{as_json(str(choices.table))}" if choices.table else ""


def table_of(command: Sequence[str]) -> str:
    """That word of a command."""
    return next((word for word in command if word.startswith(_TABLE)), "")


def share_of(budget: Budget, parts: int) -> str:
    """The time of each of several studies that share a budget."""
    if parts == 1:
        return budget
    seconds = int(budget[:-1]) * {"m": 60, "h": 3600}[budget[-1]]
    return f"{seconds // parts}s"


def shown(command: Sequence[str]) -> str:
    """A command for people: without the places of this server."""
    words, told = iter(command), []
    for word in words:
        if word in WITH_VALUE:
            next(words)
        elif word not in ALONE:
            told.append(word)
    if len(told) > 1:  # a study file of our own, or the place of somebody's pictures
        told[1] = Path(told[1]).name if told[1].endswith(".yaml") else "PICTURES"
    plain = (_without_places(word) for word in told)
    return " ".join(("synthlift", *(shlex.quote(word) for word in plain)))


def _without_places(word: str) -> str:
    return _PLACE.sub(lambda found: as_json(f"…/{Path(json.loads(found[0])).name}"), word)


def _asked(source: Path, part: Part, budget: str) -> list[str]:
    return [str(source), "--budget", budget, *_sets(part.settings)]


def _sets(settings: Mapping[str, Any]) -> list[str]:
    # Never as options of their own: a column may be called like one.
    changes = [f"{key}={as_json(value)}" for key, value in settings.items()]
    return [word for change in changes for word in ("--set", change)]


def _data_settings(choices: Choices) -> dict[str, Any]:
    """Keys of ``data:`` that the choices stand for."""
    asked = [] if choices.derived else [choices.attribute]
    columns = [name for name in dict.fromkeys((*choices.attributes, *asked)) if name]
    found: dict[str, Any] = {
        "data.metadata": str(choices.table) if choices.table else None,
        "data.group": choices.group or None,
        "data.attributes": columns or None,
        "data.derived": [choices.attribute] if choices.derived else None,
    }
    return {key: value for key, value in found.items() if value is not None}


def _common(settings: Settings, out: Path) -> list[str]:
    words = ["--out", str(out), "--device", settings.device, "--json", "--quiet"]
    if settings.store is not None:
        words += ["--store", str(settings.store)]
    if settings.workers is not None:
        words += ["--workers", str(settings.workers)]
    return words
