"""Runs queued jobs: a thread that starts processes, tells that they live, and ends them."""

from __future__ import annotations

import json
import logging
import os
import secrets
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from synthlift.errors import SynthliftError
from synthlift.study.sparing import ASKED
from synthlift.web.jobs.leavings import LOOKS, NOTE
from synthlift.web.jobs.table import ATTEMPTS, Job, JobTable, Kind, State
from synthlift.web.memory import kill_family, used_by, usual_limit

LANES: tuple[tuple[Kind, ...], ...] = (("study", "demo"), ("inspect", "plan"))
"""Kinds that wait for each other; a look at data does not wait for a study of hours."""
PATIENCE = 30.0
"""Seconds that a job has to end by itself before it is killed; what is finished is kept anyway."""
# A server in the background has children that ignore Ctrl-C, which is how a run is asked to end.
_PROGRAM = (
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "from synthlift.cli import main; main()"
)
_LOG = logging.getLogger("synthlift.web")


@dataclass
class _Running:
    job: Job
    process: subprocess.Popen[bytes]
    began: float = field(default_factory=time.monotonic)
    asked: float | None = None
    too_large: bool = False
    too_slow: bool = False


class Runner:
    """Claims jobs from the table, one of each lane at a time.

    Args:
        table: the jobs.
        logs: folder for what the commands print.
        memory_bytes: that a command and its workers may use; beyond it they are ended.
        look_seconds: that a look at pictures, or a forecast, may take: one small picture can be
            made to take a decoder hours, and whatever waits for that lane would wait for it.
        pause: seconds between two looks at the table.
    """

    def __init__(
        self,
        table: JobTable,
        *,
        logs: Path,
        memory_bytes: int | None = None,
        look_seconds: float = 3600.0,
        pause: float = 0.5,
    ) -> None:
        self.table, self.logs, self.pause = table, logs, pause
        self.look_seconds = look_seconds
        self.memory_bytes = usual_limit() if memory_bytes is None else memory_bytes
        self.name = secrets.token_hex(8)
        self._running: dict[tuple[Kind, ...], _Running] = {}
        self._unstarted: dict[str, tuple[State, str]] = {}
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="jobs", daemon=True)

    def start(self) -> None:
        """Begin; jobs whose server died are queued again."""
        self._thread.start()

    def close(self) -> None:
        """End all processes and put their jobs back into the queue."""
        self._end.set()
        if self._thread.ident is not None:
            self._thread.join()
        for running in self._running.values():
            _interrupt(running.process)
        for running in self._running.values():
            try:
                running.process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                _kill(running.process)
            code = running.process.returncode
            state: State = "done" if code == 0 else "queued"
            try:
                self.table.finish(running.job.id, state, owner=self.name, counts=code == 0)
            except sqlite3.Error:  # without heartbeats it is taken up as an orphan
                _LOG.exception("a job could not be put back into the queue")
        self._running.clear()

    def _loop(self) -> None:
        while not self._end.is_set():
            try:
                self.step()
            except Exception:  # a full disk or a locked table passes; the jobs must go on
                _LOG.exception("looking after jobs failed")
            self._end.wait(self.pause)

    def step(self) -> None:
        """Look once at everything."""
        if self._running:
            self.table.beat(self.name)
        for orphan in self.table.orphans(self.name):
            self._adopt(orphan)
        self._give_back()
        for lane in LANES:
            running = self._running.get(lane)
            if running is not None:
                self._look_after(lane, running)
            elif (job := self.table.claim(self.name, lane)) is not None:
                self._start(lane, job)

    def _adopt(self, job: Job) -> None:
        _end_leftover(job)
        if job.cancel:
            self.table.finish(job.id, "cancelled")
        elif job.attempts >= ATTEMPTS:
            self.table.finish(job.id, "failed", error=f"the server died {ATTEMPTS} times with it")
        else:
            self.table.finish(job.id, "queued")

    def _start(self, lane: tuple[Kind, ...], job: Job) -> None:
        """Begin a claimed job; where that fails, it is queued again, or given up in the end."""
        try:
            self._running[lane] = self._begin(job)
        except Exception as error:
            _LOG.exception("a job could not be started")
            why = (error.strerror if isinstance(error, OSError) else None) or type(error).__name__
            given_up = job.attempts >= ATTEMPTS
            said = f"it could not be started: {why}\nWhat is finished is kept" if given_up else ""
            self._unstarted[job.id] = ("failed" if given_up else "queued", said)
            self._give_back()

    def _give_back(self) -> None:
        """Say of jobs that could not be started what becomes of them, until that is written."""
        for job, (state, said) in list(self._unstarted.items()):
            self.table.finish(job, state, owner=self.name, error=said)
            del self._unstarted[job]

    def _begin(self, job: Job) -> _Running:
        folder = self.logs / job.id
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "stdout").open("wb") as out, (folder / "stderr").open("wb") as err:
            process = subprocess.Popen(
                [sys.executable, "-c", _PROGRAM, *job.command],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                cwd=folder,
                env={**os.environ, ASKED: str(folder / NOTE)},
                start_new_session=True,
            )
        began = 0.0
        with suppress(psutil.Error):
            began = psutil.Process(process.pid).create_time()
        try:
            if not self.table.set_process(job.id, owner=self.name, pid=process.pid, began=began):
                raise SynthliftError("another server has taken the job")
        except BaseException:
            kill_family(process.pid)
            process.wait()
            raise
        return _Running(job, process)

    def _look_after(self, lane: tuple[Kind, ...], running: _Running) -> None:
        code = running.process.poll()
        if code is not None:
            self._conclude(running, code)  # where that fails, it is tried again at the next look
            del self._running[lane]
            return
        job = self.table.get(running.job.id)
        if job.pid != running.process.pid:
            # Another server has taken it, as from one that slept: its command computes the same.
            kill_family(running.process.pid)
            running.process.wait()
            del self._running[lane]
        elif running.asked is None and job.cancel:
            running.asked = time.monotonic()
            _interrupt(running.process)
        elif running.asked is not None and time.monotonic() - running.asked > PATIENCE:
            _kill(running.process)
        elif used_by(running.process.pid) > self.memory_bytes:
            running.too_large = True
            kill_family(running.process.pid)
        elif job.kind in LOOKS and time.monotonic() - running.began > self.look_seconds:
            running.too_slow = True
            kill_family(running.process.pid)

    def _conclude(self, running: _Running, code: int) -> None:
        job = running.job
        if code == 0:
            self.table.finish(job.id, "done", owner=self.name)
        elif running.too_large:
            limit = f"{self.memory_bytes / 1024**3:.1f} GiB"
            said = (
                f"it needed more memory than this server allows ({limit})\nWhat is finished is kept"
            )
            self.table.finish(job.id, "failed", owner=self.name, error=said)
        elif running.too_slow:
            said = (
                "reading these pictures took too long\n"
                f"a look or a forecast is ended after {self.look_seconds / 60:g} minutes\n"
                "leave out pictures that take long to open, or take fewer of them"
            )
            self.table.finish(job.id, "failed", owner=self.name, error=said)
        elif running.asked is not None or code == 130:
            self.table.finish(job.id, "cancelled", owner=self.name)
        else:
            said = error_of(self.logs / job.id) or f"the command ended with code {code}"
            self.table.finish(job.id, "failed", owner=self.name, error=said)


def error_of(folder: Path) -> str:
    """What a command with ``--json`` said when it failed, in words; "" if nothing."""
    try:
        error = json.loads((folder / "stdout").read_text(encoding="utf-8"))["error"]
    except (OSError, ValueError, KeyError, TypeError):
        return ""
    parts = [error.get("given"), error.get("rule"), error.get("remedy")]
    if not all(parts):
        return str(error.get("message", "")).splitlines()[0]
    return "\n".join(map(str, parts))


def _interrupt(process: subprocess.Popen[bytes]) -> None:
    with suppress(OSError):
        if os.name == "posix":
            process.send_signal(signal.SIGINT)
        else:
            process.terminate()


def _kill(process: subprocess.Popen[bytes]) -> None:
    """The process and what it started; its workers die with it anyway."""
    with suppress(OSError):
        process.kill()
    with suppress(subprocess.TimeoutExpired):
        process.wait(10)


def _end_leftover(job: Job) -> None:
    """End a process whose server was killed; started again, it goes on where it was."""
    if job.pid is None or job.pid_began is None:
        return
    with suppress(psutil.Error):
        process = psutil.Process(job.pid)
        if abs(process.create_time() - job.pid_began) > 1:  # the number belongs to another now
            return
        if os.name == "posix":
            process.send_signal(signal.SIGINT)
        else:
            process.terminate()
        _, alive = psutil.wait_procs([process], timeout=5)
        for one in alive:
            one.kill()
