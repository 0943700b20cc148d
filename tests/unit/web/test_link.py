"""The pipes to a worker, with a real one that is asked for nothing hard."""

from __future__ import annotations

import queue
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest

from synthlift.web.inference.client import Inference
from synthlift.web.inference.link import Event, Link
from synthlift.web.memory import SharedLimit, used_by

NOTHING = {"do": "classify", "models": [], "files": []}


@pytest.fixture
def link() -> Iterator[Link]:
    made = Link("cpu", memory_bytes=2**33)
    yield made
    made.end()


def test_what_many_threads_send_at_once_is_answered_one_by_one(link: Link) -> None:
    padding = "x" * 50_000  # beyond what a pipe holds, so that some must wait for others

    def ask(number: int) -> Event:
        answer: queue.SimpleQueue[Event] = queue.SimpleQueue()
        assert link.send(str(number), {**NOTHING, "padding": padding}, answer.put)
        return answer.get(timeout=60)

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(ask, range(200)))
    expected = [{"id": str(i), "event": "done", "pictures": []} for i in range(200)]
    assert answers == expected
    assert not link.waits


def test_who_waits_hears_that_the_worker_is_gone_and_nobody_else_is_taken_on(link: Link) -> None:
    heard: queue.SimpleQueue[Event] = queue.SimpleQueue()
    assert link.send("a", {"do": "nothing"}, heard.put)
    link.cancel("b")
    link.end()
    assert heard.get(timeout=60)["event"] == "failed"
    assert link.gone
    assert not link.send("c", NOTHING, heard.put)
    assert heard.empty()


def test_a_listener_that_fails_and_lines_that_are_none_keep_nobody_waiting(link: Link) -> None:
    heard: queue.SimpleQueue[Event] = queue.SimpleQueue()

    def full(event: Event) -> None:
        if event["event"] == "done":
            raise OSError("No space left on device")
        heard.put(event)

    answer: queue.SimpleQueue[Event] = queue.SimpleQueue()
    assert link.send("a", NOTHING, full)
    assert heard.get(timeout=60)["error"]["given"] == "what was computed could not be kept"
    for line in (b'{"id": "b", "ev', b"[]\n", b'{"id": []}\n', b"\xff\n"):
        link._hand_on(line)  # as of a process that was killed while it wrote
    assert link.send("b", NOTHING, answer.put)
    assert answer.get(timeout=60)["event"] == "done", "others are answered all the same"
    assert link.send("c", {"do": "nothing"}, full)
    assert link.send("d", {"do": "nothing"}, lambda _: [][0])
    assert link.send("e", {"do": "nothing"}, answer.put)
    link.end()
    assert answer.get(timeout=60)["event"] == "failed", "also behind one that fails"
    assert link.gone


def test_a_worker_retires_only_when_nobody_waits_for_it(link: Link) -> None:
    answer: queue.SimpleQueue[Event] = queue.SimpleQueue()
    assert link.send("a", {"do": "nothing"}, answer.put)
    assert not link.retire(unused_since=time.monotonic())
    link.end()
    assert answer.get(timeout=60)["event"] == "failed"
    shared = SharedLimit(2**33)
    inference = Inference(
        device="cpu", answer_seconds=60, waiting=1, memory=shared, unused_seconds=3.0
    )
    try:
        inference.warm_up()
        (first,) = workers()
        assert first.cmdline()[-1] == str(2**33), "by it the models that it keeps are limited"
        asked = time.monotonic()
        assert inference.classify(NOTHING)["event"] == "done"
        psutil.wait_procs([first], timeout=60)
        assert not first.is_running()
        assert time.monotonic() - asked > 3
        assert inference.classify(NOTHING)["event"] == "done", "another takes its place"
        assert workers() != [first]
    finally:
        inference.close()


def workers() -> list[psutil.Process]:
    """Those of this test that live."""
    return [one for one in psutil.Process().children() if "inference.worker" in str(one.cmdline())]


def test_of_processes_that_share_a_limit_the_largest_must_end() -> None:
    def holding(mebibytes: int) -> subprocess.Popen[bytes]:
        code = f"a = bytearray(b'x') * {mebibytes} * 2**20; print(flush=True); input()"
        command = [sys.executable, "-S", "-c", code]
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    small, large = holding(20), holding(60)
    try:
        for one in (small, large):
            assert one.stdout is not None
            one.stdout.readline()
        shared = SharedLimit(used_by(small.pid) + used_by(large.pid) - 2**20)
        shared.join(small.pid)
        shared.join(large.pid)
        assert [shared.must_end(one.pid) for one in (small, large)] == [False, True]
        shared.leave(small.pid)
        assert not shared.must_end(large.pid), "alone it is within the limit"
    finally:
        for one in (small, large):
            one.kill()
            one.wait()
