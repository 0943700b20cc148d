"""Data sets, inspections and studies."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from flask import request, url_for

from synthlift.api.keeping import status
from synthlift.api.run_folder import REPORT
from synthlift.api.sources import study_name
from synthlift.errors import InputError
from synthlift.web.context import Context, context
from synthlift.web.datasets import DataSet
from synthlift.web.errors import BusyError
from synthlift.web.jobs.commands import inspect_command, study_command
from synthlift.web.jobs.table import Job
from synthlift.web.library import id_of
from synthlift.web.operations import Operation
from synthlift.web.schemas import (
    DataFacts,
    DataList,
    Found,
    InspectRequest,
    JobFacts,
    JobList,
    Progress,
    StudyRequest,
    TaskFacts,
)

PAGE = "inspect.html"


# ── data sets ─────────────────────────────────────────────────────────────────────────────────


def _data_facts(one: DataSet) -> DataFacts:
    return DataFacts(id=one.id, name=one.name, kind=one.kind, until=one.until)


def list_data() -> DataList:
    """Data sets that may be studied."""
    return DataList(data=[_data_facts(one) for one in context().data.all()])


def upload_data() -> DataFacts:
    """Unpack a zip."""
    given = request.files.get("archive")
    if given is None:
        raise InputError("no file", rule="a zip is sent as 'archive'", remedy="choose one")
    return _data_facts(context().data.take_in(given.stream, called=given.filename or ""))


def delete_data(data: str) -> DataList:
    """Delete an upload."""
    here = context()
    if any(job.data == data and job.state in ("queued", "running") for job in here.jobs.all()):
        raise InputError(
            "a study is reading this upload",
            rule="what a running study needs is kept",
            remedy="cancel the study first",
        )
    here.data.delete(data)
    return list_data()


# ── jobs ──────────────────────────────────────────────────────────────────────────────────────


def job_facts(job: Job) -> JobFacts:
    """A job as clients see it: no path, no command."""
    is_run = job.kind != "inspect"
    page = job.folder / (REPORT if is_run else PAGE)
    done = job.state == "done"
    cancelling = job.cancel and job.state == "running"
    return JobFacts(
        id=job.id,
        kind=job.kind,
        title=job.title,
        state="cancelling" if cancelling else job.state,
        created=job.created,
        started=job.started,
        ended=job.ended,
        error=job.error,
        progress=_progress(job) if is_run and job.state == "running" else None,
        page=url_for("pages.job_page", job=job.id) if page.is_file() else "",
        run=id_of(job.folder.resolve()) if is_run and done else "",
        found=_found(context().settings.job_logs / job.id) if done and not is_run else None,
    )


def _progress(job: Job) -> Progress:
    try:
        found = status(job.folder)
    except InputError:  # the command has not made its folder yet
        return Progress(label="", done=None, total=None, seconds=None, seconds_left=None, tasks=[])
    return Progress(
        label=found.label,
        done=found.done,
        total=found.total,
        seconds=found.seconds,
        seconds_left=found.seconds_left,
        tasks=[
            TaskFacts(label=str(one["label"]), done=int(one["done"]), total=int(one["total"]))
            for one in found.tasks
        ],
    )


def _found(folder: Path) -> Found | None:
    try:
        said: dict[str, Any] = json.loads((folder / "stdout").read_text(encoding="utf-8"))
        return Found(
            images=said["read"],
            usable=said["usable"],
            classes={one["name"]: one["images"] for one in said["classes"]},
            warnings=list(said["findings"]["warnings"]),
        )
    except (OSError, ValueError, KeyError):
        return None


def _room(here: Context) -> None:
    if here.jobs.count("queued") >= here.settings.queued_jobs:
        raise BusyError(f"{here.settings.queued_jobs} jobs are waiting already")


def start_inspection(body: InspectRequest) -> JobFacts:
    """Look at a data set."""
    here = context()
    _room(here)
    data = here.data.get(body.data)
    folder = _new_folder(here.settings.home / "inspections", data.name)
    folder.mkdir(parents=True)
    command = inspect_command(data.path, folder / PAGE)
    return job_facts(
        here.jobs.add(kind="inspect", title=data.name, command=command, folder=folder, data=data.id)
    )


def start_study(body: StudyRequest) -> JobFacts:
    """Study a data set."""
    here = context()
    _room(here)
    data = here.data.get(body.data)
    out = _new_folder(here.settings.own_runs, data.name)
    command = study_command(
        here.settings, source=data.path, out=out, question=body.question, budget=body.budget
    )
    return job_facts(
        here.jobs.add(kind="study", title=data.name, command=command, folder=out, data=data.id)
    )


def _new_folder(place: Path, name: str) -> Path:
    """A folder that is not there yet and that no job was promised."""
    taken = {job.folder for job in context().jobs.all()}
    title = re.sub(r"\s+", "-", study_name(name.replace("/", "-")))
    number = 1
    while (found := place / f"{title}-{number}") in taken or found.exists():
        number += 1
    return found


def list_jobs() -> JobList:
    """All jobs."""
    return JobList(jobs=[job_facts(job) for job in context().jobs.all()])


def get_job(job: str) -> JobFacts:
    """One job."""
    return job_facts(context().jobs.get(job))


def cancel_job(job: str) -> JobFacts:
    """End a job."""
    here = context()
    here.jobs.ask_to_end(here.jobs.get(job).id)
    return job_facts(here.jobs.get(job))


def resume_job(job: str) -> JobFacts:
    """Go on with a cancelled or failed job."""
    here = context()
    _room(here)
    here.jobs.resume(here.jobs.get(job).id)
    return job_facts(here.jobs.get(job))


def _post(rule: str, view: Any, summary: str, body: Any = None) -> Operation:
    return Operation(
        "POST", rule, view, summary, body=body, answer=JobFacts, status=202, costly=True
    )


OPERATIONS = [
    Operation("GET", "/data", list_data, "List data sets that may be studied.", answer=DataList),
    Operation(
        "POST",
        "/data",
        upload_data,
        "Upload a zip with one folder a class.",
        form={"archive": {"type": "string", "format": "binary"}},
        answer=DataFacts,
        status=201,
        costly=True,
    ),
    Operation("DELETE", "/data/<data>", delete_data, "Delete an upload.", answer=DataList),
    _post("/inspections", start_inspection, "Look at a data set.", InspectRequest),
    _post("/studies", start_study, "Start a study of a data set.", StudyRequest),
    Operation("GET", "/jobs", list_jobs, "List studies and inspections.", answer=JobList),
    Operation("GET", "/jobs/<job>", get_job, "Say how far a job is.", answer=JobFacts),
    _post("/jobs/<job>/cancel", cancel_job, "End a job; what is finished is kept."),
    _post("/jobs/<job>/resume", resume_job, "Go on with a cancelled or failed job."),
]
