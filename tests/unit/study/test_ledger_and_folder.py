"""Openings are counted for good; a run folder belongs to one study."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from synthlift.api import keeping
from synthlift.errors import InputError
from synthlift.spec import people
from synthlift.spec.study import Study
from synthlift.study.folder import FORMAT, RESULTS, STUDY, RunFolder
from synthlift.study.ledger import Ledger
from synthlift.web.jobs import live


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


WRITING = """
import sys
from pathlib import Path
from synthlift.spec.study import Study
from synthlift.store import Store
from synthlift.study.folder import RunFolder, run_facts
from synthlift.study.ledger import Ledger

assert sys.flags.utf8_mode == 0
place = Path(sys.argv[1])
folder = RunFolder(place / "run", key="k")
folder.write_study(Study(data={"group": "Größe 📷"}), decisions={}, facts={"command": "ü"})
folder.log("one", text="Größe 📷")
assert run_facts(folder.path)["command"] == "ü"
(folder.path / "results.json").write_bytes('{"name": "ü", "schema_version": 1}'.encode())
assert folder.finished_results()["name"] == "ü"
run_facts(folder.path)
store = Store(place / "store")
assert store.decide("s", "name", lambda: ("📷", "ü")) == "📷"
assert store.decisions("s")["name"]["reason"] == "ü"
"""


def test_files_are_utf_8_wherever_they_are_written(tmp_path: Path) -> None:
    where = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    script = tmp_path / "writing.py"
    script.write_text(WRITING, encoding="utf-8")
    words = [sys.executable, str(script), str(tmp_path)]
    done = subprocess.run(words, env={**os.environ, **where}, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    line = json.loads((tmp_path / "run" / "log.jsonl").read_text(encoding="utf-8"))
    assert line["text"] == "Größe 📷"


def test_lines_end_where_json_ends_them(tmp_path: Path) -> None:
    odd = "a\u2028b\u2029c\x85d"
    folder = folder_with(tmp_path / "run", key="k")
    folder.log("one", text=odd)
    folder.log("two")
    assert [line["event"] for line in keeping._log(folder.file("log.jsonl"))] == ["one", "two"]
    assert [line["event"] for line in live._lines(folder.file("log.jsonl"))] == ["one", "two"]
    said = people.HandVerdict(image=odd, verdict="keep", who=odd, at="now")
    people.append(folder.path, people.HAND_VERDICTS, said)
    assert people.hand_verdicts(folder.path) == [said]
