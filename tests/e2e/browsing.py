"""A browser that tests share within a file, and what every page must stand."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest


@contextmanager
def chromium() -> Iterator[Any]:
    """A browser; skips where there is none."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        pytest.skip("no chromium on this machine")
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=found)
        yield opened
        opened.close()


@contextmanager
def page_of(
    browser: Any, *, width: int = 1200, dark: bool = False, may_say: str = ""
) -> Iterator[Any]:
    """A page that must not complain on its console, except of what ``may_say`` names."""
    scheme = "dark" if dark else "light"
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page.set_default_timeout(60_000)
    wrong: list[str] = []
    page.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    try:
        yield page
        assert [said for said in wrong if not may_say or may_say not in said] == []
    finally:
        page.close()


def faults_of(page: Any) -> list[str]:
    """What axe finds wrong with the page as it stands, if it is serious, and what is too wide."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is missing")
    found = axe.Axe().run(page).response["violations"]
    said = [
        f"{one['id']} ({one['impact']}): {one['nodes'][0]['html'][:200]}"
        for one in found
        if one["impact"] in ("serious", "critical")
    ]
    wide = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    return [*said, *([f"{wide} pixels too wide"] if wide > 0 else [])]


def faults_light_and_dark(page: Any) -> list[str]:
    """What is wrong with it light on a desk, and dark on a phone."""
    wide = faults_of(page)
    page.emulate_media(color_scheme="dark")
    page.set_viewport_size({"width": 390, "height": 900})
    narrow = faults_of(page)
    page.emulate_media(color_scheme="light")
    page.set_viewport_size({"width": 1200, "height": 900})
    return [*wide, *(f"dark: {said}" for said in narrow)]
