"""Bad input ends with a clear error: what was given, the rule, the remedy, and the exit code."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from typer.testing import CliRunner, Result

from synthlift.cli import app
from synthlift.spec.study import Study
from tests.e2e.tiny import PROGRAM

COMMAND = [sys.executable, "-c", PROGRAM]


def cli(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def refused(result: Result, *words: str, code: int = 2) -> None:
    """Exit code, nothing on stdout, and the three parts of an error on stderr."""
    said = " ".join(result.stderr.split())
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    assert "Traceback" not in said
    for word in ("Error:", "Rule:", "Remedy:", *words):
        assert word in said, said


def images(folder: Path, **per_class: int) -> Path:
    rng = np.random.default_rng(0)
    for name, count in per_class.items():
        (folder / name).mkdir(parents=True)
        for number in range(count):
            pixels = rng.integers(0, 255, (12, 12, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number}.png")
    return folder


def study(folder: Path, **keys: object) -> Path:
    path = folder / "study.yaml"
    content = {"data": {"source": str(images(folder / "data", a=4, b=4))}, **keys}
    path.write_text(yaml.safe_dump(content))
    return path


# ── data ──────────────────────────────────────────────────────────────────────────────────────


def test_empty_folder(tmp_path: Path) -> None:
    refused(cli("run", tmp_path, "--quiet"), "is empty", "one sub-folder a class")


def test_one_class(tmp_path: Path) -> None:
    refused(cli("run", images(tmp_path / "d", cats=5), "--quiet"), "one class only: 'cats'")


def test_a_class_with_fewer_than_three_images(tmp_path: Path) -> None:
    source = images(tmp_path / "d", cats=5, dogs=2)
    refused(cli("run", source, "--quiet"), "'dogs' has 2", "at least 3")


@contextlib.contextmanager
def without_privileges() -> Iterator[None]:
    """Root may read everything; anyone else may not."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="permissions of POSIX")
def test_a_folder_without_permission_to_read() -> None:
    base = Path(tempfile.mkdtemp())
    base.chmod(0o755)
    try:
        source = images(base / "d", cats=3, dogs=3)
        assert (
            cli("inspect", source, "--quiet", "--no-page").exit_code == 0
        )  # everything is imported now
        (source / "dogs").chmod(0)
        with without_privileges():
            result = cli("inspect", source, "--quiet", "--no-page")
        refused(result, "no permission to read", "dogs")
    finally:
        (base / "d" / "dogs").chmod(0o755)
        shutil.rmtree(base)


# ── classify ──────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from synthlift.registry import descriptor
    from synthlift.vision.classifiers.base import ImageTask, build_network
    from synthlift.vision.prediction import ClassifierFacts, save_classifier

    folder = tmp_path_factory.mktemp("model")
    found = descriptor("classifiers", "small_cnn")
    config = found.config()
    task = ImageTask((8, 8, 3), 2, (0.5,) * 3, (0.25,) * 3)
    network = build_network(found, config, task=task, seed=0, pretrained=False)
    facts = ClassifierFacts(
        kind=found.kind,
        config=config.model_dump(mode="json"),
        identity=found.identity(),
        classes=("a", "b"),
        image_shape=(8, 8, 3),
        mean=task.mean,
        std=task.std,
    )
    save_classifier(folder, network=network, facts=facts)
    return folder


def test_classify_a_file_that_is_no_image(model: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.png").write_text("these are notes")
    refused(cli("classify", model, tmp_path / "notes.png"), "notes.png", "not an image")


def test_classify_a_truncated_jpeg(model: Path, tmp_path: Path) -> None:
    path = tmp_path / "cut.jpg"
    pixels = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    path.write_bytes(path.read_bytes()[:900])
    refused(cli("classify", model, path), "cut.jpg", "truncated")


def test_classify_a_decompression_bomb(model: Path, tmp_path: Path) -> None:
    """30,000 × 30,000 grey pixels: refused from the header, in no time and no memory."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 0, 0, 0, 0)
    path = tmp_path / "bomb.png"
    data = zlib.compress(b"\0" * 30_001 * 100, 9)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    )
    began = time.monotonic()
    refused(cli("classify", model, path), "bomb.png", "too large", "50,000,000")
    assert time.monotonic() - began < 5


def test_classify_without_a_model(tmp_path: Path) -> None:
    refused(cli("classify", tmp_path, "x.png"), "holds no model")


# ── study files ───────────────────────────────────────────────────────────────────────────────


def test_an_unknown_key(tmp_path: Path) -> None:
    refused(cli("run", study(tmp_path, replicate=3), "--quiet"), "did you mean 'replicates'?")
    refused(cli("plan", "sklearn:digits", "--set", "training.stepps=3"), "'steps'")


def test_a_negative_multiple(tmp_path: Path) -> None:
    arms = ["real", {"kind": "mixed", "multiples": [-1]}]
    refused(cli("run", study(tmp_path, arms=arms), "--quiet"), "multiples", "greater than 0")


def test_a_misspelt_metric(tmp_path: Path) -> None:
    path = study(tmp_path, primary={"metric": "balanced_acuracy"})
    refused(cli("run", path, "--quiet"), "did you mean 'balanced_accuracy'?")


def test_a_study_file_that_is_no_yaml(tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    path.write_text("data: [unclosed\nname: x")
    refused(cli("run", path, "--quiet"), "no valid YAML", "line")
    path.write_bytes(bytes(range(256)))
    refused(cli("run", path, "--quiet"), "study.yaml")


# ── run folders ───────────────────────────────────────────────────────────────────────────────


def resolved(folder: Path, **facts: object) -> Path:
    folder.mkdir()
    content = {
        "run": {"format": 1, "key": "another", **facts},
        **Study(name="other").model_dump(mode="json"),
    }
    (folder / "study.yaml").write_text(yaml.safe_dump(content))
    return folder


def test_a_run_folder_of_a_newer_version(tmp_path: Path) -> None:
    folder = resolved(tmp_path / "run", format=99)
    for command in ("run", "status", "report"):
        refused(cli(command, folder), "newer Synthlift", "format 99")


def test_a_run_folder_of_another_study(tmp_path: Path) -> None:
    folder = resolved(tmp_path / "run")
    result = cli("run", study(tmp_path), "--out", folder, "--quiet", "--device", "cpu")
    refused(result, "another study ('other')", "--out")


def test_a_folder_with_other_files_is_no_place_for_a_run(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("mine")
    result = cli("run", study(tmp_path), "--out", tmp_path / "out", "--quiet", "--device", "cpu")
    refused(result, "is no run folder")
    assert (tmp_path / "out" / "thesis.tex").read_text() == "mine"


def test_a_device_that_is_not_there(tmp_path: Path) -> None:
    refused(cli("run", study(tmp_path), "--device", "gpu", "--quiet"), "device 'gpu'")


# ── time and space ────────────────────────────────────────────────────────────────────────────


def test_a_budget_too_small_for_one_replicate(tmp_path: Path) -> None:
    arguments = ("--budget", "1s", "--quiet", "--device", "cpu", "--out", tmp_path / "out")
    refused(cli("run", study(tmp_path), *arguments), "too small for one replicate", "--budget")


def test_a_budget_that_is_no_time(tmp_path: Path) -> None:
    refused(cli("run", study(tmp_path), "--budget", "soon"), "budget")


def test_a_full_disk_is_no_mistake_of_the_user(tmp_path: Path) -> None:
    """A store on a tiny file system of its own; exit 1, and how to go on."""
    path, store = study(tmp_path), tmp_path / "small-disk"
    store.mkdir()
    script = f'mount -t tmpfs -o size=16m tmpfs {store} && exec "$@"'
    run = [*COMMAND, "run", str(path), "--store", str(store), "--out", str(tmp_path / "out")]
    isolated = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    try:
        subprocess.run(
            [*isolated, f"mount -t tmpfs tmpfs {store}"], check=True, capture_output=True
        )
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this system does not let a test mount a small file system")
    done = subprocess.run([*isolated, script, "sh", *run], capture_output=True, text=True)
    said = " ".join(done.stderr.split())
    assert done.returncode == 1, done.stderr
    assert "is full" in said
    assert "Nothing finished is lost" in said
    assert "Go on with: synthlift run" in said
    assert "Traceback" not in said


def test_ctrl_c_says_how_to_go_on(tmp_path: Path) -> None:
    path = study(
        tmp_path,
        name="stopped",
        generators=[{"kind": "flow", "steps": 100_000}],
        arms=["real", {"kind": "mixed", "recipes": ["plain"]}],
        training={"steps": 5, "flip": "no"},
        replicates=1,
        generator_fits=1,
    )
    out, store = tmp_path / "out", tmp_path / "store"
    options = ["--out", str(out), "--store", str(store), "--device", "cpu", "--workers", "1"]
    process = subprocess.Popen(
        [*COMMAND, "run", str(path), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    end = time.monotonic() + 120
    while not list(store.glob("work/fit-*/progress.json")) and time.monotonic() < end:
        time.sleep(0.1)
    assert cli("status", out).stdout.splitlines()[0].startswith(f"{out}: running (pid ")
    os.killpg(process.pid, signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr
    assert stdout == ""
    first = stderr.splitlines()[0]
    assert first == f"Copies of images lie in {store} and {out}; device: cpu"
    assert stderr.splitlines()[-1] == f"  synthlift run {out}"
    assert "Traceback" not in stderr
    said = cli("status", out).stdout
    assert "interrupted" in said
    assert f"synthlift run {out}" in said


def test_stop_ends_a_run_that_can_be_gone_on_with(tmp_path: Path) -> None:
    path = study(
        tmp_path,
        generators=[{"kind": "flow", "steps": 100_000}],
        arms=["real", {"kind": "mixed", "recipes": ["plain"]}],
        training={"steps": 5, "flip": "no"},
        replicates=1,
        generator_fits=1,
    )
    out, store = tmp_path / "out", tmp_path / "store"
    options = ["--out", str(out), "--store", str(store), "--device", "cpu", "--workers", "1"]
    process = subprocess.Popen([*COMMAND, "run", str(path), *options, "--quiet"])
    end = time.monotonic() + 120
    while not list(store.glob("work/fit-*/progress.json")) and time.monotonic() < end:
        time.sleep(0.1)
    result = cli("stop", out)
    assert result.exit_code == 0, result.stderr
    assert "Stopped; everything finished is kept." in result.stdout
    assert f"synthlift run {out}" in result.stdout
    assert process.wait(timeout=60) == 130
