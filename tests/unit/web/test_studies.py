"""Tables beside uploads, questions, what a study shows while it runs, and deleting it."""

from __future__ import annotations

import io
import json
import shlex
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flask.testing import FlaskClient

from synthlift.data.contract import Where
from synthlift.data.sources import open_source
from synthlift.spec.provenance import png_bytes
from synthlift.spec.yaml12 import as_json
from synthlift.study.stages.curves import CurveKeeper
from synthlift.web.datasets import MOST_TABLES, DataSets
from synthlift.web.endpoints import data as endpoints_data
from synthlift.web.jobs.commands import share_of, shown
from synthlift.web.jobs.live import MOST_POINTS, curves_of, sheets_of, stages_of
from synthlift.web.questions import Choices, Seen, obstacle
from synthlift.web.settings import Settings
from tests.unit.web.conftest import OURS, Serve

TABLE = "datei;patient;gerät;alter\n" + "".join(
    f"{name}/{n}.png;P{n // 2};{'ab'[n % 2]};{20 + n},5\n"
    for name in ("oak", "beech")
    for n in range(12)
)


def upload(
    client: FlaskClient,
    *,
    table: str = TABLE,
    inner: str = "trees/pictures/",
    drawn: bool = False,
) -> Any:
    """Two classes below a folder of their own, and a table beside it; all alike if not drawn."""
    stream, rng = io.BytesIO(), np.random.default_rng(0)
    blank = png_bytes(np.zeros((8, 8, 1), np.uint8))
    with zipfile.ZipFile(stream, "w") as archive:
        for name in ("oak", "beech"):
            for n in range(12):
                pixels = rng.integers(0, 256, (8, 8, 1), np.uint8)
                picture = png_bytes(pixels) if drawn else blank
                archive.writestr(f"{inner}{name}/{n}.png", picture)
        archive.writestr("trees/patients.csv", table.encode("cp1252"))
    stream.seek(0)
    form = {"archive": (stream, "trees.zip")}
    return client.post("/api/v1/data", data=form, headers=OURS).get_json()


# ── tables ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("inner", ["trees/pictures/", "trees/"])
def test_a_table_beside_the_folders_is_read_with_its_columns(
    client: FlaskClient, inner: str
) -> None:
    data = upload(client, inner=inner)
    assert data["tables"] == ["patients.csv"]
    found = client.application.extensions["synthlift"].data.get(data["id"])
    assert sorted(place.name for place in found.path.iterdir() if place.is_dir()) == [
        "beech",
        "oak",
    ]
    (table,) = client.get(f"/api/v1/data/{data['id']}/tables").get_json()["tables"]
    assert (table["rows"], table["problem"]) == (24, "")
    assert "cp1252" in table["notes"][0]
    assert "decimal comma in 'alter'" in table["notes"][0]
    columns = {one["name"]: one for one in table["columns"]}
    assert list(columns) == ["datei", "patient", "gerät", "alter"]
    assert columns["patient"]["may_group"]
    assert not columns["datei"]["may_group"]
    assert columns["gerät"]["may_divide"]
    assert not columns["datei"]["may_divide"]


def test_a_table_that_cannot_be_read_says_why(client: FlaskClient) -> None:
    data = upload(client, table='file,site\n1.png,"north\n')
    (table,) = client.get(f"/api/v1/data/{data['id']}/tables").get_json()["tables"]
    assert table["problem"]
    assert table["columns"] == []


def test_few_tables_are_offered_and_little_of_them_is_read(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("oak", "beech"):
        (tmp_path / "trees" / name).mkdir(parents=True)
        (tmp_path / "trees" / name / "1.png").touch()
    for n in range(MOST_TABLES + 5):
        (tmp_path / "trees" / f"{n:03d}.csv").write_text(f"file,site\n1.png,{n}\n")
    client = serve(data=(tmp_path / "trees",))
    (data,) = client.get("/api/v1/data").get_json()["data"]
    place = f"/api/v1/data/{data['id']}/tables"
    assert data["tables"] == [f"{n:03d}.csv" for n in range(MOST_TABLES)]
    first = client.get(place).get_json()["tables"]
    assert [one["problem"] for one in first] == [""] * MOST_TABLES
    monkeypatch.setattr(endpoints_data, "MOST_TABLES_BYTES", 40)
    tables = client.get(place).get_json()["tables"]
    assert [one["rows"] for one in tables[:3]] == [1, 1, 0]
    assert "with those before it" in tables[-1]["problem"]
    (tmp_path / "trees" / "000.csv").write_text("file,site\n1.png,a\n2.png,b\n")
    again = client.get(place).get_json()["tables"]
    assert again[0]["rows"] == 2, "what has changed is read again"


def test_choices_become_settings_and_never_options(client: FlaskClient, tmp_path: Path) -> None:
    data = upload(client)
    body = {
        "data": data["id"],
        "table": "patients.csv",
        "group": "--out",
        "attributes": ["gerät"],
        "question": "group",
        "attribute": "gerät",
        "budget": "5m",
    }
    facts = client.post("/api/v1/studies", json=body, headers=OURS).get_json()
    job = client.application.extensions["synthlift"].jobs.get(facts["id"])
    sets = [job.command[n + 1] for n, word in enumerate(job.command) if word == "--set"]
    told = dict(one.split("=", 1) for one in sets)
    assert json.loads(told["data.group"]) == "--out"
    assert json.loads(told["data.attributes"]) == ["gerät"]
    assert json.loads(told["data.metadata"]).endswith("/trees/patients.csv")
    assert job.command.count("--out") == 1
    assert str(tmp_path) not in json.dumps(facts)
    assert facts["command"].startswith("synthlift run PICTURES --budget 5m")


@pytest.mark.parametrize(
    "wrong",
    [
        {"table": "../patients.csv"},
        {"table": "other.csv"},
        {"group": "patient"},
        {"question": "group"},
        {"question": "group", "attribute": "gerät"},
        {"question": "group", "attribute": "price", "derived": True},
        {"question": "pool"},
    ],
)
def test_what_a_question_lacks_is_said(client: FlaskClient, wrong: dict[str, Any]) -> None:
    body = {"data": upload(client)["id"], **wrong}
    answer = client.post("/api/v1/studies", json=body, headers=OURS)
    assert answer.status_code == 400
    assert all(answer.get_json()["error"].values())


def test_a_pool_that_is_gone_or_empty_is_refused(client: FlaskClient) -> None:
    body = {"data": upload(client)["id"], "question": "pool", "pool": "0" * 16}
    assert client.post("/api/v1/studies", json=body, headers=OURS).status_code == 404
    pool = client.post("/api/v1/pools", json={"name": "none"}, headers=OURS).get_json()
    answer = client.post("/api/v1/studies", json={**body, "pool": pool["id"]}, headers=OURS)
    assert answer.status_code == 400


def test_a_folder_that_is_divided_into_parts_is_offered_as_a_whole(tmp_path: Path) -> None:
    root = tmp_path / "sets"
    places = ["pets/train/cat", "pets/train/dog", "pets/test/cat", "pets/test/dog", "pets/notes"]
    # Beside other pictures, train is a folder like any other.
    places += ["trees/oak", "trees/ash", "trees/train", "odd/train/a", "odd/train/b", "odd/more"]
    for place in places:
        (root / place).mkdir(parents=True)
        if place != "pets/notes":
            (root / place / "1.png").write_bytes(png_bytes(np.zeros((8, 8, 1), np.uint8)))

    def offered(place: Path) -> list[str]:
        return [one.name for one in DataSets(Settings(tmp_path, data=(place,))).all()]

    assert offered(root) == ["sets/odd/train", "sets/pets", "sets/trees"]
    assert offered(root / "pets") == ["pets"]
    # Its name alone makes no part of a folder beside whole data sets.
    scratch = tmp_path / "pictures"
    for place in ("test/a", "test/b", "flowers/train/rose", "flowers/train/tulip"):
        (scratch / place).mkdir(parents=True)
        (scratch / place / "1.png").write_bytes(png_bytes(np.zeros((8, 8, 1), np.uint8)))
    assert offered(scratch) == ["pictures/flowers", "pictures/test"]
    where = Where(str(root / "pets"), "")
    parts = [item.part for item in open_source(where, strict=False).items]
    assert sorted(parts) == ["test", "test", "train", "train"]


# ── questions ─────────────────────────────────────────────────────────────────────────────────


def test_questions_that_cannot_be_answered_say_why() -> None:
    plain = Choices()
    assert obstacle("help", plain, None) == ""
    assert "rare" in obstacle("classes", plain, Seen({"a": 100, "b": 99}))
    assert obstacle("classes", plain, Seen({"a": 100, "b": 20})) == ""
    assert "at least 20" in obstacle("label", plain, Seen({"a": 100, "b": 19}))
    assert obstacle("label", plain, Seen({"a": 100, "b": 20})) == ""
    assert obstacle("group", plain, None)
    assert obstacle("group", Choices(attribute="brightness", derived=True), None) == ""
    assert obstacle("help", plain, Seen({}, problem="one class only")) == "one class only"


def look_at(client: FlaskClient, data: str, problem: str = "", **classes: int) -> None:
    """What a look that found so many pictures, or a problem, leaves behind."""
    look = client.post("/api/v1/inspections", json={"data": data}, headers=OURS).get_json()["id"]
    here = client.application.extensions["synthlift"]
    counts = [{"name": name, "images": n} for name, n in classes.items()]
    said: dict[str, Any] = {
        "classes": counts,
        "minimal_detectable_effect": None,
        "problem": problem or None,
        "read": sum(classes.values()),
        "usable": sum(classes.values()),
        "findings": {"warnings": []},
    }
    (here.settings.job_logs / look).mkdir(parents=True)
    (here.settings.job_logs / look / "stdout").write_text(json.dumps(said))
    assert here.jobs.claim("me", ["inspect"]).id == look
    here.jobs.finish(look, "done", owner="me")


def test_no_study_is_started_that_the_pictures_cannot_answer(client: FlaskClient) -> None:
    data = upload(client)["id"]

    def refused(question: str, **more: str) -> str:
        body = {"data": data, "question": question, **more}
        answer = client.post("/api/v1/studies", json=body, headers=OURS)
        return "" if answer.status_code == 202 else str(answer.get_json()["error"]["given"])

    assert refused("help") == "", "that can be asked of all pictures"
    for question in ("classes", "label"):
        assert "nobody has looked" in refused(question)
    look_at(client, data, oak=12, beech=12)
    assert "nearly equal" in refused("classes")
    assert refused("label") == "Class oak has 12 pictures"
    look_at(client, data, oak=100, beech=25)
    assert refused("classes") == refused("label") == "", "the last look counts"
    assert "nobody has looked" in refused("classes", table="patients.csv"), "it may drop pictures"
    time.sleep(0.05)
    folder = client.application.extensions["synthlift"].data.get(data).path
    (folder / "oak" / "0.png").unlink()
    assert "as they are now" in refused("classes")


def test_a_problem_of_the_groups_of_a_look_keeps_no_study_from_others(client: FlaskClient) -> None:
    data = upload(client)["id"]
    look_at(client, data, problem="class 'oak' has 1 groups", oak=100, beech=25)
    for question in ("help", "classes"):
        body = {"data": data, "question": question}
        assert client.post("/api/v1/studies", json=body, headers=OURS).status_code == 202


def test_more_labels_or_generating_takes_two_studies_that_share_the_time(
    client: FlaskClient,
) -> None:
    body = {"data": upload(client)["id"], "question": "label", "budget": "1h"}
    look_at(client, body["data"], oak=25, beech=25)
    facts = client.post("/api/v1/studies", json=body, headers=OURS).get_json()
    jobs = client.get("/api/v1/jobs").get_json()["jobs"]
    studies = [job for job in jobs if job["kind"] == "study"]
    assert {job["part"] for job in studies} == {"half of the labels", "all labels"}
    assert facts["other"]["part"] == "all labels"
    assert facts["part"] == "half of the labels"
    assert all("--budget 1800s" in job["command"] for job in studies)
    assert share_of("5m", 2) == "150s"
    assert share_of("2h", 1) == "2h"


@pytest.mark.parametrize("name", ["table.csv", 'a "1".csv', "1: 2?.csv"])
def test_a_command_for_people_names_no_place_of_the_server(name: str) -> None:
    sets = ("--set", f"data.metadata={as_json(f'/srv/web/uploads/x/{name}')}")
    told = shown(
        ("run", "/srv/pictures", *sets, "--out", "/srv/runs/x", "--json", "--workers", "2")
    )
    said = f"data.metadata={as_json(f'…/{name}')}"
    assert shlex.split(told) == ["synthlift", "run", "PICTURES", "--set", said]
    assert "srv" not in told


# ── while it runs, and after ──────────────────────────────────────────────────────────────────


def run_folder(place: Path) -> Path:
    """What a study has written after a while."""
    fit = place / "training" / "flow" / "fit-0"
    keeper = CurveKeeper(lambda *_: None, places=[fit])
    for step in range(1, 4):
        keeper(step, 3, f"loss {1 / step:.3f}")
    for step in (20, 40):
        (fit / f"step-{step:07d}.png").write_bytes(b"\x89PNG")
    (fit / "step-1.png.part").write_bytes(b"")
    lines = [
        {"event": "started"},
        {"event": "stage_done", "stage": "fit", "key": "fit-1", "seconds": 2.0},
        {"event": "stage_done", "stage": "fit", "key": "fit-2", "seconds": 3.0},
        {"event": "stage_done", "stage": "pixels", "key": "pixels-1", "seconds": 1.0},
    ]
    text = "".join(json.dumps(line) + "\n" for line in lines) + '{"event": "stage_do'
    (place / "log.jsonl").write_text(text)
    return place


def test_finished_work_sheets_and_curves_are_read_from_the_folder(tmp_path: Path) -> None:
    folder = run_folder(tmp_path)
    assert [(one.name, one.done, one.seconds) for one in stages_of(folder)] == [
        ("pixels", 1, 1.0),
        ("fit", 2, 5.0),
    ]
    sheets = sheets_of(folder / "training")
    assert [(one.generator, one.fit, one.step) for one in sheets] == [
        ("flow", 0, 20),
        ("flow", 0, 40),
    ]
    (curve,) = curves_of(folder / "training")
    assert (curve.name, curve.total) == ("loss", 3)
    # The first report of each second, and the last one.
    assert curve.points == [(1, 1.0), (3, 0.333)]


def test_a_long_curve_is_thinned_and_keeps_its_end(tmp_path: Path) -> None:
    place = tmp_path / "training" / "flow" / "fit-0"
    place.mkdir(parents=True)
    points = [
        {"step": n, "total": 5000, "name": "loss", "value": 1.0} for n in (*range(999), 7, 4999)
    ]
    (place / "curves.jsonl").write_text("".join(json.dumps(one) + "\n" for one in points))
    (curve,) = curves_of(tmp_path / "training")
    assert len(curve.points) <= MOST_POINTS + 1
    assert curve.points[-1] == (4999, 1.0)
    assert [step for step, _ in curve.points] == sorted({step for step, _ in curve.points})


def test_a_job_shows_its_sheets_and_is_deleted_with_its_files(
    client: FlaskClient, tmp_path: Path
) -> None:
    data = upload(client)
    facts = client.post("/api/v1/studies", json={"data": data["id"]}, headers=OURS).get_json()
    here = client.application.extensions["synthlift"]
    folder = run_folder(here.jobs.get(facts["id"]).folder)
    (here.settings.job_logs / facts["id"]).mkdir(parents=True)
    live = client.get(f"/api/v1/jobs/{facts['id']}/live").get_json()
    assert client.get(live["sheets"][-1]["url"]).data == b"\x89PNG"
    assert client.get(live["sheets"][-1]["url"].replace("40", "41")).status_code == 404
    gone = client.delete(f"/api/v1/jobs/{facts['id']}", headers=OURS)
    assert gone.status_code == 200
    assert not folder.exists()
    assert not (here.settings.job_logs / facts["id"]).exists()
    assert client.get(f"/api/v1/jobs/{facts['id']}").status_code == 404
    assert here.data.get(data["id"]).path.is_dir(), "pictures stay until they are old"


def test_nothing_is_deleted_while_a_study_runs(client: FlaskClient) -> None:
    body = {"data": upload(client)["id"]}
    first, second = (
        client.post("/api/v1/studies", json=body, headers=OURS).get_json()["id"] for _ in range(2)
    )
    here = client.application.extensions["synthlift"]
    assert here.jobs.claim("me", ["study"]).id == first
    for job in (first, second):
        assert client.delete(f"/api/v1/jobs/{job}", headers=OURS).status_code == 400
