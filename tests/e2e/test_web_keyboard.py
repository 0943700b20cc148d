"""The main path of every page without a mouse, on a phone: the focus is seen and never lost."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from synthlift.spec import people
from synthlift.web.library import id_of
from tests.e2e.browsing import faults_of, page_of
from tests.e2e.keyboard import Keyboard
from tests.e2e.serving import Server, serving
from tests.e2e.tiny import zip_with_table

PHONE = 390


@pytest.fixture(scope="module")
def other(home: Path, finished: Path) -> Path:
    """The same run in another place: another study of the same pictures, to the pages."""
    return shutil.copytree(finished, home / "other")


@pytest.fixture(scope="module")
def server(home: Path, finished: Path, other: Path) -> Iterator[Server]:
    words = [str(finished), str(other), "--data", str(home / "data"), "--workers", "1"]
    with serving(home, words) as found:
        yield found


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    with page_of(browser, width=PHONE) as found:
        yield found


@pytest.fixture
def keys(page: Any) -> Keyboard:
    return Keyboard(page)


def test_the_first_page_leads_on(page: Any, keys: Keyboard, server: Server) -> None:
    page.goto(server.address)
    page.get_by_role("heading", name="Handwritten digits").wait_for()
    keys.press(page.get_by_role("link", name="Skip to the content"))
    page.keyboard.press("Tab")
    keys.at(page.locator("main .term").first)
    assert page.locator(".term .meaning").first.is_visible()
    assert faults_of(page) == []
    keys.press(page.get_by_role("main").get_by_role("link", name="Classify", exact=True))
    page.get_by_role("heading", name="Classify pictures").wait_for()
    keys.press(page.get_by_role("navigation").get_by_role("link", name="Generate"))
    page.get_by_role("heading", name="Generate images").wait_for()


def test_tab_leads_through_every_page_and_out_of_it(
    page: Any, keys: Keyboard, server: Server, run_id: str, other: Path
) -> None:
    both = f"run={run_id}&run={id_of(other.resolve())}"
    places = ["/", "/generate", "/classify", "/chain", "/study", f"/compare?{both}"]
    for place in [*places, f"/runs/{run_id}", f"/runs/{run_id}/blind-test"]:
        page.goto(f"{server.address}{place}")
        page.wait_for_load_state("networkidle")
        assert keys.walk() > 8, place


def test_what_lies_across_an_edge_is_scrolled_into_view(
    page: Any, keys: Keyboard, server: Server
) -> None:
    for place, stops in (("/study", 10), ("/generate", 13)):
        page.goto(f"{server.address}{place}")
        page.wait_for_load_state("networkidle")
        keys.reach_from_the_edges(most=stops)
    term = page.locator("main .term").first
    term.evaluate("one => scrollBy(0, one.getBoundingClientRect().bottom - innerHeight + 10)")
    was = page.evaluate("scrollY")
    place = term.bounding_box()
    page.mouse.click(place["x"] + 5, place["y"] + 5)
    page.wait_for_timeout(100)
    assert keys.has(term)
    assert page.evaluate("scrollY") == was, "who clicks on a word has seen it"


def test_a_page_that_is_not_there_leads_back(browser: Any, server: Server) -> None:
    with page_of(browser, width=PHONE, may_say="404 (NOT FOUND)") as page:
        page.goto(f"{server.address}/nothing")
        keys = Keyboard(page)
        keys.tab_to(page.get_by_role("link", name="To the first page"))
        assert faults_of(page) == []
        page.keyboard.press("Enter")
        page.get_by_role("heading", name="Do synthetic images help my classifier?").wait_for()


@contextmanager
def held(server: Server) -> Iterator[None]:
    """Whatever the server has draw waits; the server itself answers."""
    (serving,) = (
        one
        for one in psutil.process_iter(["cmdline"])
        if str(server.port) in (one.info["cmdline"] or ())
    )
    drawing = serving.children(recursive=True)
    for one in drawing:
        one.suspend()
    try:
        yield
    finally:
        for one in drawing:
            one.resume()


def test_generating(page: Any, keys: Keyboard, server: Server, run_id: str, home: Path) -> None:
    page.goto(f"{server.address}/generate?run={run_id}")
    go, stop = page.locator("#go"), page.get_by_role("button", name="Stop")
    keys.choose(page.get_by_label("What to draw"), "ramp")
    keys.choose(page.get_by_label("Start from"), "a picture")
    file = page.locator("#picture")
    keys.tab_to(file)
    file.set_input_files(next((home / "data" / "shapes" / "disc").iterdir()))
    page.get_by_text("Chosen:").wait_for()
    keys.at(file)
    keys.press(page.get_by_label("How much may change"), "ArrowRight")
    assert faults_of(page) == []
    keys.choose(page.get_by_label("Start from"), "no picture", back=True)
    keys.write(page.get_by_label("How many"), "200")
    keys.press(page.get_by_text("More settings"))
    keys.write(page.get_by_label("Steps"), "50")
    keys.press(go)
    stop.wait_for()
    with held(server):  # else all may be drawn before the keys are there
        keys.at(go)
        keys.press(stop)
    page.get_by_text("Stopped after").wait_for()
    keys.at(go)
    keys.write(page.get_by_label("How many"), "2", back=True)
    page.keyboard.press("Enter")
    page.get_by_text("2 images of class ramp, seed 0.").wait_for()
    keys.at(page.get_by_label("How many"))
    keys.tab_to(page.get_by_role("link", name="Download all with their origin"))
    keys.press(page.get_by_text("Where from").first)
    keys.tab_to(page.get_by_role("link", name="Save the picture").first)
    assert faults_of(page) == []


def test_classifying(page: Any, keys: Keyboard, server: Server, run_id: str, home: Path) -> None:
    page.goto(f"{server.address}/classify?run={run_id}")
    sample = page.get_by_role("button", name="Try a picture of class disc").first
    keys.press(sample, "Space")
    page.get_by_text("1 picture classified.").wait_for()
    keys.at(sample)
    assert faults_of(page) == []
    file = page.locator("#pictures")
    keys.tab_to(file, back=True)
    mine = next((home / "data" / "shapes" / "bars").iterdir())
    file.set_input_files(mine)
    page.get_by_alt_text(mine.name).wait_for()
    page.get_by_text("1 picture classified.").wait_for()
    keys.at(file)
    assert page.locator("#answers h3").count() == 2
    assert faults_of(page) == []


def test_chaining(page: Any, keys: Keyboard, server: Server, run_id: str) -> None:
    page.goto(f"{server.address}/chain?run={run_id}")
    keys.choose(page.get_by_label("What to draw"), "disc")
    keys.write(page.get_by_label("How many"), "3")
    keys.press(page.locator("#go"))
    page.get_by_text("3 pictures to judge").wait_for()
    keys.at(page.locator("#go"))
    keys.write(page.get_by_label("Your name"), "Ada")
    first = page.get_by_label("Synthetic picture 1 of class disc")
    keys.press(first, "k")
    page.get_by_text("1 picture kept of 1 judged").wait_for()
    keys.at(first)
    keys.press(page.get_by_label("Reject picture 2"))
    page.get_by_text("1 picture kept of 2 judged").wait_for()
    keys.press(page.get_by_label("Keep picture 3"))
    page.get_by_text("2 pictures kept of 3 judged").wait_for()
    keys.at(page.get_by_label("Keep picture 3"))
    assert faults_of(page) == []
    taken = page.locator("#kept button")
    keys.press(taken.first)
    page.get_by_text("1 picture kept of 3 judged").wait_for()
    keys.at(taken)
    page.keyboard.press("Enter")
    page.get_by_text("0 pictures kept of 3 judged").wait_for()
    keys.at(page.get_by_role("heading", name="3. The pool"))
    keys.press(page.get_by_role("button", name="Delete the pool"))
    keys.at(page.get_by_role("button", name="Keep it"))
    assert faults_of(page) == []
    page.keyboard.press("Enter")
    keys.at(page.get_by_role("button", name="Delete the pool"))
    page.keyboard.press("Enter")
    keys.press(page.get_by_role("button", name="Delete it"), back=True)
    page.get_by_text("The pool was deleted.").wait_for()
    keys.at(page.get_by_role("heading", name="3. The pool"))
    assert faults_of(page) == []


def test_a_blind_test(
    page: Any, keys: Keyboard, server: Server, run_id: str, finished: Path
) -> None:
    page.goto(f"{server.address}/runs/{run_id}/blind-test")
    keys.write(page.get_by_role("spinbutton", name="Pictures"), "10")
    keys.write(page.get_by_label("Your name"), "Ada")
    keys.press(page.get_by_role("button", name="Begin"))
    real, back = page.get_by_role("button", name="Real"), page.get_by_role("button", name="Back")
    keys.at(real)
    page.keyboard.press("Space")
    page.get_by_role("heading", name="Picture 2 of 10").wait_for()
    keys.at(real)
    assert faults_of(page) == []
    keys.press(back)
    page.get_by_role("heading", name="Picture 1 of 10").wait_for()
    keys.at(real)
    for place in range(1, 11):
        page.get_by_role("heading", name=f"Picture {place} of 10").wait_for()
        page.keyboard.press("s" if place < 10 else "Enter")
    keys.at(page.get_by_role("heading", name="Your score"))
    assert faults_of(page) == []
    test = people.blind_tests(finished)[-1]
    assert [one.said for one in test.answers] == ["synthetic"] * 9 + ["real"]
    keys.press(page.get_by_role("link", name="To the report"))
    page.frame_locator("iframe.report").get_by_role("heading", level=1).wait_for()


def test_the_gallery(page: Any, keys: Keyboard, server: Server, run_id: str) -> None:
    page.goto(f"{server.address}/runs/{run_id}/images")
    page.get_by_text("shown.").wait_for()
    keys.choose(page.get_by_label("Class", exact=True), "disc")
    page.locator("#images figcaption", has_text="disc").first.wait_for()
    page.locator("#images figcaption", has_text="bars").first.wait_for(state="detached")
    keys.at(page.get_by_label("Class", exact=True))
    keys.write(page.get_by_label("Your name"), "Ada")
    row = page.locator("#images li").first.get_attribute("data-row")
    mine = page.locator(f"#images li[data-row='{row}']")
    keys.press(mine.get_by_role("button", name="Reject"))
    mine.get_by_text("rejected by Ada").wait_for()
    keys.at(mine.get_by_role("button", name="Keep"))
    assert faults_of(page) == []
    keys.press(mine.get_by_role("button", name="Undo"))
    page.locator("#said", has_text="verdict taken back").wait_for()
    keys.at(mine.get_by_role("button").first)
    page.locator("#record li").nth(1).wait_for()
    assert faults_of(page) == []
    page.reload()
    page.get_by_text("1 to 60 shown.").wait_for()
    keys.press(page.get_by_role("button", name="Later"), back=True)
    page.get_by_text("61 to 120 shown.").wait_for()
    keys.at(page.locator("#said"))
    page.keyboard.press("Tab")
    keys.at(page.locator("#images summary").first)


def test_comparing(page: Any, keys: Keyboard, server: Server, run_id: str, other: Path) -> None:
    page.goto(f"{server.address}/compare")
    page.get_by_text("Choose two or more.", exact=True).wait_for()
    for one in (run_id, id_of(other.resolve())):
        keys.tab_to(page.locator("#runs input").first)
        keys.press(page.locator(f"#runs input[value='{one}']"), "Space")
        page.locator(f"#runs input[value='{one}']:checked").wait_for()
        if one == run_id:
            page.get_by_text("Choose one more.").wait_for()
            keys.tab_to(page.locator("#runs input").first, back=True)
    page.get_by_text("2 studies stand side by side.").wait_for()
    assert faults_of(page) == []
    keys.tab_to(page.locator("#arms thead a").nth(1))


def test_a_report(page: Any, keys: Keyboard, server: Server, run_id: str) -> None:
    page.goto(f"{server.address}/runs/{run_id}")
    page.frame_locator("iframe.report").get_by_role("heading", level=1).wait_for()
    assert faults_of(page) == []
    report = page.locator("iframe.report")
    keys.tab_to(report)
    (frame,) = page.frames[1:]
    frame.wait_for_function("document.hasFocus()")
    keys.press(page.get_by_role("link", name="Open the report alone"), back=True)
    page.wait_for_url("**/report")
    page.get_by_role("heading", level=1).wait_for()


def test_a_study(page: Any, keys: Keyboard, server: Server, tmp_path: Path) -> None:
    page.goto(f"{server.address}/study")
    page.get_by_role("option", name="shapes").first.wait_for(state="attached")
    archive = page.locator("#archive")
    keys.tab_to(archive)
    archive.set_input_files(zip_with_table(tmp_path))
    page.get_by_text("mine is here").wait_for()
    keys.at(archive)
    keys.choose(page.get_by_label("What must stay together"), "patient")
    keys.press(page.get_by_label("device – 2 values"), "Space")
    keys.press(page.get_by_role("button", name="Look at them"), back=True)
    page.get_by_text("36 pictures, 36 of them usable, in 3 classes").wait_for(timeout=120_000)
    keys.at(page.get_by_role("button", name="Look at them"))
    assert faults_of(page) == []
    keys.press(page.get_by_label("Do generated images help my classifier?"), "ArrowDown")
    keys.at(page.get_by_label("Which class needs help?"))
    assert page.get_by_role("button", name="Start the study").is_disabled()
    page.keyboard.press("ArrowDown")
    keys.at(page.get_by_label("Does my model fail on a group?"))
    keys.choose(page.get_by_label("The group", exact=True), "device")
    keys.choose(page.get_by_label("The answer may take about"), "5 minutes")
    keys.press(page.get_by_role("button", name="What would it take?"))
    page.get_by_role("heading", name="What it takes").wait_for(timeout=120_000)
    keys.at(page.get_by_role("button", name="What would it take?"))
    assert "What it takes is reckoned. Time: " in page.locator("#plan-words").inner_text()
    keys.press(page.get_by_text("Its settings, and why"))
    keys.tab_to(page.get_by_label("Command"))
    assert faults_of(page) == []
    keys.press(page.get_by_role("button", name="Start the study"), back=True)
    page.get_by_role("heading", name="mine").wait_for()
    page.get_by_role("button", name="Stop").wait_for()
    begin_an_example(page, keys, server)
    follow_and_delete(page, keys)
    page.get_by_role("option", name="mine").first.wait_for(state="attached")
    keys.choose(page.get_by_label("Pictures", exact=True), "mine")
    keys.press(page.get_by_role("button", name="Delete this upload"))
    page.get_by_text("mine was deleted.").wait_for()
    keys.at(page.get_by_label("Pictures", exact=True))
    assert faults_of(page) == []


def begin_an_example(page: Any, keys: Keyboard, server: Server) -> None:
    """Ask for an example while the study runs: it waits, and is called off."""
    page.goto(server.address)
    card = page.get_by_role("article", name="Handwritten digits")
    keys.press(card.get_by_role("button", name="Compute it here"))
    card.get_by_text("It is computed as soon as").wait_for()
    keys.at(card.get_by_role("heading"))
    assert faults_of(page) == []
    page.goto(f"{server.address}/study")
    keys.press(page.locator("#jobs").get_by_role("link", name="digits"))
    keys.press(page.get_by_role("button", name="Stop"))
    keys.at(page.get_by_role("heading", name="Stopped; what is finished is kept"))
    page.go_back()


def follow_and_delete(page: Any, keys: Keyboard) -> None:
    """Watch the study run, stop it, and delete it."""
    keys.press(page.locator("#jobs").get_by_role("link", name="mine", exact=True))
    page.locator("#stages li").first.wait_for(timeout=120_000)
    assert faults_of(page) == []
    keys.press(page.get_by_role("button", name="Stop"))
    state = page.locator("#state")
    keys.at(state)
    page.get_by_role("heading", name="Stopped; what is finished is kept").wait_for(timeout=90_000)
    keys.at(state)
    delete = page.get_by_role("button", name="Delete with all its files")
    keys.press(delete)
    keys.at(page.get_by_role("button", name="Keep it"))
    assert faults_of(page) == []
    page.keyboard.press("Enter")
    keys.at(delete)
    page.keyboard.press("Enter")
    keys.press(page.get_by_role("button", name="Delete it"), back=True)
    keys.at(page.get_by_role("heading", name="Deleted"))
    assert faults_of(page) == []
    keys.press(page.get_by_role("link", name="To the studies"))
