"""How fast the web app answers, beside a Flask handler that computes one picture at a time.

Claims, on 2 cores: start-up to the first byte in under 3 s, the first page in under 100 ms, a grid
of 16 digits in under 1 s, a picture classified in under 30 ms (median, one client), and at 32
clients at least 3 × the throughput of the plain handler.

    python -m benchmarks.serving RUN [--seconds 4] [--rounds 3] [--json FILE]

RUN is a finished run, such as the built-in digits. Both sides load the same two models, decode with
the same code and run in the same WSGI server with as many threads. The plain handler keeps its
models in its own process and computes each request's picture as it comes, in a batch of one; the
better of one and two threads of torch counts. Requests come over loopback from one process.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from synthlift.web.security import CLIENT_HEADER

CLIENTS, PICTURES = 32, 64


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        found = measure(given.run.absolute(), Path(home), given.seconds, given.rounds)
    print(json.dumps(found, indent=1))
    if given.json:
        given.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def measure(run: Path, home: Path, seconds: float, rounds: int) -> dict[str, Any]:
    before = os.getloadavg()[0]
    starts = [_start_up(run, home / f"start{i}") for i in range(rounds)]
    pictures = _pictures(run)
    with (
        _process("ours", run, home) as ours,
        _process("plain", run, home, threads=1) as plain,
        _process("plain", run, home, threads=2) as wide,
    ):
        facts = json.loads(_get(ours, "/api/v1/runs"))["runs"][0]
        path = f"/api/v1/runs/{facts['id']}/classifications"
        sides = {"ours": (ours, path), "plain": (plain, "/"), "plain, 2 threads": (wide, "/")}
        for port, place in sides.values():
            _ask(port, place, pictures, clients=1, seconds=1.0)  # models are loaded
        pages = [_timed(lambda: _get(ours, "/")) for _ in range(30)]
        grids = [_grid(ours, facts, seed) for seed in range(rounds + 1)][1:]
        alone: dict[str, list[float]] = {name: [] for name in sides}
        crowd: dict[str, list[float]] = {name: [] for name in sides}
        for _ in range(rounds):
            for name, (port, place) in sides.items():
                alone[name] += _ask(port, place, pictures, clients=1, seconds=seconds / 2)
                times = _ask(port, place, pictures, clients=CLIENTS, seconds=seconds)
                crowd[name].append(len(times) / seconds)
    best = max(statistics.median(crowd[name]) for name in sides if name != "ours")
    return {
        "run": {"classes": len(facts["classes"]), "image_size": facts["image_size"]},
        "start_up_seconds": [round(one, 2) for one in starts],
        "first_page_ms": _spread([1000 * one for one in pages]),
        "grid_of_16_seconds": [round(one, 2) for one in grids],
        "one_client_ms": {n: _spread([1000 * one for one in times]) for n, times in alone.items()},
        "clients": CLIENTS,
        "pictures_per_second": {n: [round(v, 1) for v in rates] for n, rates in crowd.items()},
        "ratio": round(statistics.median(crowd["ours"]) / best, 2),
        "load_before_and_after": [round(before, 1), round(os.getloadavg()[0], 1)],
        "cpus": os.cpu_count(),
        "torch": torch.__version__,
        "python": sys.version.split()[0],
    }


def _spread(values: list[float]) -> dict[str, float]:
    low, middle, high = np.quantile(values, [0.05, 0.5, 0.95])
    return {"n": len(values), "p5": round(low, 1), "p50": round(middle, 1), "p95": round(high, 1)}


# ── the two sides ─────────────────────────────────────────────────────────────────────────────


def serve_ours(run: Path, port: int, home: Path) -> None:
    from synthlift.web import Settings, create_app
    from synthlift.web.serving import listen

    many = 10**9
    settings = Settings(
        home=home,
        runs=(run,),
        store=home / "store",
        port=port,
        examples=False,
        per_minute=many,
        costly_per_minute=many,
    )
    app = create_app(settings)
    app.extensions["synthlift"].start()
    listen(app, settings).run()


def serve_plain(run: Path, port: int, threads: int) -> None:
    """What one would write first: models in the process, a handler that computes its picture."""
    import waitress
    from flask import Flask, jsonify, request

    from synthlift.api.classifying import as_trained, kept_models
    from synthlift.data.decode import decode_stream
    from synthlift.vision.prediction import load_classifier
    from synthlift.web.serving import THREADS

    torch.set_num_threads(threads)
    models = {model.role: load_classifier(model.folder) for model in kept_models(run)}
    app = Flask(__name__)

    @app.post("/")
    def classify() -> Any:
        stream = io.BytesIO(request.files["pictures"].read())
        answers = {}
        for role, model in models.items():
            stream.seek(0)
            pixels = decode_stream(stream, max_pixels=10**7, white=model.facts.white).pixels
            ready = torch.from_numpy(as_trained(pixels, model)[None].copy())
            with torch.inference_mode():
                logits = model.network(ready.permute(0, 3, 1, 2).float() / 255)
                (row,) = torch.softmax(logits / model.facts.temperature, dim=1).tolist()
            answers[role] = dict(zip(model.facts.classes, row, strict=True))
        return jsonify(answers)

    waitress.serve(app, host="127.0.0.1", port=port, threads=THREADS)


@contextmanager
def _process(side: str, run: Path, home: Path, *, threads: int = 1) -> Iterator[int]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    call = {
        "ours": f"serve_ours(Path({str(run)!r}), {port}, Path({str(home / 'ours')!r}))",
        "plain": f"serve_plain(Path({str(run)!r}), {port}, {threads})",
    }[side]
    program = f"from pathlib import Path; from benchmarks.serving import *; {call}"
    process = subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.DEVNULL)
    try:
        _wait_for(port, process)
        yield port
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


def _start_up(run: Path, home: Path) -> float:
    """From the command to the first byte of the first page."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    words = ["serve", str(run), "--home", str(home), "--store", str(home / "store")]
    options = ["--port", str(port), "--no-browser", "--no-examples", "--quiet"]
    program = [sys.executable, "-c", "from synthlift.cli import main; main()"]
    began = time.monotonic()
    process = subprocess.Popen([*program, *words, *options], stderr=subprocess.DEVNULL)
    try:
        _wait_for(port, process)
        _get(port, "/")
        return time.monotonic() - began
    finally:
        process.send_signal(signal.SIGINT)
        process.wait()


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    while True:
        assert process.poll() is None, "the server ended"
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.01)


# ── asking ────────────────────────────────────────────────────────────────────────────────────


def _pictures(run: Path) -> list[bytes]:
    """Pictures of the run's size, as PNG files."""
    size = json.loads((run / "results.json").read_text())["study"]["image_size"]
    rng, made = np.random.default_rng(0), []
    for _ in range(PICTURES):
        stream = io.BytesIO()
        small = rng.integers(0, 256, (8, 8), dtype=np.uint8)
        Image.fromarray(small).resize((size, size)).save(stream, "PNG")
        made.append(stream.getvalue())
    return made


def _request(path: str, picture: bytes) -> bytes:
    mark = "-----------------------------synthlift"
    body = (
        f'--{mark}\r\nContent-Disposition: form-data; name="pictures"; filename="a.png"\r\n'
        "Content-Type: image/png\r\n\r\n"
    ).encode()
    body += picture + f"\r\n--{mark}--\r\n".encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{CLIENT_HEADER}: benchmark\r\n"
        f"Content-Type: multipart/form-data; boundary={mark}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def _ask(
    port: int, path: str, pictures: list[bytes], *, clients: int, seconds: float
) -> list[float]:
    """Seconds that each answer took; every client waits for its answer before it asks again."""
    requests = [_request(path, picture) for picture in pictures]
    times: list[float] = []

    async def client(number: int, end: float) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        turn = number
        while time.monotonic() < end:
            began = time.monotonic()
            writer.write(requests[turn % len(requests)])
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            assert head.startswith("http/1.1 200"), head
            length = int(head.split("content-length:")[1].split("\r\n")[0])
            await reader.readexactly(length)
            times.append(time.monotonic() - began)
            turn += 1
        writer.close()

    async def all_clients() -> None:
        end = time.monotonic() + seconds
        await asyncio.gather(*(client(number, end) for number in range(clients)))

    asyncio.run(all_clients())
    return times


def _grid(port: int, facts: dict[str, Any], seed: int) -> float:
    """Seconds from asking for 16 images to having seen the last of them."""
    generator = facts["generators"][0]
    body = {"run": facts["id"], "generator": generator["name"], "seed": seed, "count": 16}
    body["label"] = facts["classes"][0]
    began = time.monotonic()
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/api/v1/generations",
        data=json.dumps(body).encode(),
        headers={CLIENT_HEADER: "benchmark", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request) as answer:
        made = json.loads(answer.read())
    events = _get(port, f"/api/v1/generations/{made['id']}/events").decode()
    assert '"state":"done"' in events
    return time.monotonic() - began


def _get(port: int, path: str) -> bytes:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}") as answer:
        content: bytes = answer.read()
    return content


def _timed(action: Any) -> float:
    began = time.monotonic()
    action()
    return time.monotonic() - began


if __name__ == "__main__":
    main()
