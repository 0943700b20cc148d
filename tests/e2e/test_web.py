"""A real server on loopback with a real run: images, answers, reports, studies, the browser."""

from __future__ import annotations

import base64
import csv
import io
import json
import time
import urllib.request
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from benchmarks.serving import explained_ms
from synthlift import api
from synthlift.spec.provenance import provenance_in
from synthlift.web.errors import BusyError
from synthlift.web.inference.client import Inference
from synthlift.web.inference.worker import Worker
from tests.e2e.serving import Server, bomb

# ── runs ──────────────────────────────────────────────────────────────────────────────────────


def test_a_run_is_shown_without_saying_where_it_lies(
    server: Server, run_id: str, finished: Path, drawn_study: Path
) -> None:
    code, facts, _ = server.ask("GET", f"/api/v1/runs/{run_id}")
    assert code == 200
    assert facts["answer"] == api.load(finished).verdict.sentence  # type: ignore[union-attr]
    assert [model["role"] for model in facts["models"]] == ["rival", "generative"]
    assert facts["generators"][0]["defaults"] == {"guidance_scale": 1.25, "sampler_steps": 2}
    assert {sample["label"] for sample in facts["samples"]} == set(facts["classes"])
    for place in (finished.parent, drawn_study):
        assert str(place) not in json.dumps(facts)
    picture = server.ask("GET", facts["samples"][0]["url"])[1]
    assert Image.open(io.BytesIO(picture)).format == "PNG"
    assert facts["name"] in server.ask("GET", "/")[1].decode()


def test_a_report_is_served_in_a_sandbox(server: Server, run_id: str, finished: Path) -> None:
    code, content, headers = server.ask("GET", f"/runs/{run_id}/report")
    assert code == 200
    assert content == (finished / "report.html").read_bytes()
    policy = headers["Content-Security-Policy"]
    assert policy.startswith("sandbox allow-scripts;")
    assert "allow-same-origin" not in policy
    assert "default-src 'none'" in policy
    hashed = policy.split("script-src '")[1].split("'")[0]
    assert hashed in content.decode(), "the report's own script runs, and no other"


# ── drawing ───────────────────────────────────────────────────────────────────────────────────


def test_the_same_seed_gives_the_same_images_as_the_command_line(
    server: Server, run_id: str, finished: Path, tmp_path: Path
) -> None:
    made = server.draw(run_id)
    assert (made["state"], made["done"]) == ("done", 3)
    images = server.images(made)
    assert server.images(server.draw(run_id, count=2)) == images[:2]
    assert server.images(server.draw(run_id, seed=6)) != images
    api.generate(finished, per_class=3, out=tmp_path / "out", seed=5, classes=["disc"])
    written = sorted((tmp_path / "out" / "images" / "disc").iterdir())
    assert [file.read_bytes() for file in written] == images


def test_every_image_says_that_it_is_synthetic_and_how_it_is_seen(
    server: Server, run_id: str, finished: Path, tmp_path: Path
) -> None:
    made = server.draw(run_id)
    for image, content in zip(made["images"], server.images(made), strict=True):
        facts = provenance_in(content)
        assert facts == image["facts"]
        assert (facts["origin"], facts["class"]) == ("synthetic", "disc")  # type: ignore[index]
        file = tmp_path / "image.png"
        file.write_bytes(content)
        (answer,) = api.classify(finished / "models" / "rival", [file])
        assert image["seen"]["label"] == answer.label
        assert image["seen"]["probability"] == pytest.approx(answer.probability, abs=1e-5)


def test_every_image_is_shown_with_its_nearest_training_image(
    server: Server, run_id: str, finished: Path, home: Path
) -> None:
    made = server.draw(run_id)
    rows = list(csv.DictReader((finished / "splits.csv").read_text().splitlines()))
    trained = {
        np.asarray(Image.open(home / "data" / "shapes" / row["id"])).tobytes(): row["label"]
        for row in rows
        if (row["draw"], row["part"]) == ("0", "train")
    }
    for image in made["images"]:
        near = image["near"]
        assert 0 <= near["unusual"] <= 1
        code, content, _ = server.ask("GET", near["url"])
        assert code == 200
        assert provenance_in(content) is None, "a real image is not marked as synthetic"
        assert trained[np.asarray(Image.open(io.BytesIO(content))).tobytes()] == near["label"]
    table = server.ask("GET", made["archive"])[1]
    with zipfile.ZipFile(io.BytesIO(table)) as archive:
        assert not any("nearest" in name for name in archive.namelist()), "real images stay here"
        assert "nearest_class" in archive.read("metadata.csv").decode()


def test_images_are_told_of_as_they_come(server: Server, run_id: str) -> None:
    body = {"run": run_id, "generator": "flow", "label": "disc", "count": 5, "seed": 5}
    made = server.ask("POST", "/api/v1/generations", body)[1]
    with urllib.request.urlopen(f"{server.address}/api/v1/generations/{made['id']}/events") as told:
        assert told.headers["Content-Type"].startswith("text/event-stream")
        lines = [line for line in told.read().decode().splitlines() if line.startswith("data: ")]
    states = [json.loads(line.removeprefix("data: ")) for line in lines]
    assert [state["state"] for state in states][-1] == "done"
    indices = [image["index"] for state in states for image in state["images"]]
    assert indices == list(range(5)), "each image once, in order"


def test_guidance_and_steps_change_the_images(server: Server, run_id: str) -> None:
    usual = server.images(server.draw(run_id))
    assert server.images(server.draw(run_id, guidance=1.25, steps=2)) == usual
    assert server.images(server.draw(run_id, guidance=6.0)) != usual
    assert server.images(server.draw(run_id, steps=9)) != usual


def test_the_download_holds_images_and_their_origin(server: Server, run_id: str) -> None:
    made = server.draw(run_id)
    code, content, headers = server.ask("GET", made["archive"])
    assert code == 200
    assert 'filename="synthetic-disc-seed5.zip"' in headers["Content-Disposition"]
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        rows = list(csv.DictReader(io.StringIO(archive.read("metadata.csv").decode())))
        assert [archive.read(row["file"]) for row in rows] == server.images(made)
        assert {row["origin"] for row in rows} == {"synthetic"}
        assert json.loads(archive.read("request.json"))["seed"] == 5


@pytest.mark.parametrize(
    "wrong",
    [
        {"label": "cat"},
        {"generator": "../flow"},
        {"attributes": {"sex": "male"}},
        {"count": 999},
    ],
)
def test_what_the_generator_cannot_do_is_said(server: Server, run_id: str, wrong: Any) -> None:
    body = {"run": run_id, "generator": "flow", "label": "disc", **wrong}
    code, answer, _ = server.ask("POST", "/api/v1/generations", body)
    assert code == 400
    assert all(answer["error"].values())


def test_images_start_from_a_picture_which_is_deleted_and_never_named(
    server: Server, run_id: str, finished: Path, home: Path, tmp_path: Path
) -> None:
    file = next((home / "data" / "shapes" / "bars").iterdir())
    made = server.vary(run_id, file.read_bytes())
    images = server.images(made)
    assert server.images(server.vary(run_id, file.read_bytes())) == images
    said = {image["facts"]["made_from"] for image in made["images"]}
    assert said == {"a variation of an uploaded picture, strength 0.5"}
    assert list((server.home / "pictures").iterdir()) == []
    assert not [p for p in server.home.rglob("*") if p.is_file() and b"Ann" in p.read_bytes()]
    out = tmp_path / "out"
    api.generate(finished, per_class=1, out=out, seed=5, classes=["disc"], from_picture=file)
    (written,) = (out / "images" / "disc").iterdir()
    assert Image.open(written).tobytes() == Image.open(io.BytesIO(images[0])).tobytes()
    cut = server.vary(run_id, file.read_bytes()[:60])
    assert (cut["state"], cut["done"]) == ("failed", 0)
    assert all(cut["error"].values())


def test_a_drawing_ends_when_it_is_cancelled_and_keeps_its_images(
    finished: Path, tmp_path: Path
) -> None:
    said: list[dict[str, Any]] = []
    worker = Worker(lambda event: said.append(dict(event)), device="cpu")
    wish = {"run": str(finished), "generator": "flow", "label": "disc", "attributes": {}}
    more = {"seed": 0, "count": 50, "params": {}, "judge": "", "out": str(tmp_path)}
    worker.take([{"id": "a", "do": "generate", **wish, **more}])
    for _ in range(3):
        worker.go_on()
    worker.take([{"do": "cancel", "of": "a"}])
    assert [event["event"] for event in said] == ["image"] * 3 + ["cancelled"]
    assert not worker.busy
    assert len(list(tmp_path.iterdir())) == 3


def test_a_worker_that_dies_is_replaced(finished: Path, home: Path) -> None:
    inference = Inference(device="cpu", answer_seconds=100, waiting=10)
    picture = next((home / "data" / "shapes" / "disc").iterdir())
    model = str(finished / "models" / "rival")
    request = {"models": [model], "files": [str(picture)], "max_pixels": 10**6}
    try:
        inference.warm_up()
        with ThreadPoolExecutor(1) as pool:
            pending = pool.submit(inference.classify, request)
            while not inference.waits:
                time.sleep(0.01)
            inference.restart()
            assert pending.result(30)["event"] == "failed"
        again = inference.classify(request)
        assert again["pictures"][0]["answers"][model]
        with pytest.raises(BusyError):
            inference.classify({**request, "files": [str(picture)] * 11})
    finally:
        inference.close()


# ── classifying ───────────────────────────────────────────────────────────────────────────────


def test_two_models_answer_side_by_side(
    server: Server, run_id: str, finished: Path, home: Path
) -> None:
    files = [next((home / "data" / "shapes" / name).iterdir()) for name in ("disc", "bars")]
    sent = [(f"../{file.name}", file.read_bytes()) for file in files]
    path = f"/api/v1/runs/{run_id}/classifications"
    code, found, _ = server.send(path, "pictures", *sent)
    assert code == 200
    assert [one["name"] for one in found["pictures"]] == [file.name for file in files]
    for place, role in enumerate(("rival", "generative")):
        expected = api.classify(finished / "models" / role, files)
        for one, answer in zip(found["pictures"], expected, strict=True):
            given = one["answers"][place]
            assert given["role"] == role
            assert given["probabilities"] == pytest.approx(answer.probabilities, abs=1e-5)
    assert list((server.home / "pictures").iterdir()) == [], "deleted as soon as it is classified"


def test_an_answer_says_where_the_models_looked_and_how_unusual_the_picture_is(
    server: Server, run_id: str, home: Path
) -> None:
    path = f"/api/v1/runs/{run_id}/sample-classifications"
    (one,) = server.ask("POST", path, {"samples": [0], "explain": True})[1]["pictures"]
    for answer in one["answers"]:
        assert Image.open(io.BytesIO(base64.b64decode(answer["map"]))).size == (192, 192)
    assert Image.open(io.BytesIO(base64.b64decode(one["near"]["picture"]))).size == (8, 8)
    assert one["near"]["unusual"] < 1
    stream = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (8, 8)).astype(np.uint8)
    Image.fromarray(noise).save(stream, "PNG")
    upload = ("n.png", stream.getvalue())
    path_of_uploads = f"/api/v1/runs/{run_id}/classifications"
    odd = server.send(path_of_uploads, "pictures", upload, explain="true")[1]["pictures"][0]
    assert odd["near"]["unusual"] == 1.0
    plain = server.ask("POST", path, {"samples": [0]})[1]["pictures"][0]
    assert (plain["near"], plain["answers"][0]["map"]) == (None, "")
    assert plain["answers"][0]["probabilities"] == one["answers"][0]["probabilities"]


def test_the_benchmark_measures_what_the_page_asks_for(
    server: Server, run_id: str, home: Path
) -> None:
    picture = next((home / "data" / "shapes" / "disc").iterdir()).read_bytes()
    path = f"/api/v1/runs/{run_id}/classifications"
    # In a thread of its own: where a browser is driven, this one has a loop that runs.
    with ThreadPoolExecutor(1) as pool:
        found = pool.submit(explained_ms, server.port, path, [picture], seconds=0.2).result()
    assert found["n"] >= 1
    assert 0 < found["p5"] <= found["p50"] <= found["p95"]


def test_samples_can_be_tried(server: Server, run_id: str) -> None:
    path = f"/api/v1/runs/{run_id}/sample-classifications"
    code, found, _ = server.ask("POST", path, {"samples": [0, 1]})
    assert (code, len(found["pictures"])) == (200, 2)
    assert server.ask("POST", path, {"samples": [10_000]})[0] == 400


def test_requests_that_come_together_get_their_own_answers(
    server: Server, run_id: str, home: Path
) -> None:
    files = sorted((home / "data" / "shapes").rglob("*.png"))[::9]
    path = f"/api/v1/runs/{run_id}/classifications"

    def classify(file: Path) -> Any:
        code, found, _ = server.send(path, "pictures", (file.name, file.read_bytes()))
        assert code == 200
        return found["pictures"][0]

    alone = [classify(file) for file in files]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(classify, files)) == alone


def test_bad_pictures_are_named_and_harm_no_others(server: Server, run_id: str, home: Path) -> None:
    good = next((home / "data" / "shapes" / "disc").iterdir()).read_bytes()
    sent = [
        ("bomb.png", bomb(100_000)),
        ("cut.png", good[: len(good) // 2]),
        ("text.png", b"<svg onload=alert(1)>"),
        ("empty.png", b""),
        ("pickle.png", b"\x80\x04\x95cos\nsystem\n(S'true'\ntR."),
        ("good.png", good),
    ]
    path = f"/api/v1/runs/{run_id}/classifications"
    code, found, _ = server.send(path, "pictures", *sent)
    assert code == 200
    problems = [one["problem"] for one in found["pictures"]]
    assert problems[0].startswith("too large")
    assert all(problems[:-1])
    assert problems[-1] == ""
    assert all(not one["answers"] for one in found["pictures"][:-1])
    assert server.send(path, "pictures", *[("a.png", good)] * 25)[0] == 400
    assert server.ask("POST", path, b"", **{"Content-Type": "multipart/form-data"})[0] == 400


# ── studies ───────────────────────────────────────────────────────────────────────────────────


def test_a_study_is_followed_live_and_stopped_with_what_is_finished(server: Server) -> None:
    folders = [
        one for one in server.ask("GET", "/api/v1/data")[1]["data"] if one["kind"] == "folder"
    ]
    code, job, _ = server.ask("POST", "/api/v1/studies", {"data": folders[0]["id"], "budget": "5m"})
    assert code == 202
    path = f"/api/v1/jobs/{job['id']}"
    seen = server.until(path, lambda one: bool((one["progress"] or {}).get("total")))
    assert seen["progress"]["label"]
    assert server.ask("POST", f"{path}/cancel")[1]["state"] == "cancelling"
    assert server.until(path, lambda one: one["state"] == "cancelled")["error"] == ""
    (folder,) = (server.home / "runs").iterdir()
    assert api.status(folder).state == "interrupted"
    assert server.ask("GET", f"/jobs/{job['id']}")[0] == 200


# ── the browser ───────────────────────────────────────────────────────────────────────────────


PICTURES_IN_MEMORY = """
  window.held = new Set();
  const [hold, forget] = [URL.createObjectURL, URL.revokeObjectURL];
  URL.createObjectURL = (one) => { const url = hold(one); held.add(url); return url; };
  URL.revokeObjectURL = (url) => { held.delete(url); forget(url); };
"""


def test_a_newcomer_draws_and_classifies_at_a_desk(
    browser: Any, server: Server, run_id: str, home: Path
) -> None:
    """On a phone and by keyboard alone: ``test_web_keyboard``."""
    width = 1200
    page = browser.new_page(viewport={"width": width, "height": 900})
    wrong: list[str] = []
    page.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.add_init_script(PICTURES_IN_MEMORY)

    page.goto(server.address)
    page.get_by_role("link", name="Generate images").click()
    page.get_by_label("What to draw").select_option("ramp")
    page.get_by_label("How many").fill("4")
    page.get_by_role("button", name="Generate").click()
    page.get_by_role("link", name="Download all").wait_for(timeout=60_000)
    assert page.get_by_role("img").count() == 4
    assert page.locator("figcaption .mark").all_inner_texts() == ["synthetic"] * 4
    assert page.get_by_text("seen as").count() == 4
    assert page.locator(".near").count() == 4
    assert "4 images of class ramp" in page.get_by_role("status").inner_text()

    page.get_by_role("link", name="Classify", exact=True).click()
    page.get_by_role("button", name="Try a picture of class disc").first.click()
    page.locator("#answers li").wait_for(timeout=60_000)
    assert page.locator("#answers h3").all_inner_texts() == [
        "Model trained on real images only",
        "Model trained on real and generated images",
    ]
    assert page.locator("#answers img.map").count() == 2
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    file = next((home / "data" / "shapes" / "bars").iterdir())
    page.set_input_files("#pictures", file)
    page.get_by_alt_text(file.name).wait_for(timeout=60_000)
    shown = page.locator("#answers img[src^='blob:']").count()
    assert page.evaluate("held.size") == shown > 2, "earlier answers are forgotten"

    page.goto(f"{server.address}/runs/{run_id}")
    report = page.frame_locator("iframe.report")
    report.get_by_role("heading", level=1).wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.goto(f"{server.address}/study")
    page.get_by_role("option", name="shapes").first.wait_for(state="attached")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert wrong == []
    page.close()
