"""Promises of safety that hold for every page, every operation and every job, not only for some."""

from __future__ import annotations

import http.client
import io
import json
import os
import re
import subprocess
import sys
import threading
import time
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from PIL import Image

from synthlift.web import Settings, create_app
from synthlift.web.context import Context
from synthlift.web.errors import StuckError
from synthlift.web.generations import IMAGES, REQUEST, Generation
from synthlift.web.serving import listen
from tests.unit.web.conftest import OURS, Serve

TOKEN = {"host": "0.0.0.0", "token": "a-long-token"}
SECRET = "quokka"
CHANGING = ("post", "put", "patch", "delete")


def places_of(app: Flask, *, method: str) -> list[str]:
    """An address of each route that takes a method; ids in it are of nothing."""
    found = []
    for rule in app.url_map.iter_rules():
        if method in (rule.methods or ()):
            place = re.sub(r"<int:\w+>", "0", rule.rule)
            found.append(re.sub(r"<(?:\w+:)?\w+>", "0" * 16, place))
    return found


# ── every operation, every page, every error ──────────────────────────────────────────────────


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {**OURS, "Origin": "http://evil.example"},
        {**OURS, "Origin": "null"},
        {**OURS, "Origin": "http://localhost:9999"},
        {**OURS, "Sec-Fetch-Site": "same-site"},
        {**OURS, "Sec-Fetch-Site": "cross-site"},
    ],
    ids=["no header", "other site", "sandbox", "other port", "same site", "cross site"],
)
def test_no_operation_changes_anything_for_another_site(
    client: FlaskClient, headers: dict[str, str]
) -> None:
    places = [
        (method, place)
        for method in CHANGING
        for place in places_of(client.application, method=method.upper())
        if place.startswith("/api/")
    ]
    assert len(places) > 20
    for method, place in places:
        answer = client.open(place, method=method, headers=headers)
        assert answer.status_code == 403, (method, place)


def test_every_answer_forbids_what_is_not_ours(serve: Serve) -> None:
    client = serve()
    places = [*places_of(client.application, method="GET"), "/nothing", "/api/v1/nothing"]
    assert len(places) > 40
    seen = set()
    for place in places:
        answer = client.get(place)
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy, place
        assert "unsafe" not in policy, place
        assert answer.headers["X-Content-Type-Options"] == "nosniff", place
        if answer.mimetype == "text/html":
            html = answer.get_data(as_text=True)
            assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:", html), place
            assert re.findall(r"<script(?! src=\"/static/)", html) == [], place
        seen.add(answer.status_code)
    assert {200, 302, 404} <= seen
    door = serve(**TOKEN).get("/login")
    assert "default-src 'none'" in door.headers["Content-Security-Policy"]


def test_a_page_that_a_job_left_is_sandboxed_and_reaches_nothing(
    client: FlaskClient, tmp_path: Path
) -> None:
    here: Context = client.application.extensions["synthlift"]
    folder = tmp_path / "look"
    folder.mkdir()
    job = here.jobs.add(kind="inspect", title="t", command=["inspect"], folder=folder)
    place = f"/jobs/{job.id}/page"
    assert client.get(place).status_code == 404
    (folder / "inspect.html").write_text("<script>fetch('/api/v1/jobs')</script>")
    policy = client.get(place).headers["Content-Security-Policy"]
    told = dict(part.strip().partition(" ")[::2] for part in policy.split(";"))
    assert told["sandbox"] == "allow-scripts", "so it has no origin, and no cookie of ours"
    assert all(one.startswith("'sha256-") for one in told["script-src"].split())
    assert (told["default-src"], told["form-action"]) == ("'none'", "'none'")
    (folder / "inspect.html").unlink()
    (tmp_path / "elsewhere.html").write_text(SECRET)
    (folder / "inspect.html").symlink_to(tmp_path / "elsewhere.html")
    assert client.get(place).status_code == 404


@pytest.mark.parametrize("top", ["/", "/api/v1/"])
def test_no_error_shows_a_trace_or_repeats_what_was_sent(serve: Serve, top: str) -> None:
    client, guarded = serve(upload_bytes=1000), serve(**TOKEN)
    full = serve(per_minute=1)

    def stuck() -> str:
        raise StuckError("no answer")

    def broken() -> str:
        raise ValueError(SECRET)

    client.application.add_url_rule(f"{top}stuck", "stuck", stuck)
    client.application.add_url_rule(f"{top}broken", "broken", broken)
    evil = f"<{SECRET}>"
    full.get(top + evil)
    form = {"token": evil, "csrf_token": evil}
    wrong: list[tuple[int, Any]] = [
        (400, guarded.post("/login", data=form)),
        (400, client.post("/api/v1/studies", data=evil, headers=OURS)),
        (401, guarded.get("/api/v1/runs", headers={"Authorization": f"Bearer {evil}"})),
        (403, client.post(f"/api/v1/jobs/{evil}/cancel")),
        (404, client.get(top + evil)),
        (405, client.put("/login" if top == "/" else "/api/v1/jobs", headers=OURS)),
        (413, client.post("/api/v1/data", data=evil * 2000, headers=OURS)),
        (429, full.get(top + evil)),
        (500, client.get(f"{top}broken")),
        (503, client.get(f"{top}stuck")),
    ]
    for status, answer in wrong:
        said = answer.get_data(as_text=True)
        assert answer.status_code == status
        assert not re.search(rf"{SECRET}|Traceback|werkzeug|\.py\b|File \"", said), said
        if answer.mimetype == "application/json":
            assert {"given", "rule", "remedy"} == set(answer.get_json()["error"])
            assert answer.get_json()["error"]["remedy"]
        else:
            assert answer.mimetype == "text/html"
    assert all(int(answer.headers["Retry-After"]) >= 1 for _, answer in (wrong[-3], wrong[-1]))


# ── who asks, and by which name ───────────────────────────────────────────────────────────────


def test_neither_names_nor_addresses_of_a_header_are_believed(tmp_path: Path) -> None:
    """Through the real server, which hands headers on."""
    settings = Settings(home=tmp_path / "home", store=tmp_path, port=0, per_minute=2)
    server = listen(create_app(settings), settings)

    def run() -> None:
        with suppress(OSError):  # its sockets are closed in the end
            server.run()

    threading.Thread(target=run, daemon=True).start()

    def status(host: str = "127.0.0.1", **headers: str) -> int:
        link = http.client.HTTPConnection("127.0.0.1", server.effective_port, timeout=30)
        link.request("GET", "/healthz", headers={"Host": host, **headers})
        return link.getresponse().status

    try:
        others = ("evil.example", "127.0.0.1.evil.example", "localhost@evil.example", "0.0.0.0")
        assert [status(host) for host in others] == [400] * 4
        said = ("192.0.2.1", "192.0.2.2", "192.0.2.3")
        codes = [status(**{"X-Forwarded-For": one, "X-Forwarded-Host": one}) for one in said]
        assert codes == [200, 200, 429]
    finally:
        server.close()


@pytest.mark.parametrize("header", ["X-Forwarded-For", "X-Real-IP", "Forwarded", "Client-IP"])
def test_a_client_does_not_become_another_by_saying_so(serve: Serve, header: str) -> None:
    client = serve(per_minute=2)
    said = ("192.0.2.1", "for=192.0.2.2", "192.0.2.3")
    codes = [client.get("/healthz", headers={header: one}).status_code for one in said]
    assert codes == [200, 200, 429]


def test_requests_for_images_wait_in_a_queue_that_nobody_fills_alone(
    serve: Serve, tmp_path: Path
) -> None:
    client = serve(generations=4)
    here: Context = client.application.extensions["synthlift"]
    for number in range(3):
        one = Generation(f"{number:016x}", tmp_path, {"count": 1}, client="127.0.0.1")
        here.generations._known[one.id] = one
    wish = {"model": "embedded", "prompt": "a disc"}
    answer = client.post("/api/v1/generations", json=wish, headers=OURS)
    assert answer.status_code == 429
    assert "are yours" in answer.get_json()["error"]["given"]
    assert int(answer.headers["Retry-After"]) >= 1


# ── what is kept, and for how long ────────────────────────────────────────────────────────────


def test_what_was_sent_and_drawn_is_deleted_when_its_time_is_over(serve: Serve) -> None:
    client = serve(keep_seconds=3600.0)
    here: Context = client.application.extensions["synthlift"]
    made = []
    for name in ("0" * 16, "1" * 16):
        picture = here.settings.pictures_folder / name
        drawn = here.settings.generated / name
        (drawn / IMAGES).mkdir(parents=True)
        (drawn / REQUEST).write_text("{}")
        picture.write_bytes(b"x")
        sent = client.post("/api/v1/data", data={"archive": (trees(), "t.zip")}, headers=OURS)
        upload = here.settings.uploads / sent.get_json()["id"]
        test = here.blind.begin("0" * 16, generator="flow", shown=[])
        made.append([picture, drawn, upload, here.blind.folder / test.id])
    assert all(place.exists() for places in made for place in places)
    for places, minutes in zip(made, (61, 59), strict=True):
        for place in places:
            at = time.time() - 60 * minutes
            os.utime(place, (at, at))
    here.tidy()
    assert [[place.exists() for place in places] for places in made] == [[False] * 4, [True] * 4]


def trees(table: str = "") -> io.BytesIO:
    """A zip of two classes, each picture called by the secret word."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for label in ("oak", SECRET):
            for number in range(6):
                picture = io.BytesIO()
                grey = 40 * number + 20 * (label == SECRET)
                Image.linear_gradient("L").point(lambda v, g=grey: v ^ g).save(picture, "PNG")
                archive.writestr(f"{label}/{SECRET}-{number}.png", picture.getvalue())
        if table:
            archive.writestr("t.csv", table)
    stream.seek(0)
    return stream


# ── what a job and a worker say, and whom they ask ────────────────────────────────────────────

LISTENING = """
import sys
def hook(event, args):
    if event in ("socket.getaddrinfo", "urllib.Request") or (
        event == "socket.connect" and isinstance(args[1], tuple)
    ):
        with open({heard!r}, "a") as stream:
            stream.write(f"{{event}} {{args[1:]}}\\n")
sys.addaudithook(hook)
"""


@pytest.fixture
def heard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where every process that is started from now on says to whom it connects."""
    (tmp_path / "hook").mkdir()
    file = tmp_path / "heard"
    (tmp_path / "hook" / "sitecustomize.py").write_text(LISTENING.format(heard=str(file)))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "hook"))
    probe = "import socket; socket.socket().connect_ex(('127.0.0.1', 9))"
    subprocess.run([sys.executable, "-c", probe], check=True)
    assert "127.0.0.1" in file.read_text(), "it hears"
    file.unlink()
    return file


def test_a_job_fetches_nothing_and_the_server_logs_nothing_of_it(
    client: FlaskClient,
    heard: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    url = "http://169.254.169.254/latest.png"
    names = [f"{label}/{SECRET}-{n}.png" for label in ("oak", SECRET) for n in range(6)]
    rows = [f"{name},{url}{n % 4}" for n, name in enumerate([*names, url, f"hf://{SECRET}/x.png"])]
    table = "\n".join(["file,site", *rows])
    form = {"archive": (trees(table), f"{SECRET}.zip")}
    data = client.post("/api/v1/data", data=form, headers=OURS).get_json()["id"]
    assert client.get(f"/api/v1/data/{data}/tables").get_json()["tables"][0]["rows"] == 14
    wishes: list[tuple[str, dict[str, Any]]] = [
        ("studies", {"data": data, "source": url}),
        ("studies", {"data": data, "question": "pool", "pool": url}),
        ("studies", {"data": data, "generators": [{"kind": "pool", "source": url}]}),
        ("studies", {"data": data, "table": url}),
        ("inspections", {"data": data, "store": url}),
        ("generations", {"model": url, "prompt": "x"}),
        ("generations", {"model": "stabilityai/sd-turbo", "prompt": "x"}),
        ("generations", {"model": "hf://stabilityai/sd-turbo", "prompt": "x"}),
        ("generations", {"model": "/etc", "prompt": "x"}),
    ]
    for path, body in wishes:
        answer = client.post(f"/api/v1/{path}", json=body, headers=OURS)
        assert answer.status_code in (400, 404), (path, body)
    here: Context = client.application.extensions["synthlift"]
    assert here.jobs.all() == []
    body = {"data": data, "table": "t.csv", "group": "site"}
    client.post("/api/v1/inspections", json=body, headers=OURS)
    (job,) = here.jobs.all()
    end = time.monotonic() + 120
    while (found := here.jobs.get(job.id)).state in ("queued", "running"):
        assert time.monotonic() < end
        here.runner.step()
        time.sleep(0.05)
    said = json.loads((here.settings.job_logs / job.id / "stdout").read_text())
    assert (found.state, said.get("usable")) == ("done", 12), said
    assert not heard.exists(), heard.read_text()
    out, err = capfd.readouterr()
    assert SECRET not in out + err + caplog.text
