"""A server in a process of its own, and how tests talk to it."""

from __future__ import annotations

import json
import os
import signal
import socket
import struct
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from synthlift.web.memory import kill_family
from synthlift.web.security import CLIENT_HEADER
from tests.e2e.tiny import FLOW, PROGRAM, draw_folder, run, study_of

Asked = tuple[int, Any, dict[str, str]]


def finished_study(
    home: Path,
    *,
    steps: int = 6,
    curation: Sequence[str] = ("exact_duplicates",),
    generator: Mapping[str, Any] | None = None,
    plugins: Sequence[str] = (),
) -> Path:
    """The run folder of a study of drawn images with a generator, flow if left out; in seconds."""
    study = study_of(
        draw_folder(home / "data" / "shapes"),
        generators=[generator or {**FLOW, "steps": steps}],
        curation=list(curation),
        arms=["real", {"kind": "mixed", "multiples": [0.5], "recipes": ["plain"]}],
        generator_fits=1,
        plugins=list(plugins),
    )
    return run(study, home=home).folder


@dataclass(frozen=True)
class Server:
    """A running server."""

    port: int
    home: Path

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Asked:
        """Status, content (JSON decoded) and headers."""
        content = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        sent = {CLIENT_HEADER: "test", "Content-Type": "application/json", **headers}
        request = urllib.request.Request(
            f"{self.address}{path}", data=content, headers=sent, method=method
        )
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                return _content(answer.status, answer.read(), dict(answer.headers))
        except urllib.error.HTTPError as error:
            return _content(error.code, error.read(), dict(error.headers))

    def send(self, path: str, field: str, *files: tuple[str, bytes], **words: str) -> Asked:
        """Upload files, with further fields."""
        mark = uuid.uuid4().hex
        said = [
            f'--{mark}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{word}\r\n'.encode()
            for name, word in words.items()
        ]
        parts = said + [
            f'--{mark}\r\nContent-Disposition: form-data; name="{field}"; filename="{name}"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n".encode()
            + content
            + b"\r\n"
            for name, content in files
        ]
        kind = f"multipart/form-data; boundary={mark}"
        return self.ask(
            "POST", path, b"".join(parts) + f"--{mark}--".encode(), **{"Content-Type": kind}
        )

    def until(self, path: str, reached: Callable[[Any], bool], *, seconds: float = 120) -> Any:
        """Poll until what is found there satisfies."""
        end = time.monotonic() + seconds
        while True:
            code, found, _ = self.ask("GET", path)
            assert code == 200, found
            if reached(found):
                return found
            assert time.monotonic() < end, found
            time.sleep(0.1)

    def draw_with(self, **body: Any) -> Any:
        """Ask for images by words of the API alone and wait for them."""
        return self._ended(self.ask("POST", "/api/v1/generations", body))

    def draw(self, run_id: str, **changes: Any) -> Any:
        """Ask for images and wait for them."""
        body = {
            "run": run_id,
            "generator": "flow",
            "label": "disc",
            "count": 3,
            "seed": 5,
            **changes,
        }
        return self._ended(self.ask("POST", "/api/v1/generations", body))

    def vary(self, run_id: str, picture: bytes, strength: float = 0.5, **changes: Any) -> Any:
        """Ask for images that start from a picture and wait for them."""
        body = {"run": run_id, "generator": "flow", "label": "disc", "count": 3, "seed": 5}
        wish = json.dumps({**body, "start": {"strength": strength}, **changes})
        file = ("holiday with Ann.png", picture)
        return self._ended(self.send("/api/v1/variations", "picture", file, wish=wish))

    def _ended(self, asked: Asked) -> Any:
        code, made, _ = asked
        assert code == 202, made
        return self.until(
            f"/api/v1/generations/{made['id']}", lambda one: one["state"] != "running"
        )

    def images(self, made: Any) -> list[bytes]:
        """The files of a request for images."""
        return [self.ask("GET", image["url"])[1] for image in made["images"]]


def _content(code: int, content: bytes, headers: dict[str, str]) -> Asked:
    is_json = headers.get("Content-Type", "").startswith("application/json")
    return code, json.loads(content) if is_json else content, headers


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def until_it_answers(server: Server, process: subprocess.Popen[bytes], said: Path) -> None:
    """Wait for a server that was started."""
    for _ in range(600):
        assert process.poll() is None, said.read_text()
        try:
            server.ask("GET", "/healthz")
            return
        except OSError:
            time.sleep(0.1)


@contextmanager
def serving(
    home: Path, words: Sequence[str], *, examples: bool = False, browser: str = ""
) -> Iterator[Server]:
    """``synthlift serve`` until the end of the block, with its folders below ``home``.

    ``browser`` is a command that it opens in place of a browser; "" opens none.
    """
    port = free_port()
    folders = ["--home", str(home / "web"), "--store", str(home / "store")]
    options = [*folders, "--port", str(port), *([] if browser else ["--no-browser"])]
    options += [] if examples else ["--no-examples"]
    more = {"SYNTHLIFT_DATA_HOME": str(home / "data-home")}
    said = home / f"serve-{port}.stderr"
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "serve", *words, *options],
        env={**os.environ, **more, **({"BROWSER": browser} if browser else {})},
        stderr=said.open("wb"),
    )
    found = Server(port, home / "web")
    try:
        until_it_answers(found, process, said)
        yield found
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
        assert "Traceback" not in said.read_text()


@contextmanager
def serving_with(
    home: Path, finished: Path, **limits: int
) -> Iterator[tuple[Server, psutil.Process]]:
    """The application as ``serve`` runs it, with a run and limits of its own, and its process."""
    port = free_port()
    code = f"""
from pathlib import Path
from synthlift.web import Settings, create_app
from synthlift.web.serving import listen
settings = Settings(home=Path({str(home / "limited")!r}), runs=(Path({str(finished)!r}),),
    store=Path({str(home / "store")!r}), port={port}, examples=False, **{limits!r})
app = create_app(settings)
app.extensions["synthlift"].start()
listen(app, settings).run()
"""
    said = home / f"limited-{port}.stderr"
    process = subprocess.Popen([sys.executable, "-c", code], stderr=said.open("wb"))
    server = Server(port, home / "limited")
    try:
        until_it_answers(server, process, said)
        yield server, psutil.Process(process.pid)
        assert "Traceback" not in said.read_text()
    finally:
        kill_family(process.pid)
        process.wait()


def bomb(side: int) -> bytes:
    """A PNG whose header promises side × side pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    body = zlib.compress(bytes(1000))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")
    )
