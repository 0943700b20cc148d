"""Answers that are lost, keys that are held, buttons that are pressed twice: the pages bear it."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

from synthlift.spec import people
from synthlift.web.jobs.table import JobTable
from tests.e2e.browsing import faults_of, page_of
from tests.e2e.serving import Server, serving_with
from tests.e2e.tiny import zip_with_table

LOST = "net::ERR_FAILED"


def lose(page: Any, where: str, *, times: int) -> None:
    """The next requests there get no answer."""
    page.route(where, lambda route: route.abort("failed"), times=times)


# ── answers that are lost ─────────────────────────────────────────────────────────────────────


def test_a_lost_answer_ends_no_watching(browser: Any, server: Server, run_id: str) -> None:
    with page_of(browser, may_say=LOST) as page:
        lose(page, "**/events*", times=1)
        lose(page, "**/generations/*after=*", times=2)
        page.goto(f"{server.address}/generate?run={run_id}")
        page.get_by_label("How many").fill("3")
        page.get_by_role("button", name="Generate").click()
        page.get_by_text("3 images of class bars, seed 0.").wait_for()
        lose(page, "**/api/v1/runs", times=1)
        lose(page, "**/generations/*after=*", times=2)
        page.goto(f"{server.address}/chain?run={run_id}")
        page.get_by_label("How many").fill("3")
        page.get_by_role("button", name="Draw").click()
        page.get_by_text("3 pictures to judge").wait_for()
        lose(page, "**/api/v1/examples", times=2)
        page.goto(server.address)
        page.get_by_role("heading", name="Handwritten digits").wait_for()


def test_a_list_that_is_lost_after_an_upload_takes_none_away(
    browser: Any, server: Server, tmp_path: Path
) -> None:
    archive = zip_with_table(tmp_path)
    with page_of(browser, may_say=LOST) as page:
        asked: list[Any] = []
        page.route("**/api/v1/data", lambda route: asked.append(route), times=1)
        page.goto(f"{server.address}/study")
        page.wait_for_function("document.readyState === 'complete'")
        page.route(
            "**/api/v1/data",
            lambda route: (
                route.abort("failed") if route.request.method == "GET" else route.continue_()
            ),
        )
        page.set_input_files("#archive", archive)
        page.get_by_text("mine is here, but is not listed below: The server does not").wait_for()
        asked[0].continue_()
        page.locator("#data option[value]:not([value=''])").first.wait_for(state="attached")
        assert page.get_by_role("button", name="Look at them").is_enabled()
        assert "mine is here" in page.locator("#data-said").inner_text()
        page.unroute("**/api/v1/data")
        page.reload()
        page.locator("#data option", has_text="mine (upload)").wait_for(state="attached")
        # Other tests of this server ask about the first collection that is listed.
        page.get_by_label("Pictures", exact=True).select_option(label="mine (upload)")
        page.get_by_role("button", name="Delete this upload").click()
        page.get_by_text("mine was deleted.").wait_for()


def test_a_server_that_is_gone_is_told_of_in_the_end(browser: Any, server: Server) -> None:
    with page_of(browser, may_say=LOST) as page:
        page.clock.install()
        page.route("**/api/v1/examples", lambda route: route.abort("failed"))
        page.goto(server.address)
        told, waits = page.get_by_text("The server does not answer."), 0
        while not told.is_visible():
            assert waits < 60, "the page asks for ever"
            page.clock.run_for(1000)
            waits += 1
        assert waits > 3, "it asks more than once, and not at once"


STOP_AT_THE_FIRST = """() => new MutationObserver((_, watch) => {
    if (!document.querySelector("#images li")) return;
    watch.disconnect();
    const buttons = [...document.querySelectorAll("button")];
    buttons.find((one) => one.textContent.trim() === "Stop").click();
}).observe(document.querySelector("#images"), {childList: true})"""
"""All images may be drawn before a hand from outside is at the button."""


def test_a_drawing_is_stopped_and_its_images_stay(
    browser: Any, server: Server, run_id: str
) -> None:
    with page_of(browser) as page:
        page.goto(f"{server.address}/generate?run={run_id}")
        page.get_by_label("How many").fill("200")
        page.get_by_text("More settings").click()
        page.get_by_label("Steps").fill("50")
        page.evaluate(STOP_AT_THE_FIRST)
        page.get_by_role("button", name="Generate").click()
        page.get_by_text("Stopped after").wait_for()
        assert 1 <= page.locator("#images li").count() < 200
        assert page.get_by_role("link", name="Download all").is_visible()
        assert page.get_by_role("button", name="Generate").is_enabled()


# ── what is too large ─────────────────────────────────────────────────────────────────────────


def test_what_is_too_large_is_said_before_it_is_sent_and_by_the_server(
    browser: Any, home: Path, finished: Path, run_id: str, tmp_path: Path
) -> None:
    large, small = tmp_path / "trees.zip", tmp_path / "oak.png"
    large.write_bytes(bytes(80 * 1024))
    small.write_bytes(bytes(30 * 1024))
    limits = {"upload_bytes": 64 * 1024, "picture_bytes": 20 * 1024}
    with (
        serving_with(home, finished, **limits) as (server, _),
        page_of(browser, may_say="413") as page,
    ):
        sent: list[str] = []
        page.on("request", lambda one: sent.append(one.url) if one.method == "POST" else None)
        late: list[Any] = []
        page.route("**/api/v1/data", lambda route: late.append(route), times=1)
        page.goto(f"{server.address}/study")
        page.set_input_files("#archive", large)
        page.get_by_text("trees.zip is too large").wait_for()
        late[0].continue_()
        page.locator("#data option", has_text="none yet").wait_for(state="attached")
        said = page.locator("#data-said").inner_text()
        assert "at most 64 KiB" in said
        assert "synthlift serve --data FOLDER" in said
        page.goto(f"{server.address}/classify?run={run_id}")
        page.get_by_role("button", name="Try a picture of class bars").first.wait_for()
        page.set_input_files("#pictures", [small] * 3)
        page.get_by_text("at once have at most 64 KiB").wait_for()
        page.goto(f"{server.address}/generate?run={run_id}")
        page.get_by_label("Start from").select_option("picture")
        page.set_input_files("#picture", small)
        page.get_by_text("a picture has at most 20 KiB").wait_for()
        assert page.locator("#chosen").inner_text() == ""
        assert sent == []
        page.goto(f"{server.address}/study")
        page.locator("#archive").evaluate("one => { one.dataset.most = 1e9; }")
        page.set_input_files("#archive", large)
        page.get_by_text("That is too large for this server.").wait_for()
        assert len(sent) == 1


# ── a blind test ──────────────────────────────────────────────────────────────────────────────


def test_answers_of_a_blind_test_survive_a_lost_answer_and_held_keys(
    browser: Any, server: Server, run_id: str, finished: Path
) -> None:
    with page_of(browser, may_say=LOST) as page:
        page.goto(f"{server.address}/runs/{run_id}/blind-test")
        page.get_by_role("spinbutton", name="Pictures").fill("10")
        page.get_by_label("Your name").fill("   ")
        page.get_by_role("button", name="Begin").click()
        page.get_by_text("Say first who you are").wait_for()
        assert page.locator("#test").is_hidden()
        page.get_by_label("Your name").fill(" Ada ")
        page.get_by_role("button", name="Begin").click()
        page.get_by_role("heading", name="Picture 1 of 10").wait_for()
        for _ in range(5):
            page.keyboard.down("s")  # held, it repeats
        page.keyboard.up("s")
        page.get_by_role("heading", name="Picture 2 of 10").wait_for()
        lose(page, "**/answers", times=1)
        for _ in range(9):
            page.keyboard.press("r")
        page.get_by_text("The server does not answer.").wait_for()
        page.get_by_role("button", name="Send again").press("Enter")
        page.get_by_role("heading", name="Your score").wait_for()
        assert page.get_by_role("button", name="Send again").is_hidden()
    (test,) = people.blind_tests(finished)
    assert (test.who, [one.said for one in test.answers]) == ("Ada", ["synthetic"] + ["real"] * 9)


# ── where the focus is ────────────────────────────────────────────────────────────────────────


def focused(page: Any, where: str) -> bool:
    """Whether what has the focus lies there."""
    return bool(page.evaluate(f"document.activeElement.closest({where!r}) !== null"))


def test_the_focus_stays_where_somebody_judges(browser: Any, server: Server, run_id: str) -> None:
    with page_of(browser) as page:
        page.goto(f"{server.address}/runs/{run_id}/images")
        page.get_by_label("Your name").fill("Ada")
        third = page.locator("#images li").nth(2)
        row = third.get_attribute("data-row")
        third.get_by_role("button", name="Reject").press("Enter")
        page.get_by_text("rejected by Ada").wait_for()
        assert focused(page, f"li[data-row='{row}']")
        page.get_by_label("Show", exact=True).select_option("by_hand")
        page.get_by_text("1 image of").wait_for()
        page.get_by_role("button", name="Undo").press("Enter")
        page.get_by_text("verdict taken back").first.wait_for()
        page.get_by_text("0 images of").wait_for()
        assert focused(page, "#state"), "no picture is left that could have it"


def test_quick_verdicts_share_a_pool_and_a_new_name_makes_another(
    browser: Any, server: Server, run_id: str
) -> None:
    with page_of(browser) as page:
        page.goto(f"{server.address}/chain?run={run_id}")
        page.get_by_label("How many").fill("4")
        page.get_by_role("button", name="Draw").click()
        page.get_by_text("4 pictures to judge").wait_for()
        page.get_by_label("Your name").fill("Ada")
        page.evaluate(  # both at once, as fast as no hand is
            """for (const name of ["Keep picture 1", "Keep picture 2"])
                 document.querySelector(`[aria-label="${name}"]`).click()"""
        )
        page.locator("#images li[data-verdict]").nth(1).wait_for()
        page.get_by_text("judged").wait_for()
        pools = server.ask("GET", "/api/v1/pools")[1]["pools"]
        assert [one["name"] for one in pools] == ["my pictures"]
        page.get_by_label("Name of a new pool").fill("second thoughts")
        for place in (3, 4):
            page.get_by_label(f"Keep picture {place}").press("Enter")
            page.locator(f"#images li:nth-child({place})[data-verdict]").wait_for()
        page.get_by_text("second thoughts: 2 pictures kept").wait_for()
        page.get_by_role("button", name="Take synthetic-").first.press("Enter")
        page.get_by_text("second thoughts: 1 picture kept").wait_for()
        page.get_by_text("It is out again.").wait_for()
        assert focused(page, "#kept button")


def test_escape_closes_the_meaning_of_a_word_until_it_is_left(browser: Any, server: Server) -> None:
    with page_of(browser) as page:
        page.goto(server.address)
        term, meaning = page.locator(".term").first, page.locator(".term .meaning").first
        term.focus()
        assert meaning.is_visible()
        page.keyboard.press("Escape")
        assert not meaning.is_visible()
        page.get_by_role("link", name="Generate", exact=True).first.focus()
        term.hover()
        assert meaning.is_visible()
        page.keyboard.press("Escape")
        assert not meaning.is_visible()
        page.mouse.move(0, 0)
        term.hover()
        assert meaning.is_visible()


# ── studies ───────────────────────────────────────────────────────────────────────────────────


def test_a_study_is_begun_once_and_its_page_bears_a_lost_answer(
    browser: Any, server: Server
) -> None:
    with page_of(browser, may_say=LOST) as page:
        page.goto(f"{server.address}/study")
        page.get_by_label("The answer may take about").select_option("5m")
        page.get_by_role("button", name="What would it take?").click()
        page.get_by_text("Reading the pictures and reckoning").wait_for()
        page.get_by_label("The answer may take about").select_option("1h")
        assert page.locator("#said").inner_text() == "", "nobody waits for the old forecast"
        page.get_by_role("button", name="Look at them").click()
        page.get_by_role("button", name="What would it take?").click()
        page.get_by_text("108 pictures").wait_for(timeout=120_000)
        page.get_by_role("heading", name="What it takes").wait_for(timeout=120_000)
        assert page.locator("#said").inner_text() == page.locator("#data-said").inner_text() == ""
        page.get_by_role("button", name="Start the study").dblclick()
        page.get_by_role("button", name="Stop").wait_for()
        lose(page, "**/api/v1/jobs/*", times=1)
        page.locator("#stage.fault").wait_for()
        page.locator("#stage:not(.fault)").wait_for()
        page.get_by_role("button", name="Stop").click()
        page.locator("#resume").wait_for(timeout=20_000)
    jobs = server.ask("GET", "/api/v1/jobs")[1]["jobs"]
    assert [job["kind"] for job in jobs] == ["study", "inspect"]
    forecasts = [job for job in JobTable(server.home / "jobs.sqlite").all() if job.kind == "plan"]
    assert [job.state for job in forecasts] == ["done", "cancelled"], "nobody waits for the first"


def test_a_stopped_study_whose_pictures_were_deleted_says_that_it_cannot_go_on(
    browser: Any, server: Server, tmp_path: Path
) -> None:
    archive = zip_with_table(tmp_path)
    data = server.send("/api/v1/data", "archive", (archive.name, archive.read_bytes()))[1]["id"]
    job = server.ask("POST", "/api/v1/studies", {"data": data, "budget": "5m"})[1]["id"]
    server.ask("POST", f"/api/v1/jobs/{job}/cancel")
    server.until(f"/api/v1/jobs/{job}", lambda one: one["state"] == "cancelled")
    with page_of(browser) as page:
        page.goto(f"{server.address}/jobs/{job}")
        page.get_by_role("button", name="Go on").wait_for()
        assert server.ask("DELETE", f"/api/v1/data/{data}")[0] == 200
        page.reload()
        page.get_by_text("Pictures that it reads were deleted, so that it cannot go on.").wait_for()
        assert not page.locator("#resume").is_visible()
        assert faults_of(page) == []


def test_a_table_that_cannot_be_used_is_told_of_with_the_upload_and_without_it(
    browser: Any, server: Server, tmp_path: Path
) -> None:
    archive = zip_with_table(tmp_path)
    with zipfile.ZipFile(archive, "a") as one:
        one.writestr("mine/a-list.csv", "")
    with page_of(browser) as page:
        page.goto(f"{server.address}/study")
        page.set_input_files("#archive", archive)
        page.get_by_text("mine is here. The table a-list.csv cannot be used").wait_for()
        page.get_by_label("Table", exact=True).select_option("patients.csv")
        page.get_by_label("What must stay together").wait_for()
        assert page.locator("#data-said").inner_text() == ""
        page.get_by_label("Table", exact=True).select_option("a-list.csv")
        page.get_by_text("The table a-list.csv cannot be used").wait_for()
        page.get_by_role("button", name="Delete this upload").click()
        page.get_by_text("mine was deleted.").wait_for()
