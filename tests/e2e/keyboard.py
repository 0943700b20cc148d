"""A visitor without a mouse, who must see at every press of Tab where the focus is."""

from __future__ import annotations

import itertools
import time
from dataclasses import dataclass
from typing import Any

import pytest

# Why somebody cannot see the focus; "" where all is well. Of a file input its label is seen.
HIDDEN = """() => {
  const had = document.activeElement;
  if (!had || had === document.body) return "nothing has the focus";
  if (had.tagName === "IFRAME") return "";
  const shown = had.type === "file" ? had.labels[0] : had;
  const style = getComputedStyle(shown);
  if (style.outlineStyle === "none" || parseFloat(style.outlineWidth) < 2) return "it has no ring";
  const box = shown.getClientRects()[0];
  if (!box) return "it has no place on the page";
  const [left, right] = [Math.max(box.left, 0), Math.min(box.right, innerWidth)];
  const [top, bottom] = [Math.max(box.top, 0), Math.min(box.bottom, innerHeight)];
  const enough = (from, to, size) => to - from >= Math.min(size, 20);
  if (!enough(left, right, box.width) || !enough(top, bottom, box.height)) {
    return "it is out of view";
  }
  const hit = document.elementFromPoint((left + right) / 2, (top + bottom) / 2);
  if (shown.contains(hit) || hit.contains(shown)) return "";
  return `it is covered by ${hit.outerHTML.slice(0, 90)}`;
}"""
# What is missing of the ring around the focus; "" where it is seen as a whole.
CUT = """() => {
  const had = document.activeElement;
  const shown = had.type === "file" ? had.labels[0] : had;
  const style = getComputedStyle(shown);
  const ring = parseFloat(style.outlineWidth) + parseFloat(style.outlineOffset);
  const box = shown.getClientRects()[0];
  if (box.top < ring || box.bottom > innerHeight - ring) return "its ring is cut off";
  const hit = document.elementFromPoint((box.left + box.right) / 2, (box.top + box.bottom) / 2);
  return hit.closest(".meaning") ? "its meaning covers it" : "";
}"""
# Room above and below, so that everything can be scrolled to every edge, at no whole pixel.
ROOM = """() => {
  for (const put of ["prepend", "append"]) {
    const room = document.createElement("div");
    room.style.height = "1000.3px";
    document.body[put](room);
  }
}"""
# The middle of what is to get the focus lies so far below the top of the window.
LAY = """([one, at]) => {
  const box = (one.type === "file" ? one.labels[0] : one).getClientRects()[0];
  scrollBy(0, (box.top + box.bottom) / 2 - at);
}"""
LEFT = """first => [first, document.body].includes(document.activeElement)"""
NAME = """() => document.activeElement.outerHTML.slice(0, 160)"""


@dataclass(frozen=True)
class Keyboard:
    """Hands on the keys of a page."""

    page: Any

    def has(self, wanted: Any) -> bool:
        """Whether the focus is there."""
        return bool(wanted.evaluate("one => one === document.activeElement"))

    def seen(self, fault: str = HIDDEN) -> None:
        """Fail where the focus cannot be seen; a page may need a moment to scroll."""
        end = time.monotonic() + 5
        while (why := self.page.evaluate(fault)) and time.monotonic() < end:
            self.page.wait_for_timeout(50)
        assert why == "", f"{why}: {self.page.evaluate(NAME)}"

    def tab_to(self, wanted: Any, *, back: bool = False, most: int = 60) -> None:
        """Press Tab, or Shift and Tab, until the focus is there; it is seen all the way."""
        wanted.wait_for(state="attached")
        passed: list[str] = []
        while not self.has(wanted):
            assert len(passed) < most, f"{wanted} is not reached, only: {passed}"
            self.page.keyboard.press("Shift+Tab" if back else "Tab")
            self.seen()
            passed.append(self.page.evaluate(NAME)[:60])

    def walk(self, *, most: int = 300) -> int:
        """Press Tab from the top of a page until its last stop is left; how many there were."""
        self.page.keyboard.press("Tab")
        first = self.page.evaluate_handle("document.activeElement")
        for stops in range(1, most):
            self.seen()
            self.page.keyboard.press("Tab")
            if self.page.evaluate(LEFT, first):
                return stops
        pytest.fail(f"the focus does not get out: {self.page.evaluate(NAME)}")

    def reach_from_the_edges(self, *, most: int) -> None:
        """Press Tab where the next stop lies at or across an edge; its ring is seen whole."""
        self.page.evaluate(ROOM)
        height = self.page.viewport_size["height"]
        stops = []
        for _ in range(most):
            self.page.keyboard.press("Tab")
            stops.append(self.page.evaluate_handle("document.activeElement"))
        for had, one in itertools.pairwise(stops):
            for at in (0, height - 60, height):
                had.evaluate("one => one.focus({ preventScroll: true })")
                self.page.evaluate(LAY, [one, at])
                self.page.keyboard.press("Tab")
                assert self.has(one)
                self.seen(CUT)

    def press(self, wanted: Any, key: str = "Enter", *, back: bool = False) -> None:
        """Go there and press a key."""
        self.tab_to(wanted, back=back)
        self.page.keyboard.press(key)

    def write(self, wanted: Any, text: str, *, back: bool = False) -> None:
        """Go there and write in the place of what stands there."""
        self.tab_to(wanted, back=back)
        self.page.keyboard.press("Control+A")
        self.page.keyboard.type(text)
        assert wanted.input_value() == text

    def choose(self, wanted: Any, words: str, *, back: bool = False) -> None:
        """Go to a list and press the arrow down until a line that begins so is chosen."""
        self.tab_to(wanted, back=back)
        self.page.keyboard.press("Home")
        for _ in range(wanted.locator("option").count()):
            if wanted.evaluate("one => one.selectedOptions[0].label").startswith(words):
                return
            self.page.keyboard.press("ArrowDown")
        pytest.fail(f"{wanted} offers no {words!r}")

    def at(self, wanted: Any) -> None:
        """Wait until the focus is there, as the page has put it, and is seen."""
        wanted.wait_for()
        end = time.monotonic() + 20
        while not self.has(wanted):
            assert time.monotonic() < end, f"{wanted} has no focus: {self.page.evaluate(NAME)}"
            self.page.wait_for_timeout(50)
        self.seen()
