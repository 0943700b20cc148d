"""What can be asked before anything is trained, and keeping house."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner, Result

from synthlift import api
from synthlift.cli import app
from synthlift.errors import InputError
from synthlift.spec.loading import load_study
from synthlift.spec.study import Study
from synthlift.store import Store

Draw = Callable[..., Path]


def cli(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


# ── inspect, init, schema, doctor ─────────────────────────────────────────────────────────────


def test_inspect_counts_and_lists_faults(
    tmp_path: Path, draw_images: Draw, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    source = draw_images(tmp_path / "shapes", per_class=5)
    (source / "cross" / "broken.png").write_bytes(b"no image")
    (source / "cross" / "copy.png").write_bytes((source / "cross/000.png").read_bytes())
    found = json.loads(cli("inspect", source, "--json", "--quiet").stdout)
    assert (found["read"], found["usable"]) == (17, 15)
    assert {c["name"]: c["images"] for c in found["classes"]} == dict.fromkeys(
        ("circle", "cross", "square"), 5
    )
    assert found["duplicates"] == 1
    assert sum(found["excluded"].values()) == 2
    assert (found["page"], found["findings"]["duplicates"]["exact"]) == (None, 1)
    assert not list(tmp_path.glob("*.html"))
    text = cli("inspect", source, "--quiet").stdout
    assert text.startswith("17 images read, 15 usable")
    assert "broken.png" in text
    assert f"synthlift run {source} --budget 30m" in text
    assert text.endswith(f"page: {tmp_path / 'inspect-shapes.html'}\n")
    assert "broken.png" in (tmp_path / "inspect-shapes.html").read_text()


def test_inspect_writes_its_page_where_it_is_told(
    tmp_path: Path, draw_images: Draw, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    source, page = draw_images(tmp_path / "shapes", per_class=5), tmp_path / "a page.html"
    assert "page:" not in cli("inspect", source, "--no-page", "--quiet").stdout
    assert not list(tmp_path.glob("*.html"))
    found = json.loads(cli("inspect", source, "--json", "--out", page, "--quiet").stdout)
    assert (found["page"], page.read_text()[:15]) == (str(page), "<!DOCTYPE html>")
    refused = cli("inspect", source, "--out", page, "--no-page")
    assert refused.exit_code == 2
    assert "either written or not" in refused.stderr


def test_init_writes_a_file_that_is_the_study_of_this_data(
    tmp_path: Path, draw_images: Draw, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = draw_images(tmp_path / "my shapes", per_class=4)
    monkeypatch.chdir(tmp_path)
    result = cli("init", source)
    assert (result.exit_code, result.stdout) == (0, "study.yaml\n")
    text = (tmp_path / "study.yaml").read_text()
    assert "12 usable images of 12" in text
    assert "./my shapes" in text
    study = load_study(tmp_path / "study.yaml")
    bare = api.ask(source).study
    names = dict.fromkeys(("circle", "cross", "square"))
    assert study == bare.model_copy(
        update={"data": bare.data.model_copy(update={"names": {n: n for n in names}})}
    )


def test_init_never_replaces_a_file_unasked(tmp_path: Path, draw_images: Draw) -> None:
    source, out = draw_images(tmp_path / "d", per_class=3), tmp_path / "s.yaml"
    out.write_text("mine")
    refused = cli("init", source, "--out", out)
    assert refused.exit_code == 2
    assert "exists already" in " ".join(refused.stderr.split())
    assert out.read_text() == "mine"
    assert cli("init", source, "--out", out, "--force", "--quiet").exit_code == 0
    assert load_study(out).data.source == "./d" or load_study(out).data.source == str(source)


def test_init_refuses_data_that_cannot_be_studied(tmp_path: Path, draw_images: Draw) -> None:
    source = draw_images(tmp_path / "d", per_class=2)
    with pytest.raises(InputError, match="cannot be studied"):
        api.init(source, out=tmp_path / "s.yaml")
    assert not (tmp_path / "s.yaml").exists()


def test_schema_is_a_json_schema_of_the_study() -> None:
    schema = json.loads(cli("schema").stdout)
    assert set(schema["properties"]) == set(Study.model_fields)


def test_doctor_names_the_store_and_its_room(tmp_path: Path) -> None:
    checks = {c["name"]: c for c in json.loads(cli("doctor", "--json", "--store", tmp_path).stdout)}
    assert {"python", "torch", "store", "memory", "ledger of test openings"} <= set(checks)
    assert str(tmp_path) in checks["store"]["found"]
    assert checks["store"]["level"] in ("ok", "warning")
    assert "torch 2" in checks["torch"]["found"]


def test_doctor_reports_a_store_that_cannot_be_written_to(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    result = cli("doctor", "--store", tmp_path / "file" / "store")
    assert result.exit_code == 1
    assert "PROBLEM  store" in result.stdout
    assert "SYNTHLIFT_STORE" in result.stdout


# ── status ────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    """A run folder in which nothing has happened yet."""
    run = {"format": 1, "key": "k", "store": str(tmp_path / "store"), "decisions": {}}
    content = {"run": run, **Study().model_dump(mode="json")}
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(content))
    return tmp_path


def write_status(folder: Path, state: str, **facts: object) -> None:
    content = {"state": state, "at": time.time(), **facts}
    (folder / "status.json").write_text(json.dumps(content))


def test_a_run_whose_process_lives_is_running(run_folder: Path) -> None:
    write_status(run_folder, "running", pid=os.getpid())
    now = time.time()
    progress = {"done": 10, "total": 40, "label": "train real", "began": now - 20, "at": now}
    (run_folder / "progress.json").write_text(json.dumps(progress))
    work = run_folder / "store" / "work" / "fit-1"
    work.mkdir(parents=True)
    task = {"label": "fit flow", "done": 3, "total": 9, "note": "", "began": now - 5, "at": now}
    (work / "progress.json").write_text(json.dumps(task))
    found = api.status(run_folder)
    assert (found.state, found.pid, found.done, found.total) == ("running", os.getpid(), 10, 40)
    assert found.seconds_left == pytest.approx(60)
    assert [t["label"] for t in found.tasks] == ["fit flow"]
    said = cli("status", run_folder).stdout
    assert "10/40  train real, about 60 s left" in said
    assert "fit flow: 3/9" in said


@pytest.mark.parametrize(
    ("state", "facts", "expected"),
    [
        ("running", {"pid": 2**22 + 1}, "interrupted"),
        ("stopped", {"error": "Interrupted: stopped on request"}, "interrupted"),
        ("stopped", {"error": "StageError: 'fit' failed"}, "failed"),
        ("done", {}, "interrupted"),
    ],
)
def test_other_states(
    run_folder: Path, state: str, facts: dict[str, object], expected: str
) -> None:
    """``done`` without results.json is no finished run."""
    write_status(run_folder, state, **facts)
    assert api.status(run_folder).state == expected
    assert "Go on with:\n  synthlift run" in cli("status", run_folder).stdout


def test_a_line_of_the_log_that_a_crash_cut_short_is_skipped(run_folder: Path) -> None:
    write_status(run_folder, "stopped", error="StageError: x")
    line = json.dumps({"at": "2024-05-01T10:00:00.000000000Z", "event": "started"})
    (run_folder / "log.jsonl").write_text(line + '\n{"at": "2024-')
    assert [entry["event"] for entry in api.status(run_folder).last] == ["started"]


def test_status_of_something_else(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is no run folder"):
        api.status(tmp_path)


def test_stop_waits_no_longer_than_asked(run_folder: Path) -> None:
    write_status(run_folder, "running", pid=os.getpid())
    result = cli("stop", run_folder, "--timeout", "0.3")
    assert result.exit_code == 1
    assert "has not ended after 0.3 s" in result.stderr
    assert (run_folder / "stop-requested").exists()


# ── runs and gc ───────────────────────────────────────────────────────────────────────────────


def test_runs_of_a_store(tmp_path: Path, run_folder: Path) -> None:
    store = Store(tmp_path / "s")
    store.register_root("tiny-1", [], folder=str(run_folder), key="k")
    store.register_root("gone-1", [], folder=str(tmp_path / "gone"), key="g")
    write_status(run_folder, "stopped", error="Interrupted: x")
    found = {run["folder"]: run["state"] for run in api.runs(tmp_path / "s")}
    assert found == {str(run_folder): "interrupted", str(tmp_path / "gone"): "folder is gone"}
    assert "folder is gone" in cli("runs", "--store", tmp_path / "s").stdout


def test_gc_says_first_and_deletes_then(tmp_path: Path) -> None:
    store = Store(tmp_path / "s")
    left = store.root / "work" / "fit-abandoned"
    left.mkdir()
    (left / "checkpoint").write_bytes(b"x" * 2048)
    said = cli("gc", "--store", store.root, "--dry-run").stdout
    assert said == "1 unused results would be deleted, 2.0 KiB\n"
    assert left.exists()
    assert json.loads(cli("gc", "--store", store.root, "--json").stdout)["bytes"] == 2048
    assert not left.exists()


def test_gc_forgets_runs_whose_folder_is_gone(tmp_path: Path, run_folder: Path) -> None:
    store = Store(tmp_path / "s")
    store.register_root("here-1", [], folder=str(run_folder), key="k")
    store.register_root("gone-1", [], folder=str(tmp_path / "gone"), key="g")
    said = cli("gc", "--store", store.root, "--dry-run").stdout
    assert f"{tmp_path / 'gone'} is gone: would be forgotten" in said
    assert set(store.roots()) == {"here-1", "gone-1"}
    assert api.gc(store.root).forgotten == (str(tmp_path / "gone"),)
    assert set(store.roots()) == {"here-1"}
