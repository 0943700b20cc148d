"""Time and memory of what is sent, with real processes and pictures that truly take too much."""

from __future__ import annotations

import io
import json
import re
import signal
import struct
import time
import zipfile
from pathlib import Path
from typing import Any

import psutil
import pytest

from synthlift.errors import InputError
from synthlift.web.archives import unpack
from synthlift.web.context import Context
from synthlift.web.endpoints import data as endpoints_data
from synthlift.web.errors import StuckError
from synthlift.web.inference.client import Inference
from synthlift.web.jobs.runner import Runner
from synthlift.web.jobs.table import JobTable
from synthlift.web.memory import SharedLimit, kill_family, used_by
from tests.unit.web.conftest import OURS, Serve

MIB = 1024**2
SIDE = 6320
"""Of pictures that are hardly smaller than what may be sent."""


def slow_jpeg(side: int, *, scans: int, components: int = 1) -> bytes:
    """A valid progressive JPEG that is small, and whose every scan takes a decoder milliseconds.

    After the mean of each block, each scan says of all blocks at once that there is nothing more:
    three bytes stand for 32,767 blocks (ITU-T T.81, G.1.2.2).
    """

    def segment(marker: int, data: bytes) -> bytes:
        return bytes((0xFF, marker)) + struct.pack(">H", len(data) + 2) + data

    def scan(component: int, first: int, last: int, content: bytes) -> bytes:
        return segment(0xDA, bytes((1, component, 0, first, last, 0))) + content

    def table(kind: int, symbol: int) -> bytes:  # one symbol, written as a bit that is 0
        return segment(0xC4, bytes((kind, 1, *[0] * 15, symbol)))

    blocks = (side // 8) ** 2
    told = b"".join(bytes((n, 0x11, 0)) for n in range(1, components + 1))
    frame = struct.pack(">BHHB", 8, side, side, components) + told
    means = b"".join(scan(n, 0, 0, bytes(blocks // 8 + 1)) for n in range(1, components + 1))
    nothing = scan(1, 1, 63, bytes(-(-blocks // 2**14) * 15 // 8 + 1))
    head = segment(0xDB, b"\0" + b"\1" * 64) + segment(0xC2, frame)
    return b"\xff\xd8" + head + table(0, 0) + table(0x10, 0xE0) + means + nothing * scans + END


END = b"\xff\xd9"


def question(model: Path, picture: str = "red.png") -> dict[str, Any]:
    files = [str(model.parent / picture)]
    return {"models": [str(model)], "files": files, "max_pixels": 40_000_000}


def worker_of(inference: Inference) -> psutil.Process:
    assert inference._link is not None
    return psutil.Process(inference._link.process.pid)


def is_answered(inference: Inference, model: Path) -> bool:
    answer = inference.classify(question(model))
    return bool(answer["pictures"][0]["answers"][str(model)].keys() == {"a", "b"})


# ── classifying ───────────────────────────────────────────────────────────────────────────────


def test_a_worker_that_takes_too_long_or_too_much_is_replaced_and_who_waited_is_told_why(
    model: Path,
) -> None:
    slow, large = (slow_jpeg(SIDE, scans=60_000, components=n) for n in (1, 3))
    assert len(slow) < 6 * MIB, "it takes minutes to decode"
    (model.parent / "slow").write_bytes(slow)
    (model.parent / "large").write_bytes(large)
    shared = SharedLimit()
    inference, other = (
        Inference(device="cpu", answer_seconds=100, waiting=4, decode_seconds=1.0, memory=shared)
        for _ in range(2)
    )
    try:
        assert is_answered(inference, model)
        first, began = worker_of(inference), time.monotonic()
        said = inference.classify(question(model, "slow"))
        assert 1 < time.monotonic() - began < 60
        assert said["error"]["rule"] == "a picture is read within 1 seconds"
        assert all(said["error"].values())
        assert not first.is_running()
        other.warm_up()
        assert is_answered(inference, model), "by another worker"
        second, smaller = worker_of(inference), worker_of(other)
        inference.decode_seconds = 100.0
        until_it_has_begun(other)
        both = used_by(second.pid) + used_by(smaller.pid)
        shared.limit_bytes = both + 100 * MIB  # in colour it takes four times as much
        said = inference.classify(question(model, "large"))
        assert "more memory than this server allows" in said["error"]["given"]
        assert "try again" in said["error"]["remedy"]
        assert not second.is_running(), "the larger one is ended"
        assert smaller.is_running()
        assert is_answered(inference, model), "by another worker"
        third = worker_of(inference)
        inference.answer_seconds = 1.0
        third.send_signal(signal.SIGSTOP)  # it hangs, wherever it is
        with pytest.raises(StuckError, match="in time"):
            inference.classify(question(model))
        assert not third.is_running()
    finally:
        inference.close()
        other.close()


def until_it_has_begun(inference: Inference) -> None:
    """Until a worker has loaded what it loads at once: it answers then."""
    assert inference.classify({"models": [], "files": []})["event"] == "done"


# ── looks ─────────────────────────────────────────────────────────────────────────────────────


def test_a_look_at_a_picture_that_takes_hours_is_ended_and_studies_have_no_such_clock(
    tmp_path: Path,
) -> None:
    for place in ("oak/1.jpg", "oak/2.jpg", "oak/3.jpg", "ash/1.jpg", "ash/2.jpg", "ash/3.jpg"):
        (tmp_path / "trees" / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "trees" / place).write_bytes(slow_jpeg(SIDE, scans=60_000))
    table = JobTable(tmp_path / "jobs.sqlite")
    runner = Runner(table, logs=tmp_path / "logs", look_seconds=3.0)
    command = ["inspect", str(tmp_path / "trees"), "--json", "--quiet"]
    study = table.add(kind="study", title="", command=command, folder=tmp_path / "a")
    look = table.add(kind="inspect", title="", command=command, folder=tmp_path / "b")
    runner.step()
    process = psutil.Process(table.get(look.id).pid)
    end = time.monotonic() + 60
    while table.get(look.id).state != "failed":
        assert time.monotonic() < end
        runner.step()
        time.sleep(0.05)
    assert [bool(line) for line in table.get(look.id).error.split("\n")] == [True] * 3
    assert not process.is_running()
    assert table.get(study.id).state == "running"
    kill_family(table.get(study.id).pid or 0)


# ── a picture to start from ───────────────────────────────────────────────────────────────────


def test_a_picture_to_start_from_is_read_in_time_or_not_at_all_and_nothing_is_logged(
    serve: Serve, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    client = serve(decode_seconds=1.0)
    here: Context = client.application.extensions["synthlift"]
    # Longer than the text encoder reads: the libraries would repeat what they left out.
    words = {"prompt": "a quokka " * 40, "negative_prompt": "no wombat " * 40, "steps": 2}
    wish = {"model": "embedded", **words, "count": 1, "start": {"strength": 0.5}}

    def vary(picture: bytes) -> tuple[Any, psutil.Process]:
        form = {"picture": (io.BytesIO(picture), "quokka.jpg"), "wish": json.dumps(wish)}
        answer = client.post("/api/v1/variations", data=form, headers=OURS)
        assert answer.status_code == 202
        worker, made = worker_of(here.pipelines), answer.get_json()["id"]
        place, end = f"/api/v1/generations/{made}", time.monotonic() + 300
        while (said := client.get(place).get_json())["state"] == "running":
            assert time.monotonic() < end
            time.sleep(0.05)
        return said, worker

    try:
        said, worker = vary(slow_jpeg(64, scans=9))
        assert (said["state"], said["done"]) == ("done", 1)
        assert worker.is_running()
        said, same = vary(slow_jpeg(SIDE, scans=60_000))
        assert (said["state"], said["images"], same) == ("failed", [], worker)
        assert said["error"]["given"] == "a picture could not be read in time"
        assert all(said["error"].values())
        assert not worker.is_running()
        assert list(here.settings.pictures_folder.iterdir()) == []
        assert client.get("/healthz").status_code == 200
    finally:
        here.close()
    out, err = capfd.readouterr()
    assert not re.search("quokka|wombat", out + err + caplog.text)


# ── zips and tables ───────────────────────────────────────────────────────────────────────────


def test_unpacking_ends_when_its_time_is_over(tmp_path: Path, serve: Serve) -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for number in range(4):
            archive.writestr(f"oak/{number}.png", bytes(50 * MIB))
    limits = {"max_entries": 10, "max_bytes": 10**9}
    with pytest.raises(InputError, match="too long") as refused:
        unpack(stream, tmp_path / "new", **limits, max_seconds=0.01)
    assert "--data" in refused.value.remedy
    assert not (tmp_path / "new").exists()
    client = serve(unpack_seconds=0.0)
    form = {"archive": (stream, "oaks.zip")}
    answer = client.post("/api/v1/data", data=form, headers=OURS)
    assert answer.status_code == 400
    assert answer.get_json()["error"]["rule"] == "it is unpacked within 0 seconds"
    assert list(tmp_path.glob("home/uploads/*")) == []


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"a\n" * 8 * MIB, "rows"),
        (b"a\r" * 8 * MIB, "rows"),
        (b",".join(b"%d" % n for n in range(2002)) + b"\n", "columns"),
        (b"a,b\n" + b'"' + b"," * 15 * MIB + b'"\n', "cells"),
    ],
    ids=["rows", "returns", "columns", "cells"],
)
def test_a_table_that_would_take_minutes_and_gibibytes_is_not_read(
    tmp_path: Path, content: bytes, problem: str
) -> None:
    (tmp_path / "a.csv").write_bytes(content)
    began = time.process_time()
    facts = endpoints_data._table_facts("a.csv", tmp_path / "a.csv", 0, 0)
    assert time.process_time() - began < 2, "counting takes a twentieth of a second"
    assert facts.problem.startswith("it has more than")
    assert facts.problem.endswith(problem)
