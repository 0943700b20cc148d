"""The built-in examples on a real server: everything works at once, and no job has run."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from synthlift import api
from synthlift.reporting.pages import known_scripts, script_digest
from synthlift.spec.provenance import provenance_in
from synthlift.web.library import id_of
from synthlift.web.pictures import INLINE_BYTES
from synthlift.web.shipped import RUN
from tests.e2e.browsing import faults_of, page_of
from tests.e2e.serving import Server, serving


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    home = tmp_path_factory.mktemp("examples")
    with serving(home, ["--workers", "1"], examples=True) as found:
        yield found
        assert found.ask("GET", "/api/v1/jobs")[1]["jobs"] == [], "no job had to run"


@pytest.fixture(scope="module")
def runs(server: Server) -> dict[str, str]:
    """Ids of the examples' runs."""
    found = server.until(
        "/api/v1/examples", lambda told: all(one["run"] for one in told["examples"])
    )
    return {one["name"]: one["run"] for one in found["examples"]}


def place_of(server: Server, name: str) -> Path:
    """The run folder of an example."""
    return server.home / "examples" / name / RUN


def test_a_digit_is_drawn_beside_its_nearest_training_picture(
    server: Server, runs: dict[str, str]
) -> None:
    made = server.draw(runs["digits"], generator="flow", label="7", count=2)
    assert (made["state"], made["done"]) == ("done", 2), made
    for image, content in zip(made["images"], server.images(made), strict=True):
        assert Image.open(io.BytesIO(content)).size == (8, 8)
        assert provenance_in(content)["class"] == "7"  # type: ignore[index]
        assert 0 <= image["near"]["unusual"] <= 1
        assert server.ask("GET", image["near"]["url"])[0] == 200


def test_a_leaf_is_pasted_from_the_pictures_that_came_along(
    server: Server, runs: dict[str, str]
) -> None:
    made = server.draw(runs["leaves"], generator="cut_paste", label="ginkgo", count=1)
    assert (made["state"], made["done"]) == ("done", 1), made
    assert Image.open(io.BytesIO(server.images(made)[0])).size == (64, 64)


def test_what_a_generator_cannot_draw_is_offered_last_and_said(
    browser: Any, server: Server, runs: dict[str, str]
) -> None:
    (generator,) = server.ask("GET", f"/api/v1/runs/{runs['leaves']}")[1]["generators"]
    assert generator["classes"][-1] == "bare"
    assert generator["classes"][:-1] == ["beech", "ginkgo", "lime", "maple", "oak", "willow"]
    with page_of(browser) as page:
        page.goto(f"{server.address}/generate?run={runs['leaves']}")
        page.get_by_label("What to draw").select_option("bare")
        page.get_by_role("button", name="Generate").click()
        page.get_by_text("can make no image of class bare").wait_for()


def test_a_leaf_is_classified_with_what_it_is_most_like(
    server: Server, runs: dict[str, str]
) -> None:
    facts = server.ask("GET", f"/api/v1/runs/{runs['leaves']}")[1]
    sample = next(one for one in facts["samples"] if one["label"] == "oak")
    picture = server.ask("GET", sample["url"])[1]
    code, said, _ = server.send(
        f"/api/v1/runs/{runs['leaves']}/classifications",
        "pictures",
        ("leaf.png", picture),
        explain="true",
    )
    assert code == 200, said
    (one,) = said["pictures"]
    assert {answer["role"] for answer in one["answers"]} == {"rival", "generative"}
    assert all(len(answer["probabilities"]) == 7 for answer in one["answers"])
    assert one["near"] is not None, "the store that came along has the training pictures"
    nearest = Image.open(io.BytesIO(base64.b64decode(one["near"]["picture"])))
    assert nearest.size == (64, 64)


def test_every_generated_picture_is_in_the_gallery(server: Server, runs: dict[str, str]) -> None:
    for name, run in runs.items():
        code, page, _ = server.ask("GET", f"/api/v1/runs/{run}/generated")
        assert code == 200, page
        assert page["all"] > 100
        shown = server.ask("GET", page["images"][0]["url"])
        assert shown[0] == 200, name
        assert provenance_in(shown[1]) is not None


def test_home_says_that_they_were_computed_beforehand(
    browser: Any, server: Server, runs: dict[str, str]
) -> None:
    with page_of(browser, width=390) as page:
        page.goto(server.address)
        card = page.get_by_role("article", name="Leaves")
        card.get_by_text("Computed beforehand").wait_for()
        assert "synthlift run leaves.yaml" in card.inner_text()
        assert card.get_by_role("button", name="Compute it here").is_enabled()
        assert faults_of(page) == []
        card.get_by_role("link", name="Read the report").click()
        page.get_by_text("computed beforehand and delivered").wait_for()
        report = page.frame_locator("iframe.report")
        report.get_by_role("heading", level=1).first.wait_for()
        assert faults_of(page) == []


def test_large_pictures_go_by_way_of_a_file_which_is_deleted(
    server: Server, runs: dict[str, str], tmp_path: Path
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (300, 300)).astype(np.uint8)
    file = tmp_path / "large.png"
    Image.fromarray(noise).save(file)
    assert file.stat().st_size > INLINE_BYTES
    path = f"/api/v1/runs/{runs['digits']}/classifications"
    (found,) = server.send(path, "pictures", (file.name, file.read_bytes()))[1]["pictures"]
    (expected,) = api.classify(place_of(server, "digits") / "models" / "rival", [file])
    told = found["answers"][0]["probabilities"]
    assert told == pytest.approx(expected.probabilities, abs=1e-5)
    assert list((server.home / "pictures").iterdir()) == []


def test_what_is_wrong_with_an_upload_is_said_without_a_place_of_the_server(
    server: Server,
) -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("leaves/only/1.png", b"none")
    data = server.send("/api/v1/data", "archive", ("mine.zip", stream.getvalue()))[1]
    job = server.ask("POST", "/api/v1/inspections", {"data": data["id"]})[1]
    job = server.until(f"/api/v1/jobs/{job['id']}", lambda one: one["state"] == "failed")
    assert job["error"].startswith("'mine/leaves/only' holds images but no sub-folders")
    assert str(server.home) not in json.dumps(job)
    assert server.ask("DELETE", f"/api/v1/jobs/{job['id']}")[0] == 200


# ── reports ───────────────────────────────────────────────────────────────────────────────────

EARLIER = Path(__file__).with_name("earlier_report_script.js")
EVIL = """
document.documentElement.classList.add("js", "evil");
fetch("/api/v1/runs").then(() => document.documentElement.classList.add("reached"));
"""


def report_with(script: str, folder: Path) -> None:
    """The report of a run with another script, as another version, or somebody else, wrote it."""
    file, own = folder / "report.html", script_digest()
    page = file.read_text(encoding="utf-8")
    begin, end = page.rindex("<script>") + len("<script>"), page.rindex("</script>")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    page = page[:begin] + script + page[end:]
    assert page.count(own) == 1
    file.write_text(page.replace(own, digest))


def test_the_script_of_an_earlier_report_runs_and_no_other(
    browser: Any, server: Server, runs: dict[str, str], tmp_path: Path
) -> None:
    assert known_scripts()[0] == script_digest(), "a changed script.js: add its digest on top"
    finished, folder = place_of(server, "digits"), server.home / "runs" / "theirs"
    folder.parent.mkdir(parents=True, exist_ok=True)
    for script, known in ((EARLIER.read_text(), True), (EVIL, False)):
        shutil.copytree(finished, folder)
        report_with(script, folder)
        page = browser.new_page()
        told: list[str] = []
        page.on("console", lambda said, told=told: told.append(said.text))
        server.until("/api/v1/runs", lambda found: len(found["runs"]) == 3, seconds=20)
        page.goto(f"{server.address}/runs/{id_of(folder.resolve())}")
        report = page.frame_locator("iframe.report")
        report.get_by_role("heading", level=1).wait_for()
        page.wait_for_load_state("networkidle")
        assert (report.locator("html.js").count() == 1) == known, told
        assert (report.locator("button.sort").count() > 0) == known
        assert report.locator("html.evil").count() == 0
        assert (page.get_by_text("it is not run").count() == 0) == known
        assert any("Content Security Policy" in one for one in told) != known
        page.close()
        shutil.rmtree(folder)
    shutil.copytree(finished, folder)
    (tmp_path / "secret").write_text("secret")
    (folder / "report.html").unlink()
    (folder / "report.html").symlink_to(tmp_path / "secret")
    server.until("/api/v1/runs", lambda found: len(found["runs"]) == 3, seconds=20)
    assert server.ask("GET", f"/runs/{id_of(folder.resolve())}/report")[0] == 404
    shutil.rmtree(folder)
