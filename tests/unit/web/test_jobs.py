"""The table of jobs and the thread that runs them, with real commands."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Set
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import psutil
import pytest

from synthlift.web.errors import MissingError
from synthlift.web.jobs.runner import Runner
from synthlift.web.jobs.table import ATTEMPTS, Job, JobTable


@pytest.fixture
def table(tmp_path: Path) -> JobTable:
    return JobTable(tmp_path / "jobs.sqlite")


@pytest.fixture
def runner(table: JobTable, tmp_path: Path) -> Runner:
    return Runner(table, logs=tmp_path / "logs", pause=0.05)


@pytest.fixture
def heard() -> Iterator[None]:
    """Tests in the background ignore Ctrl-C, and a job would miss it until it has begun."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def add(table: JobTable, *command: str, kind: str = "study") -> Job:
    return table.add(kind=kind, title="t", command=command, folder=table.path.parent / "out")  # type: ignore[arg-type]


def silence(table: JobTable) -> None:
    """As if no server had told for long that it lives."""
    with closing(sqlite3.connect(table.path, isolation_level=None)) as database:
        database.execute("UPDATE jobs SET heartbeat = 0")


def step_until(runner: Runner, job: Job, *states: str, seconds: float = 60) -> Job:
    until = time.monotonic() + seconds
    while (found := runner.table.get(job.id)).state not in states:
        assert time.monotonic() < until, found
        runner.step()
        time.sleep(0.05)
    return found


def test_a_command_is_run_and_its_words_are_kept(table: JobTable, runner: Runner) -> None:
    job = step_until(runner, add(table, "--version"), "done", "failed")
    assert job.state == "done"
    assert (runner.logs / job.id / "stdout").read_text().strip().startswith("0.")


def test_a_failure_is_told_in_three_parts(table: JobTable, runner: Runner) -> None:
    job = step_until(runner, add(table, "inspect", "nowhere", "--json"), "failed")
    given, rule, remedy = job.error.split("\n")
    assert "nowhere" in given
    assert rule
    assert remedy
    assert "Traceback" not in job.error


def test_jobs_of_a_lane_wait_for_each_other_and_a_look_does_not(
    table: JobTable, runner: Runner
) -> None:
    jobs = [
        add(table, "--version"),
        add(table, "--version"),
        add(table, "--version", kind="inspect"),
    ]
    runner.step()
    assert [table.get(job.id).state for job in jobs] == ["running", "queued", "running"]
    for job in jobs:
        step_until(runner, job, "done")


def test_a_waiting_job_is_cancelled_at_once_and_can_go_on(table: JobTable, runner: Runner) -> None:
    job = add(table, "--version")
    table.ask_to_end(job.id)
    assert table.get(job.id).state == "cancelled"
    assert table.claim("me", ["study"]) is None
    table.resume(job.id)
    assert step_until(runner, job, "done").attempts == 1


@pytest.mark.usefixtures("heard")
def test_a_running_job_is_asked_to_end(table: JobTable, runner: Runner) -> None:
    job = add(table, "doctor")
    runner.step()
    process = psutil.Process(table.get(job.id).pid)
    process.suspend()  # else it may be done before it is asked
    table.ask_to_end(job.id)
    runner.step()
    process.resume()
    assert step_until(runner, job, "cancelled", "done").state == "cancelled"
    assert not process.is_running()


def leftover() -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])


def test_a_job_whose_server_was_killed_is_run_again(table: JobTable, runner: Runner) -> None:
    job = add(table, "--version")
    assert table.claim("a server that dies", ["study"]) is not None
    with leftover() as process:
        table.set_process(
            job.id,
            owner="a server that dies",
            pid=process.pid,
            began=psutil.Process(process.pid).create_time(),
        )
        runner.step()
        assert table.get(job.id).state == "running", "its heartbeat is fresh"
        silence(table)
        assert step_until(runner, job, "done").attempts == 2
        assert process.poll() is not None, "what the dead server had started is ended"


def test_another_process_with_the_same_number_is_left_alone(
    table: JobTable, runner: Runner
) -> None:
    job = add(table, "--version")
    table.claim("a server that dies", ["study"])
    with leftover() as process:
        table.set_process(job.id, owner="a server that dies", pid=process.pid, began=1.0)
        silence(table)
        step_until(runner, job, "done")
        assert process.poll() is None
        process.kill()


def test_a_job_that_kills_servers_is_given_up(table: JobTable, runner: Runner) -> None:
    job = add(table, "--version")
    for _ in range(ATTEMPTS - 1):
        table.claim("a server that dies", ["study"])
        silence(table)
        table.finish(table.orphans("me")[0].id, "queued")
    table.claim("a server that dies", ["study"])
    silence(table)
    runner.step()
    assert table.get(job.id).state == "failed"


def test_two_servers_never_take_the_same_job(table: JobTable) -> None:
    job = add(table, "--version")
    taken = [table.claim(name, ["study"]) for name in ("one", "two")]
    assert [found.id if found else None for found in taken] == [job.id, None]
    table.beat("one")
    table.finish(job.id, "failed", owner="two")
    assert table.get(job.id).state == "running", "only its owner says how it ended"
    silence(table)
    assert table.orphans("one") == []
    found = [[one.id for one in table.orphans(name)] for name in ("two", "three")]
    assert found == [[job.id], []]


def test_a_server_that_slept_gives_up_what_another_has_taken(
    table: JobTable, runner: Runner, tmp_path: Path
) -> None:
    job = add(table, *endless(tmp_path / "run"))
    runner.step()
    process = psutil.Process(table.get(job.id).pid)
    silence(table)
    assert [one.id for one in table.orphans("awake")] == [job.id]
    table.finish(job.id, "queued")
    assert table.claim("awake", ["study"]) is not None
    assert not table.set_process(job.id, owner=runner.name, pid=process.pid, began=1.0)
    assert table.set_process(job.id, owner="awake", pid=os.getpid(), began=1.0)
    runner.step()
    assert not process.is_running(), "else two processes would write into one folder"
    found = table.get(job.id)
    assert (found.state, found.pid, found.attempts) == ("running", os.getpid(), 2)
    runner.step()
    assert table.get(job.id) == found


def endless(folder: Path) -> list[str]:
    """A command that waits for a run which never ends: that of this very process, it says."""
    folder.mkdir()
    study = {"name": "t", "run": {"key": "k", "format": 1}}
    (folder / "study.yaml").write_text(json.dumps(study))
    (folder / "status.json").write_text(json.dumps({"state": "running", "pid": os.getpid()}))
    return ["stop", str(folder), "--timeout", "3600"]


@pytest.mark.usefixtures("heard")
def test_closing_puts_running_jobs_back(table: JobTable, runner: Runner, tmp_path: Path) -> None:
    job = add(table, *endless(tmp_path / "run"))
    runner.step()
    process = psutil.Process(table.get(job.id).pid)
    assert table.get(job.id).state == "running"
    runner.close()
    assert table.get(job.id).state == "queued"
    assert not process.is_running()
    assert table.get(job.id).attempts == 0, "a server that ends in order has not died with it"


# ── what cannot be started ────────────────────────────────────────────────────────────────────


def test_a_job_that_cannot_be_started_is_given_up_and_blocks_nothing(
    table: JobTable, tmp_path: Path
) -> None:
    (tmp_path / "logs").write_text("no folder")
    runner = Runner(table, logs=tmp_path / "logs", pause=0.05)
    job = add(table, "--version")
    runner.step()
    assert (table.get(job.id).state, table.get(job.id).attempts) == ("queued", 1)
    found = step_until(runner, job, "failed", seconds=10)
    assert found.attempts == ATTEMPTS
    assert found.error.startswith("it could not be started: Not a directory")
    assert str(tmp_path) not in found.error
    (tmp_path / "logs").unlink()
    table.resume(job.id)
    assert step_until(runner, job, "done", "failed").state == "done"


def test_a_table_that_cannot_be_written_for_a_while_loses_no_job(
    table: JobTable, runner: Runner
) -> None:
    job = add(table, "doctor")
    with forbidden(table, "NEW.pid IS NOT NULL"):
        runner.step()
        assert table.get(job.id).state == "queued", "what was started is ended, and begins anew"
        assert not any("doctor" in one.cmdline() for one in psutil.Process().children())
    runner.step()
    process = psutil.Process(table.get(job.id).pid)
    process.kill()
    with forbidden(table, "NEW.state != 'running'"):
        while process.status() != psutil.STATUS_ZOMBIE:
            time.sleep(0.01)
        for _ in range(3):
            with pytest.raises(sqlite3.IntegrityError):
                runner.step()
        assert table.get(job.id).state == "running"
    assert step_until(runner, job, "failed", "done", seconds=10).state == "failed"


@contextmanager
def forbidden(table: JobTable, when: str) -> Iterator[None]:
    """No row may be changed so."""
    with closing(sqlite3.connect(table.path, isolation_level=None)) as database:
        database.execute(
            f"CREATE TRIGGER no BEFORE UPDATE ON jobs WHEN {when} "
            "BEGIN SELECT RAISE(ABORT, 'not now'); END"
        )
    yield
    with closing(sqlite3.connect(table.path, isolation_level=None)) as database:
        database.execute("DROP TRIGGER no")


def test_jobs_that_are_added_at_once_get_folders_of_their_own(
    table: JobTable, tmp_path: Path
) -> None:
    def place(taken: Set[Path]) -> Path:
        found = next(p for p in (tmp_path / f"run-{n}" for n in range(99)) if p not in taken)
        time.sleep(0.01)  # as a disk may take
        return found

    def one(_: int) -> Job:
        return table.add_new(
            kind="study", title="t", place=place, command=lambda folder: ["run", str(folder)]
        )

    with ThreadPoolExecutor(8) as pool:
        jobs = list(pool.map(one, range(16)))
    assert {job.folder for job in jobs} == {tmp_path / f"run-{n}" for n in range(16)}
    assert all(job.command == ("run", str(job.folder)) for job in jobs)


def test_a_job_that_grows_too_large_is_ended_with_what_it_started(
    table: JobTable, tmp_path: Path
) -> None:
    runner = Runner(table, logs=tmp_path / "logs", memory_bytes=8 * 1024**2, pause=0.05)
    job = add(table, "doctor")
    runner.step()
    process = psutil.Process(table.get(job.id).pid)
    found = step_until(runner, job, "failed", "done")
    assert found.state == "failed"
    assert "more memory" in found.error
    assert not process.is_running()


def test_a_running_job_is_not_deleted(table: JobTable) -> None:
    job = add(table, "--version")
    table.claim("me", ["study"])
    assert not table.delete(job.id)
    table.finish(job.id, "done", owner="me")
    assert table.delete(job.id)
    with pytest.raises(MissingError):
        table.get(job.id)


def test_unknown_jobs_are_missing(table: JobTable) -> None:
    with pytest.raises(MissingError):
        table.get("nothing")
