"""How fast the web app answers, beside a Flask handler that computes one picture at a time.

Aimed at, on 2 cores: start-up to the first byte in under 3 s, the first page in under 100 ms, a
grid of 16 digits in under 1 s, a picture classified in under 30 ms (median, one client), and at 32
clients at least 3 × the throughput of a handler without batches.

    python -m benchmarks.serving DIGITS LEAVES --network resnet:18@64 [--seconds 4] [--rounds 3]

DIGITS, LEAVES, … are finished runs; start-up, pages and drawing are measured with the first. A
network is one of ours by kind, depth and size of pictures, in place of both models of the first
run; its weights are random, which changes no time.

All sides load the same two models and decode with the same code. The plain handler keeps its models
in its own process, decodes a picture once and computes it as it comes, in a batch of one. It comes
in two forms, and ratios are stated against both: ``flask`` runs as one writes it first, in Flask's
own server (a thread a request) with torch as it is; ``tuned`` runs in the WSGI server that ours
runs in, with the best of several numbers of threads, of the server and of torch. Ours also reads
limits, the token and the origin of a request, and hands pictures to another process. Requests come
over loopback from one process.

The page asks for explanations, too; ``one_client_explained_ms`` is what one client then waits.
Beside the throughput stands the processor time of a server and its children for a picture: it says
what can be expected where other programs use the machine, too, which then changes the throughput.
"""

from __future__ import annotations

import argparse
import io
import json
import logging
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from PIL import Image

from benchmarks.clients import ask, get, grid_seconds
from synthlift.api.classifying import kept_models
from synthlift.registry import descriptor
from synthlift.vision.classifiers.base import build_network
from synthlift.vision.prediction import read_facts, save_classifier

CLIENTS, PICTURES = 32, 64
OURS, FLASK, TUNED = "ours", "flask", "tuned"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--network", action="append", default=[], metavar="KIND:DEPTH@SIZE")
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    runs = [run.absolute() for run in given.runs]
    with tempfile.TemporaryDirectory() as temporary:
        home = Path(temporary)
        found = {**first_steps(runs[0], home, given.rounds), "classifying": []}
        for place, run in enumerate(runs):
            found["classifying"].append(classifying(run, home / f"run{place}", given))
        for place, wanted in enumerate(given.network):
            run = in_place_of(runs[0], wanted, home / f"network{place}" / "run")
            found["classifying"].append(classifying(run, home / f"network{place}", given))
    print(json.dumps(found, indent=1))
    if given.json:
        given.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def first_steps(run: Path, home: Path, rounds: int) -> dict[str, Any]:
    """Start-up, the first page and a grid of images."""
    starts = [_start_up(run, home / f"start{i}") for i in range(rounds)]
    with _process(_ours(run, home / "steps")) as (port, _):
        facts = json.loads(get(port, "/api/v1/runs"))["runs"][0]
        get(port, "/")
        pages = [_timed(lambda: get(port, "/")) for _ in range(30)]
        grids = [grid_seconds(port, facts, seed) for seed in range(rounds + 1)][1:]
    return {
        "start_up_seconds": [round(one, 2) for one in starts],
        "first_page_ms": _spread([1000 * one for one in pages]),
        "grid_of_16_seconds": [round(one, 2) for one in grids],
        "cpus": os.cpu_count(),
        "torch": torch.__version__,
        "python": sys.version.split()[0],
    }


def in_place_of(run: Path, wanted: str, folder: Path) -> Path:
    """A copy of a run with other networks, as large as is wanted and with random weights."""
    name, _, size = wanted.partition("@")
    kind, _, depth = name.partition(":")
    shutil.copytree(run, folder)
    component = descriptor("classifiers", kind)
    for model in kept_models(folder):
        old = read_facts(model.folder)
        facts = old.model_copy(
            update={
                "kind": kind,
                "config": {"depth": int(depth)} if depth else {},
                "image_shape": (int(size), int(size), 3),
                "mean": (0.5,) * 3,
                "std": (0.25,) * 3,
            }
        )
        config = component.config.model_validate(facts.config)
        network = build_network(component, config, task=facts.task, seed=0, pretrained=False)
        save_classifier(model.folder, network=network, facts=facts)
    return folder


def classifying(run: Path, home: Path, given: argparse.Namespace) -> dict[str, Any]:
    """Every side in turn, as often as there are rounds, so that a busy moment meets all."""
    before, pictures = os.getloadavg()[0], _pictures(run)
    alone: dict[str, list[float]] = {}
    crowd: dict[str, list[float]] = {}
    taken: dict[str, list[float]] = {}
    with ExitStack() as open_:
        sides = {}
        for name, call in {OURS: _ours(run, home), **_baselines(run)}.items():
            port, process = open_.enter_context(_process(call))
            path = "/"
            if name == OURS:
                id_ = json.loads(get(port, "/api/v1/runs"))["runs"][0]["id"]
                path = f"/api/v1/runs/{id_}/classifications"
            sides[name] = (port, path, process)
            ask(port, path, pictures, clients=1, seconds=1.0)  # models are loaded
        for _ in range(given.rounds):
            for name, (port, path, process) in sides.items():
                alone.setdefault(name, []).extend(
                    ask(port, path, pictures, clients=1, seconds=given.seconds / 2)
                )
                used = _processor_seconds(process)
                times = ask(port, path, pictures, clients=CLIENTS, seconds=given.seconds)
                used = _processor_seconds(process) - used
                crowd.setdefault(name, []).append(len(times) / given.seconds)
                taken.setdefault(name, []).append(1000 * used / len(times))
        port, path, _ = sides[OURS]
        explained = explained_ms(port, path, pictures, seconds=given.seconds)
    rates = {name: statistics.median(found) for name, found in crowd.items()}
    best = max((name for name in rates if name.startswith(TUNED)), key=lambda name: rates[name])
    facts = read_facts(kept_models(run)[0].folder)
    return {
        "models": f"2 × {facts.kind}, {facts.image_shape[0]} × {facts.image_shape[1]} pixels",
        "one_client_ms": {n: _spread([1000 * one for one in times]) for n, times in alone.items()},
        "one_client_explained_ms": explained,
        "clients": CLIENTS,
        "pictures_per_second": {n: [round(v, 1) for v in found] for n, found in crowd.items()},
        "processor_ms_per_picture": {n: [round(v, 2) for v in v2] for n, v2 in taken.items()},
        "times_as_many_as": {
            FLASK: round(rates[OURS] / rates[FLASK], 2),
            best: round(rates[OURS] / rates[best], 2),
        },
        "load_before_and_after": [round(before, 1), round(os.getloadavg()[0], 1)],
    }


def explained_ms(
    port: int, path: str, pictures: list[bytes], *, seconds: float
) -> dict[str, float]:
    """One client as the page asks: also where the models looked, and how unusual a picture is."""
    ask(port, path, pictures, clients=1, seconds=seconds / 4, explain=True)  # all is loaded
    times = ask(port, path, pictures, clients=1, seconds=seconds, explain=True)
    return _spread([1000 * one for one in times])


def _processor_seconds(process: subprocess.Popen[bytes]) -> float:
    """Of a server and what it started."""
    parent = psutil.Process(process.pid)
    times = [one.cpu_times() for one in (parent, *parent.children(recursive=True))]
    return sum(one.user + one.system for one in times)


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


def plain_app(run: Path) -> Any:
    """What one would write first: models in the process, a handler that computes its picture."""
    from flask import Flask, jsonify, request

    from synthlift.api.classifying import as_trained
    from synthlift.data.decode import decode_stream
    from synthlift.vision.prediction import load_classifier

    models = {model.role: load_classifier(model.folder) for model in kept_models(run)}
    app = Flask(__name__)

    (white,) = {model.facts.white for model in models.values()}

    @app.post("/")
    def classify() -> Any:
        stream = io.BytesIO(request.files["pictures"].read())
        pixels = decode_stream(stream, max_pixels=10**7, white=white).pixels
        answers = {}
        for role, model in models.items():
            ready = torch.from_numpy(as_trained(pixels, model)[None].copy())
            with torch.inference_mode():
                logits = model.network(ready.permute(0, 3, 1, 2).float() / 255)
                (row,) = torch.softmax(logits / model.facts.temperature, dim=1).tolist()
            answers[role] = dict(zip(model.facts.classes, row, strict=True))
        return jsonify(answers)

    return app


def serve_flask(run: Path, port: int) -> None:
    plain_app(run).run(host="127.0.0.1", port=port)


def serve_tuned(run: Path, port: int, threads: int, of_torch: int) -> None:
    import waitress

    torch.set_num_threads(of_torch)
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)
    waitress.serve(plain_app(run), host="127.0.0.1", port=port, threads=threads)


def _ours(run: Path, home: Path) -> str:
    return f"serve_ours(Path({str(run)!r}), PORT, Path({str(home / 'ours')!r}))"


def _baselines(run: Path) -> dict[str, str]:
    place = f"Path({str(run)!r})"
    found = {FLASK: f"serve_flask({place}, PORT)"}
    for threads, of_torch in ((2, 1), (4, 1), (16, 1), (2, 2)):
        name = f"{TUNED}, {threads} and {of_torch} threads"
        found[name] = f"serve_tuned({place}, PORT, {threads}, {of_torch})"
    return found


@contextmanager
def _process(call: str) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """A process that calls one of the functions above, and its port, once it listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    call = call.replace("PORT", str(port))
    program = f"from pathlib import Path; from benchmarks.serving import *; {call}"
    process = subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.DEVNULL)
    try:
        _wait_for(port, process)
        yield port, process
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
        get(port, "/")
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


def _pictures(run: Path) -> list[bytes]:
    """Pictures as large as the models take them, as PNG files."""
    size = read_facts(kept_models(run)[0].folder).image_shape[0]
    rng, made = np.random.default_rng(0), []
    for _ in range(PICTURES):
        stream = io.BytesIO()
        small = rng.integers(0, 256, (8, 8), dtype=np.uint8)
        Image.fromarray(small).resize((size, size)).save(stream, "PNG")
        made.append(stream.getvalue())
    return made


def _timed(action: Any) -> float:
    began = time.monotonic()
    action()
    return time.monotonic() - began


if __name__ == "__main__":
    main()
