"""What pages and API say before anything was computed."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from synthlift.spec.loading import load_study
from synthlift.web import Settings, create_app
from synthlift.web.generations import Generation, metadata
from synthlift.web.inference.loaded import Loaded
from synthlift.web.jobs.commands import parts_of
from synthlift.web.library import Library
from synthlift.web.questions import BUDGETS, QUESTIONS, Choices
from tests.unit.web.conftest import OURS, Serve

AS_JSON = {**OURS, "Content-Type": "application/json"}


@pytest.fixture(scope="module")
def any_client(tmp_path_factory: pytest.TempPathFactory) -> FlaskClient:
    """Of one application for many requests."""
    home, many = tmp_path_factory.mktemp("home"), 10**6
    settings = Settings(home=home, store=home, per_minute=many, costly_per_minute=many)
    return create_app(settings).test_client()


def folder_of_images(place: Path) -> Path:
    for name in ("oak", "beech"):
        (place / name).mkdir(parents=True)
        for i in range(3):
            Image.fromarray(np.full((8, 8), 40 * i, np.uint8)).save(place / name / f"{i}.png")
    return place


def zip_of(place: Path) -> io.BytesIO:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for file in place.rglob("*.png"):
            archive.write(file, file.relative_to(place.parent))
    stream.seek(0)
    return stream


def upload(client: FlaskClient, place: Path, name: str = "trees.zip") -> Any:
    form = {"archive": (zip_of(place), name)}
    return client.post("/api/v1/data", data=form, headers=OURS)


# ── the document ──────────────────────────────────────────────────────────────────────────────


def test_the_document_describes_every_route(client: FlaskClient) -> None:
    document = client.get("/api/v1/openapi.json").get_json()
    assert document["openapi"].startswith("3.1")
    described = {
        (path, method.upper()) for path, item in document["paths"].items() for method in item
    }
    routes = {
        (re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule), method)
        for rule in client.application.url_map.iter_rules()
        if rule.rule.startswith("/api/") and rule.endpoint != "api.openapi"
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    assert described == routes
    references = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(document)))
    assert references == set(document["components"]["schemas"])


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        {},
        {"run": "0" * 16},
        {"run": "0" * 16, "generator": "flow", "label": "0", "count": 0},
        {"run": "0" * 16, "generator": "flow", "label": "0", "seed": -1},
        {"run": "0" * 16, "generator": "flow", "label": "0", "other": 1},
        {"run": "../..", "generator": "flow", "label": "0"},
        {"run": "0" * 16, "generator": "flow", "label": {"a": 1}},
    ],
)
def test_malformed_requests_are_refused_in_words(client: FlaskClient, body: Any) -> None:
    answer = client.post("/api/v1/generations", json=body, headers=OURS)
    assert answer.status_code == 400
    assert all(answer.get_json()["error"].values())


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)
KEYS = st.sampled_from(
    ["run", "generator", "label", "attributes", "seed", "count", "data", "budget"]
)


@given(
    path=st.sampled_from(["generations", "studies", "inspections"]),
    body=st.dictionaries(KEYS, JSON),
)
def test_no_request_breaks_the_server(any_client: FlaskClient, path: str, body: Any) -> None:
    answer = any_client.post(f"/api/v1/{path}", data=json.dumps(body), headers=AS_JSON)
    assert 400 <= answer.status_code < 500


@given(content=st.binary(max_size=300))
def test_no_bytes_break_the_server(any_client: FlaskClient, content: bytes) -> None:
    answer = any_client.post("/api/v1/studies", data=content, headers=AS_JSON)
    assert 400 <= answer.status_code < 500
    form = {"archive": (io.BytesIO(b"PK\x03\x04" + content), "x.zip")}
    assert any_client.post("/api/v1/data", data=form, headers=OURS).status_code == 400


@pytest.mark.parametrize(
    ("start", "pictures"),
    [
        ({"strength": 0}, 1),
        ({"strength": 1.5}, 1),
        ({"strength": 0.5, "sample": 0}, 1),
        ({"strength": 0.5}, 0),
        ({"strength": 0.5}, 2),
        (None, 1),
    ],
)
def test_a_picture_to_start_from_is_one_with_a_strength(
    client: FlaskClient, tmp_path: Path, start: Any, pictures: int
) -> None:
    wish = {"run": "0" * 16, "generator": "flow", "label": "oak", "start": start}
    files = [(io.BytesIO(b"x"), f"{i}.png") for i in range(pictures)]
    form = {"wish": json.dumps(wish), "picture": files}
    answer = client.post("/api/v1/variations", data=form, headers=OURS)
    assert answer.status_code == 400
    assert all(answer.get_json()["error"].values())
    assert not list((tmp_path / "home").glob("pictures/*"))


def test_other_media_types_are_refused(client: FlaskClient) -> None:
    answer = client.post("/api/v1/studies", data='{"data": "x"}', headers=OURS)
    assert answer.status_code == 400


def test_unknown_runs_and_generations_are_missing(client: FlaskClient) -> None:
    body = {"run": "0" * 16, "generator": "flow", "label": "0"}
    assert client.post("/api/v1/generations", json=body, headers=OURS).status_code == 404
    assert client.get("/api/v1/generations/" + "0" * 16).status_code == 404
    assert client.post("/api/v1/jobs/none/cancel", headers=OURS).status_code == 404
    assert "nothing here" in client.get("/runs/none").get_data(as_text=True)


# ── data sets ─────────────────────────────────────────────────────────────────────────────────


def test_an_upload_becomes_a_data_set_and_is_deleted_on_demand(
    client: FlaskClient, tmp_path: Path
) -> None:
    made = upload(client, folder_of_images(tmp_path / "trees"), "../../etc/my trees!.zip")
    assert made.status_code == 201
    facts = made.get_json()
    assert facts["name"] == "my trees"
    assert facts["until"] > time.time()
    assert str(tmp_path) not in made.get_data(as_text=True)
    here = client.application.extensions["synthlift"]
    found = here.data.get(facts["id"])
    assert sorted(p.name for p in found.path.iterdir()) == ["beech", "oak"]
    answer = client.delete(f"/api/v1/data/{facts['id']}", headers=OURS)
    assert answer.get_json() == {"data": []}
    assert list((tmp_path / "home" / "uploads").iterdir()) == []


def test_what_is_no_zip_is_refused(client: FlaskClient, tmp_path: Path) -> None:
    form = {"archive": (io.BytesIO(b"no zip"), "x.zip")}
    answer = client.post("/api/v1/data", data=form, headers=OURS)
    assert answer.status_code == 400
    assert "zip" in answer.get_json()["error"]["given"]
    assert client.post("/api/v1/data", data={}, headers=OURS).status_code == 400
    assert not list((tmp_path / "home").glob("uploads/*"))


def test_old_uploads_are_deleted_unless_a_job_needs_them(serve: Serve, tmp_path: Path) -> None:
    client = serve(keep_seconds=0.0)
    place = folder_of_images(tmp_path / "trees")
    first, second = (upload(client, place).get_json()["id"] for _ in range(2))
    job = client.post("/api/v1/studies", json={"data": first}, headers=OURS)
    assert job.status_code == 202
    client.application.extensions["synthlift"].tidy()
    left = [one["id"] for one in client.get("/api/v1/data").get_json()["data"]]
    assert left == [first]
    assert client.delete(f"/api/v1/data/{first}", headers=OURS).status_code == 400
    assert second not in left


def test_what_was_half_unpacked_when_a_server_was_stopped_is_deleted(
    client: FlaskClient, tmp_path: Path
) -> None:
    here = client.application.extensions["synthlift"]
    old, new = (here.settings.uploads / (8 * name) for name in ("0a", "0b"))
    for place in (old, new):
        (place / "trees" / "oak").mkdir(parents=True)
        (place / "trees" / "oak" / "1.png").touch()
    days_ago = time.time() - 3 * 24 * 3600
    os.utime(old, (days_ago, days_ago))
    here.tidy()
    assert [place.name for place in here.settings.uploads.iterdir()] == [new.name]
    assert here.data.all() == []


def test_folders_are_offered_below_the_allowed_ones_only(serve: Serve, tmp_path: Path) -> None:
    folder_of_images(tmp_path / "allowed" / "trees")
    folder_of_images(tmp_path / "other" / "secret")
    (tmp_path / "allowed" / "link").symlink_to(tmp_path / "other", target_is_directory=True)
    client = serve(data=(tmp_path / "allowed",))
    (found,) = client.get("/api/v1/data").get_json()["data"]
    assert found["name"] == "allowed/trees"
    assert client.delete(f"/api/v1/data/{found['id']}", headers=OURS).status_code == 404
    assert (tmp_path / "allowed" / "trees").is_dir()


# ── studies ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("question", QUESTIONS)
def test_questions_are_valid_studies(question: Any, tmp_path: Path) -> None:
    choices = Choices(attribute="age", pool=tmp_path / "pool")
    for part in parts_of(question, choices):
        study = load_study({}, [f"{k}={json.dumps(v)}" for k, v in part.settings.items()])
        assert any(arm.kind in ("mixed", "targeted") for arm in study.arms)
        assert any(arm.kind == "real" for arm in study.arms)


def test_a_study_is_a_command_that_can_be_typed(serve: Serve, tmp_path: Path) -> None:
    client = serve(data=(folder_of_images(tmp_path / "trees"),))
    (data,) = client.get("/api/v1/data").get_json()["data"]
    body = {"data": data["id"], "question": "help", "budget": "5m"}
    facts = client.post("/api/v1/studies", json=body, headers=OURS).get_json()
    assert facts["state"] == "queued"
    job = client.application.extensions["synthlift"].jobs.get(facts["id"])
    assert job.command[:4] == ("run", str(tmp_path / "trees"), "--budget", "5m")
    assert str(tmp_path) not in json.dumps(facts)
    page = client.get(f"/jobs/{job.id}")
    assert "trees" in page.get_data(as_text=True)
    again = client.post("/api/v1/studies", json=body, headers=OURS).get_json()
    jobs = client.application.extensions["synthlift"].jobs
    assert jobs.get(again["id"]).folder != job.folder


def test_the_demo_is_started_once(client: FlaskClient) -> None:
    asked = (client.post("/api/v1/examples/digits", headers=OURS) for _ in range(2))
    first, second = (answer.get_json()["job"] for answer in asked)
    assert first["id"] == second["id"]


def test_all_budgets_are_offered(client: FlaskClient) -> None:
    page = client.get("/study").get_data(as_text=True)
    assert all(f'value="{budget}"' in page for budget in BUDGETS)


# ── small parts ───────────────────────────────────────────────────────────────────────────────


def test_models_are_given_up_in_order_of_use(tmp_path: Path) -> None:
    for name in "abc":
        (tmp_path / name).mkdir()
        (tmp_path / name / "weights").write_bytes(bytes(10))
    loads: list[str] = []

    def load(name: str) -> str:
        def loading() -> str:
            loads.append(name)
            return name

        return kept.get(tmp_path / name, loading)

    kept = Loaded(limit_bytes=20, look_again=0)
    assert [load(name) for name in "abacaab"] == list("abacaab")
    assert loads == list("abcb"), "b was given up for c, since a had been used after it"
    assert len(kept) == 2
    time.sleep(0.01)
    (tmp_path / "a" / "weights").write_bytes(bytes(11))
    load("a")
    assert loads[-1] == "a", "changed files are read again"


def test_a_table_cell_is_no_formula(tmp_path: Path) -> None:
    image = {"file": "0.png", "facts": {"class": "=1+1"}, "seen": {"label": "-x", "probability": 1}}
    text = metadata([image], {"0.png": "a.png"})
    assert "'=1+1" in text
    assert "'-x" in text


def test_interrupted_images_of_an_earlier_server_are_still_there(tmp_path: Path) -> None:
    app = create_app(Settings(home=tmp_path / "home", store=tmp_path / "store"))
    place = tmp_path / "home" / "generated" / ("a" * 16)
    place.mkdir(parents=True)
    request = {"run": "0" * 16, "generator": "flow", "label": "0", "count": 3}
    (place / "request.json").write_text(json.dumps(request))
    made = Generation("a" * 16, place, request)
    made.hear({"event": "image", "file": "00000.png", "facts": {}, "seen": None})
    facts = app.test_client().get("/api/v1/generations/" + "a" * 16).get_json()
    assert (facts["state"], facts["done"], facts["total"]) == ("cancelled", 1, 3)


def test_damaged_runs_are_left_out(tmp_path: Path) -> None:
    run = tmp_path / "runs" / "broken"
    run.mkdir(parents=True)
    (run / "study.yaml").write_text("run: {}")
    (run / "results.json").write_text("{")
    library = Library(Settings(home=tmp_path, runs=(tmp_path / "runs",), store=tmp_path / "store"))
    assert library.runs() == []


def test_a_full_disk_is_told_and_leaves_nothing_half_written(
    serve: Serve, small_disk: Path, tmp_path: Path
) -> None:
    client = serve(home=small_disk / "home")
    folder = folder_of_images(tmp_path / "trees")
    made = upload(client, folder).get_json()["id"]
    (small_disk / "rest").write_bytes(bytes(shutil.disk_usage(small_disk).free))
    for answer in (
        upload(client, folder),
        client.post("/api/v1/inspections", json={"data": made}, headers=AS_JSON),
    ):
        assert answer.status_code == 507
        assert "disk is full" in answer.get_json()["error"]["given"]
    assert len(list((small_disk / "home" / "uploads").iterdir())) == 1
    (small_disk / "rest").unlink()
    assert upload(client, folder).status_code == 201
