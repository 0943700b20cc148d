"""The page of ``synthlift inspect``: whole, safe with hostile names, and nothing from elsewhere."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from synthlift import api
from synthlift.errors import InputError
from synthlift.reporting.inspection import MOST_PAIRS, shown_images
from tests.e2e.browsing import page_of

HOSTILE = "<img src=x onerror=alert(1)>&\"'"


class Reader(HTMLParser):
    """Tags with their attributes, and the text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def write_images(root: Path, names: list[str], count: int = 12) -> None:
    rng = np.random.default_rng(0)
    for name in names:
        (root / name).mkdir(parents=True)
        for number in range(count):
            coarse = Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8))
            coarse.resize((40, 40), Image.Resampling.BICUBIC).save(root / name / f"{number:02}.png")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("page")
    name = HOSTILE
    write_images(folder / "pets", ["cat", name])
    copied = (folder / "pets" / "cat" / "00.png").read_bytes()
    (folder / "pets" / "cat" / f"{name}.png").write_bytes(copied)
    (folder / "pets" / name / "<b>broken.png").write_bytes(b"?")
    (folder / "page.html").write_text("an older page")
    facts = api.inspect(folder / "pets", page=folder / "page.html")
    return folder / "page.html", facts


def test_hostile_names_stay_text(page: tuple[Path, dict[str, Any]]) -> None:
    html = page[0].read_text(encoding="utf-8")
    read = Reader(html)
    assert HOSTILE in read.text
    assert "<b>broken.png" in read.text
    assert not any("onerror" in attributes for _, attributes in read.tags)
    assert [tag for tag, _ in read.tags].count("script") == 1
    assert all(
        (attributes["src"] or "").startswith("data:image/png;base64,")
        for tag, attributes in read.tags
        if tag == "img"
    )


def test_nothing_is_asked_of_the_network(page: tuple[Path, dict[str, Any]]) -> None:
    html = page[0].read_text(encoding="utf-8")
    assert "default-src 'none'" in html
    assert not re.search(r"""(?:src|href|url)\s*[=(]\s*["']?(?:https?:)?//""", html)
    assert all(
        (attributes["href"] or "").startswith("#")
        for tag, attributes in Reader(html).tags
        if tag == "a"
    )


def test_pairs_are_shown_side_by_side_with_their_names(page: tuple[Path, dict[str, Any]]) -> None:
    path, facts = page
    pairs = facts["findings"]["duplicates"]["pairs"]
    assert f"cat/{HOSTILE}.png" in pairs[0]["ids"]
    read = Reader(path.read_text(encoding="utf-8"))
    shown = [attributes["alt"] for tag, attributes in read.tags if tag == "img"]
    assert shown[:2] == pairs[0]["ids"]
    assert "exact copy" in read.text
    anchors = [attributes.get("id") for tag, attributes in read.tags if tag == "section"]
    assert [a for a in anchors if a] == ["here", "faults", "power", "shortcuts", "advice"]
    assert "choose no test image and no label by what is seen here" in read.text


def test_empty_cells_are_marked(tmp_path: Path) -> None:
    write_images(tmp_path / "pets", ["cat", "dog"], count=6)
    lines = ["file_name,label,sex"]
    lines += [f"pets/cat/{i:02}.png,cat,{'m' if i % 2 else '<i>f</i>'}" for i in range(6)]
    lines += [f"pets/dog/{i:02}.png,dog,m" for i in range(6)]
    (tmp_path / "table.csv").write_text("\n".join(lines))
    source = api.ask(tmp_path / "table.csv", overrides=["data.attributes=['sex']"])
    api.inspect(source, page=tmp_path / "page.html")
    html = (tmp_path / "page.html").read_text()
    assert html.count('<td class="empty"') == 1
    assert "1\u00a0hatched cell has" in html
    assert "&lt;i&gt;f&lt;/i&gt;" in html
    assert "<i>f" not in html


def test_bins_stand_in_order_and_classes_are_called_by_their_words(tmp_path: Path) -> None:
    write_images(tmp_path / "pets", ["cat", "dog"], count=9)
    lines = ["file_name,label,age"]
    lines += [f"pets/{c}/{i:02}.png,{c},{2 * i}" for c in ("cat", "dog") for i in range(9)]
    (tmp_path / "table.csv").write_text("\n".join(lines))
    overrides = ["data.attributes=[age]", "data.bins={age: [5, 10]}", "data.names={dog: Hund}"]
    source = api.ask(tmp_path / "table.csv", overrides=overrides)
    api.inspect(source, page=tmp_path / "page.html")
    html = (tmp_path / "page.html").read_text()
    heads = re.findall(r'<th scope="col">([^<]+)</th>', html)
    assert heads[:4] == ["Class", "below 5", "5 to 10", "10 or more"]
    assert html.count('<th scope="row">dog (Hund)</th>') == 3
    assert f"Read from <code>{tmp_path / 'table.csv'}</code>" in html


@pytest.mark.parametrize("width", [1280, 390])
def test_strips_lie_below_their_axes(
    browser: Any, page: tuple[Path, dict[str, Any]], width: int
) -> None:
    boxes = """() => ['th.plotted > svg', 'tbody tr:last-child td.plotted > svg'].map(chosen =>
        [...document.querySelectorAll('.spread ' + chosen)].map(svg => {
            const box = svg.getBoundingClientRect(); return [box.left, box.width] }))"""
    with page_of(browser, width=width) as view:
        view.goto(page[0].as_uri())
        axes, strips = view.evaluate(boxes)
        wide = view.evaluate("document.documentElement.scrollWidth")
    assert len(axes) == len(strips) == 3
    assert np.allclose(axes, strips, atol=1), (axes, strips)
    assert wide <= width


def test_data_that_cannot_be_studied_get_a_page_too(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        (tmp_path / "pets" / name).mkdir(parents=True)
        (tmp_path / "pets" / name / "1.png").write_bytes(b"")
    api.inspect(tmp_path / "pets", page=tmp_path / "page.html")
    text = Reader((tmp_path / "page.html").read_text()).text
    assert text.count("No usable image in cat, dog.") == 1
    assert "bring images that can be read." in text
    assert "cat/1.png" in text


def test_a_page_into_nowhere_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be written") as refused:
        api.inspect(tmp_path, page=tmp_path / "missing" / "page.html")
    assert "--no-page" in refused.value.remedy


def test_only_what_is_shown_is_loaded() -> None:
    pairs = [{"ids": [f"a{i}", f"b{i}"]} for i in range(100)]
    found = {"duplicates": {"pairs": pairs}, "label_errors": [], "outliers": [], "oddities": []}
    assert len(shown_images(found)) == 2 * MOST_PAIRS
