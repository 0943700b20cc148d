"""A visitor without a mouse, who must see at every press of Tab where the focus is."""

from __future__ import annotations

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
LEFT = """first => [first, document.body].includes(document.activeElement)"""
NAME = """() => document.activeElement.outerHTML.slice(0, 160)"""


@dataclass(frozen=True)
class Keyboard:
    """Hands on the keys of a page."""

    page: Any

    def has(self, wanted: Any) -> bool:
        """Whether the focus is there."""
        return bool(wanted.evaluate("one => one === document.activeElement"))

    def seen(self) -> None:
        """Fail where the focus cannot be seen; a page may need a moment to scroll."""
        end = time.monotonic() + 5
        while (why := self.page.evaluate(HIDDEN)) and time.monotonic() < end:
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
