"""What is kept, for how long, and what goes with what: uploads, pools, looks, and the store."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import numpy as np
import pytest
import yaml
from flask.testing import FlaskClient

from synthlift.data.contract import Where
from synthlift.data.sources import open_source
from synthlift.spec.provenance import png_bytes
from synthlift.store import Store
from synthlift.web.context import Context
from tests.unit.web.conftest import OURS, Serve
from tests.unit.web.test_studies import upload


@pytest.mark.parametrize("by", ["time", "hand"])
def test_an_upload_is_deleted_with_what_a_forecast_of_it_left_in_the_store(
    serve: Serve, tmp_path: Path, by: str
) -> None:
    client = serve(keep_seconds=0.0, examples=False)
    here: Context = client.application.extensions["synthlift"]
    data = upload(client, drawn=True)["id"]
    other = here.jobs.add(kind="plan", title="", command=["plan", "nowhere"], folder=tmp_path / "x")
    asked = client.post("/api/v1/forecasts", json={"data": data}, headers=OURS).get_json()["id"]
    until_ended(here, other.id, asked)
    assert here.jobs.get(asked).state == "done"
    store = Store(tmp_path / "store")
    (read,) = store.root.glob("artefacts/read-*")
    assert (read / "decoded.npy").is_file()
    assert list(store.root.glob("decisions/*"))
    kept = next(one.name for one in store.root.glob("artefacts/*") if one != read)
    store.register_root("another run", [kept])
    if by == "time":
        here.tidy()
    else:
        assert client.delete(f"/api/v1/data/{data}", headers=OURS).status_code == 200
    assert not list(here.settings.uploads.iterdir())
    assert [one.name for one in store.root.glob("artefacts/*")] == [kept], "what a run needs"
    assert not list(store.root.glob("work/*"))
    assert not list(store.root.glob("decisions/*"))
    assert [job.id for job in here.jobs.all()] == ([] if by == "time" else [other.id])


def test_an_upload_stays_while_a_study_of_it_can_go_on(serve: Serve) -> None:
    client = serve(keep_seconds=0.0)
    here: Context = client.application.extensions["synthlift"]
    data = upload(client)["id"]
    stopped, done = (
        client.post("/api/v1/studies", json={"data": data}, headers=OURS).get_json()["id"]
        for _ in range(2)
    )
    assert here.jobs.claim("me", ["study"])
    here.jobs.finish(stopped, "failed", owner="me", error="it stopped")
    assert here.jobs.claim("me", ["study"])
    here.jobs.finish(done, "done", owner="me")
    here.tidy()
    facts = client.get(f"/api/v1/jobs/{stopped}").get_json()
    assert (facts["state"], facts["goes_on"]) == ("failed", True)
    resumed = client.post(f"/api/v1/jobs/{stopped}/resume", headers=OURS)
    assert (resumed.status_code, resumed.get_json()["goes_on"]) == (202, False)
    here.jobs.ask_to_end(stopped)
    assert client.delete(f"/api/v1/data/{data}", headers=OURS).status_code == 200
    assert not client.get(f"/api/v1/jobs/{stopped}").get_json()["goes_on"]
    refused = client.post(f"/api/v1/jobs/{stopped}/resume", headers=OURS)
    assert refused.status_code == 400
    assert "upload" in refused.get_json()["error"]["given"]
    assert client.get(f"/api/v1/jobs/{stopped}").get_json()["state"] == "cancelled"
    second = upload(client)["id"]
    client.post("/api/v1/studies", json={"data": second}, headers=OURS)
    (waits,) = (job for job in here.jobs.all() if job.data == second)
    here.jobs.ask_to_end(waits.id)
    client.delete(f"/api/v1/jobs/{waits.id}", headers=OURS)
    time.sleep(0.01)
    here.tidy()
    assert not list(here.settings.uploads.iterdir()), "nothing can go on with it any more"


def test_a_pool_stays_as_it_is_while_a_study_of_it_waits_or_runs(client: FlaskClient) -> None:
    here: Context = client.application.extensions["synthlift"]
    pools = [here.pools.make(name) for name in ("asked about", "another")]
    for pool in pools:
        here.pools.judge(
            pool.id,
            source="drawn/1",
            label="oak",
            verdict="keep",
            who="",
            png=png_bytes(np.zeros((8, 8, 1), np.uint8)),
            facts={},
            seen=None,
        )
    read, free = (f"/api/v1/pools/{pool.id}" for pool in pools)
    body = {"data": upload(client)["id"], "question": "pool", "pool": pools[0].id}
    study = client.post("/api/v1/studies", json=body, headers=OURS).get_json()["id"]
    for place in (f"{read}/images/synthetic-drawn-1.png", read):
        refused = client.delete(place, headers=OURS)
        assert refused.status_code == 400
        assert all(refused.get_json()["error"].values())
    assert len(here.pools.get(pools[0].id).images) == 1
    for place in (f"{free}/images/synthetic-drawn-1.png", free):
        assert client.delete(place, headers=OURS).status_code == 200
    here.jobs.ask_to_end(study)
    assert client.get(f"/api/v1/jobs/{study}").get_json()["goes_on"]
    assert client.delete(f"{read}/images/synthetic-drawn-1.png", headers=OURS).status_code == 200
    assert not client.get(f"/api/v1/jobs/{study}").get_json()["goes_on"]
    refused = client.post(f"/api/v1/jobs/{study}/resume", headers=OURS)
    assert "1 of its pictures" in refused.get_json()["error"]["given"]
    assert client.delete(read, headers=OURS).status_code == 200
    refused = client.post(f"/api/v1/jobs/{study}/resume", headers=OURS)
    assert refused.status_code == 400
    assert "pool" in refused.get_json()["error"]["given"]


def test_a_study_of_a_pool_reads_what_was_in_it_when_it_was_asked(client: FlaskClient) -> None:
    """Kept pictures that come later change nothing of it, so that it can still go on."""
    here: Context = client.application.extensions["synthlift"]
    pool = here.pools.make("growing")

    def keep(number: int, label: str) -> None:
        here.pools.judge(
            pool.id,
            source=f"drawn/{number}",
            label=label,
            verdict="keep",
            who="",
            png=png_bytes(np.full((8, 8, 1), number, np.uint8)),
            facts={},
            seen=None,
        )

    for number, label in enumerate(("oak", "Quercus, red", "-1", "NA")):
        keep(number, label)
    body = {"data": upload(client)["id"], "question": "pool", "pool": pool.id}
    study = client.post("/api/v1/studies", json=body, headers=OURS).get_json()["id"]
    (told,) = (word for word in here.jobs.get(study).command if pool.id in word)
    (asked,) = yaml.safe_load(told.partition("=")[2])
    where = Where(
        asked["source"],
        base="",
        label=asked.get("label"),
        classes=asked.get("classes", {}),
        one_class=True,
    )
    before = open_source(where, strict=False)
    assert sorted(item.label for item in before.items) == ["-1", "NA", "Quercus, red", "oak"]
    keep(0, "oak")  # again
    keep(9, "oak")
    assert open_source(where, strict=False).fingerprint == before.fingerprint
    assert here.pools.listed(pool.id) != Path(asked["source"])
    assert client.delete(f"/api/v1/pools/{pool.id}", headers=OURS).status_code == 400


def until_ended(here: Context, *jobs: str) -> None:
    """Run what waits, as the server's thread would."""
    end = time.monotonic() + 120
    while not all(here.jobs.get(job).ended for job in jobs):
        assert time.monotonic() < end
        here.runner.step()
        time.sleep(0.05)


def test_looks_at_pictures_are_deleted_when_they_are_old(serve: Serve) -> None:
    client = serve(keep_seconds=0.0)
    body = {"data": upload(client)["id"]}
    look = client.post("/api/v1/inspections", json=body, headers=OURS).get_json()["id"]
    study = client.post("/api/v1/studies", json=body, headers=OURS).get_json()["id"]
    here = client.application.extensions["synthlift"]
    folder = here.jobs.get(look).folder
    (folder / "inspect.html").write_text("with pictures of the upload")
    for job in (look, study):
        here.jobs.ask_to_end(job)
    time.sleep(0.01)
    here.tidy()
    assert not folder.exists()
    assert [job.id for job in here.jobs.all()] == [study]
    shutil.rmtree(here.settings.home, ignore_errors=True)
