"""Starting work on a data set: a look at it, what a study would take, and studies."""

from __future__ import annotations

import re
from collections.abc import Callable, Set
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

from synthlift.api.sources import study_name
from synthlift.errors import InputError
from synthlift.web.context import context
from synthlift.web.datasets import DataSet
from synthlift.web.endpoints.data import choices_of
from synthlift.web.endpoints.jobs import PAGE, asked_now, job_facts, require_room
from synthlift.web.jobs.commands import (
    forecast_command,
    inspect_command,
    parts_of,
    share_of,
    study_command,
)
from synthlift.web.jobs.parts import BETWEEN
from synthlift.web.jobs.table import Job
from synthlift.web.looks import last_look
from synthlift.web.operations import Operation
from synthlift.web.questions import DERIVED, QUESTIONS, Choices, Part, obstacle
from synthlift.web.study_schemas import InspectRequest, JobFacts, StudyRequest


def start_inspection(body: InspectRequest) -> JobFacts:
    """Look at a data set."""
    here = context()
    require_room(here)
    choices = choices_of(body)
    data = here.data.get(body.data)
    place = _in_new_folder(here.settings.home / "inspections", data.name)

    def command(folder: Path) -> list[str]:
        folder.mkdir(parents=True)
        return inspect_command(data.path, folder / PAGE, choices)

    job = here.jobs.add_new(
        kind="inspect", title=data.name, place=place, command=command, data=data.id
    )
    return job_facts(asked_now(here, job))


def start_forecast(body: StudyRequest) -> JobFacts:
    """What the first study of a question would take."""
    here = context()
    data, parts, budget = _asked(body)
    out = here.settings.home / "forecasts" / "none"
    command = forecast_command(
        here.settings, source=data.path, out=out, part=parts[-1], budget=budget
    )
    job = here.jobs.add(kind="plan", title=data.name, command=command, folder=out, data=data.id)
    return job_facts(asked_now(here, job))


def start_study(body: StudyRequest) -> JobFacts:
    """Study a data set; where a question takes several studies, the first is told.

    Raises:
        InputError: the pictures cannot answer the question, or nobody knows yet whether they can.
    """
    data, parts, budget = _asked(body, looked=QUESTIONS[body.question].looks)
    started = [_start_part(data, part, budget) for part in parts]
    return job_facts(started[0])


def _start_part(data: DataSet, part: Part, budget: str) -> Job:
    here, words = context(), [said for said in (data.name, part.title) if said]

    def command(out: Path) -> list[str]:
        return study_command(here.settings, source=data.path, out=out, part=part, budget=budget)

    job = here.jobs.add_new(
        kind="study",
        title=BETWEEN.join(words),
        place=_in_new_folder(here.settings.own_runs, " ".join(words)),
        command=command,
        data=data.id,
    )
    return asked_now(here, job)


def _asked(body: StudyRequest, *, looked: bool = False) -> tuple[DataSet, list[Part], str]:
    """The data set, the studies that answer the question, and the time for each.

    Raises:
        BusyError: too many jobs wait.
        InputError: see :func:`_all_choices`.
    """
    here = context()
    require_room(here)
    data = here.data.get(body.data)
    parts = parts_of(body.question, _all_choices(body, data, looked=looked))
    return data, parts, share_of(body.budget, len(parts))


def _all_choices(body: StudyRequest, data: DataSet, *, looked: bool) -> Choices:
    """Everything that was chosen, checked against what was seen of the pictures.

    Args:
        body: what is asked.
        data: of what.
        looked: whether somebody must have looked at the pictures.

    Raises:
        InputError: something that the question needs was not chosen, is not there or not seen yet.
    """
    if body.derived and body.attribute not in DERIVED:
        raise InputError(
            "nothing of that name can be read off the pictures",
            rule="these can: " + ", ".join(DERIVED),
            remedy="choose one of them",
        )
    if body.attribute and not (body.derived or body.table):
        raise InputError(
            "a column was chosen, but no table",
            rule="groups are columns of a table beside the pictures, or read off the pictures",
            remedy="choose the table, too",
        )
    choices = replace(choices_of(body), attribute=body.attribute, derived=body.derived)
    if body.pool is not None:
        pool = context().pools.get(body.pool)
        if not pool.images:
            raise InputError(
                "the pool is empty", rule="a pool holds pictures", remedy="keep some first"
            )
        choices = replace(choices, pool=context().pools.listed(pool.id))
    seen = last_look(context(), data, choices)
    if looked and seen is None:
        raise InputError(
            "nobody has looked at these pictures, as they are now",
            rule="whether they can answer this question is known when they were looked at",
            remedy="look at them first, or ask what the study would take",
        )
    # A problem goes by what belonged together in that look; if it still holds, the study says so.
    why = obstacle(body.question, choices, seen and replace(seen, problem=""))
    if why:
        raise InputError(
            why.split(". ")[0].rstrip("."),
            rule="the question needs it",
            remedy=why.partition(". ")[2] or "choose it, or ask another question",
        )
    return choices


def _in_new_folder(place: Path, name: str) -> Callable[[Set[Path]], Path]:
    """Chooses a folder that is not there yet and that no job was promised."""
    title = re.sub(r"\s+", "-", study_name(name.replace("/", "-")))

    def choose(taken: Set[Path]) -> Path:
        numbered = (place / f"{title}-{number}" for number in count(1))
        return next(one for one in numbered if one not in taken and not one.exists())

    return choose


def _post(rule: str, view: Any, summary: str, body: Any = None) -> Operation:
    return Operation(
        "POST", rule, view, summary, body=body, answer=JobFacts, status=202, costly=True
    )


OPERATIONS = [
    _post("/inspections", start_inspection, "Look at a data set.", InspectRequest),
    _post("/forecasts", start_forecast, "Say what a study would do and take.", StudyRequest),
    _post("/studies", start_study, "Start a study of a data set.", StudyRequest),
]
