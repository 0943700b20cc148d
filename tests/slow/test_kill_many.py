"""Kills at random moments: ten of a small study, and the whole demo."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest

from synthlift.api import demo_study
from synthlift.seeds import generator_for
from synthlift.spec.study import Study
from tests.e2e.tiny import (
    FLOW,
    committed,
    comparable,
    draw_folder,
    finish,
    kill,
    read_results,
    start,
    study_of,
)

ARMS = ["real", "augmented", {"kind": "mixed", "multiples": [0.5, 1]}, "synthetic_only"]


def undisturbed(study: Study, *, home: Path) -> tuple[Path, float]:
    """A run that nobody kills, and its seconds."""
    began = time.monotonic()
    process = start(study, home=home)
    assert process.wait(timeout=3600) == 0, (home / "run.stderr").read_text()
    return home / "run", time.monotonic() - began


def killed_at_random(study: Study, *, home: Path, kills: int, seconds: float) -> Path:
    """Kill and start again at moments that cover the run's whole length, then let it end."""
    rng = generator_for(11, "kills", study.name)
    for number in range(kills):
        process = start(study, home=home)
        # A start takes a few seconds of imports; from there on kills come ever further on.
        pause = 2.0 + float(rng.uniform(0, 1.5 * seconds / kills + 3))
        try:
            process.wait(timeout=pause)
            break
        except subprocess.TimeoutExpired:
            kill(process, group=bool(number % 2))
    return finish(start(study, home=home), home=home, seconds=3600)


def assert_same(study: Study, *, tmp_path: Path, kills: int) -> None:
    calm, seconds = undisturbed(study, home=tmp_path / "calm")
    home = tmp_path / "killed"
    folder = killed_at_random(study, home=home, kills=kills, seconds=seconds)
    assert comparable(read_results(folder), folder) == comparable(read_results(calm), calm)
    assert committed(home) == committed(tmp_path / "calm")
    table = "predictions.parquet"
    assert (folder / table).read_bytes() == (calm / table).read_bytes()


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_ten_kills_of_a_small_study(tmp_path: Path) -> None:
    source = draw_folder(tmp_path / "drawn", per_class=60)
    study = study_of(
        source,
        name="ten kills",
        generators=[{**FLOW, "steps": 200}],
        arms=ARMS,
        training={"steps": 200, "flip": "no"},
        replicates=6,
        plugins=[],
    )
    assert_same(study, tmp_path=tmp_path, kills=10)


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_kills_of_the_whole_demo(tmp_path: Path) -> None:
    assert_same(demo_study(), tmp_path=tmp_path, kills=10)
