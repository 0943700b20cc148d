"""Answers as they go over a socket."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from flask import Flask, Response

from synthlift.web.serving import listen
from synthlift.web.settings import Settings
from tests.e2e.serving import free_port


def counted() -> Iterator[str]:
    for number in range(3):
        yield f"data: {number}\n\n"
        time.sleep(0.3)


def events() -> Response:
    return Response(counted(), mimetype="text/event-stream")


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    app = Flask("small")
    app.add_url_rule("/small", view_func=lambda: "a small answer", endpoint="small")
    app.add_url_rule("/none", view_func=lambda: ("", 204), endpoint="none")
    app.add_url_rule("/large", view_func=lambda: b"x" * 3_000_000, endpoint="large")
    app.add_url_rule("/events", view_func=events, endpoint="events")
    found = free_port()
    server = listen(app, Settings(Path(tmp_path_factory.mktemp("home")), port=found))

    def run() -> None:
        with suppress(OSError):  # its sockets are closed in the end
            server.run()

    threading.Thread(target=run, daemon=True).start()
    yield found
    server.task_dispatcher.shutdown()
    server.close()


def asked(port: int, line: str) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=10)
    connection.sendall(f"{line} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
    return connection


def test_a_small_answer_comes_in_one_piece(port: int) -> None:
    for _ in range(20):
        with asked(port, "GET /small") as connection:
            piece = connection.recv(65536)
        head, _, body = piece.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200")
        assert b"Content-Length: 14" in head
        assert body == b"a small answer"


@pytest.mark.parametrize(("line", "word"), [("GET /none", b"204"), ("HEAD /small", b"200")])
def test_an_answer_without_a_body_is_not_held_back(port: int, line: str, word: bytes) -> None:
    with asked(port, line) as connection:
        piece = connection.recv(65536)
    assert piece.startswith(b"HTTP/1.1 " + word)
    assert piece.endswith(b"\r\n\r\n")


def test_events_come_when_they_happen(port: int) -> None:
    with asked(port, "GET /events") as connection:
        began, seen = time.monotonic(), b""
        while b"data: 0" not in seen:
            seen += connection.recv(65536)
        first = time.monotonic() - began
        while b"data: 2" not in seen:
            seen += connection.recv(65536)
        assert time.monotonic() - began > first + 0.4, "the first was not kept for the others"


def test_a_large_answer_is_whole(port: int) -> None:
    with asked(port, "GET /large") as connection:
        seen = b""
        while len(seen.partition(b"\r\n\r\n")[2]) < 3_000_000:
            piece = connection.recv(1 << 20)
            assert piece
            seen += piece
    assert set(seen.partition(b"\r\n\r\n")[2]) == {ord("x")}
