"""Many clients at once, two servers on one home folder and store, and a server that is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from synthlift.web.jobs.table import Job, JobTable
from tests.e2e.serving import (
    Server,
    finished_study,
    free_port,
    serving,
    serving_with,
    until_it_answers,
)
from tests.e2e.tiny import PROGRAM, draw_folder, read_log

pytestmark = pytest.mark.slow

CLIENTS, SECONDS = 64, 60.0
MIB = 1024**2
OPEN = ("queued", "running", "cancelling")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("load")


@pytest.fixture(scope="module")
def finished(home: Path) -> Path:
    return finished_study(home)


# ── many clients ──────────────────────────────────────────────────────────────────────────────


def test_64_clients_for_a_minute_break_nothing_and_memory_stays_flat(
    home: Path, finished: Path
) -> None:
    many = 10**9  # no client is ever told to wait
    limits = {"per_minute": many, "costly_per_minute": many, "generations": 4 * CLIENTS}
    with serving_with(home, finished, **limits) as (server, process):
        (found,) = server.ask("GET", "/api/v1/runs")[1]["runs"]
        picture = next((home / "data" / "shapes" / "disc").iterdir()).read_bytes()
        server.send(f"/api/v1/runs/{found['id']}/classifications", "pictures", ("a.png", picture))
        hammer(server, found["id"], picture, seconds=SECONDS / 6)  # what is loaded once is loaded
        before = resident(process)
        counts = hammer(server, found["id"], picture, seconds=SECONDS)
        grown = [(now - then) / MIB for now, then in zip(resident(process), before, strict=True)]
    said = f"web process {grown[0]:+.1f} MiB, those that compute {grown[1]:+.1f} MiB"
    print(f"{sum(counts.values())} answers in {SECONDS:g} s: {dict(counts)}; {said}")
    assert [status for status in counts if status >= 500] == []
    assert set(counts) == {200}
    assert grown[0] < 24, "memory grows with requests"
    assert grown[1] < 48, "memory grows with pictures"


def resident(process: psutil.Process) -> tuple[int, int]:
    """Bytes of the web process, and of those that draw and classify."""
    children = process.children(recursive=True)
    return process.memory_info().rss, sum(one.memory_info().rss for one in children)


def hammer(server: Server, run_id: str, picture: bytes, *, seconds: float) -> Counter[int]:
    """All clients ask for all sorts of things until the time is over; answers by status."""
    end = time.monotonic() + seconds
    reads = (
        *("/", "/study", "/chain", "/api/v1/runs", "/api/v1/jobs", "/api/v1/pools"),
        *(f"/api/v1/runs/{run_id}", f"/api/v1/runs/{run_id}/figures"),
        *(f"/api/v1/runs/{run_id}/generated", f"/api/v1/runs/{run_id}/generated/0"),
        *(f"/runs/{run_id}/report", "/static/app.css", "/api/v1/openapi.json"),
    )

    def client(number: int) -> Counter[int]:
        counts: Counter[int] = Counter()
        turn = number
        while time.monotonic() < end:
            turn += 1
            if number == 0:
                status = read_events(server, run_id, seed=turn)
            elif turn % 64 == 0:
                status = 200 if server.draw(run_id, count=2, seed=turn)["done"] == 2 else 500
            elif turn % 16 == 0:
                path = f"/api/v1/runs/{run_id}/classifications"
                explain = "true" if turn % 32 == 0 else "false"
                status = server.send(path, "pictures", ("a.png", picture), explain=explain)[0]
            else:
                status = server.ask("GET", reads[turn % len(reads)])[0]
            counts[status] += 1
        return counts

    with ThreadPoolExecutor(CLIENTS) as pool:
        return sum(pool.map(client, range(CLIENTS)), Counter())


def read_events(server: Server, run_id: str, *, seed: int) -> int:
    """Ask for images and hear of them as they come; the status of that answer."""
    body = {"run": run_id, "generator": "flow", "label": "disc", "count": 4, "seed": seed}
    made = server.ask("POST", "/api/v1/generations", body)[1]
    status, told, _ = server.ask("GET", f"/api/v1/generations/{made['id']}/events")
    assert b'"state":"done"' in told
    return status


# ── two servers ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.usefixtures("finished")  # its pictures are what is looked at
def test_two_servers_on_one_home_share_the_work_without_doing_any_twice(home: Path) -> None:
    words = ["--data", str(home / "data"), "--workers", "1"]
    with serving(home, words) as first, serving(home, words) as second:
        (data,) = first.ask("GET", "/api/v1/data")[1]["data"]
        servers = [first, second] * 2
        started = [
            server.ask("POST", "/api/v1/inspections", {"data": data["id"]})[1]["id"]
            for server in servers
        ]
        for job in started:
            path = f"/api/v1/jobs/{job}"
            ended = second.until(path, lambda one: one["state"] not in ("queued", "running"))
            assert ended["state"] == "done", ended["error"]
            assert first.ask("GET", path)[1] == ended, "both tell the same"
    table = JobTable(home / "web" / "jobs.sqlite")
    assert {job.id: job.attempts for job in table.all()} == dict.fromkeys(started, 1)


def test_two_servers_on_one_home_and_store_compute_nothing_of_a_study_twice(tmp_path: Path) -> None:
    draw_folder(tmp_path / "data" / "shapes")
    words = ["--data", str(tmp_path / "data"), "--workers", "1"]
    table = JobTable(tmp_path / "web" / "jobs.sqlite")

    def ended(server: Server, job: str) -> Job:
        path = f"/api/v1/jobs/{job}"
        said = server.until(path, lambda one: one["state"] not in OPEN, seconds=900)
        assert said["state"] == "done", said["error"]
        return table.get(job)

    with serving(tmp_path, words) as first, serving(tmp_path, words) as second:
        (data,) = first.ask("GET", "/api/v1/data")[1]["data"]
        asked = {"data": data["id"], "budget": "5m"}

        def start(server: Server) -> str:
            return str(server.ask("POST", "/api/v1/studies", asked)[1]["id"])

        both = [start(server) for server in (first, second)]
        wait = time.monotonic() + 60
        while [table.get(job).state for job in both] != ["running"] * 2:
            assert time.monotonic() < wait, (
                "each server runs one of two studies of the same content"
            )
            time.sleep(0.05)
        jobs = [ended(server, job) for server, job in zip((second, first), both, strict=True)]
        keys = Counter(key for job in jobs for key in all_keys(job.folder))
        made = records(tmp_path)
        assert set(keys.values()) == {1}, "what one of them computes the other one waits for"
        assert sorted(keys) == sorted(made)
        shares = [len(all_keys(job.folder)) for job in jobs]
        assert min(shares) > 0, "both have worked"
        # One job that both servers look for: one of them runs it, and finds everything there.
        again = ended(second, start(first))
        assert all_keys(again.folder) == []
        assert records(tmp_path) == made, "nothing was written anew, nor was anything more spent"
        assert [name for name, _ in read_log(again.folder)].count("started") == 1
    assert [job.attempts for job in table.all()] == [1, 1, 1]
    print(f"{len(made)} artefacts; computed by the two studies: {shares}")


def records(home: Path) -> dict[str, tuple[int, str]]:
    """Of each artefact when its record was written, and what it says."""
    found = (home / "store" / "artefacts").glob("*/record.json")
    return {one.parent.name: (one.stat().st_mtime_ns, one.read_text()) for one in found}


# ── a server that is killed ───────────────────────────────────────────────────────────────────


@contextmanager
def killed_later(home: Path, words: list[str]) -> Iterator[Server]:
    """A server that ends by ``kill -9``, as if the machine had lost it; its command lives on."""
    port = free_port()
    folders = ["--home", str(home / "web"), "--store", str(home / "store")]
    options = [*folders, "--port", str(port), "--no-browser", "--no-examples"]
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "serve", *words, *options],
        env={**os.environ, "SYNTHLIFT_DATA_HOME": str(home / "data-home")},
        stderr=(home / "killed.stderr").open("wb"),
    )
    server = Server(port, home / "web")
    try:
        until_it_answers(server, process, home / "killed.stderr")
        yield server
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


def test_a_study_goes_on_when_its_server_was_killed(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    draw_folder(tmp_path / "data" / "shapes")
    words = ["--data", str(tmp_path / "data"), "--workers", "1"]
    with killed_later(tmp_path, words) as server:
        (data,) = server.ask("GET", "/api/v1/data")[1]["data"]
        asked = {"data": data["id"], "budget": "5m"}
        job = server.ask("POST", "/api/v1/studies", asked)[1]["id"]
        path = f"/api/v1/jobs/{job}"
        server.until(f"{path}/live", lambda one: len(one["stages"]) >= 2, seconds=300)
        left = JobTable(tmp_path / "web" / "jobs.sqlite").get(job)
    assert left.state == "running"
    assert left.pid is not None
    done = finished_keys(left.folder)
    with serving(tmp_path, words) as server:
        server.until(path, lambda _: attempts(tmp_path, job) == 2, seconds=120)
        assert not is_same(left.pid, left.pid_began), "what the killed server had started is ended"
        server.until(f"{path}/live", lambda _: finished_keys(left.folder) > done, seconds=300)
        keys = all_keys(left.folder)
        assert len(keys) == len(set(keys)), "nothing that was finished was computed again"
        server.ask("POST", f"{path}/cancel")
        server.until(path, lambda one: one["state"] == "cancelled")


def attempts(home: Path, job: str) -> int:
    return JobTable(home / "web" / "jobs.sqlite").get(job).attempts


def is_same(pid: int, began: float | None) -> bool:
    try:
        return psutil.Process(pid).create_time() == began
    except psutil.Error:
        return False


def all_keys(folder: Path) -> list[str]:
    return [str(fields["key"]) for name, fields in read_log(folder) if name == "stage_done"]


def finished_keys(folder: Path) -> set[str]:
    return set(all_keys(folder))
