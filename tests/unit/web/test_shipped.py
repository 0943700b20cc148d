"""Finished runs that come with the package: unpacked once, whole, in their place."""

from __future__ import annotations

import json
import shlex
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest
import yaml

from synthlift.api.run_folder import load
from synthlift.api.sources import ask
from synthlift.reporting.pages import script_digest
from synthlift.spec.results import SCHEMA_VERSION
from synthlift.study.ledger import Ledger
from synthlift.web import Settings, create_app, shipped
from synthlift.web.context import Context
from synthlift.web.examples import EXAMPLES, begin, prepare
from synthlift.web.shipped import RUN, STORE, archive_of, made, provide, unpack
from tests.unit.web.conftest import OURS

UNPACK = (
    "import sys; from pathlib import Path; from synthlift.web.shipped import provide; "
    "print(provide(Path(sys.argv[1]), Path(sys.argv[2])))"
)


def context_of(home: Path) -> Context:
    found = create_app(Settings(home=home, store=home / "store")).extensions["synthlift"]
    assert isinstance(found, Context)
    return found


# ── places ────────────────────────────────────────────────────────────────────────────────────


def test_a_run_names_places_of_this_machine_wherever_that_is(tmp_path: Path) -> None:
    place = tmp_path / 'an "odd" & ünusual: #place' / "digits"
    assert provide(archive_of("digits"), place)
    run = place / RUN
    for file in [*run.rglob("*"), *(place / STORE / "roots").iterdir()]:
        assert b"@example@" not in (file.read_bytes() if file.is_file() else b""), file
    facts = load(run).facts
    assert (facts["store"], facts["base"]) == (str(place / STORE), str(place))
    asked = ask(run)
    assert (asked.store, asked.out, asked.resumed) == (place / STORE, run, True)
    (root,) = (place / STORE / "roots").iterdir()
    assert json.loads(root.read_text())["folder"] == str(run)
    words = shlex.split(load(run).results.actions[0].command)
    assert words[:3] == ["synthlift", "run", str(run)]
    words = shlex.split(facts["command"])
    assert words[2] == str(EXAMPLES["digits"].file)
    assert Path(words[2]).is_file()
    report = (run / "report.html").read_text()
    assert "&amp; ünusual: #place" in report
    assert script_digest() in report, "pages let the script of this version's reports run"
    assert yaml.safe_load((run / "study.yaml").read_text())["name"] == "Digits"
    for line in (run / "log.jsonl").read_text().splitlines():
        json.loads(line)


def test_an_entry_outside_the_folder_is_refused(tmp_path: Path) -> None:
    archive = tmp_path / "evil.tar.xz"
    with tarfile.open(archive, "w:xz") as tar:
        tar.addfile(tarfile.TarInfo("../outside"))
    with pytest.raises(ValueError, match="outside"):
        unpack(archive, tmp_path / "in" / "folder", place=tmp_path)
    assert not (tmp_path / "in" / "outside").exists()


# ── once and whole ────────────────────────────────────────────────────────────────────────────


def test_two_servers_that_begin_together_unpack_one_run(tmp_path: Path) -> None:
    place = tmp_path / "examples" / "digits"
    words = [sys.executable, "-c", UNPACK, str(archive_of("digits")), str(place)]
    both = [subprocess.Popen(words, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert [one.communicate(timeout=120)[0].strip() for one in both] == ["True", "True"]
    assert sorted(path.name for path in place.parent.iterdir()) == [".digits.lock", "digits"]
    assert made(place) is not None


def test_a_server_that_is_killed_while_it_unpacks_leaves_nothing_behind(tmp_path: Path) -> None:
    place = tmp_path / "examples" / "leaves"
    words = [sys.executable, "-c", UNPACK, str(archive_of("leaves")), str(place)]
    process = subprocess.Popen(words)
    while not [*place.parent.glob(".leaves-*/store/artefacts")]:
        assert process.poll() is None, "it was too quick to be killed"
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert [*place.parent.glob(".leaves-*")]
    assert not place.exists()
    assert provide(archive_of("leaves"), place)
    assert sorted(path.name for path in place.parent.iterdir()) == [".leaves.lock", "leaves"]


def test_what_is_there_is_left_alone_and_what_is_damaged_is_repaired(tmp_path: Path) -> None:
    place = tmp_path / "digits"
    assert provide(archive_of("digits"), place)
    verdicts = place / RUN / "hand-verdicts.jsonl"
    verdicts.touch()
    assert provide(archive_of("digits"), place)
    assert verdicts.exists(), "what people said of it stays"
    results = place / RUN / "results.json"
    results.write_bytes(results.read_bytes()[:1000])
    assert provide(archive_of("digits"), place)
    assert load(place / RUN).results.study.name == "Digits"


# ── what cannot be read ───────────────────────────────────────────────────────────────────────


def of_a_newer_version(tmp_path: Path) -> Path:
    """The archive of a version whose results this one does not know."""
    folder = tmp_path / "folder"
    unpack(archive_of("digits"), folder, place=Path("/"))
    results = folder / RUN / "results.json"
    content = {**json.loads(results.read_text()), "schema_version": SCHEMA_VERSION + 1}
    results.write_text(json.dumps(content))
    with tarfile.open(tmp_path / "new.tar.xz", "w:xz", preset=0) as tar:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                tar.add(file, file.relative_to(folder).as_posix())
    return tmp_path / "new.tar.xz"


def test_without_a_run_that_can_be_read_the_study_is_queued(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut = archive_of("leaves").read_bytes()[:100_000]
    (tmp_path / "cut.tar.xz").write_bytes(cut)
    archives = {"digits": of_a_newer_version(tmp_path), "leaves": tmp_path / "cut.tar.xz"}
    monkeypatch.setattr(shipped, "archive_of", archives.__getitem__)
    here = context_of(tmp_path / "home")
    prepare(here)
    assert {job.title: job.state for job in here.jobs.all()} == {
        "Handwritten digits": "queued",
        "Leaves": "queued",
    }
    assert [*(tmp_path / "home" / "examples").glob("[!.]*")] == []
    assert [*(tmp_path / "home" / "examples").glob(".*-*")] == []
    first = here.jobs.all()[0]
    here.jobs.ask_to_end(first.id)
    prepare(here)
    assert here.jobs.get(first.id).state == "cancelled", "who stopped it meant it"


# ── at hand ───────────────────────────────────────────────────────────────────────────────────


def test_both_examples_are_there_without_a_job_and_say_what_made_them(tmp_path: Path) -> None:
    here = context_of(tmp_path / "home")
    app = create_app(here.settings)
    prepare(here)
    assert here.jobs.all() == []
    client = app.test_client()
    found = client.get("/api/v1/examples").get_json()["examples"]
    assert [one["name"] for one in found] == ["digits", "leaves"]
    for one in found:
        told = one["shipped"]
        assert (one["run"], one["job"], one["unpacking"]) == (told["run"], None, False)
        assert told["command"] == f"synthlift run {one['name']}.yaml"
        assert told["cpu_seconds"] > 5
        page = client.get(f"/runs/{one['run']}").text
        assert "computed beforehand" in page
        assert told["command"] in page
        assert client.get(f"/runs/{one['run']}/report").status_code == 200
    assert "Finished studies" in client.get("/").text
    assert "Read the report" not in client.get("/").text, "examples have cards of their own"


def test_what_came_with_the_package_has_opened_its_test_sets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SYNTHLIFT_DATA_HOME", str(tmp_path / "user"))
    here = context_of(tmp_path / "home")
    for _ in range(2):
        prepare(here)
    ledger = Ledger()
    lines = [json.loads(line) for line in ledger.path.read_text().splitlines()]
    assert len(lines) == 12, "once, however often the server starts"
    for run in here.library.runs():
        openings = run.results.openings
        assert openings is not None
        same = ledger.tally(test_hash=openings.test_hash, study=run.results.study.key)
        assert (same.earlier, same.this_study) == (0, openings.this_study)
        other = ledger.tally(test_hash=openings.test_hash, study="another")
        assert (other.earlier, other.models) == (1, openings.models)


def test_computed_here_it_is_shown_instead_beside_what_came_with_the_package(
    tmp_path: Path,
) -> None:
    here = context_of(tmp_path / "home")
    prepare(here)
    client = create_app(here.settings).test_client()
    asked = client.post("/api/v1/examples/digits", headers=OURS).get_json()
    assert asked["job"]["state"] == "queued"
    assert asked["run"] == asked["shipped"]["run"], "it is at hand meanwhile"
    one = EXAMPLES["digits"]
    job = begin(here, one)
    assert job.folder == one.folder(here.settings) != one.place(here.settings) / RUN
    shutil.copytree(one.place(here.settings) / RUN, job.folder)  # as if it had been computed
    here.jobs.claim(here.runner.name, ["demo"])
    here.jobs.finish(job.id, "done", owner=here.runner.name)
    (now, _) = client.get("/api/v1/examples").get_json()["examples"]
    assert now["run"] not in ("", now["shipped"]["run"])
    assert "computed beforehand" not in client.get(f"/runs/{now['run']}").text
    told = client.get("/api/v1/runs").get_json()["runs"]
    assert {one["id"]: one["delivered"] for one in told if one["name"] == "Digits"} == {
        now["run"]: False,
        now["shipped"]["run"]: True,
    }
    assert len(told) == 3
    prepare(here)
    assert here.jobs.get(job.id).state == "done"
