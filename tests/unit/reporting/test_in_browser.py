"""The report as a browser shows it: nothing is cut, and what must be scrolled says so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from synthlift.reporting import write_report
from tests.e2e.browsing import faults_of, page_of
from tests.unit.reporting.test_curve import GENERATORS, several

ARMS = "#arms .scroll"


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The widest table of arms: exploratory marks, long names, several generators."""
    folder: Path = tmp_path_factory.mktemp("report")
    results = several(("a_generator_of_a_long_name", *GENERATORS), bases=("plain", "best_rival"))
    assert results.verdict is not None
    doubtful = {"exploratory": True, "exploratory_reasons": ["5 replicates"]}
    verdict = results.verdict.model_copy(update=doubtful)
    return write_report(results.model_copy(update={"verdict": verdict}), folder).as_uri()


def cut(page: Any, selector: str) -> int:
    """Pixels of the content that the box does not show unless it is scrolled."""
    return int(page.locator(selector).first.evaluate("e => e.scrollWidth - e.clientWidth"))


@pytest.mark.parametrize(("width", "dark"), [(1200, False), (390, True)])
def test_the_table_of_arms_is_whole(browser: Any, address: str, width: int, dark: bool) -> None:
    with page_of(browser, width=width, dark=dark) as page:
        page.goto(address)
        assert cut(page, ARMS) <= 1
        assert page.locator("#arms .more").first.is_hidden()
        assert faults_of(page) == []


def test_a_table_that_is_wider_than_its_box_says_so_and_scrolls(browser: Any, address: str) -> None:
    with page_of(browser, width=390) as page:
        page.goto(address)
        assert cut(page, "#realism .scroll") > 1
        assert page.locator("#realism .more").is_visible()
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        # In between, the table of arms scrolls in its box, which says so as soon as it does.
        page.set_viewport_size({"width": 760, "height": 900})
        page.wait_for_function(
            "() => { const box = document.querySelector('#arms .scroll');"
            " const hint = document.querySelector('#arms .more');"
            " return (box.scrollWidth > box.clientWidth + 1) === (hint.offsetHeight > 0); }"
        )
        assert page.locator("#arms .more").first.is_visible()
        page.locator(ARMS).first.evaluate("e => e.scrollTo(e.scrollWidth, 0)")
        last = page.locator("#arms tbody tr td:last-child").first
        box, cell = page.locator(ARMS).first.bounding_box(), last.bounding_box()
        assert cell["x"] + cell["width"] <= box["x"] + box["width"] + 1


def test_lines_keep_their_names_beside_them_where_there_is_room(
    browser: Any, tmp_path: Path
) -> None:
    address = write_report(several(), tmp_path).as_uri()
    with page_of(browser, width=1200) as page:
        page.goto(address)
        ends = page.locator("#curve .ends")
        assert ends.is_visible()
        assert ends.evaluate("e => [...e.querySelectorAll('text')].map(t => t.textContent)") == [
            "gan",
            "vae",
            "flow",
        ], "from top to bottom"
        page.set_viewport_size({"width": 390, "height": 900})
        assert ends.is_hidden()
        assert page.locator("#curve .legend").is_visible()
