"""Keeping house: the state of a run, stopping it, its report, all runs, unused results."""

from __future__ import annotations

import json
import shlex
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from synthlift.api.run_folder import REPORT, load, read_results
from synthlift.errors import InputError
from synthlift.study.folder import LOG, PROGRESS, RESULTS, STATUS, STOP

if TYPE_CHECKING:
    from synthlift.store import Store
    from synthlift.study.executors.local import Listener

State = Literal["running", "interrupted", "failed", "done"]
RECENT_SECONDS = 30.0


@dataclass(frozen=True)
class Status:
    """How far a run is.

    Attributes:
        path: the run folder.
        state: running (its process lives), interrupted, failed or done.
        error: what failed.
        pid: the process that computes.
        done, total, label: tasks of the present stage.
        seconds: since the run was last started.
        seconds_left: expected for the present stage, or None.
        tasks: what is being computed right now: label, done, total.
        last: the last lines of the log.
    """

    path: Path
    state: State
    error: str = ""
    pid: int | None = None
    done: int | None = None
    total: int | None = None
    label: str = ""
    seconds: float | None = None
    seconds_left: float | None = None
    tasks: tuple[Mapping[str, Any], ...] = ()
    last: tuple[Mapping[str, Any], ...] = field(default=(), repr=False)


def status(path: Path | str) -> Status:
    """How far a run is, from its ``status.json`` and ``log.jsonl``.

    Raises:
        InputError: ``path`` is no run folder.
    """
    run = load(path)
    facts = _read_json(run.path / STATUS)
    log = _log(run.path / LOG)
    state = _state(run.path, facts)
    running = state == "running"
    progress = _read_json(run.path / PROGRESS) if running else {}
    store = run.facts.get("store")
    return Status(
        path=run.path,
        state=state,
        error=str(facts.get("error", "")) if state == "failed" else "",
        pid=facts.get("pid") if running else None,
        done=progress.get("done"),
        total=progress.get("total"),
        label=str(progress.get("label", "")),
        seconds=_since_start(log, until=time.time() if running else facts.get("at")),
        seconds_left=_seconds_left(progress),
        tasks=tuple(running_tasks(Path(store))) if running and store else (),
        last=tuple(log[-5:]),
    )


def _seconds_left(progress: Mapping[str, Any]) -> float | None:
    """Of the present stage, at the pace so far."""
    if not progress.get("done"):
        return None
    pace = (progress["at"] - progress["began"]) / progress["done"]
    left: float = pace * (progress["total"] - progress["done"])
    return max(0.0, left)


def recording(listener: Listener, folder: Path) -> Listener:
    """The same listener, which also leaves the progress in the run folder for ``status``."""
    from dataclasses import replace

    from synthlift.store.files import write_json_atomic

    state = {"began": time.time(), "written": 0.0, "seen": time.time(), "done": 0.0}

    def show(done: int, total: int, label: str) -> None:
        now = time.time()
        if done <= state["done"]:  # the next stage began where the last one ended
            state["began"] = state["seen"]
        state["seen"], state["done"] = now, done
        if now - state["written"] >= 1.0 and (folder / STATUS).is_file():
            state["written"] = now
            facts = {"done": done, "total": total, "label": label}
            times = {"began": state["began"], "at": now}
            write_json_atomic(folder / PROGRESS, {**facts, **times}, durable=False)
        listener.on_progress(done, total, label)

    return replace(listener, on_progress=show)


def _state(folder: Path, facts: Mapping[str, Any]) -> State:
    said = facts.get("state")
    if said == "running":
        return "running" if _alive(facts.get("pid")) else "interrupted"
    if said == "stopped":
        kind = str(facts.get("error", "")).partition(":")[0]
        return "interrupted" if kind in ("Interrupted", "KeyboardInterrupt") else "failed"
    return "done" if (folder / RESULTS).is_file() else "interrupted"


def _alive(pid: object) -> bool:
    import psutil

    try:
        return isinstance(pid, int) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def running_tasks(store: Path, *, since: float = 0.0) -> list[dict[str, Any]]:
    """What is being computed in a store right now: label, done, total, note, seconds.

    Args:
        store: its root.
        since: leave out tasks begun before this time (seconds since the epoch).
    """
    found = []
    now = time.time()
    for file in sorted(store.glob("work/*/progress.json")):
        facts = _read_json(file)
        if now - facts.get("at", 0) < RECENT_SECONDS and facts.get("began", 0) >= since:
            found.append({**facts, "seconds": now - facts["began"]})
    return found


def _since_start(log: list[dict[str, Any]], *, until: float | None) -> float | None:
    from datetime import datetime

    starts = [line["at"] for line in log if line.get("event") == "started"]
    if not starts or until is None:
        return None
    began = datetime.fromisoformat(starts[-1][:19] + "+00:00").timestamp()
    return max(0.0, until - began)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _log(path: Path) -> list[dict[str, Any]]:
    if not path.is_file():
        return []
    lines = []
    for line in path.read_text(encoding="utf-8").split("\n"):
        try:
            lines.append(json.loads(line))
        except ValueError:  # cut short by a crash
            continue
    return lines


def stop(path: Path | str, *, timeout: float = 60.0) -> Status:
    """Ask a run to end after what it can keep, and wait for it.

    Args:
        path: the run folder.
        timeout: seconds to wait.

    Returns:
        The state afterwards; still "running" when the time was up.
    """
    found = status(path)
    if found.state != "running":
        return found
    (found.path / STOP).touch()
    end = time.monotonic() + timeout
    while found.state == "running" and time.monotonic() < end:
        time.sleep(0.2)
        found = status(path)
    return found


def report(path: Path | str) -> Path:
    """Write ``report.html`` again from ``results.json`` and the gallery; returns its path.

    Raises:
        InputError: no run folder, or nothing to report yet.
    """
    from synthlift.reporting import write_report

    run = load(path)
    if not (run.path / RESULTS).is_file() and (run.path / REPORT).is_file():
        return run.path / REPORT  # refreshed by the run itself until it is done
    return Path(write_report(read_results(run.path), run.path))


# ── all runs ──────────────────────────────────────────────────────────────────────────────────


def runs(store: Path | str | None = None) -> list[dict[str, Any]]:
    """Every run that the store knows: name, state, verdict, folder."""
    found = []
    for name, facts in _store(store).roots().items():
        folder = _folder_of(name, facts)
        found.append({"name": folder.name, **_known(folder), "folder": str(folder)})
    return sorted(found, key=lambda run: run["folder"])


def _known(folder: Path) -> dict[str, Any]:
    try:
        state: str = status(folder).state
    except InputError:
        return {"state": "folder is gone", "verdict": ""}
    if state != "done":
        return {"state": state, "verdict": ""}
    try:
        verdict = read_results(folder).verdict
    except InputError:
        return {"state": state, "verdict": ""}
    mark = " (exploratory)" if verdict and verdict.exploratory else ""
    word = verdict.word.replace("_", " ") + mark if verdict else "no verdict"
    return {"state": state, "verdict": word}


@dataclass(frozen=True)
class Collected:
    """What was deleted, or would be.

    Attributes:
        results: number of results.
        bytes: their size; with a dry run a lower bound when runs would be forgotten.
        forgotten: run folders that are gone; their results were no longer protected.
        dry_run: whether nothing was deleted.
    """

    results: int
    bytes: int
    forgotten: tuple[str, ...]
    dry_run: bool


def gc(store: Path | str | None = None, *, dry_run: bool = False) -> Collected:
    """Delete results that no run folder refers to; runs whose folder is gone are forgotten.

    Args:
        store: its root; the usual place when None.
        dry_run: only say what would be deleted.
    """
    opened = _store(store)
    folders = {name: _folder_of(name, facts) for name, facts in opened.roots().items()}
    gone = {name: folder for name, folder in folders.items() if not folder.is_dir()}
    if not dry_run:
        for name in gone:
            opened.drop_root(name)
    results, freed = opened.collect(dry_run=dry_run)
    return Collected(results, freed, tuple(sorted(map(str, gone.values()))), dry_run)


def forget(asked: Path) -> Collected:
    """Delete what a command asked of its store, where no run refers to it and nobody holds it.

    Args:
        asked: what the command left there, see :data:`synthlift.study.sparing.ASKED`.
    """
    count = size = 0
    lines = [line for line in _log(asked) if isinstance(line, dict) and "store" in line]
    for root in dict.fromkeys(str(line["store"]) for line in lines if Path(line["store"]).is_dir()):
        own = [line for line in lines if line["store"] == root]
        store = _store(root)
        results, freed = store.forget((), {key for line in own for key in line.get("keys", ())})
        count, size = count + results, size + freed
        rooted = {one.get("key") for one in store.roots().values()}
        for study in {line["study"] for line in own if "study" in line} - rooted:
            store.forget_decisions(study)
    return Collected(count, size, (), dry_run=False)


def _folder_of(name: str, facts: Mapping[str, Any]) -> Path:
    return Path(str(facts.get("folder", name)))


def _store(root: Path | str | None) -> Store:
    from synthlift.store import Store

    return Store(None if root is None else Path(root))


def delete(path: Path | str) -> Collected:
    """Delete a run: its folder, and the results in its store that no other run refers to.

    The ledger still says that its test set was opened: that cannot be undone.

    Raises:
        InputError: it is no run folder, or it is being computed.
    """
    found = status(path)
    if found.state == "running":
        raise InputError(
            f"'{found.path}' is being computed",
            rule="a run is deleted when nothing writes into it",
            remedy=f"synthlift stop {shlex.quote(str(found.path))}",
        )
    facts = load(found.path).facts
    count = size = 0
    if Path(str(facts.get("store", ""))).is_dir():
        store = _store(facts["store"])
        names = [n for n, one in store.roots().items() if _folder_of(n, one) == found.path]
        keys = {str(line["key"]) for line in _log(found.path / LOG) if "key" in line}
        count, size = store.forget(names, keys)
        others = {one.get("key") for one in store.roots().values()}
        if facts["key"] not in others:
            store.forget_decisions(str(facts["key"]))
    shutil.rmtree(found.path)
    return Collected(count, size, (str(found.path),), dry_run=False)
