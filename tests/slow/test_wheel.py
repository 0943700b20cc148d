"""The package as ``uvx synthlift`` would get it: built, installed without extras, and used."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from synthlift.spec.provenance import provenance_in
from tests.e2e.serving import Server, free_port, until_it_answers

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("wheel")


@pytest.fixture(scope="module")
def program(place: Path) -> Path:
    """The command of a wheel, in an environment that holds it and what it depends on."""
    found = subprocess.run(
        ["sh", "scripts/bootstrap.sh", "uv"], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    if found.returncode:
        pytest.skip("no uv, and none can be fetched")
    uv = str((ROOT / found.stdout.strip()).resolve()) if "/" in found.stdout else "uv"
    python = place / "env" / "bin" / "python"
    called([uv, "build", "--quiet", "--wheel", "--out-dir", str(place), str(ROOT)])
    (wheel,) = place.glob("*.whl")
    called([uv, "venv", "--quiet", str(place / "env")])
    pins = str(ROOT / "requirements" / "run.txt")
    called(
        [uv, "pip", "install", "--quiet", "--python", str(python), "--require-hashes", "-r", pins]
    )
    called([uv, "pip", "install", "--quiet", "--python", str(python), "--no-deps", str(wheel)])
    called([uv, "pip", "check", "--quiet", "--python", str(python)])
    return python.with_name("synthlift")


def called(command: Sequence[str], **more: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **more})
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def of_its_own(place: Path) -> dict[str, str]:
    """A user who has nothing yet."""
    names = ("SYNTHLIFT_STORE", "SYNTHLIFT_DATA_HOME", "SYNTHLIFT_WEIGHTS", "XDG_CACHE_HOME")
    return {"HOME": str(place), **{name: str(place / name.lower()) for name in names}}


def test_it_draws_by_words(program: Path, place: Path) -> None:
    out = place / "sevens"
    words = ["--prompt", "a thick red seven", "--per-class", "2", "--out", str(out), "--json"]
    said = called([str(program), "generate", "model:embedded", *words], **of_its_own(place))
    assert json.loads(said)["counts"] == {"picture": 2}
    for file in (out / "images" / "picture").iterdir():
        facts = provenance_in(file.read_bytes())
        assert facts is not None
        assert (facts["origin"], facts["prompt"]) == ("synthetic", "a thick red seven")


@contextmanager
def served(program: Path, place: Path) -> Iterator[Server]:
    server, said = Server(free_port(), place / "web"), place / "stderr"
    command = [str(program), "serve", "--no-browser", "--port", str(server.port)]
    more = {**os.environ, **of_its_own(place)}
    process = subprocess.Popen(command, stderr=said.open("wb"), env=more, cwd=place)
    try:
        until_it_answers(server, process, said)
        yield server
    finally:
        process.terminate()
        process.wait(60)
    assert "Traceback" not in said.read_text()


def test_it_serves_both_examples_which_draw_and_classify(program: Path, place: Path) -> None:
    with served(program, place) as server:
        found = server.until(
            "/api/v1/examples", lambda one: all(each["run"] for each in one["examples"])
        )
        for one in found["examples"]:
            path = f"/api/v1/runs/{one['run']}"
            run = server.ask("GET", path)[1]
            (generator,) = run["generators"]
            wish = {"generator": generator["name"], "label": generator["classes"][0]}
            made = server.draw(one["run"], count=2, **wish)
            assert (made["state"], made["done"]) == ("done", 2), made["error"]
            code, told, _ = server.ask("POST", f"{path}/sample-classifications", {"samples": [0]})
            assert code == 200
            assert len(told["pictures"][0]["answers"]) == 2
            assert server.ask("GET", f"/runs/{one['run']}/report")[0] == 200
