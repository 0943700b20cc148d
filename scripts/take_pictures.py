"""Take the pictures of the README anew: ``python -m scripts.take_pictures [--browser CHROMIUM]``.

A server is started with the built-in examples, images are drawn and pictures classified in a real
browser, and what is seen is kept in ``docs/images``.
"""

from __future__ import annotations

import argparse
import io
import json
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Page, sync_playwright

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "images"
WIDTH = 1120
COLOURS = 128


def main() -> None:
    """Take all of them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    names = ("chromium", "chromium-browser", "google-chrome")
    found = next((path for name in names if (path := shutil.which(name))), None)
    parser.add_argument("--browser", default=found)
    given = parser.parse_args()
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as home:
        address, server = start(Path(home))
        try:
            with sync_playwright() as play:
                browser = play.chromium.launch(executable_path=given.browser, args=["--no-sandbox"])
                page = browser.new_page(viewport={"width": WIDTH, "height": 800})
                take_all(page, address)
                browser.close()
        finally:
            server.terminate()
            server.wait()


def start(home: Path) -> tuple[str, subprocess.Popen[bytes]]:
    """A server whose examples are unpacked."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{probe.getsockname()[1]}"
    words = ["serve", "--home", str(home), "--store", str(home / "store"), "--no-browser"]
    command = [sys.executable, "-m", "synthlift", *words, "--port", address.rsplit(":", 1)[1]]
    server = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    while len(_runs(address)) < 2:
        assert server.poll() is None, "the server ended"
        time.sleep(0.5)
    return address, server


def _runs(address: str) -> list[dict[str, Any]]:
    try:
        with urllib.request.urlopen(f"{address}/api/v1/runs") as answer:
            found: list[dict[str, Any]] = json.loads(answer.read())["runs"]
    except OSError:
        return []
    return found


def take_all(page: Page, address: str) -> None:
    """The report, drawing and classifying."""
    runs = {one["name"].lower(): one["id"] for one in _runs(address)}
    page.goto(f"{address}/runs/{runs['digits']}/report")
    keep(page, "report", height=800)
    page.goto(f"{address}/generate")
    page.select_option("#run", runs["digits"])
    page.click("#go")
    page.locator("#images img").nth(15).wait_for()
    keep(page, "generate", height=860)
    page.goto(f"{address}/classify")
    page.select_option("#run", runs["leaves"])
    page.locator("#sample-list button").nth(1).click()
    page.wait_for_selector("#answers img")
    keep(page, "classify", height=1040)


def keep(page: Page, name: str, *, height: int) -> None:
    """So much of a page from its top, in few colours."""
    page.set_viewport_size({"width": WIDTH, "height": height})
    page.evaluate("scrollTo(0, 0)")
    page.wait_for_timeout(1000)
    shot = Image.open(io.BytesIO(page.screenshot()))
    small = shot.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
    small.save(FOLDER / f"{name}.png", optimize=True)
    print(f"{name}: {(FOLDER / f'{name}.png').stat().st_size // 1024} KiB")


if __name__ == "__main__":
    main()
