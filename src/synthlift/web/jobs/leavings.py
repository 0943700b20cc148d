"""What jobs leave behind, and what they still need."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable
from pathlib import Path

from synthlift.api.keeping import Collected, forget
from synthlift.errors import InputError
from synthlift.spec.yaml12 import as_json
from synthlift.web.jobs.table import Job
from synthlift.web.pools import IMAGES, LIST, missing_of
from synthlift.web.settings import Settings

NOTE = "asked.jsonl"
"""Beside what a command printed: what it asked of the store."""
LOOKS = ("inspect", "plan")
"""Kinds of jobs that leave no run."""
UNFINISHED = ("queued", "running")
_POOL = re.compile(r"[0-9a-f]{16}")
_LIST = re.compile(rf"([0-9a-f]{{16}})[/\\]+({LIST}[0-9a-f]{{12}}\.csv)")


def delete_files(settings: Settings, job: Job) -> Collected:
    """Delete what a job wrote, and what of the store's it alone asked for."""
    gone = forget_results(settings, job)
    for folder in (job.folder, settings.job_logs / job.id):
        shutil.rmtree(folder, ignore_errors=True)
    return gone


def forget_results(settings: Settings, job: Job) -> Collected:
    """Delete what a job asked of the store, where no run refers to it and nobody holds it."""
    return forget(settings.job_logs / job.id / NOTE)


def needed_uploads(jobs: Iterable[Job]) -> frozenset[str]:
    """Data sets of jobs that wait or run, and of studies that can go on."""
    return frozenset(
        job.data
        for job in jobs
        if job.state in UNFINISHED or (job.kind not in LOOKS and job.state != "done")
    )


def require_unread(pool: str, jobs: Iterable[Job], settings: Settings) -> None:
    """Refuse to take anything out of a pool that a study reads, or will.

    Raises:
        InputError: there is such a study.
    """
    if any(job.state in UNFINISHED and pool in _pools_of(job, settings) for job in jobs):
        raise InputError(
            "a study is reading this pool",
            rule="what a waiting or running study needs is kept",
            remedy="stop the study first, or wait until it is done",
        )


def require_pictures(job: Job, settings: Settings) -> None:
    """Refuse to go on without the pictures that a job began with.

    Raises:
        InputError: its upload or its pool was deleted, or pictures were taken out of that.
    """
    source = Path(job.command[1])
    if source.is_relative_to(settings.uploads) and not source.is_dir():
        raise InputError(
            "the upload with its pictures was deleted",
            rule="uploads are deleted when somebody asks for it, or "
            f"{settings.keep_seconds / 3600:g} hours after their last use",
            remedy="upload the same zip again and start anew",
        )
    if any(not (settings.pools / pool).is_dir() for pool in _pools_of(job, settings)):
        raise InputError(
            "the pool with its pictures was deleted",
            rule="a study goes on with the pictures that it began with",
            remedy="start a new study with another pool",
        )
    if gone := sum(missing_of(path) for path in _lists_of(job, settings)):
        raise InputError(
            f"{gone} of its pictures were taken out of the pool",
            rule="a study goes on with the pictures that it began with",
            remedy="start a new study with the pool as it is now",
        )


def _pools_of(job: Job, settings: Settings) -> set[str]:
    """Pools that a command names, wherever in its settings."""
    words = " ".join(job.command)
    # Earlier commands name the pictures' folder, not a list of them.
    places = {one: settings.pools / one for one in _POOL.findall(words)}
    named = {one for one, path in places.items() if as_json(str(path / IMAGES)) in words}
    return named | {path.parent.name for path in _lists_of(job, settings)}


def _lists_of(job: Job, settings: Settings) -> set[Path]:
    """Lists of pictures of pools that a command names."""
    words = " ".join(job.command)
    return {
        settings.pools / pool / name
        for pool, name in _LIST.findall(words)
        if as_json(str(settings.pools / pool / name)) in words
    }
