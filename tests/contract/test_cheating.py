"""Whole studies with a component that reaches for the test: each ends, and nothing comes of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from synthlift import registry
from synthlift.errors import LeakageError
from tests.e2e.tiny import committed, draw_folder, run, study_of

CHEATS = Path(__file__).resolve().parents[1] / "e2e" / "plugins" / "cheats.py"


@pytest.fixture(autouse=True)
def no_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_plugins", {})


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_folder(tmp_path_factory.mktemp("drawn"), per_class=12)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.mark.parametrize("way", ["labels", "iterate", "read_beyond", "subset_beyond"])
def test_a_cheating_generator_ends_the_study(way: str, source: Path, home: Path) -> None:
    study = study_of(
        source, generators=[{"kind": "cheat", "way": way}], plugins=[str(CHEATS)], replicates=1
    )
    with pytest.raises(LeakageError):
        run(study, home=home, out=f"generator-{way}")
    _assert_nothing_came_of_it(home, f"generator-{way}", stage="fit")


@pytest.mark.parametrize("way", ["pixels", "validation_beyond"])
def test_a_cheating_filter_ends_the_study(way: str, source: Path, home: Path) -> None:
    plugins = [*study_of(source).plugins, str(CHEATS)]
    study = study_of(
        source, curation=[{"kind": "cheat", "way": way}], plugins=plugins, replicates=1
    )
    with pytest.raises(LeakageError):
        run(study, home=home, out=f"filter-{way}")
    _assert_nothing_came_of_it(home, f"filter-{way}", stage="judge")


def _assert_nothing_came_of_it(home: Path, out: str, *, stage: str) -> None:
    assert not (home / out / "results.json").exists()
    status = json.loads((home / out / "status.json").read_text())
    assert status["state"] == "stopped"
    assert status["error"].startswith("LeakageError")
    assert not [key for key in committed(home) if key.startswith((f"{stage}-", "predict-"))]
    assert not (home / "data-home" / "openings.jsonl").exists()
