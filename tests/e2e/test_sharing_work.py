"""What is finished is never computed again: other workers, more arms, two runs at once."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from synthlift.study.expecting import CHUNK
from tests.e2e.tiny import (
    ARMS,
    Ran,
    committed,
    comparable,
    draw_folder,
    finish,
    names,
    read_log,
    read_results,
    run,
    start,
    study_of,
)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_folder(tmp_path_factory.mktemp("drawn"))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shared")


@pytest.fixture(scope="module")
def alone(source: Path, home: Path) -> Ran:
    return run(study_of(source), home=home)


def test_workers_do_not_change_a_bit(alone: Ran, source: Path, tmp_path: Path) -> None:
    other = run(study_of(source), home=tmp_path, workers=2)
    tables = [pd.read_parquet(one.folder / "predictions.parquet") for one in (alone, other)]
    assert len(tables[0]) > 0
    for column in tables[0].columns.drop("probabilities"):
        assert tables[0][column].equals(tables[1][column]), column
    first, second = (np.stack(table["probabilities"].to_list()) for table in tables)
    assert np.array_equal(first, second)
    assert comparable(alone.results, alone.folder) == comparable(other.results, other.folder)


def test_two_runs_at_once_compute_nothing_twice(alone: Ran, source: Path, tmp_path: Path) -> None:
    started = [start(study_of(source), home=tmp_path, out=out) for out in ("one", "two")]
    folders = [
        finish(process, home=tmp_path, out=out)
        for process, out in zip(started, ("one", "two"), strict=True)
    ]
    parts = [
        [fields["key"] for name, fields in read_log(folder) if name == "stage_done"]
        for folder in folders
    ]
    assert all(parts), "each takes what the other is not computing"
    done = Counter(key for part in parts for key in part)
    assert set(done.values()) == {1}
    assert sorted(done) == committed(tmp_path)
    wanted = comparable(alone.results, alone.folder)
    for folder in folders:
        assert comparable(read_results(folder), folder) == wanted


def test_one_more_arm_computes_that_arm_alone(alone: Ran, source: Path, home: Path) -> None:
    more = run(study_of(source, arms=[*ARMS, "class_balanced"]), home=home, out="more-arms")
    assert set(names(more.results)) == {*names(alone.results), "class_balanced"}
    # The pictures and the copying figures stay; a model, its predictions and the statistics come.
    assert more.stages() == {"model", "predict", "evaluate"}
    assert len(more.computed("model")) == len(more.computed("predict")) == 2
    assert len(more.computed("evaluate")) == 1
    assert not more.computed() & alone.computed()
    before = {arm["name"]: arm["metrics"] for arm in alone.results["arms"]}
    after = {arm["name"]: arm["metrics"] for arm in more.results["arms"]}
    assert {name: after[name] for name in before} == before


def test_a_larger_multiple_samples_new_chunks_only(alone: Ran, source: Path, home: Path) -> None:
    mixed: dict[str, Any] = {"kind": "mixed", "multiples": [0.5, 3], "recipes": ["best_rival"]}
    larger = run(study_of(source, arms=["real", "augmented", mixed]), home=home, out="larger")
    assert larger.computed("sample")
    assert not larger.computed() & alone.computed()
    assert not larger.computed("read", "split", "pixels", "fit")
    assert len(larger.computed("model")) == 2, "one arm, two replicates"
    seen = {key for key in committed(home) if key.startswith("sample-")}
    assert len(larger.computed("judge")) == len(larger.computed("sample"))
    assert larger.computed("sample") < seen
    counts = [one.results["counts"]["generated"] for one in (alone, larger)]
    assert counts[1] == counts[0] + CHUNK * len(larger.computed("sample"))
