"""The pages of people who do not program: one server and one browser for all of them."""

from __future__ import annotations

import io
import json
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from synthlift import api
from synthlift.api.training_sets import arm_images
from synthlift.evaluation.wilson import wilson
from synthlift.spec import people
from synthlift.spec.provenance import provenance_in
from synthlift.web.library import id_of
from tests.e2e.browsing import faults_light_and_dark, faults_of, page_of
from tests.e2e.serving import Server, finished_study, serving
from tests.e2e.tiny import zip_with_table

ARM = "mixed@0.5"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pages")


@pytest.fixture(scope="module")
def finished(home: Path) -> Path:
    """A study of which filters kept some generated images and rejected others."""
    return finished_study(home, steps=60, curation=["exact_duplicates", "outliers"])


@pytest.fixture(scope="module")
def other(home: Path, finished: Path) -> Path:
    """The same run in another place: another study of the same pictures, to the pages."""
    return shutil.copytree(finished, home / "other")


@pytest.fixture(scope="module")
def server(home: Path, finished: Path, other: Path) -> Iterator[Server]:
    runs = [str(finished), str(other)]
    with serving(home, [*runs, "--data", str(home / "data"), "--workers", "1"]) as found:
        yield found


# ── every page ────────────────────────────────────────────────────────────────────────────────


def test_no_page_has_a_serious_fault(browser: Any, server: Server, run_id: str) -> None:
    places = [
        *("/", "/generate", "/classify", "/chain", "/study", f"/compare?run={run_id}"),
        *(f"/runs/{run_id}", f"/runs/{run_id}/images", f"/runs/{run_id}/blind-test"),
    ]
    with page_of(browser) as page:
        found = {}
        for place in places:
            page.goto(f"{server.address}{place}")
            page.wait_for_load_state("networkidle")
            found[place] = faults_light_and_dark(page)
    with page_of(browser, may_say="404 (NOT FOUND)") as page:
        page.goto(f"{server.address}/nothing")
        page.get_by_role("heading", name="There is nothing here.").wait_for()
        found["/nothing"] = faults_light_and_dark(page)
    assert {place: wrong for place, wrong in found.items() if wrong} == {}


def test_words_are_explained_by_hover_and_by_keyboard(browser: Any, server: Server) -> None:
    with page_of(browser, width=390) as page:
        page.goto(f"{server.address}/compare")
        page.wait_for_load_state("networkidle")
        page.evaluate("document.getElementById('compared').hidden = false")
        term = page.locator(".term", has_text="rival").first
        meaning = term.locator(".meaning")
        assert not meaning.is_visible()
        term.focus()
        assert meaning.is_visible()
        assert "without synthetic images" in meaning.inner_text()
        box = meaning.bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 390


# ── classifying ───────────────────────────────────────────────────────────────────────────────


def test_a_late_answer_is_shown_under_no_other_study_and_after_no_later_question(
    browser: Any, server: Server, run_id: str, other: Path
) -> None:
    held: list[Any] = []
    asked = "**/sample-classifications"

    def hold(route: Any) -> None:
        held.append(route)

    def answer_late(page: Any) -> None:
        while not held:
            page.wait_for_timeout(20)
        with page.expect_response(asked):
            held.pop().continue_()
        page.wait_for_timeout(300)

    with page_of(browser) as page:
        page.goto(f"{server.address}/classify?run={run_id}")
        of = {name: f"Try a picture of class {name}" for name in ("bars", "disc")}
        page.route(asked, hold, times=1)
        page.get_by_role("button", name=of["bars"]).first.click()
        page.get_by_label("Study", exact=True).select_option(id_of(other.resolve()))
        answer_late(page)
        assert page.locator("#answers li").count() == 0
        assert page.locator("#said").inner_text() == ""
        page.route(asked, hold, times=1)
        page.get_by_role("button", name=of["bars"]).first.click()
        page.get_by_role("button", name=of["disc"]).first.click()
        shown = page.locator("#answers .frame img").first
        shown.wait_for()
        url = shown.get_attribute("src")
        answer_late(page)
        assert page.locator("#answers .frame img").first.get_attribute("src") == url


# ── variations ────────────────────────────────────────────────────────────────────────────────


def test_images_start_from_a_picture_of_the_study_or_of_the_visitor(
    browser: Any, server: Server, run_id: str, home: Path
) -> None:
    with page_of(browser, width=390) as page:
        page.goto(f"{server.address}/generate?run={run_id}")
        page.get_by_label("How many").fill("2")
        page.get_by_label("Start from").select_option("picture")
        page.get_by_role("button", name="Generate").click()
        assert "No picture is chosen" in page.locator("#said").inner_text()
        page.get_by_role("button", name="Take a picture of class bars").first.focus()
        page.keyboard.press("Enter")
        page.get_by_label("How much may change").fill("0.8")
        assert "only a trace" in page.locator("#strength-help").inner_text()
        assert faults_of(page) == []
        for made_from in ("a real picture of class bars", "an uploaded picture"):
            page.get_by_role("button", name="Generate").click()
            page.get_by_role("link", name="Download all").wait_for()
            facts = page.locator("#images .facts").first.text_content()
            assert f"a variation of {made_from}, strength 0.8" in facts
            page.set_input_files("#picture", next((home / "data" / "shapes" / "disc").iterdir()))
        assert faults_of(page) == []


# ── the gallery ───────────────────────────────────────────────────────────────────────────────


def test_filters_are_overruled_by_hand_with_the_keyboard_and_undone(
    browser: Any, server: Server, run_id: str, finished: Path, tmp_path: Path
) -> None:
    loaded = api.load(finished)
    generated = [one for one in arm_images(loaded, loaded.arm(ARM)) if one.generator]
    trained_on = [one.id for one in generated if one.label == "disc"]
    before = (finished / "results.json").read_bytes()
    with page_of(browser) as page:
        page.goto(f"{server.address}/runs/{run_id}/images")
        page.get_by_label("Rejected since").select_option("outliers")
        page.get_by_text("far from the", exact=False).first.wait_for()
        page.get_by_label("Rejected since").select_option("")
        page.get_by_label("Class", exact=True).select_option("disc")
        page.get_by_label("Trained on by arm").select_option(ARM)
        page.get_by_text(f"{len(trained_on)} images of").wait_for()
        page.get_by_role("button", name="Reject").first.focus()
        page.keyboard.press("Enter")
        assert "who you are" in page.locator("#said").inner_text()
        page.get_by_label("Your name").fill("Ada")
        page.get_by_role("button", name="Reject").first.focus()
        page.keyboard.press("Enter")
        page.get_by_text("rejected by Ada").wait_for()
        assert faults_of(page) == []
        (said,) = people.in_force(finished).values()
        assert (said.image, said.verdict, said.who) == (trained_on[0], "reject", "Ada")
        by_hand = arm_images(loaded, loaded.arm(ARM), by_hand=True)
        chosen = [one.id for one in by_hand if one.generator and one.label == "disc"]
        assert trained_on[0] not in chosen
        assert len(chosen) == len(trained_on), "the next image that was kept fills the gap"
        exported = api.export(finished, arm=ARM, out=tmp_path / "out", by_hand=True)
        assert exported.model.startswith("none: verdicts by hand")
        assert "Verdicts by hand of Ada" in (tmp_path / "out" / "DATA_CARD.md").read_text()
        page.get_by_role("button", name="Undo").first.focus()
        page.keyboard.press("Enter")
        page.get_by_text("verdict taken back").first.wait_for()
    assert people.in_force(finished) == {}
    assert [one.verdict for one in people.hand_verdicts(finished)] == ["reject", "withdrawn"]
    assert (finished / "results.json").read_bytes() == before
    code, image, _ = server.ask("GET", f"/api/v1/runs/{run_id}/generated/0")
    assert code == 200
    assert provenance_in(image)["origin"] == "synthetic"  # type: ignore[index]


# ── blind tests ───────────────────────────────────────────────────────────────────────────────


def test_a_blind_test_by_keyboard_ends_in_the_report(
    browser: Any, server: Server, run_id: str, finished: Path, home: Path
) -> None:
    with page_of(browser, width=390) as page:
        page.goto(f"{server.address}/runs/{run_id}/blind-test")
        page.get_by_role("spinbutton", name="Pictures").fill("10")
        page.get_by_label("Your name").fill("Ada")
        page.keyboard.press("Enter")
        page.get_by_role("heading", name="Picture 1 of 10").wait_for()
        assert faults_of(page) == []
        for place in range(1, 10):
            page.keyboard.press("s")
            page.get_by_role("heading", name=f"Picture {place + 1} of 10").wait_for()
        page.keyboard.press("r")
        page.get_by_role("heading", name="Your score").wait_for()
        assert faults_of(page) == []
        score = page.locator("#score").inner_text()
    (test,) = people.blind_tests(finished)
    assert [one.said for one in test.answers] == ["synthetic"] * 9 + ["real"]
    assert test.right == sum(one.was == one.said for one in test.answers)
    assert (test.low, test.high) == wilson(test.right, 10)
    assert score.startswith(f"{test.right} of 10 pictures right")
    rows = (finished / "splits.csv").read_text().splitlines()
    tested = {line.split(",")[1] for line in rows if ",test," in line}
    assert tested
    assert not tested & {one.image for one in test.answers if one.was == "real"}
    report = (finished / "report.html").read_text()
    assert "Judged by people" in report
    assert "no evidence that they are useful" in report
    api.share_report(finished)
    shared = (finished / "report-shareable.html").read_text()
    assert "person 1" in shared
    assert "Ada" not in shared


def test_pictures_of_a_blind_test_do_not_say_what_they_are(server: Server, run_id: str) -> None:
    body = {"generator": "flow", "pictures": 12}
    code, test, _ = server.ask("POST", f"/api/v1/runs/{run_id}/blind-tests", body)
    assert code == 201
    told = json.dumps(test).replace("synthetic_", "")
    assert "real" not in told
    assert "synthetic" not in told
    for url in test["pictures"]:
        picture = server.ask("GET", url)[1]
        assert provenance_in(picture) is None
        assert b"tEXt" not in picture
    answers = f"/api/v1/blind-tests/{test['id']}/answers"
    code, said, _ = server.ask("POST", answers, {"who": "Eve", "answers": ["real"] * 11})
    assert code == 400
    assert "lucky" in said["error"]["rule"]
    code, score, _ = server.ask("POST", answers, {"who": "Eve", "answers": ["real"] * 12})
    assert code == 201
    for one in score["pictures"]:
        facts = provenance_in(server.ask("GET", one["url"])[1])
        assert (facts is not None) == (one["was"] == "synthetic"), "now they all say"
    assert {one["was"] for one in score["pictures"]} == {"real", "synthetic"}


# ── chain ─────────────────────────────────────────────────────────────────────────────────────


def test_drawn_pictures_become_a_pool_that_a_study_takes(
    browser: Any, server: Server, run_id: str
) -> None:
    with page_of(browser) as page:
        page.goto(f"{server.address}/chain?run={run_id}")
        page.get_by_label("How many").fill("4")
        page.get_by_label("What to draw").select_option("disc")
        page.get_by_role("button", name="Draw").focus()
        page.keyboard.press("Enter")
        page.get_by_text("4 pictures to judge").wait_for()
        page.get_by_label("Your name").fill("Ada")
        for place, key in enumerate("kkr", start=1):
            page.get_by_label(f"Synthetic picture {place} of class disc").focus()
            page.keyboard.press(key)
            page.locator(f"#images li:nth-child({place})[data-verdict]").wait_for()
        page.get_by_text("2 pictures kept of 3 judged – 2 of disc").wait_for()
        assert faults_of(page) == []
        page.get_by_role("button", name="Take synthetic-").first.click()
        page.get_by_text("1 picture kept of 3 judged").wait_for()
        page.get_by_role("link", name="Ask whether it helps").click()
        page.get_by_role("option", name="my pictures").wait_for(state="attached")
        assert page.get_by_label("Do the pictures of my pool help?").is_checked()
        assert "would look too good" in page.locator("#pool-help").inner_text()
        assert page.get_by_role("button", name="Start the study").is_enabled()
    (pool,) = server.ask("GET", "/api/v1/pools")[1]["pools"]
    content = server.ask("GET", pool["archive"])[1]
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".png")]
        assert name.startswith("images/disc/")
        assert provenance_in(archive.read(name))["class"] == "disc"  # type: ignore[index]
        table = archive.read("metadata.csv").decode()
    assert "kept_by" in table
    assert "Ada" in table
    place = server.home / "pools" / pool["id"]
    assert len((place / "judged.jsonl").read_text().splitlines()) == 4, "nothing is forgotten"
    asked = {"kind": "pool", "source": str(place / "images")}
    api.ask(
        str(server.home.parent / "data" / "shapes"), overrides=[f"generators=[{json.dumps(asked)}]"]
    )


# ── studies ───────────────────────────────────────────────────────────────────────────────────


def test_a_question_is_asked_about_a_zip_with_a_table(
    browser: Any, server: Server, tmp_path: Path
) -> None:
    with page_of(browser) as page:
        page.goto(f"{server.address}/study")
        page.set_input_files("#archive", zip_with_table(tmp_path))
        page.get_by_text("mine is here").wait_for()
        assert page.get_by_label("Table", exact=True).input_value() == "patients.csv"
        page.get_by_label("What must stay together").select_option("patient")
        page.get_by_label("device – 2 values").check()
        page.get_by_role("button", name="Look at them").click()
        page.get_by_text("36 pictures, 36 of them usable, in 3 classes").wait_for(timeout=120_000)
        assert faults_of(page) == []
        assert "nearly equal numbers" in page.locator("#obstacle-classes").inner_text()
        assert "at least 20" in page.locator("#obstacle-label").inner_text()
        page.get_by_label("Which class needs help?").check()
        assert page.get_by_role("button", name="Start the study").is_disabled()
        page.get_by_label("Does my model fail on a group?").check()
        assert page.get_by_role("button", name="Start the study").is_disabled()
        page.get_by_label("The group", exact=True).select_option("column:device")
        page.get_by_label("The answer may take about").select_option("5m")
        page.get_by_role("button", name="What would it take?").click()
        page.get_by_role("heading", name="What it takes").wait_for(timeout=120_000)
        facts = page.locator("#plan-facts").inner_text()
        assert "at most" in facts
        assert "MiB" in facts or "KiB" in facts
        page.get_by_text("Its settings, and why").click()
        command = page.locator("#plan-command").inner_text()
        assert "data.group=" in command
        assert '"cells": ["label", "device"]' in command
        assert str(server.home) not in command
        assert faults_of(page) == []
        page.get_by_role("button", name="Start the study").click()
        page.get_by_role("heading", name="mine").wait_for()
        watch_and_delete(page, server)


def watch_and_delete(page: Any, server: Server) -> None:
    """The page of a study: what is finished appears, it stops, and nothing of it is left."""
    page.locator("#stages li").first.wait_for(timeout=120_000)
    assert faults_of(page) == []
    page.get_by_role("button", name="Stop").click()
    ended = page.locator("#resume")
    ended.wait_for(timeout=90_000)
    assert page.locator("#state").inner_text() == "Stopped; what is finished is kept"
    job = page.locator("#job").get_attribute("data-job")
    folders = list((server.home / "runs").iterdir())
    assert len(folders) == 1
    page.get_by_role("button", name="Delete with all its files").focus()
    page.keyboard.press("Enter")
    assert page.get_by_role("button", name="Keep it").evaluate(
        "one => one === document.activeElement"
    )
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Delete it").click()
    page.get_by_role("heading", name="Deleted").wait_for()
    assert list((server.home / "runs").iterdir()) == []
    assert not (server.home / "jobs" / str(job)).exists()
    assert server.ask("GET", f"/api/v1/jobs/{job}")[0] == 404


def test_two_studies_stand_side_by_side(
    browser: Any, server: Server, run_id: str, finished: Path, other: Path
) -> None:
    code, figures, _ = server.ask("GET", f"/api/v1/runs/{run_id}/figures")
    assert code == 200
    results = api.load(finished).results
    assert results.verdict is not None
    assert results.openings is not None
    assert figures["primary"]["difference"]["value"] == results.verdict.contrast.difference.value
    assert figures["test_set"] not in results.openings.test_hash
    assert str(finished.parent) not in json.dumps(figures)
    with page_of(browser) as page:
        page.goto(f"{server.address}/compare?run={run_id}")
        page.get_by_text("Choose one more.").wait_for()
        page.locator(f"input[value='{id_of(other.resolve())}']").check()
        page.get_by_text("All were tested on the same pictures").wait_for()
        assert (
            page.locator("#table tbody tr").first.locator("td").all_inner_texts()
            == [results.verdict.sentence] * 2
        )
        rows = {row.split("\t")[0]: row for row in page.locator("#arms").inner_text().split("\n")}
        assert ARM in rows
        assert faults_of(page) == []
    with page_of(browser, width=390, dark=True) as page:
        page.goto(f"{server.address}/compare?run={run_id}&run={id_of(other.resolve())}")
        page.locator("#arms tbody tr").first.wait_for()
        assert faults_of(page) == []
