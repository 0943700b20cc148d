"""Malformed and random requests, made from the API's own description: none breaks the server."""

from __future__ import annotations

import io
import random
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import schemathesis
from flask import Flask
from hypothesis import HealthCheck, Phase, given, settings
from PIL import Image
from schemathesis.core.result import Ok
from schemathesis.generation import GenerationMode

from synthlift.web import Settings, create_app
from tests.unit.web.conftest import OURS

MODES = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)


def application(home: Path) -> Flask:
    """An application with an upload, a pool and a job, in which nothing is computed."""
    many = 10**9
    limits = Settings(
        home=home / "home",
        store=home / "store",
        per_minute=many,
        costly_per_minute=many,
        queued_jobs=3,
    )
    app = create_app(limits)
    client = app.test_client()
    client.post(
        "/api/v1/data",
        data={"archive": (io.BytesIO(archive()), "trees.zip")},
        headers=OURS,
    )
    client.post("/api/v1/pools", json={"name": "kept"}, headers=OURS)
    client.post("/api/v1/examples/digits", headers=OURS)
    return app


def archive() -> bytes:
    """A zip of two classes with a table."""
    stream, image = io.BytesIO(), io.BytesIO()
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(image, format="PNG")
    with zipfile.ZipFile(stream, "w") as made:
        for name in ("oak", "beech"):
            made.writestr(f"trees/{name}/1.png", image.getvalue())
        made.writestr("trees/table.csv", "file,site\n1.png,north\n")
    return stream.getvalue()


def known_ids(app: Flask) -> dict[str, list[str]]:
    """Ids that exist, so that requests come further than to 404."""
    here = app.extensions["synthlift"]
    return {
        "data": [one.id for one in here.data.all()],
        "pool": [one.id for one in here.pools.all()],
        "job": [one.id for one in here.jobs.all()],
    }


def attack(app: Flask, *, requests: int, modes: Sequence[GenerationMode] = MODES) -> dict[int, int]:
    """So many requests in all, spread over operations and modes; counts by status."""
    schema = schemathesis.openapi.from_wsgi("/api/v1/openapi.json", app)
    found = list(schema.get_all_operations())
    operations = [one.ok() for one in found if isinstance(one, Ok)]
    assert len(operations) == len(found), "the document describes an operation wrongly"
    each = -(-requests // (len(operations) * len(modes)))
    known, counts = known_ids(app), dict.fromkeys((200, 400, 500), 0)

    def send(case: Any) -> None:
        for name, ids in known.items():
            if ids and name in case.path_parameters:
                case.path_parameters[name] = ids[0]
        status = case.call(headers=OURS).status_code
        counts[status // 100 * 100] = counts.get(status // 100 * 100, 0) + 1
        assert status < 500, (case.method, case.path, case.body)

    for operation in operations:
        for mode in modes:
            try:
                strategy = operation.as_strategy(generation_mode=mode)
            except Exception:  # nothing of an operation without parameters can be wrong
                continue
            run = settings(
                max_examples=each,
                deadline=None,
                derandomize=True,
                database=None,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            )
            run(given(case=strategy)(send))()
    return counts


def broken(content: bytes, *, seed: int) -> bytes:
    """A zip with some bytes changed, cut off or put in."""
    rng = random.Random(seed)
    data = bytearray(content)
    for _ in range(rng.randint(1, 12)):
        place = rng.randrange(len(data))
        way = rng.randrange(3)
        if way == 0:
            data[place] = rng.randrange(256)
        elif way == 1:
            del data[place : place + rng.randrange(1, 40)]
        else:
            data[place:place] = rng.randbytes(rng.randrange(1, 20))
    return bytes(data)


def upload_broken(app: Flask, *, uploads: int) -> None:
    """Damaged zips are refused or taken in, and nothing of a refused one stays."""
    client, whole = app.test_client(), archive()
    for seed in range(uploads):
        before = {place.name for place in app.extensions["synthlift"].settings.uploads.iterdir()}
        form = {"archive": (io.BytesIO(broken(whole, seed=seed)), f"{seed}.zip")}
        answer = client.post("/api/v1/data", data=form, headers=OURS)
        assert answer.status_code in (201, 400), seed
        after = {place.name for place in app.extensions["synthlift"].settings.uploads.iterdir()}
        made = after - before
        assert len(made) == (answer.status_code == 201), seed
        for name in made:
            assert client.get(f"/api/v1/data/{name}/tables").status_code in (200, 404)
            client.delete(f"/api/v1/data/{name}", headers=OURS)


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Flask]:
    made = application(tmp_path)
    yield made
    made.extensions["synthlift"].close()


def test_requests_from_the_document_break_nothing(app: Flask) -> None:
    counts = attack(app, requests=60, modes=[GenerationMode.NEGATIVE])
    assert counts[500] == 0
    assert counts[400] > 20
    assert counts[200] > 2


def test_damaged_uploads_break_nothing(app: Flask) -> None:
    upload_broken(app, uploads=40)


@pytest.mark.slow
def test_five_hundred_of_each_break_nothing(app: Flask) -> None:
    assert attack(app, requests=500)[500] == 0
    upload_broken(app, uploads=500)


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000,
        b'{"name": ' * 20_000,
        b'{"name": "\\ud800"}',
        b'{"name": "\\u0000"}',
        b"\xff",
    ],
)
def test_bodies_that_break_readers_are_refused_or_taken(app: Flask, body: bytes) -> None:
    headers = {**OURS, "Content-Type": "application/json"}
    answer = app.test_client().post("/api/v1/pools", data=body, headers=headers)
    assert answer.status_code in (201, 400)


def test_a_large_body_is_not_read(app: Flask) -> None:
    headers = {**OURS, "Content-Type": "application/json"}
    body = b'{"name": "' + b"x" * 2**21 + b'"}'
    assert app.test_client().post("/api/v1/pools", data=body, headers=headers).status_code == 413
