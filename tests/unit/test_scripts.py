"""The project's own tools: bootstrap, checks, generated reference."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from synthlift.registry import available
from synthlift.spec.meanings import meanings
from synthlift.spec.study import Study

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ("sh", "sed", "cat", "cksum", "dirname", "rm", "mkdir")


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # where dataclasses look for it
    spec.loader.exec_module(module)
    return module


# ── bootstrap ─────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """What bootstrap needs of the repository, and a PATH without any Python."""
    for name in ("scripts", "requirements"):
        shutil.copytree(ROOT / name, tmp_path / name)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "bin").mkdir()
    for tool in TOOLS:
        found = shutil.which(tool)
        assert found is not None
        (tmp_path / "bin" / tool).symlink_to(found)
    return tmp_path


def bootstrap(clone: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", "scripts/bootstrap.sh", *arguments],
        cwd=clone,
        env={"PATH": str(clone / "bin"), "HOME": str(clone), **environment},
        capture_output=True,
        text=True,
    )


def add_python(clone: Path, version: str, body: str) -> None:
    """A stand-in interpreter: answers the question for its version, else runs ``body``."""
    path = clone / "bin" / f"python{version}"
    path.write_text(f'#!/bin/sh\ncase "$*" in *version_info*) exit 0 ;; esac\n{body}\n')
    path.chmod(0o755)


def test_without_a_python_it_says_what_to_install(clone: Path) -> None:
    done = bootstrap(clone, "run")
    assert done.returncode == 2
    assert "No Python >= 3.11 was found" in done.stderr
    assert "apt install python3 python3-venv" in done.stderr
    assert done.stdout == ""


def test_a_python_that_was_named_but_does_not_work_is_not_replaced_by_another(clone: Path) -> None:
    add_python(clone, "3.12", "exit 1")
    done = bootstrap(clone, "run", PYTHON="false")
    assert done.returncode == 2
    assert "PYTHON='false' is no working Python >= 3.11" in done.stderr


def test_without_venv_and_pip_it_says_what_to_do(clone: Path) -> None:
    add_python(clone, "3.12", 'echo "No module named $2" >&2; exit 1')
    done = bootstrap(clone, "dev")
    assert done.returncode == 1
    assert "apt install python3-venv" in done.stderr
    assert "No module named pip" in (clone / ".tools" / "uv.log").read_text()
    assert not (clone / ".tools" / "uv").exists()


def test_an_old_uv_is_not_used_and_a_new_one_is(clone: Path) -> None:
    add_python(clone, "3.12", "exit 1")
    for name, version, usable in (
        ("old", "0.8.99", False),
        ("new", "0.9.0", True),
        ("far", "1.2.3", True),
    ):
        uv = clone / "bin" / "uv"
        uv.write_text(f"#!/bin/sh\necho 'uv {version} ({name})'\n")
        uv.chmod(0o755)
        done = bootstrap(clone, "uv")
        assert (done.returncode == 0) == usable, done.stderr
        assert done.stdout.strip() == ("uv" if usable else "")


def test_a_current_environment_is_left_alone_and_a_changed_pin_is_not(clone: Path) -> None:
    """A stand-in uv writes down what it is asked to do."""
    add_python(clone, "3.12", "exit 1")
    uv = clone / "bin" / "uv"
    uv.write_text(
        "#!/bin/sh\n"
        f'[ "$1" = --version ] && {{ echo "uv 0.9.1"; exit; }}\necho "$*" >>{clone}/asked\n'
        f'[ "$1" = venv ] && mkdir -p .venv/bin && cat {clone}/bin/python3.12 >.venv/bin/python'
        " && chmod 755 .venv/bin/python\nexit 0\n"
    )
    uv.chmod(0o755)
    (clone / "bin" / "chmod").symlink_to(shutil.which("chmod") or "")

    def asked() -> int:
        path = clone / "asked"
        return len(path.read_text().splitlines()) if path.exists() else 0

    assert bootstrap(clone, "dev").returncode == 0
    assert asked() == 3  # venv, sync, install
    assert "--require-hashes" in (clone / "asked").read_text()
    for wanted in ("dev", "run"):  # what develops can also run
        assert bootstrap(clone, wanted).returncode == 0
    assert asked() == 3
    with (clone / "requirements" / "dev.txt").open("a") as stream:
        stream.write("# changed\n")
    assert bootstrap(clone, "dev").returncode == 0
    assert asked() == 5  # sync, install
    moved = clone.with_name("moved")
    moved.mkdir()
    for name in (".venv", "scripts", "requirements", "pyproject.toml"):
        shutil.move(clone / name, moved / name)
    shutil.copytree(clone / "bin", moved / "bin", symlinks=True)
    assert bootstrap(moved, "dev").returncode == 0
    assert asked() == 8  # a moved environment names interpreters that are gone


# ── checks ────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    git = shutil.which("git")
    if git is None:
        pytest.skip("git is not installed")
    subprocess.run([git, "init", "-q", str(tmp_path)], check=True)
    checks = script("check_files")
    monkeypatch.setattr(checks, "ROOT", tmp_path)
    return checks


def test_long_files_unfinished_work_and_indexes_are_found(repository: Any, tmp_path: Path) -> None:
    (tmp_path / "fine.py").write_text("x = 1\n" * 400)
    (tmp_path / "photo.jpg").write_bytes(b"\xff\xd8")
    assert repository.main() == 0
    (tmp_path / "long.py").write_text("x = 1\n" * 401)
    (tmp_path / "later.md").write_text("fine\nTO" + "DO: write this\n")
    (tmp_path / "index.toml").write_text("a = 1\n--index-" + "url=somewhere\n")
    found = [text for path in repository.repository_files() for text in repository.complaints(path)]
    assert [text.split(": ")[0] for text in sorted(found)] == [
        "index.toml:2",
        "later.md:2",
        "long.py",
    ]
    assert repository.main() == 1


def test_pins_that_do_not_belong_to_the_project_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pins = script("check_pins")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    shutil.copytree(ROOT / "requirements", tmp_path / "requirements")
    monkeypatch.setattr(pins, "ROOT", tmp_path)
    assert pins.complaints() == []
    run = tmp_path / "requirements" / "run.txt"
    text = run.read_text()
    run.write_text(text.replace("\nnumpy==", "\nnumpy==0."))
    assert any("numpy" in line and "make lock" in line for line in pins.complaints())
    run.write_text(text)
    project = tmp_path / "pyproject.toml"
    project.write_text(project.read_text().replace('"numpy>=2.0"', '"numpy>=2.1"'))
    assert [line.split(" is older")[0] for line in pins.complaints()] == list(pins.PINS)


def test_every_pin_has_hashes_and_no_address() -> None:
    for name in ("run.txt", "dev.txt"):
        text = (ROOT / "requirements" / name).read_text()
        entries = text.split("\n", 1)[1].replace(" \\\n    --hash", " --hash").splitlines()
        assert len(entries) > 50
        assert all("--hash=sha256:" in entry for entry in entries)
        assert "://" not in text


# ── the generated reference ───────────────────────────────────────────────────────────────────


def test_the_reference_names_every_key_component_and_command() -> None:
    reference = script("make_reference")
    text = reference.study_page()
    for _, model in reference.sections(Study):
        assert set(meanings(model)) == set(model.model_fields), (
            f"{model.__name__}: say what they mean"
        )
        assert all(f"| `{name}` |" in text for name in model.model_fields)
    groups: tuple[Any, ...] = ("generators", "filters", "classifiers")
    for group in groups:
        for kind, found in available(group).items():
            assert f"### `{kind}`" in text
            assert set(meanings(found.config)) == set(found.config.model_fields), kind
    commands = reference.command_page()
    assert "## `synthlift run SOURCE`" in commands
    assert "`--budget TIME`" in commands


def test_pages_are_the_same_whatever_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    reference = script("make_reference")
    wide = reference.command_page()
    monkeypatch.setitem(os.environ, "COLUMNS", "40")
    assert reference.command_page() == wide


# ── digits for every generator ────────────────────────────────────────────────────────────────


def test_digits_on_paper_are_in_one_place_each_and_masks_are_their_ink() -> None:
    tool = script("paper_digits")
    found = dict(tool.pictures())
    assert list(found) == [file for file, _ in tool.pictures()]
    rows: dict[str, set[str]] = {}
    for file in found:
        part, label, name = file.split("/")
        if part != "masks" and label != tool.PAPER:
            rows.setdefault(part, set()).add(name)
    assert sorted(map(len, rows.values())) == [449, 450, 898]
    assert len(set.union(*rows.values())) == 1797
    shown = {file: image for file, image in found.items() if file.startswith("images/")}
    assert len(shown) == 898 + tool.SHEETS["images"]
    assert len({image.tobytes() for image in shown.values()}) == len(shown)
    for file, image in shown.items():
        mask = found.get(file.replace("images/", "masks/"))
        if f"/{tool.PAPER}/" in file:
            assert mask is None
            assert image.max() < 6 * tool.GRAIN
            continue
        assert mask is not None
        assert set(mask.ravel().tolist()) == {0, 255}
        assert image[mask == 255].min() >= tool.INK > image[mask == 0].mean()
        assert 6 <= (mask == 255).sum() <= 48, file


# ── container ─────────────────────────────────────────────────────────────────────────────────


def test_the_dockerfile_is_understood_and_runs_as_an_ordinary_user() -> None:
    tried = script("try_container")
    first, last = tried.read_dockerfile((ROOT / "Dockerfile").read_text())
    assert (first.name, last.name) == ("build", "")
    known = {name for name in dir(tried.Builder) if name.startswith("_")}
    steps = [*first.steps, *last.steps]
    assert {f"_{word.lower()}" for word, _ in steps} <= known
    words = dict(last.steps)
    assert words["USER"].split(":")[0] == "10001"
    assert words["VOLUME"] == "/data"
    assert "healthz" in words["HEALTHCHECK"]
    targets, command = tried.mounts_of(
        next(rest for _, rest in first.steps if "without_cuda" in rest and "--mount" in rest)
    )
    assert targets == ["/cache"]
    assert command.startswith("uv venv")
    copied = {rest.split()[0] for word, rest in steps if word == "COPY" and "--from" not in rest}
    allowed = (ROOT / ".dockerignore").read_text().split()
    assert {f"!{name}" for name in copied} <= set(allowed)


def test_with_a_gpu_the_same_is_served_on_another_device() -> None:
    tried = script("try_container")
    _, last = tried.read_dockerfile((ROOT / "Dockerfile").read_text())
    usual = json.loads(next(rest for word, rest in last.steps if word == "CMD"))
    plain, gpu = (
        yaml.safe_load((ROOT / name).read_text())["services"]["synthlift"]
        for name in ("compose.yaml", "compose.gpu.yaml")
    )
    assert "command" not in plain
    assert gpu["command"] == [*usual, "--device", "cuda:0"]
    (device,) = gpu["deploy"]["resources"]["reservations"]["devices"]
    assert device["capabilities"] == ["gpu"]


def test_requirements_without_cuda_leave_nothing_else_out() -> None:
    tool = script("without_cuda")
    blocks = tool.blocks((ROOT / "requirements" / "run.txt").read_text())
    names = {tool.name_of(block) for block in blocks} - {""}
    kept = {name for name in names if not tool._CUDA.fullmatch(name)}
    assert {"torch", "torchvision", "triton"} <= names - kept
    assert {"flask", "numpy", "timm", "transformers", "waitress"} <= kept
    assert all("--hash=sha256:" in block for block in blocks if tool.name_of(block))
