"""The built-in examples, and pages that are kept informed."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from PIL import Image

from synthlift.spec.loading import load_study
from synthlift.web import Settings, create_app
from synthlift.web.examples import EXAMPLES
from synthlift.web.generations import Generation

# ── examples ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_is_a_valid_study_and_has_pictures(client: FlaskClient, name: str) -> None:
    one = EXAMPLES[name]
    study = load_study(one.file)
    assert study.data.source == one.source
    answer = client.get(f"/api/v1/examples/{name}/picture")
    width, height = Image.open(io.BytesIO(answer.data)).size
    assert (width, height) == (len(one.shown) * 68 - 4, 64)
    assert client.get("/api/v1/examples/other/picture").status_code == 404


# ── streams ───────────────────────────────────────────────────────────────────────────────────


def test_a_stream_tells_of_every_image_and_the_end(tmp_path: Path) -> None:
    app = create_app(Settings(home=tmp_path / "home", store=tmp_path / "store"))
    made = open_generation(app, tmp_path, count=2)
    answer = app.test_client().get(f"/api/v1/generations/{made.id}/events", buffered=False)
    assert answer.mimetype == "text/event-stream"
    lines = answer.iter_encoded()
    made.hear({"event": "image", "file": "00000.png", "facts": {}, "seen": None})
    first = told(lines)
    assert (first["state"], first["done"], len(first["images"])) == ("running", 1, 1)
    made.hear({"event": "image", "file": "00001.png", "facts": {}, "seen": None})
    made.hear({"event": "done"})
    last = told(lines)
    assert (last["state"], [image["index"] for image in last["images"]]) == ("done", [1])
    assert list(lines) == []


def test_streams_are_few_and_free_their_place(tmp_path: Path) -> None:
    app = create_app(Settings(home=tmp_path / "home", store=tmp_path / "store", streams=2))
    made = open_generation(app, tmp_path, count=2)

    def listen() -> Any:
        return app.test_client().get(f"/api/v1/generations/{made.id}/events")

    first, second, third = (listen() for _ in range(3))
    assert [one.status_code for one in (first, second, third)] == [200, 200, 429]
    assert int(third.headers["Retry-After"]) > 0
    first.close()  # a page that was left before there was news
    fourth = listen()
    assert fourth.status_code == 200
    assert listen().status_code == 429
    made.hear({"event": "done"})
    assert told(iter(fourth.response))["state"] == "done"
    for one in (second, fourth):
        one.close()
    assert [listen().status_code for _ in range(2)] == [200, 200]


def test_what_fails_names_no_place_where_a_token_is_needed(tmp_path: Path) -> None:
    home, store = tmp_path / "home", tmp_path / "store"
    app = create_app(Settings(home=home, store=store, host="0.0.0.0", token="t"))
    made = open_generation(app, tmp_path, count=2)
    said = {"given": f"{tmp_path}/home/runs/x-1/generators is gone", "rule": "", "remedy": ""}
    made.hear({"event": "failed", "error": said})
    headers = {"Authorization": "Bearer t"}
    answer = app.test_client().get(f"/api/v1/generations/{made.id}", headers=headers)
    assert answer.get_json()["error"]["given"] == "…/runs/x-1/generators is gone"


def open_generation(app: Flask, place: Path, *, count: int) -> Generation:
    """A request for images that a worker is at."""
    folder = place / "open"
    folder.mkdir()
    request = {"run": "0" * 16, "generator": "flow", "label": "0", "count": count}
    made = Generation("b" * 16, folder, request)
    app.extensions["synthlift"].generations._known[made.id] = made
    return made


def told(lines: Iterator[bytes]) -> Any:
    """The next state of a stream."""
    for line in lines:
        if line.startswith(b"data: "):
            return json.loads(line.removeprefix(b"data: "))
    raise AssertionError("the stream ended")
