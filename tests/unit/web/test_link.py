"""The pipes to a worker, with a real one that is asked for nothing hard."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from synthlift.web.inference.link import Event, Link

NOTHING = {"do": "classify", "models": [], "files": []}


@pytest.fixture
def link() -> Iterator[Link]:
    made = Link("cpu")
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
