"""``kill -9`` and start again: the results are those of a run that nobody disturbed."""

from __future__ import annotations

import subprocess
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
    models = sum(key.startswith("model-") for key in committed(home))
    return models >= 4 and (home / "run" / "report.html").exists()


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
        if moment is training:
            kill_the_main_process_alone(process, home)
            report = (home / "run" / "report.html").read_text()
            assert report.rstrip().endswith("</html>"), "no file is half written"
        else:
            kill(process, group=True)
        assert not (home / "run" / "results.json").exists(), "an unfinished run has no results"
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


def kill_the_main_process_alone(process: subprocess.Popen[bytes], home: Path) -> None:
    """``kill -9`` of it; its workers die with it and leave nothing that changes."""
    workers = psutil.Process(process.pid).children(recursive=True)
    assert workers
    kill(process, group=False)
    gone, alive = psutil.wait_procs(workers, timeout=20)
    assert not alive
    assert len(gone) == len(workers)
    before = committed(home)
    time.sleep(0.5)
    assert committed(home) == before
