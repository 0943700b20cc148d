"""How people come in: the browser that is opened, and what needs a token."""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from synthlift.web.jobs.table import JobTable
from tests.e2e.browsing import faults_of, page_of
from tests.e2e.keyboard import Keyboard
from tests.e2e.serving import serving

TOKEN = "a-long-token"


@pytest.mark.skipif(os.name != "posix", reason="the browser is a script of the shell")
def test_the_browser_is_opened_at_the_first_page(tmp_path: Path) -> None:
    """What stands for the browser here writes down what it was asked to open."""
    script, opened = tmp_path / "browser", tmp_path / "opened"
    script.write_text(f'#!/bin/sh\nprintf %s "$1" > {opened}.part && mv {opened}.part {opened}\n')
    script.chmod(0o700)
    with serving(tmp_path, [], browser=str(script)) as server:
        end = time.monotonic() + 30
        while not opened.is_file():
            assert time.monotonic() < end
            time.sleep(0.05)
        assert opened.read_text() == f"{server.address}/"


def sign_in(page: Any) -> None:
    """By keyboard, on a phone, and with a token that is not the right one at first."""
    keys, token = Keyboard(page), page.get_by_label("Token")
    keys.at(token)
    assert faults_of(page) == []
    page.keyboard.type("another")
    page.keyboard.press("Enter")
    page.get_by_role("alert").wait_for()
    keys.at(token)
    assert token.get_attribute("aria-describedby") == page.get_by_role("alert").get_attribute("id")
    assert faults_of(page) == []
    keys.write(token, TOKEN)
    keys.press(page.get_by_role("button", name="Sign in"), "Space")
    page.get_by_role("link", name="Study", exact=True).first.wait_for()


def test_an_open_page_leads_to_the_door_when_its_token_counts_no_more(
    browser: Any, tmp_path: Path
) -> None:
    with (
        serving(tmp_path, ["--token", TOKEN]) as server,
        page_of(browser, may_say="401 (UNAUTHORIZED)") as page,
    ):
        page.goto(f"{server.address}/generate")
        page.get_by_label("Token").fill(TOKEN)
        assert page.get_by_text("signed in no longer").count() == 0
        page.get_by_role("button", name="Sign in").click()
        page.get_by_role("link", name="Study", exact=True).first.wait_for()
        page.goto(f"{server.address}/generate")
        page.get_by_label("In words of your own").fill("a red fox")
        page.context.clear_cookies()  # as after a start with another token
        page.get_by_role("button", name="Generate", exact=True).click()
        page.get_by_text("signed in no longer").wait_for()
        assert faults_of(page) == []
        assert page.get_by_label("Token").is_visible()


def write_report(folder: Path, words: str) -> None:
    """A report that would reload itself, as a live one does."""
    folder.mkdir(parents=True, exist_ok=True)
    head = '<!DOCTYPE html><title>r</title><meta http-equiv="refresh" content="1">\n'
    (folder / "report.html").write_text(f"{head}<h1>{words}</h1>")


def running_elsewhere(home: Path, folder: Path) -> str:
    """A study that another server, which seems to live, is at."""
    table = JobTable(home / "web" / "jobs.sqlite")
    job = table.add(kind="study", title="trees", command=["run", "trees"], folder=folder)
    table.claim("another server", ["study"])
    with closing(sqlite3.connect(table.path, isolation_level=None)) as database:
        database.execute("UPDATE jobs SET heartbeat = ?", (time.time() + 3600,))
    return job.id


def test_the_report_so_far_stays_and_is_read_anew_where_a_token_is_needed(
    browser: Any, tmp_path: Path
) -> None:
    folder = tmp_path / "web" / "runs" / "trees-1"
    write_report(folder, "one arm is trained")
    job = running_elsewhere(tmp_path, folder)
    with (
        serving(tmp_path, ["--token", TOKEN]) as server,
        page_of(browser, width=390, may_say="403 (FORBIDDEN)") as page,
    ):
        page.goto(f"{server.address}/jobs/{job}")
        sign_in(page)
        page.goto(f"{server.address}/jobs/{job}")
        report = page.frame_locator("iframe.report")
        report.get_by_role("heading", name="one arm is trained").wait_for()
        page.wait_for_timeout(2500)
        assert report.get_by_role("heading", name="one arm is trained").is_visible()
        write_report(folder, "two arms are trained")
        report.get_by_role("heading", name="two arms are trained").wait_for(timeout=20_000)
