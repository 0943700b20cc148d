"""Questions about data: looked at before they are asked, and answered by one study or by two."""

from __future__ import annotations

import io
import shutil
import zipfile
from pathlib import Path
from typing import Any

from synthlift.web.jobs.table import JobTable
from tests.e2e.browsing import faults_of, page_of
from tests.e2e.serving import Server, serving_with


def test_an_uploaded_zip_is_inspected_by_a_command(server: Server, home: Path) -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for file in (home / "data" / "shapes").rglob("*.png"):
            archive.write(file, f"mine/{file.parent.name}/{file.name}")
    code, data, _ = server.send("/api/v1/data", "archive", ("mine.zip", stream.getvalue()))
    assert (code, data["kind"]) == (201, "upload")
    code, job, _ = server.ask("POST", "/api/v1/inspections", {"data": data["id"]})
    assert code == 202
    ended = ("done", "failed", "cancelled")
    job = server.until(f"/api/v1/jobs/{job['id']}", lambda one: one["state"] in ended)
    assert job["state"] == "done", job["error"]
    assert job["found"]["classes"] == {"bars": 36, "disc": 36, "ramp": 36}
    code, page, headers = server.ask("GET", job["page"])
    assert code == 200
    assert b"What is in these images?" in page
    assert b"Read from <code>mine/mine</code>" in page
    assert str(server.home).encode() not in page
    assert headers["Content-Security-Policy"].startswith("sandbox")
    assert server.ask("DELETE", f"/api/v1/data/{data['id']}")[0] == 200


def test_pictures_are_read_before_a_question_that_they_cannot_answer(
    browser: Any, server: Server
) -> None:
    with page_of(browser) as page:
        page.goto(f"{server.address}/study")
        page.get_by_role("option", name="shapes").first.wait_for(state="attached")
        page.get_by_label("Which class needs help?").check()
        page.get_by_role("button", name="Start the study").click()
        page.get_by_text("The study was not started.").wait_for()
        assert "nearly equal numbers" in page.locator("#obstacle-classes").inner_text()
        assert page.get_by_role("button", name="Start the study").is_disabled()
        data = page.get_by_label("Pictures", exact=True).input_value()
    body = {"data": data, "question": "classes"}
    code, said, _ = server.ask("POST", "/api/v1/studies", body)
    assert (code, "nearly equal" in said["error"]["given"]) == (400, True)


def halves(home: Path, finished: Path) -> tuple[JobTable, dict[str, str]]:
    """The two studies of one question: one is done, and another server is at the other one."""
    table, jobs = JobTable(home / "limited" / "jobs.sqlite"), {}
    for title, share in (("half of the labels", "0.5"), ("all labels", "1.0")):
        folder = home / "limited" / "runs" / share
        shutil.copytree(finished, folder)
        study = (folder / "study.yaml").read_text()
        (folder / "study.yaml").write_text(study.replace("fraction: null", f"fraction: {share}"))
        command = ["run", "trees", "--set", f"data.split.fraction={share}", "--out", str(folder)]
        job = table.add(kind="study", title=f"trees · {title}", command=command, folder=folder)
        table.claim("another server", ["study"])
        jobs[title] = job.id
    table.finish(jobs["half of the labels"], "done", owner="another server")
    return table, jobs


def test_two_studies_of_one_question_lead_to_the_answer_of_both(
    browser: Any, tmp_path: Path, finished: Path
) -> None:
    table, jobs = halves(tmp_path, finished)
    with serving_with(tmp_path, finished) as (server, _), page_of(browser) as page:
        page.goto(f"{server.address}/jobs/{jobs['half of the labels']}")
        page.get_by_text("The answer needs both.").wait_for()
        assert page.get_by_role("link", name="See this study alone").is_visible()
        both = page.get_by_role("link", name="See the answer of both studies")
        assert both.is_hidden()
        table.finish(jobs["all labels"], "done", owner="another server")
        both.wait_for()
        assert faults_of(page) == []
        both.click()
        page.get_by_text("Label more, or generate? With 50 % of the labels").wait_for()
        page.goto(f"{server.address}/jobs/{jobs['all labels']}")
        page.get_by_role("link", name="See this study alone").click()
        page.get_by_role("link", name="See what both answer together").click()
        page.get_by_text("100 % of the labels brought").wait_for()
