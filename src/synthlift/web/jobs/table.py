"""The table of jobs in SQLite. Several servers may share it; each row has one owner at a time."""

from __future__ import annotations

import json
import secrets
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence, Set
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from synthlift.web.errors import MissingError

State = Literal["queued", "running", "done", "failed", "cancelled"]
Kind = Literal["study", "demo", "inspect", "plan"]
ATTEMPTS = 3
"""A job whose server died so often is given up: it may be what kills it."""
_SCHEMA = """
CREATE TABLE IF NOT EXISTS jobs (
    id TEXT PRIMARY KEY, kind TEXT NOT NULL, title TEXT NOT NULL, command TEXT NOT NULL,
    folder TEXT NOT NULL, data TEXT NOT NULL, state TEXT NOT NULL, created REAL NOT NULL,
    started REAL, ended REAL, heartbeat REAL, owner TEXT NOT NULL DEFAULT '', pid INTEGER,
    pid_began REAL, attempts INTEGER NOT NULL DEFAULT 0, cancel INTEGER NOT NULL DEFAULT 0,
    error TEXT NOT NULL DEFAULT ''
)
"""


@dataclass(frozen=True)
class Job:
    """One job.

    Attributes:
        id: random; it is all that a client is told of where things lie.
        kind, title: what it is, for people.
        command: arguments of ``synthlift``.
        folder: where it writes: a run folder, or the folder of an inspection.
        data: id of the data set that it reads, or "".
        state: queued, running, done, failed or cancelled.
        created, started, ended: seconds since the epoch.
        pid, pid_began: its process and when that began, while it runs.
        attempts: how often it was started and not put back by a server that ended in order.
        cancel: whether it was asked to end.
        error: what failed, in words.
    """

    id: str
    kind: Kind
    title: str
    command: tuple[str, ...]
    folder: Path
    data: str
    state: State
    created: float
    started: float | None
    ended: float | None
    pid: int | None
    pid_began: float | None
    attempts: int
    cancel: bool
    error: str


_COLUMNS = (
    "id, kind, title, command, folder, data, state, created, started, ended, pid, pid_began, "
    "attempts, cancel, error"
)


class JobTable:
    """All jobs.

    Args:
        path: the database file; it is made where it is missing.
        stale_seconds: without a heartbeat for so long, a job's server counts as dead.
    """

    def __init__(self, path: Path, *, stale_seconds: float = 15.0) -> None:
        self.path, self.stale_seconds = path, stale_seconds
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._connected() as database:
            database.execute("PRAGMA journal_mode = WAL")
            database.execute(_SCHEMA)

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self.path, timeout=30, isolation_level=None)) as database:
            database.row_factory = sqlite3.Row
            # A heartbeat need not survive a power cut; the table stays whole all the same.
            database.execute("PRAGMA synchronous = NORMAL")
            yield database

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """A transaction that alone may write, from its beginning."""
        with self._connected() as database:
            database.execute("BEGIN IMMEDIATE")
            yield database
            database.commit()

    def add(
        self, *, kind: Kind, title: str, command: Sequence[str], folder: Path, data: str = ""
    ) -> Job:
        """Queue a command."""
        with self._open() as database:
            job = _insert(database, kind, title, command, folder, data)
        return self.get(job)

    def add_new(
        self,
        *,
        kind: Kind,
        title: str,
        place: Callable[[Set[Path]], Path],
        command: Callable[[Path], Sequence[str]],
        data: str = "",
    ) -> Job:
        """Queue a command with a folder of its own, which no other job can get meanwhile.

        Args:
            kind, title, data: of the job.
            place: chooses the folder; it is told those of all other jobs.
            command: what is run with that folder.
        """
        with self._open() as database:
            taken = {Path(row["folder"]) for row in database.execute("SELECT folder FROM jobs")}
            folder = place(taken)
            job = _insert(database, kind, title, command(folder), folder, data)
        return self.get(job)

    def get(self, job: str) -> Job:
        """One job.

        Raises:
            MissingError: there is none of that id.
        """
        with self._open() as database:
            row = database.execute(f"SELECT {_COLUMNS} FROM jobs WHERE id = ?", (job,)).fetchone()
        if row is None:
            raise MissingError(job)
        return _job(row)

    def all(self) -> list[Job]:
        """Every job, the newest first."""
        with self._open() as database:
            rows = database.execute(f"SELECT {_COLUMNS} FROM jobs ORDER BY created DESC").fetchall()
        return [_job(row) for row in rows]

    def claim(self, owner: str, kinds: Sequence[Kind]) -> Job | None:
        """Take the oldest queued job of these kinds; None when none waits."""
        marks = ", ".join("?" * len(kinds))
        now = time.time()
        with self._open() as database:
            row = database.execute(
                f"SELECT id FROM jobs WHERE state = 'queued' AND kind IN ({marks}) "
                "ORDER BY created LIMIT 1",
                tuple(kinds),
            ).fetchone()
            if row is None:
                return None
            database.execute(
                "UPDATE jobs SET state = 'running', owner = ?, heartbeat = ?, started = ?, "
                "pid = NULL, attempts = attempts + 1, error = '' WHERE id = ?",
                (owner, now, now, row["id"]),
            )
        return self.get(row["id"])

    def set_process(self, job: str, *, owner: str, pid: int, began: float) -> bool:
        """Say which process computes a job of ``owner``; False when another server has taken it."""
        with self._open() as database:
            found = database.execute(
                "UPDATE jobs SET pid = ?, pid_began = ? "
                "WHERE id = ? AND owner = ? AND state = 'running'",
                (pid, began, job, owner),
            ).rowcount
        return bool(found)

    def beat(self, owner: str) -> None:
        """Say that this server and its jobs live."""
        with self._open() as database:
            database.execute(
                "UPDATE jobs SET heartbeat = ? WHERE owner = ? AND state = 'running'",
                (time.time(), owner),
            )

    def finish(
        self, job: str, state: State, *, owner: str = "", error: str = "", counts: bool = True
    ) -> None:
        """Write how a job of ``owner`` ended; ``queued`` puts it back.

        Nothing changes when another server has taken the job meanwhile.

        Args:
            job: its id.
            state: how it ended.
            owner: whose job it was.
            error: what failed, in words.
            counts: whether this was an attempt; False where its server ends in order.
        """
        ended = None if state == "queued" else time.time()
        with self._open() as database:
            database.execute(
                "UPDATE jobs SET state = ?, ended = ?, error = ?, attempts = attempts - ?, "
                "pid = NULL, owner = '' WHERE id = ? AND owner = ? AND state = 'running'",
                (state, ended, error, int(not counts), job, owner),
            )

    def ask_to_end(self, job: str) -> None:
        """Cancel: a queued job at once, a running one by its server."""
        with self._open() as database:
            database.execute(
                "UPDATE jobs SET cancel = 1, "
                "ended = CASE state WHEN 'queued' THEN ? ELSE ended END, "
                "state = CASE state WHEN 'queued' THEN 'cancelled' ELSE state END "
                "WHERE id = ? AND state IN ('queued', 'running')",
                (time.time(), job),
            )

    def resume(self, job: str) -> None:
        """Queue a cancelled or failed job again; what is finished is not computed again."""
        with self._open() as database:
            database.execute(
                "UPDATE jobs SET state = 'queued', cancel = 0, attempts = 0, ended = NULL, "
                "error = '' WHERE id = ? AND state IN ('cancelled', 'failed')",
                (job,),
            )

    def delete(self, job: str) -> bool:
        """Forget a job that does not run; False when it runs."""
        with self._open() as database:
            found = database.execute(
                "DELETE FROM jobs WHERE id = ? AND state != 'running'", (job,)
            ).rowcount
        return bool(found)

    def orphans(self, owner: str) -> list[Job]:
        """Running jobs of other servers that have gone: taken from them, by one caller only."""
        dead = time.time() - self.stale_seconds
        with self._open() as database:
            rows = database.execute(
                f"SELECT {_COLUMNS} FROM jobs WHERE state = 'running' AND owner != ? "
                "AND heartbeat < ?",
                (owner, dead),
            ).fetchall()
            for row in rows:  # a heartbeat for the time that its leftovers need to end
                database.execute(
                    "UPDATE jobs SET heartbeat = ?, owner = '' WHERE id = ?",
                    (time.time(), row["id"]),
                )
        return [_job(row) for row in rows]

    def count(self, state: State) -> int:
        """Jobs in a state."""
        with self._open() as database:
            row = database.execute("SELECT COUNT(*) FROM jobs WHERE state = ?", (state,)).fetchone()
        return int(row[0])


def _insert(
    database: sqlite3.Connection,
    kind: Kind,
    title: str,
    command: Sequence[str],
    folder: Path,
    data: str,
) -> str:
    job = secrets.token_hex(8)
    database.execute(
        "INSERT INTO jobs (id, kind, title, command, folder, data, created, state) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, 'queued')",
        (job, kind, title, json.dumps(list(command)), str(folder), data, time.time()),
    )
    return job


def _job(row: sqlite3.Row) -> Job:
    facts = dict(row)
    facts["command"] = tuple(json.loads(facts["command"]))
    facts["folder"] = Path(facts["folder"])
    facts["cancel"] = bool(facts["cancel"])
    return Job(**facts)
