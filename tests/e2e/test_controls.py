"""Trained studies whose answer is known (METHOD §4); one of each here, ten among the slow tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.controls import EXPECTED, run_control


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("controls")


@pytest.mark.parametrize("posing", EXPECTED)
def test_the_verdict_gives_the_known_answer(posing: str, home: Path) -> None:
    found = run_control(posing, seed=0, home=home, workers=2)
    assert found["exploratory_reasons"] == []
    assert found["right"], f"{posing}: {found['word']} at {found['value']:+.3f}"
