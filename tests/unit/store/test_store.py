"""The store: what counts, what does not, and what survives a kill."""

from __future__ import annotations

import errno
import json
import os
import signal
import stat
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from synthlift.errors import StageError, SynthliftError
from synthlift.store import Store
from synthlift.store.files import hash_file
from tests.unit.store.stages import request

ROOT = Path(__file__).resolve().parents[3]
COMPUTE = """
import sys, json
from synthlift.store import Store, StageRequest
import pathlib
given = json.loads(sys.argv[2])
print(Store(pathlib.Path(sys.argv[1])).compute(StageRequest(**given)))
"""


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def start(
    store: Store, function: str, *, local: dict[str, str] | None = None, **config: object
) -> subprocess.Popen[str]:
    given = {
        "stage": "test",
        "function": f"tests.unit.store.stages:{function}",
        "config": config,
        "local": local or {},
    }
    command = [sys.executable, "-c", COMPUTE, str(store.root), json.dumps(given)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def wait_for(path: Path, *, text: str, seconds: float = 30) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if path.is_file() and path.read_text() == text:
            return
        time.sleep(0.01)
    raise AssertionError(f"{path} never held {text!r}")


# ── computing and committing ──────────────────────────────────────────────────────────────────


def test_a_stage_is_computed_once_and_read_back(store: Store) -> None:
    wanted = request(a=1, b=2)
    assert not store.has(wanted.key)
    assert store.compute(wanted) == "computed"
    assert store.compute(wanted) == "present"
    artefact = store.open(wanted.key)
    assert artefact.summary == {"total": 3}
    assert artefact.path("sum.txt").read_text() == "3"
    assert list((store.root / "work").iterdir()) == []


def test_the_record_names_what_was_asked_and_the_hash_of_every_file(store: Store) -> None:
    wanted = request(a=1, b=2)
    store.compute(wanted)
    record = store.open(wanted.key).record
    assert record["config"] == {"a": 1, "b": 2}
    assert record["function"] == wanted.function
    assert record["files"] == {"sum.txt": hash_file(store.folder(wanted.key) / "sum.txt")}
    assert record["cost"]["seconds"] >= 0
    assert record["cost"]["peak_memory_mib"] > 1


def test_a_file_that_the_record_does_not_name_cannot_be_asked_for(store: Store) -> None:
    wanted = request(a=1, b=2)
    store.compute(wanted)
    (store.folder(wanted.key) / "extra.txt").write_text("slipped in")
    with pytest.raises(AssertionError, match="no file extra"):
        store.open(wanted.key).path("extra.txt")


def test_failed_output_never_counts(store: Store) -> None:
    wanted = request("failing")
    for _ in range(2):
        with pytest.raises(RuntimeError, match="on purpose"):
            store.compute(wanted)
        assert not store.has(wanted.key)
        assert list((store.root / "artefacts").iterdir()) == []
        assert list(store.root.rglob("half.txt")) == []


def test_other_users_cannot_look_into_the_store(store: Store) -> None:
    assert stat.S_IMODE(store.root.stat().st_mode) == 0o700


def test_two_processes_compute_one_key_once(store: Store, tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    local = {"journal": str(journal)}
    processes = [start(store, "add", local=local, a=1, b=2) for _ in range(3)]
    said = sorted(process.communicate(timeout=60)[0].strip() for process in processes)
    assert journal.read_text() == "ran\n"
    assert said.count("computed") == 1
    assert set(said) <= {"computed", "present", "busy"}


def test_a_held_lease_is_said_and_never_waited_for(store: Store) -> None:
    wanted = request(a=1, b=2)
    with store.lease(wanted.key) as held:
        assert held
        assert store.compute(wanted) == "busy"
    assert store.compute(wanted) == "computed"


def test_a_commit_that_comes_second_keeps_the_first(store: Store, tmp_path: Path) -> None:
    """Leases only save work: without them the first commit wins and nothing breaks."""
    wanted = request(a=1, b=2)
    store.compute(wanted)
    before = store.open(wanted.key).record
    late = tmp_path / "late"
    late.mkdir()
    (late / "record.json").write_text(json.dumps({"late": True}))
    store._commit(wanted.key, late)
    assert store.open(wanted.key).record == before


def test_a_commit_where_something_else_lies_says_what_to_do(store: Store) -> None:
    wanted = request(a=1, b=2)
    store.folder(wanted.key).write_text("no folder")
    with pytest.raises(StageError, match="Delete"):
        store.compute(wanted)
    assert not store.has(wanted.key)
    store.collect()
    assert store.compute(wanted) == "computed"


# ── kills ─────────────────────────────────────────────────────────────────────────────────────


def test_a_killed_stage_leaves_no_artefact_and_goes_on_from_its_check_point(store: Store) -> None:
    wanted = request("counting", to=40, seconds=0.05)
    process = start(store, "counting", to=40, seconds=0.05)
    work = store.root / "work" / wanted.key
    wait_for(work / "count.txt", text="10")
    process.send_signal(signal.SIGKILL)
    process.wait(timeout=30)
    assert not store.has(wanted.key)
    assert (work / "out" / "partial.txt").is_file()

    assert store.compute(wanted) == "computed"  # the lease died with its holder
    artefact = store.open(wanted.key)
    assert artefact.summary["began"] >= 10
    assert artefact.path("count.txt").read_text() == "40"
    assert not work.exists()


def test_left_over_output_of_a_killed_stage_is_not_committed(store: Store) -> None:
    wanted = request(a=1, b=2)
    out = store.root / "work" / wanted.key / "out"
    out.mkdir(parents=True)
    (out / "stale.txt").write_text("from before the kill")
    store.compute(wanted)
    assert set(store.open(wanted.key).record["files"]) == {"sum.txt"}


def test_work_that_a_kill_left_behind_a_commit_is_tidied_up_and_no_other(store: Store) -> None:
    committed, begun = request(a=1, b=2), request(a=3, b=4)
    store.compute(committed)
    for one in (committed, begun):
        (store.root / "work" / one.key).mkdir(parents=True)
    store.tidy()
    assert [work.name for work in (store.root / "work").iterdir()] == [begun.key]
    assert store.has(committed.key)


# ── damage ────────────────────────────────────────────────────────────────────────────────────


def test_an_absent_artefact_is_said_in_words(store: Store) -> None:
    with pytest.raises(SynthliftError, match="holds no 'test-x'; run the study again"):
        store.open("test-x")


@pytest.mark.parametrize("content", ["", '{"summary": ', "\0\0\0"])
def test_a_damaged_record_names_the_folder_to_delete(store: Store, content: str) -> None:
    wanted = request(a=1, b=2)
    store.compute(wanted)
    (store.folder(wanted.key) / "record.json").write_text(content)
    with pytest.raises(SynthliftError, match="is damaged; delete the folder") as caught:
        store.open(wanted.key)
    assert str(store.folder(wanted.key)) in str(caught.value)
    store.register_root("run", [wanted.key])
    store.collect()  # a damaged record must not stop the collection
    assert store.has(wanted.key)


# ── decisions ─────────────────────────────────────────────────────────────────────────────────


def test_the_first_decision_stands(store: Store) -> None:
    assert store.decide("study", "image_size", lambda: (32, "fits the budget")) == 32
    assert store.decide("study", "image_size", lambda: (64, "never asked")) == 32
    assert store.decide("other", "image_size", lambda: (64, "another study")) == 64
    recorded = store.decisions("study")["image_size"]
    assert (recorded["value"], recorded["reason"]) == (32, "fits the budget")


def test_decisions_keep_their_order_and_odd_names(store: Store) -> None:
    for name in ("size", "arms/dropped", "replicates"):
        store.decide("study", name, lambda: (None, ""))
    assert list(store.decisions("study")) == ["size", "arms/dropped", "replicates"]
    store.forget_decisions("study")
    assert store.decisions("study") == {}


def test_decisions_taken_at_once_agree(store: Store) -> None:
    def take(number: int) -> int:
        for _ in range(50):
            time.sleep(0)
        return int(Store(store.root).decide("study", "m", lambda: (number, f"by {number}")))

    with ThreadPoolExecutor(16) as pool:
        answers = set(pool.map(take, range(64)))
    assert len(answers) == 1
    assert store.decisions("study")["m"]["value"] in answers
    assert len(list((store.root / "decisions" / "study").iterdir())) == 1


def test_processes_that_decide_at_once_agree(store: Store) -> None:
    code = (
        "import sys, pathlib; from synthlift.store import Store; import os;"
        "print(Store(pathlib.Path(sys.argv[1])).decide('s', 'm', lambda: (os.getpid(), '')))"
    )
    command = [sys.executable, "-c", code, str(store.root)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    answers = {process.communicate(timeout=60)[0] for process in processes}
    assert len(answers) == 1
    assert int(answers.pop()) in {process.pid for process in processes}


# ── roots and collection ──────────────────────────────────────────────────────────────────────


def chain(store: Store) -> list[str]:
    """Three artefacts, each an input of the next; the last names its input in a list."""
    first = request(a=1, b=1)
    second = request(a=2, b=2, inputs={"previous": first.key})
    third = request(a=3, b=3, inputs={"previous": [second.key]})
    for wanted in (first, second, third):
        store.compute(wanted)
    return [first.key, second.key, third.key]


def test_collection_spares_roots_and_their_inputs(store: Store) -> None:
    first, second, third = chain(store)
    lonely = request(a=9, b=9)
    store.compute(lonely)
    store.register_root("run", [second], study="digits")
    assert store.roots()["run"]["study"] == "digits"
    count, size = store.collect()
    assert count == 2
    assert size > 0
    assert store.has(first)
    assert store.has(second)
    assert not store.has(third)
    assert not store.has(lonely.key)


def test_what_a_run_registers_comes_on_top_of_what_it_registered_before(store: Store) -> None:
    first, second, third = chain(store)
    store.register_root("run", [second], state="done")
    store.register_root("run", [third, second], state="running")
    assert store.roots()["run"] == {"keys": [second, third], "state": "running"}
    store.register_root("run", [])
    assert store.collect() == (0, 0)
    assert store.has(first)


def test_collection_spares_what_a_process_needs_as_long_as_it_goes_on(store: Store) -> None:
    first, second, _ = chain(store)
    hold = (
        "import os, sys, pathlib; from synthlift.store import Store\n"
        "with Store(pathlib.Path(sys.argv[1])).passing.hold() as note:\n"
        "    note([sys.argv[2]]); print('held', flush=True); sys.stdin.read(); os._exit(9)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", hold, str(store.root), second],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    assert process.stdout.readline() == "held\n"
    assert store.collect()[0] == 1
    assert store.has(first)
    process.communicate(timeout=60)
    assert list((store.root / "passing").iterdir()), "it was killed"
    assert store.collect()[0] == 2
    assert not list((store.root / "passing").iterdir())
    with store.passing.hold() as note:
        note([first])
    assert not list((store.root / "passing").iterdir())


def test_what_is_registered_while_results_are_collected_is_there_or_known_to_be_gone(
    store: Store,
) -> None:
    """A run registers, then looks for what is there: nothing may go after it has looked."""
    wanted = [request(a=n, b=n) for n in range(40)]
    for one in wanted:
        store.compute(one)
    keys = [one.key for one in wanted]
    with ThreadPoolExecutor(1) as pool:
        collecting = pool.submit(Store(store.root).collect)
        store.register_root("run", keys)
        found = [store.has(key) for key in keys]
        collecting.result()
    assert [store.has(key) for key in keys] == found


def test_a_folder_without_a_record_makes_way_for_the_artefact(store: Store) -> None:
    """Also where a run names its key, so that no collection takes it away."""
    wanted = request(a=1, b=2)
    store.register_root("run", [wanted.key])
    store.folder(wanted.key).mkdir()
    (store.folder(wanted.key) / "half").write_text("copied until the disk was full")
    assert store.compute(wanted) == "computed"
    assert "half" not in {path.name for path in store.folder(wanted.key).iterdir()}
    assert store.open(wanted.key).summary
    assert not list((store.root / "work").iterdir())


def test_a_dry_run_counts_the_same_and_deletes_nothing(store: Store) -> None:
    keys = chain(store)
    expected = store.collect(dry_run=True)
    assert expected[0] == 3
    assert all(store.has(key) for key in keys)
    assert store.collect() == expected
    assert list((store.root / "artefacts").iterdir()) == list((store.root / "work").iterdir()) == []


def test_collection_spares_leased_work(store: Store) -> None:
    wanted = request("counting", to=1, seconds=0)
    work = store.root / "work" / wanted.key
    work.mkdir()
    (work / "count.txt").write_text("0")
    with store.lease(wanted.key):
        assert store.collect() == (0, 0)
        assert work.exists()
    assert store.collect()[0] == 1
    assert not work.exists()


def test_collection_spares_the_work_of_a_planned_key(store: Store) -> None:
    wanted = request("counting", to=1, seconds=0)
    work = store.root / "work" / wanted.key
    work.mkdir()
    store.register_root("run", [wanted.key])
    assert store.collect() == (0, 0)
    assert work.exists()


def test_a_collection_that_was_killed_leaves_no_half_artefact(store: Store) -> None:
    """An artefact leaves its place in one step, before anything in it is deleted."""
    key = chain(store)[2]
    folder = store.folder(key)
    store._remove(folder)
    assert not folder.exists()
    doomed = store.root / "work" / "deleted-by-a-killed-process"
    doomed.mkdir()
    (doomed / "record.json").write_text("{}")
    store.collect()
    assert not doomed.exists()


@pytest.mark.parametrize("links", [True, False])
def test_a_decision_is_taken_once_with_and_without_hard_links(
    store: Store, links: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not links:  # as FAT and some network shares answer

        def refuse(*_: object) -> None:
            raise PermissionError(errno.EPERM, "Operation not permitted")

        monkeypatch.setattr(os, "link", refuse)
    with ThreadPoolExecutor(8) as pool:
        values = list(pool.map(lambda i: store.decide("study", "size", lambda: (i, "")), range(8)))
    assert len(set(values)) == 1
    assert store.decide("study", "size", lambda: (99, "")) == values[0]
    assert [d["value"] for d in store.decisions("study").values()] == values[:1]
