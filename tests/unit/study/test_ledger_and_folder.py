"""Openings are counted for good; a run folder belongs to one study."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from synthlift.errors import InputError
from synthlift.spec.study import Study
from synthlift.study.folder import FORMAT, RESULTS, STUDY, RunFolder
from synthlift.study.ledger import Ledger


def test_openings_are_idempotent_and_add_up_over_studies(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "openings.jsonl")
    for _ in range(2):
        ledger.record(test_hash="t", study="one", models=["a", "b"])
    ledger.record(test_hash="t", study="two", models=["b", "c"])
    ledger.record(test_hash="other", study="one", models=["a"])
    tally = ledger.tally(test_hash="t", study="one")
    assert (tally.studies, tally.models, tally.this_study) == (2, 3, 2)
    assert ledger.opened(test_hash="t", model="c")
    assert not ledger.opened(test_hash="other", model="c")


def test_a_line_cut_short_by_a_crash_is_no_opening(tmp_path: Path) -> None:
    path = tmp_path / "openings.jsonl"
    ledger = Ledger(path)
    ledger.record(test_hash="t", study="one", models=["a"])
    with path.open("a") as stream:
        stream.write('{"test": "t", "study": "one", "mod')
    assert ledger.tally(test_hash="t", study="one").models == 1
    ledger.record(test_hash="t", study="one", models=["b"])
    assert Ledger(path).opened(test_hash="t", model="b")


def folder_with(path: Path, *, key: str) -> RunFolder:
    folder = RunFolder(path, key=key)
    folder.write_study(Study(name="first"), decisions={}, facts={})
    return folder


def test_a_folder_of_the_same_study_is_taken_again(tmp_path: Path) -> None:
    folder_with(tmp_path / "run", key="k")
    assert RunFolder(tmp_path / "run", key="k").path == (tmp_path / "run").absolute()


def test_a_folder_of_another_study_is_refused_and_left_alone(tmp_path: Path) -> None:
    folder = folder_with(tmp_path / "run", key="k")
    before = folder.file(STUDY).read_bytes()
    with pytest.raises(InputError, match="holds the run of another study \\('first'\\)"):
        RunFolder(tmp_path / "run", key="other")
    assert folder.file(STUDY).read_bytes() == before


def test_foreign_files_are_no_run_folder(tmp_path: Path) -> None:
    (tmp_path / "thesis.docx").write_text("do not touch")
    with pytest.raises(InputError, match="is no run folder"):
        RunFolder(tmp_path, key="k")
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.docx"]


@pytest.mark.parametrize("where", ["study", "results"])
def test_a_newer_versions_folder_is_refused(tmp_path: Path, where: str) -> None:
    folder = folder_with(tmp_path / "run", key="k")
    if where == "study":
        content = yaml.safe_load(folder.file(STUDY).read_text())
        content["run"]["format"] = FORMAT + 1
        folder.file(STUDY).write_text(yaml.safe_dump(content))
    else:
        folder.file(RESULTS).write_text(json.dumps({"schema_version": 99}))
    with pytest.raises(InputError, match="written by a newer Synthlift"):
        RunFolder(tmp_path / "run", key="k")


def test_the_log_is_one_object_a_line(tmp_path: Path) -> None:
    folder = folder_with(tmp_path / "run", key="k")
    folder.log("one", path=tmp_path)
    folder.log("two", text="ü\n")
    lines = [json.loads(line) for line in folder.file("log.jsonl").read_text().splitlines()]
    assert [line["event"] for line in lines] == ["one", "two"]
    assert lines[1]["text"] == "ü\n"
