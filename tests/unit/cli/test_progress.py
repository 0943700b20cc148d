"""Progress goes to stderr: seldom, truthful, and not at all with --quiet."""

from __future__ import annotations

import io
import json
import time
from pathlib import Path

import pytest
from rich.console import Console

from synthlift.cli import progress
from synthlift.cli.output import duration, size, table


def test_plain_lines_are_seldom(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with progress.following(tmp_path, quiet=False) as listener:
        for done in range(1000):
            listener.on_progress(done, 1000, "train real")
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""


def test_a_plain_line_says_how_far_and_how_long(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "PLAIN_SECONDS", 0.0)
    plain = progress._Plain()
    plain.began = time.monotonic() - 60
    plain.show(25, 100, "train real, replicate 3")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "  25/100  train real, replicate 3, about 3 min left in this stage\n"


def test_the_next_stage_starts_its_own_clock(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "PLAIN_SECONDS", 0.0)
    plain = progress._Plain()
    plain.began = time.monotonic() - 1000
    plain.show(10, 10, "first")
    plain.seen -= 10
    plain.show(1, 4, "second")
    assert capsys.readouterr().err.splitlines()[1] == "  1/4  second, about 30 s left in this stage"


def test_quiet_says_nothing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(progress, "PLAIN_SECONDS", 0.0)
    with progress.following(tmp_path, quiet=True) as listener:
        listener.on_progress(1, 2, "train")
    with progress.counting("reading", quiet=True) as count:
        count(1, 2, "")
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""


def test_bars_show_the_stage_and_what_takes_long_in_it(tmp_path: Path) -> None:
    work = tmp_path / "work" / "fit-1"
    work.mkdir(parents=True)
    stream = io.StringIO()
    bars = progress._progress(Console(file=stream, force_terminal=True, width=120))
    screen = progress._Screen(bars, tmp_path)
    now = time.time() + 1
    facts = {"label": "fit flow, fit 1", "done": 400, "total": 1000, "began": now, "at": now}
    (work / "progress.json").write_text(json.dumps(facts))
    screen.show(3, 8, "train real, replicate 1")
    assert screen.look() is False
    bars.console.print(bars.get_renderable())
    assert "train real, replicate 1" in stream.getvalue()
    assert "3/8" in stream.getvalue()
    assert "fit flow, fit 1" in stream.getvalue()
    assert "400/1000" in stream.getvalue()
    (work / "progress.json").unlink()
    screen.looked = 0
    screen.look()
    assert list(screen.tasks) == []


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.4, "0 s"), (75, "75 s"), (100, "2 min"), (3600, "60 min"), (7500, "2 h 05 min")],
)
def test_durations(seconds: float, words: str) -> None:
    assert duration(seconds) == words


@pytest.mark.parametrize(
    ("count", "words"), [(12, "12 bytes"), (2048, "2.0 KiB"), (5 * 1024**4, "5120.0 GiB")]
)
def test_sizes(count: int, words: str) -> None:
    assert size(count) == words


def test_tables_align_columns() -> None:
    rows = [{"arm": "real", "n": 7}, {"arm": "mixed@2", "n": 12}]
    assert table(rows, right=["n"]).splitlines() == ["arm       n", "real      7", "mixed@2  12"]
    assert table([]) == ""
