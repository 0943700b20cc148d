"""What one application holds, and how a request reaches it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from flask import current_app

from synthlift.web import examples
from synthlift.web.blind import BlindTests
from synthlift.web.datasets import DataSets
from synthlift.web.galleries import Galleries
from synthlift.web.generations import Generations
from synthlift.web.inference.client import Inference
from synthlift.web.jobs.leavings import (
    LOOKS,
    UNFINISHED,
    delete_files,
    forget_results,
    needed_uploads,
)
from synthlift.web.jobs.runner import Runner
from synthlift.web.jobs.table import Job, JobTable
from synthlift.web.library import Library
from synthlift.web.memory import SharedLimit
from synthlift.web.places import Places
from synthlift.web.pools import Pools
from synthlift.web.settings import Settings
from synthlift.web.streams import Streams

KEY = "synthlift"
TIDY_SECONDS = 300.0
_LOG = logging.getLogger("synthlift.web")


@dataclass
class Context:
    """Everything behind the pages.

    Attributes:
        settings: of the server.
        library, data: runs and data sets.
        jobs, runner: studies and inspections.
        inference, pipelines: processes that classify and draw, and that draw with pipelines.
        generations: requests for images.
        galleries, blind, pools: what people look at and judge.
        streams: pages that are kept informed.
        places: takes places of this machine out of what is served.
        askers: who asked for each job that waits, as far as this server knows.
        unpacking: set while the examples are unpacked.
    """

    settings: Settings
    library: Library
    data: DataSets
    jobs: JobTable
    runner: Runner
    inference: Inference
    pipelines: Inference
    generations: Generations
    galleries: Galleries
    blind: BlindTests
    pools: Pools
    streams: Streams
    places: Places
    askers: dict[str, str] = field(default_factory=dict)
    unpacking: threading.Event = field(default_factory=threading.Event)
    _end: threading.Event = field(default_factory=threading.Event)

    @classmethod
    def of(cls, settings: Settings) -> Context:
        """Everything for these settings; no process is started yet."""
        settings.home.mkdir(parents=True, exist_ok=True, mode=0o700)
        settings.home.chmod(0o700)
        settings.pictures_folder.mkdir(exist_ok=True, mode=0o700)
        memory = SharedLimit(settings.memory_bytes)
        inference, pipelines = (
            Inference(
                device=settings.device,
                answer_seconds=settings.answer_seconds,
                waiting=settings.classifications,
                decode_seconds=settings.decode_seconds,
                memory=memory,
                unused_seconds=unused,
            )
            for unused in (None, settings.pipelines_unused_seconds)
        )
        jobs = JobTable(settings.home / "jobs.sqlite")
        return cls(
            settings=settings,
            library=Library(settings),
            data=DataSets(settings),
            jobs=jobs,
            runner=Runner(
                jobs,
                logs=settings.job_logs,
                memory_bytes=settings.memory_bytes,
                look_seconds=settings.look_seconds,
            ),
            inference=inference,
            pipelines=pipelines,
            generations=Generations(
                settings.generated, inference, pipelines, open_at_once=settings.generations
            ),
            galleries=Galleries(),
            blind=BlindTests(settings.home / "blind-tests", most=settings.blind_tests),
            pools=Pools(settings.pools),
            streams=Streams(settings.streams),
            places=Places(settings),
        )

    def start(self) -> None:
        """Begin to unpack the built-in examples, to run jobs, and to delete what is old."""
        if self.settings.examples:
            self.unpacking.set()
            threading.Thread(target=self._prepare, name="examples", daemon=True).start()
        self.runner.start()
        self.inference.warm_up()
        threading.Thread(target=self._keep_tidy, name="tidy", daemon=True).start()

    def close(self) -> None:
        """End every process; unfinished jobs go on when the server starts again."""
        self._end.set()
        self.runner.close()
        self.inference.close()
        self.pipelines.close()

    def tidy(self) -> None:
        """Delete uploads and generated images that were not used for long."""
        than = time.time() - self.settings.keep_seconds
        for upload in self.data.delete_older(than, spare=needed_uploads(self.jobs.all())):
            self._forget_upload(upload)
        self.generations.delete_older(than)
        self.blind.delete_older(than)
        self._delete_looks(
            job for job in self.jobs.all() if job.ended is not None and job.ended < than
        )
        folder = self.settings.pictures_folder
        for file in folder.iterdir() if folder.is_dir() else ():
            if file.stat().st_mtime < than:
                file.unlink(missing_ok=True)

    def delete_upload(self, name: str) -> None:
        """Delete an upload, and what was found in looks at it.

        Raises:
            MissingError: there is none of that id; folders are never deleted.
        """
        self.data.delete(name)
        self._forget_upload(name)

    def _forget_upload(self, name: str) -> None:
        own = [job for job in self.jobs.all() if job.data == name]
        self._delete_looks(own)
        for job in own:  # studies that failed before they had a folder; others protect their own
            forget_results(self.settings, job)

    def _delete_looks(self, jobs: Iterable[Job]) -> None:
        """Inspections and forecasts: their pages, or the store, have pictures of uploads."""
        busy = {job.data for job in self.jobs.all() if job.state in UNFINISHED}
        for job in jobs:
            if job.kind in LOOKS and job.data not in busy and self.jobs.delete(job.id):
                delete_files(self.settings, job)

    def _prepare(self) -> None:
        try:
            examples.prepare(self)
        except Exception:  # whatever is wrong with an example, the server goes on
            _LOG.exception("the examples cannot be prepared")
        finally:
            self.unpacking.clear()

    def _keep_tidy(self) -> None:
        while True:
            try:
                self.tidy()
            except Exception:  # what cannot be deleted now may be later
                _LOG.exception("deleting old files failed")
            if self._end.wait(TIDY_SECONDS):
                return


def context() -> Context:
    """The context of the application that answers this request."""
    found = current_app.extensions[KEY]
    assert isinstance(found, Context)
    return found
