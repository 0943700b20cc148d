"""``kill -9`` and start again: the results are those of a run that nobody disturbed."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.e2e.tiny import (
    SMALL_FLOW,
    committed,
    comparable,
    draw_folder,
    finish,
    kill,
    read_results,
    run,
    start,
    study_of,
    wait_until,
)


def fitting(home: Path) -> bool:
    return any((home / "store" / "work").glob("fit-*"))


def sampling(home: Path) -> bool:
    return any(key.startswith("sample-") for key in committed(home))


def training(home: Path) -> bool:
    return sum(key.startswith("model-") for key in committed(home)) >= 4


def predicting(home: Path) -> bool:
    return any(key.startswith("predict-") for key in committed(home))


Moments = tuple[Callable[[Path], bool], ...]


@pytest.mark.parametrize(
    "moments",
    [
        pytest.param((fitting, training), id="twice"),
        pytest.param(
            (fitting, training, sampling, predicting), id="four times", marks=pytest.mark.slow
        ),
    ],
)
def test_killed_and_started_again(moments: Moments, tmp_path: Path) -> None:
    source = draw_folder(tmp_path / "drawn")
    study = study_of(source, generators=[SMALL_FLOW], plugins=[])
    calm = run(study, home=tmp_path / "calm", workers=2)
    home = tmp_path / "killed"
    for moment in moments:
        process = start(study, home=home)
        wait_until(lambda moment=moment: moment(home), process=process)  # type: ignore[misc]
        kill(process, group=moment is not training)
    folder = finish(start(study, home=home), home=home)
    results = read_results(folder)
    assert comparable(results, folder) == comparable(calm.results, calm.folder)
    assert not any(cost["at_least"] for cost in calm.results["cost"])
    assert {cost["stage"]: cost["at_least"] for cost in results["cost"]}["fit"]
    assert [one["cost_at_least"] for one in results["generators"]] == [True]
    assert "≥" in (folder / "report.html").read_text()
    assert committed(home) == committed(tmp_path / "calm")
    assert not list((home / "store" / "work").iterdir()), "left-over work"
    openings = (home / "data-home" / "openings.jsonl").read_text().splitlines()
    assert len(openings) == len(set(openings)) == calm.results["openings"]["this_study"]


def test_workers_die_with_the_main_process(tmp_path: Path) -> None:
    source = draw_folder(tmp_path / "drawn")
    process = start(study_of(source), home=tmp_path)
    wait_until(lambda: fitting(tmp_path), process=process)
    workers = psutil.Process(process.pid).children(recursive=True)
    assert workers
    kill(process, group=False)
    gone, alive = psutil.wait_procs(workers, timeout=20)
    assert not alive
    before = committed(tmp_path)
    time.sleep(0.5)
    assert committed(tmp_path) == before
    assert len(gone) == len(workers)


def test_a_killed_run_leaves_no_half_file(tmp_path: Path) -> None:
    source = draw_folder(tmp_path / "drawn")
    process = start(study_of(source), home=tmp_path, workers=1)
    report = tmp_path / "run" / "report.html"
    wait_until(report.exists, process=process)
    kill(process, group=True)
    assert report.read_text().rstrip().endswith("</html>")
    assert not (tmp_path / "run" / "results.json").exists(), "an unfinished run has no results"
