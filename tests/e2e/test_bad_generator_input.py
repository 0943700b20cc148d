"""What a generator cannot work with ends with a clear error and exit code 2, and no images."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image

from synthlift.spec.study import Study
from tests.e2e.every_generator import study_with
from tests.e2e.test_bad_input import cli, refused
from tests.e2e.tiny import home_of

QUICK: Mapping[str, Any] = {"steps": 2, "readings": 0}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


def generate(study: Study, *arguments: str, home: Path, out: Path) -> Any:
    """``synthlift generate`` on a study file: its generator is fitted first."""
    file = out.parent / "study.yaml"
    file.write_text(yaml.safe_dump(study.model_dump(mode="json")))
    with home_of(home) as store:
        common = ("--out", out, "--store", store, "--workers", "1", "--per-class", "2", "--quiet")
        return cli("generate", file, *common, *arguments)


def without_marks(folder: Path) -> None:
    for path in folder.glob("*/*.png"):
        Image.new("L", (8, 8)).save(path)


def without_images(folder: Path) -> None:
    for path in folder.glob("*/*.png"):
        path.unlink()


@pytest.mark.parametrize(
    ("kind", "changes", "words"),
    [
        ("flow", {**QUICK, "attributes": ["tnoe"]}, ("attribute 'tnoe'", "data.attributes")),
        ("cut_paste", {"backgrounds": ["rmap"]}, ("class 'rmap' – did you mean 'ramp'",)),
        ("pool", {"classes": {"disc": "dsic"}}, ("'dsic'", "disc")),
        ("pool", {"attributes": ["tnoe"]}, ("'tnoe'", "theirs")),
    ],
    ids=str,
)
def test_names_that_do_not_exist(
    kind: str,
    changes: dict[str, Any],
    words: tuple[str, ...],
    place: Path,
    home: Path,
    tmp_path: Path,
) -> None:
    out = tmp_path / "out"
    refused(generate(study_with(kind, place, **changes), home=home, out=out), *words)
    assert not out.exists()


def test_a_class_and_an_attribute_that_were_not_learnt(
    place: Path, home: Path, tmp_path: Path
) -> None:
    study, out = study_with("flow", place, **QUICK), tmp_path / "out"
    absent = generate(study, "--class", "dsic", home=home, out=out)
    refused(absent, "no class 'dsic' – did you mean 'disc'?", "bars, disc, ramp")
    asked = generate(study, "--attribute", "tnoe=dark", home=home, out=out)
    refused(asked, "attribute 'tnoe'", "data.attributes")
    assert not out.exists()


def table_of(folder: Path) -> Path:
    """A table of the images below a folder: each one's tone, and a number of its own."""
    rows = [
        f"{path.relative_to(folder)},{'dark' if number % 2 else 'light'},{number}"
        for number, path in enumerate(sorted(folder.glob("*/*.png")))
    ]
    table = folder.parent / "theirs.csv"
    table.write_text("\n".join(["path,tone,number", *rows]))
    return table


def test_what_a_pool_cannot_be_asked_for_is_said_of_the_pool(
    place: Path, home: Path, tmp_path: Path
) -> None:
    out, said = tmp_path / "out", "the images of the pool of generator 'pool' cannot be asked for"
    plain = generate(study_with("pool", place), "--attribute", "tone=dark", home=home, out=out)
    told = "under generator 'pool': metadata: TABLE.csv, attributes: [tone]"
    refused(plain, f"{said} by tone", "is a folder without a table", told)
    study = study_with("pool", place, metadata=str(table_of(place / "theirs")))
    for name, why in (("tnoe", "tone"), ("number", "450 values for 450 images")):
        asked = generate(study, "--attribute", f"{name}=1", home=home, out=out)
        refused(asked, f"{said} by {name}", why, f"'pool': attributes: [{name}]")
    absent = generate(study, "--attribute", "tone=dim", home=home, out=out)
    refused(absent, "wants tone = 'dim'", "dark, light")
    assert not out.exists()


def test_a_pool_is_asked_for_by_a_column_that_the_study_does_not_name(
    place: Path, home: Path, tmp_path: Path
) -> None:
    table, out = table_of(place / "theirs"), tmp_path / "out"
    study = study_with("pool", place, metadata=str(table))
    made = generate(study, "--attribute", "tone=dark", home=home, out=out)
    assert made.exit_code == 0, made.output
    tones = dict(line.split(",")[:2] for line in table.read_text().splitlines())
    with (out / "provenance.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 6
    assert {tones[row["made_from"]] for row in rows} == {"dark"}


@pytest.mark.parametrize(
    ("kind", "folder", "spoil", "words"),
    [
        ("cut_paste", "masks", without_marks, ("no mask of a training image shows an object",)),
        ("translation", "masks", without_marks, ("no mask of a training image marks anything",)),
        ("pool", "theirs", without_images, ("theirs",)),
        ("translation", "theirs", without_images, ("theirs",)),
    ],
    ids=["cut_paste without foreground", "translation of empty masks", "pool", "translation"],
)
def test_nothing_to_make_images_of(
    kind: str,
    folder: str,
    spoil: Callable[[Path], None],
    words: tuple[str, ...],
    home: Path,
    tmp_path: Path,
) -> None:
    data, out = tmp_path / "data", tmp_path / "out"
    study = study_with(kind, data, **(QUICK if kind == "translation" else {}))
    if (kind, folder) == ("translation", "masks"):
        content = study_with("cut_paste", data).model_dump(mode="json")
        content["generators"] = [{"kind": "translation", "source": "masks", **QUICK}]
        study = Study.model_validate(content)
    spoil(data / folder)
    refused(generate(study, home=home, out=out), *words)
    assert not out.exists()


def test_a_size_that_a_pipeline_cannot_draw(
    place: Path, home: Path, tiny_pipeline: Path, tmp_path: Path
) -> None:
    study = study_with("text_to_image", place, pipeline=tiny_pipeline, size=20)
    out = tmp_path / "out"
    refused(generate(study, home=home, out=out), "size", "multiple of 8")
    assert not out.exists()
