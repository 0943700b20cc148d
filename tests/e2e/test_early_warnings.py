"""What a generator's words lose, told where it can be mended: plan, preview, generate, log."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from synthlift.cli import app
from synthlift.spec.study import Study
from tests.e2e.tiny import Ran, draw_folder, home_of, read_log, run, study_of

LONG = "a {label} " + "in a wide green field with many small old trees behind it and " * 2 + "cows"
LOST = "longer than the text encoder reads"
COMPARED = "filter 'clip_score' compares images with the beginning of the prompt"
TWOFOLD = "'crane' means a bird as well as"


@pytest.fixture(scope="module")
def study(tiny_pipeline: Path, tiny_clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Study:
    words: dict[str, Any] = {"prompt": f"{LONG}, {{caption}}", "names": {"bars": "crane"}}
    words["synonyms"] = {"disc": ["ball"]}  # speed is measured beside words for classes, too
    quick = {"sampler_steps": 1, "micro_batch": 4}
    generator = {"kind": "text_to_image", "model": str(tiny_pipeline), **words, **quick}
    source = draw_folder(tmp_path_factory.mktemp("drawn") / "drawn", per_class=18)
    # So that each fit cuts other prompts.
    files = sorted(source.rglob("*.png"))
    rows = [f"{one.relative_to(source)},No {k % 9}" for k, one in enumerate(files)]
    table = source.with_name("captions.csv")
    table.write_text("\n".join(["path,caption", *rows]))
    split = {"design": "fixed", "validation": 0.25}
    told = {"metadata": str(table), "attributes": ["caption"], "split": split}
    few: dict[str, Any] = {
        "arms": ["real", {"kind": "mixed", "multiples": [1]}],
        "replicates": 1,
        "generator_fits": 1,
    }
    compared = {"kind": "clip_score", "text": "prompt"}
    few |= {"generators": [generator], "curation": ["exact_duplicates", compared], "plugins": []}
    few |= {"clip": str(tiny_clip)}
    return study_of(source, data={"source": str(source), **told}, **few)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


def said(command: str, study: Study, home: Path, *arguments: object, quiet: bool = True) -> Result:
    file = home / "study.yaml"
    file.write_text(yaml.safe_dump(study.model_dump(mode="json", exclude_unset=True)))
    with home_of(home) as store:
        given = [command, file, *arguments, "--store", store, "--device", "cpu"]
        given += ["--quiet"] if quiet else []
        done = CliRunner().invoke(app, [str(one) for one in given])
    assert done.exit_code == 0, done.output
    return done


def together(text: str) -> str:
    return " ".join(text.split())


def test_a_plan_tells_what_its_words_lose(study: Study, home: Path) -> None:
    told = together(said("plan", study, home).stdout)
    assert f"Warning: Generator 'text_to_image': {TWOFOLD}" in told
    assert LOST in told
    assert f"Warning: Generator 'text_to_image': {COMPARED}" in told


def test_a_preview_tells_it(study: Study, home: Path) -> None:
    asked = ("--within", "1s", "--per-class", 1, "--out", home / "sheet.png")
    told = said("preview", study, home, *asked).stdout
    assert f"Note: text_to_image: {TWOFOLD}" in told
    assert LOST in told


def test_images_made_by_a_study_come_with_it(study: Study, home: Path) -> None:
    done = said("generate", study, home, "--per-class", 1, "--out", home / "made", quiet=False)
    assert f"Note: {TWOFOLD}" in done.stdout
    assert "The generator was told the classes of 45 images (3 left out), and" in done.stdout
    assert LOST in done.stdout
    assert f"Warning: Generator 'text_to_image': {TWOFOLD}" in done.stderr, "once it is fitted"
    own = ("--prompt", "a crab", "--per-class", 1, "--out", home / "own")
    told = said("generate", study, home, *own).stdout
    assert "Note:" not in told, "words of one's own take the place of the study's"


@pytest.fixture(scope="module")
def ran(study: Study, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    return run(study, home=tmp_path_factory.mktemp("ran"))


def test_a_run_tells_it_before_anything_is_fitted(ran: Ran) -> None:
    events = read_log(ran.folder)
    told = [n for n, (name, fields) in enumerate(events) if name == "warning"]
    texts = [events[n][1]["text"] for n in told]
    assert sum(TWOFOLD in one for one in texts) == 1, "each is told once"
    assert sum(LOST in one for one in texts) == 3, "one a class"
    (fitted,) = (n for n, (_, fields) in enumerate(events) if fields.get("stage") == "fit")
    assert max(told) < fitted
    assert any(TWOFOLD in one for one in ran.results["generators"][0]["warnings"])
