"""Jobs: how far they are, what they found, ending, resuming and deleting them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flask import Response, send_file, url_for

from synthlift.api.keeping import delete, status
from synthlift.api.run_folder import REPORT
from synthlift.errors import InputError
from synthlift.study.folder import STUDY, TRAINING
from synthlift.web.context import Context, context
from synthlift.web.errors import MissingError
from synthlift.web.jobs.commands import shown
from synthlift.web.jobs.leavings import LOOKS, delete_files, require_pictures
from synthlift.web.jobs.live import curves_of, sheets_of, stages_of
from synthlift.web.jobs.parts import BETWEEN, other_part
from synthlift.web.jobs.table import Job
from synthlift.web.library import id_of
from synthlift.web.looks import said_by, seen_in
from synthlift.web.operations import Operation
from synthlift.web.questions import QUESTIONS, Choices, Seen, obstacle
from synthlift.web.queues import client, require_place
from synthlift.web.study_schemas import (
    Deleted,
    Forecast,
    Found,
    JobFacts,
    JobList,
    Live,
    OtherStudy,
    Progress,
    Sheet,
    TaskFacts,
)

PAGE = "inspect.html"


def job_facts(job: Job) -> JobFacts:
    """A job as clients see it: no path."""
    is_run = job.kind not in LOOKS
    done = job.state == "done"
    cancelling = job.cancel and job.state == "running"
    here = context()
    said = said_by(here, job) if done and not is_run else {}
    title, _, part = job.title.partition(BETWEEN)
    other = other_part(job, here.jobs.all()) if part else None
    return JobFacts(
        id=job.id,
        kind=job.kind,
        title=title,
        part=part,
        state="cancelling" if cancelling else job.state,
        created=job.created,
        started=job.started,
        ended=job.ended,
        goes_on=_goes_on(here, job),
        error=here.places.hidden(job.error),
        command=shown(job.command),
        progress=_progress(job) if is_run and job.state == "running" else None,
        page=_page(job),
        run=id_of(job.folder.resolve()) if is_run and done else "",
        other=None
        if other is None
        else OtherStudy(id=other.id, part=_part(other), state=other.state),
        answer=_answer(job, other),
        found=_found(said) if job.kind == "inspect" else None,
        forecast=_forecast(said) if job.kind == "plan" else None,
    )


def _part(job: Job) -> str:
    return job.title.partition(BETWEEN)[2]


def _answer(job: Job, other: Job | None) -> str:
    """Where two studies of one question answer it together, "" until both are done."""
    if other is None or (job.state, other.state) != ("done", "done"):
        return ""
    both = sorted((job, other), key=lambda one: one.created)
    return url_for("pages.compare", run=[id_of(one.folder.resolve()) for one in both])


def answer_with_other(folder: Path) -> str:
    """Where a run answers a question together with another one, "" where it does not."""
    jobs = context().jobs.all()
    own = [one for one in jobs if one.kind == "study" and one.folder.resolve() == folder.resolve()]
    return next((_answer(one, other_part(one, jobs)) for one in own), "")


def _goes_on(here: Context, job: Job) -> bool:
    if job.state not in ("failed", "cancelled"):
        return False
    try:
        require_pictures(job, here.settings)
    except InputError:
        return False
    return True


def _page(job: Job) -> str:
    """Where its page is, "" without one; another address whenever it was written anew."""
    try:
        changed = (job.folder / (PAGE if job.kind in LOOKS else REPORT)).stat().st_mtime_ns
    except OSError:
        return ""
    return url_for("pages.job_page", job=job.id, at=f"{changed:x}")


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


def _found(said: dict[str, Any]) -> Found | None:
    seen = seen_in(said)
    if seen is None:
        return None
    return Found(
        images=said["read"],
        usable=said["usable"],
        classes=dict(seen.classes),
        warnings=list(said["findings"]["warnings"]),
        smallest_effect=seen.smallest_effect,
        obstacles=_obstacles(seen),
    )


def _obstacles(seen: Seen) -> dict[str, str]:
    """Questions that what was seen forbids; what is chosen beside it is seen on the page."""
    asked = (name for name in QUESTIONS if name not in ("group", "pool"))
    return {name: why for name in asked if (why := obstacle(name, Choices(), seen))}


def _forecast(said: dict[str, Any]) -> Forecast | None:
    seen = seen_in(said)
    if seen is None:
        return None
    try:
        return Forecast(
            seconds=said["seconds"],
            disk_bytes=said["disk_bytes"],
            disk_bytes_about=said.get("disk_bytes_about"),
            design=said["design"].replace("_", "-"),
            image_size=said["image_size"],
            arms=said["arms"],
            replicates=said["replicates"],
            generator_fits=said["generator_fits"],
            smallest_effect=said["minimal_detectable_effect"],
            warnings=said["warnings"],
            reasons=[one["reason"] for one in said["decisions"].values() if one["reason"]],
            obstacles=_obstacles(seen),
        )
    except (KeyError, TypeError, AttributeError):
        return None


def require_room(here: Context) -> None:
    """Refuse another job where as many wait as may.

    Raises:
        BusyError: they do.
    """
    queued = {job.id for job in here.jobs.all() if job.state == "queued"}
    here.askers = {job: who for job, who in here.askers.items() if job in queued}
    own = sum(who == client() for who in here.askers.values())
    most = here.settings.queued_jobs
    require_place("jobs that wait", taken=len(queued), own=own, most=most)


def asked_now(here: Context, job: Job) -> Job:
    """Note who asked for a job, as long as it waits."""
    here.askers[job.id] = client()
    return job


def list_jobs() -> JobList:
    """All jobs but forecasts, which are answers and no work to come back to."""
    return JobList(jobs=[job_facts(job) for job in context().jobs.all() if job.kind != "plan"])


def get_job(job: str) -> JobFacts:
    """One job."""
    return job_facts(context().jobs.get(job))


def get_live(job: str) -> Live:
    """What a study shows while it runs."""
    folder = context().jobs.get(job).folder
    sheets = [
        Sheet(
            generator=one.generator,
            fit=one.fit,
            step=one.step,
            url=url_for(
                "api.training_sheet", job=job, generator=one.generator, fit=one.fit, step=one.step
            ),
        )
        for one in sheets_of(folder / TRAINING)
    ]
    return Live(stages=stages_of(folder), sheets=sheets, curves=curves_of(folder / TRAINING))


def training_sheet(job: str, generator: str, fit: int, step: int) -> Response:
    """What a generator drew while it trained."""
    folder = context().jobs.get(job).folder / TRAINING
    for one in sheets_of(folder):
        if (one.generator, one.fit, one.step) == (generator, fit, step):
            return send_file(one.path, mimetype="image/png")
    raise MissingError(job)


def cancel_job(job: str) -> JobFacts:
    """End a job."""
    here = context()
    here.jobs.ask_to_end(here.jobs.get(job).id)
    return job_facts(here.jobs.get(job))


def resume_job(job: str) -> JobFacts:
    """Go on with a cancelled or failed job."""
    here = context()
    require_room(here)
    require_pictures(found := here.jobs.get(job), here.settings)
    here.jobs.resume(found.id)
    return job_facts(asked_now(here, here.jobs.get(job)))


def delete_job(job: str) -> Deleted:
    """Delete a job with everything that it wrote; its run is gone from then on."""
    here = context()
    found = here.jobs.get(job)
    if any(one.state == "running" and one.kind not in LOOKS for one in here.jobs.all()):
        raise InputError(
            "a study is running",
            rule="results may be shared between studies, so that nothing is deleted meanwhile",
            remedy="stop it, or wait until it is done",
        )
    if not here.jobs.delete(found.id):
        raise InputError("this runs", rule="what runs is not deleted", remedy="stop it first")
    run = [delete(found.folder)] if (found.folder / STUDY).is_file() else []
    gone = [*run, delete_files(here.settings, found)]
    here.library.forget()
    results, size = sum(one.results for one in gone), sum(one.bytes for one in gone)
    return Deleted(id=found.id, results=results, bytes=size)


def _post(rule: str, view: Any, summary: str) -> Operation:
    return Operation("POST", rule, view, summary, answer=JobFacts, status=202, costly=True)


OPERATIONS = [
    Operation("GET", "/jobs", list_jobs, "List studies and inspections.", answer=JobList),
    Operation("GET", "/jobs/<job>", get_job, "Say how far a job is.", answer=JobFacts),
    Operation(
        "GET",
        "/jobs/<job>/live",
        get_live,
        "Say what a study shows while it runs: finished stages, sheets of samples, curves.",
        answer=Live,
    ),
    Operation(
        "GET",
        "/jobs/<job>/sheets/<generator>/<int:fit>/<int:step>",
        training_sheet,
        "Get what a generator drew at a step of its training.",
        answer="image/png",
    ),
    _post("/jobs/<job>/cancel", cancel_job, "End a job; what is finished is kept."),
    _post("/jobs/<job>/resume", resume_job, "Go on with a cancelled or failed job."),
    Operation(
        "DELETE",
        "/jobs/<job>",
        delete_job,
        "Delete a study or an inspection with all its files.",
        answer=Deleted,
        costly=True,
    ),
]
