"""Studies whose images are translated: from another look, by name, and from masks."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner

from synthlift import api
from synthlift.cli import app
from synthlift.spec.study import Study
from tests.e2e.tiny import Ran, draw_folder, home_of, run, study_of

SHORT = {"kind": "translation", "steps": 4, "batch_size": 4, "width": 8, "readings": 2}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_folder(tmp_path_factory.mktemp("drawn"))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def negatives(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Negatives of all images, under the same names in folders called otherwise, and of others."""
    folder = tmp_path_factory.mktemp("negatives")
    more = draw_folder(tmp_path_factory.mktemp("more"), per_class=20, seed=50)
    for place, prefix in ((source, ""), (more, "new_")):
        for path in sorted(place.glob("*/*.png")):
            target = folder / f"negative {path.parent.name}" / f"{prefix}{path.name}"
            target.parent.mkdir(exist_ok=True)
            Image.fromarray(255 - np.asarray(Image.open(path))).save(target)
    return folder


def translated(ours: Path, negatives: Path, **changes: Any) -> Study:
    classes = {f"negative {name}": name for name in ("bars", "disc", "ramp")}
    generator = {**SHORT, "source": str(negatives), "classes": classes, **changes}
    return study_of(ours, generators=[generator], curation=[])


def told(ran: Ran) -> pd.DataFrame:
    table = pd.read_parquet(ran.folder / "verdicts.parquet")
    return table[table["fit"] == 0]


def test_another_look_becomes_a_generator(source: Path, negatives: Path, home: Path) -> None:
    ran = run(translated(source, negatives), home=home, out="unpaired")
    found = told(ran)
    assert set(found["label"]) == {"bars", "disc", "ramp"}
    for label, names in found.groupby("label")["made_from"]:
        assert names.str.startswith(f"negative {label}/").all()
        assert names.is_unique
    (generator,) = ran.results["generators"]
    assert generator["kind"] == "translation"
    curves = {name for point in generator["history"] for name in point}
    assert {"contrastive_loss", "diversity", "copying_ratio"} <= curves
    assert generator["pairs"] == {}
    again = run(translated(source, negatives), home=home, out="again")
    assert not again.computed()


def test_its_speed_is_measured_before_a_run(source: Path, negatives: Path, tmp_path: Path) -> None:
    file = tmp_path / "study.yaml"
    study = translated(source, negatives, pairing="name")
    file.write_text(json.dumps(study.model_dump(mode="json")))
    with home_of(tmp_path) as store:
        ended = CliRunner().invoke(app, ["plan", str(file), "--store", str(store)])
    assert ended.exit_code == 0, ended.output
    assert "4 (generator translation)" in ended.output.replace("\n", " ")


def test_pairs_by_name_leave_out_what_is_judged(source: Path, negatives: Path, home: Path) -> None:
    ran = run(translated(source, negatives, pairing="name"), home=home, out="paired")
    split = pd.read_csv(ran.folder / "splits.csv")
    ours = {part: {Path(name).name for name in rows["id"]} for part, rows in split.groupby("part")}
    used = {Path(name).name for name in told(ran)["made_from"]}
    assert not used & (ours["test"] | ours["validation"])
    assert used & ours["train"]
    assert any(name.startswith("new_") for name in used)
    pairs = ran.results["generators"][0]["pairs"]
    assert pairs["training"] == len(ours["train"])
    assert pairs["validation"] == len(ours["validation"])
    assert -1 <= pairs["ssim"] <= 1
    page = (ran.folder / "report.html").read_text()
    assert "pairs held out" in page
    assert "Structural similarity on validation pairs" in page
    assert negatives.name not in api.share_report(ran.folder).read_text()


def test_masks_become_images_beside_masks(source: Path, home: Path, tmp_path: Path) -> None:
    masks = tmp_path / "masks"
    for path in sorted(source.glob("*/*.png")):
        mask = (np.asarray(Image.open(path)) > 120).astype(np.uint8) * 255
        if path.parent.name == "ramp":
            mask[:] = 0
        (masks / path.parent.name).mkdir(parents=True, exist_ok=True)
        Image.fromarray(mask).save(masks / path.parent.name / path.name)
    data = {
        "source": str(source),
        "masks": str(masks),
        "split": {"design": "fixed", "validation": 0.25},
    }
    study = study_of(source, data=data, generators=[{**SHORT, "source": "masks"}], curation=[])
    ran = run(study, home=home, out="masks")
    assert set(told(ran)["label"]) == {"bars", "disc"}
    assert told(ran)["made_from"].str.match(r"mask of (bars|disc)/").all()
    assert ran.results["counts"]["fell_short"].keys() == {"ramp"}
    (generator,) = ran.results["generators"]
    assert generator["pairs"]["validation"] > 0
    assert any("'ramp': they get none" in words for words in generator["warnings"])
    found = api.generate(ran.folder, per_class=3, out=tmp_path / "out")
    assert found.counts == {"bars": 3, "disc": 3, "ramp": 0}
    drawn = sorted((tmp_path / "out" / "masks").glob("*/*.png"))
    assert len(drawn) == 6
    assert all(set(np.unique(np.asarray(Image.open(path)))) <= {0, 255} for path in drawn)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"source": "masks", "classes": {}}, "needs masks, and the data have none"),
        ({"classes": {}}, "negative bars"),
        ({"change": 0, "pairing": "name"}, "makes the same image again"),
        ({"pairing": "name", "source": "renamed"}, "pairing: name"),
        ({"source": "empty"}, "empty"),
    ],
    ids=["no masks", "unknown classes", "no change", "no pair", "empty source"],
)
def test_bad_input_ends_with_exit_code_2(
    changes: dict[str, Any], words: str, source: Path, negatives: Path, tmp_path: Path
) -> None:
    given = dict(changes)
    if given.get("source") == "renamed":
        given["source"] = str(tmp_path / "renamed")
        for path in sorted(negatives.glob("*/*.png")):
            target = tmp_path / "renamed" / path.parent.name / f"x{path.name}"
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)
    if given.get("source") == "empty":
        given["source"] = str(tmp_path / "empty")
        (tmp_path / "empty").mkdir()
    file = tmp_path / "study.yaml"
    file.write_text(json.dumps(translated(source, negatives, **given).model_dump(mode="json")))
    with home_of(tmp_path) as store:
        out = str(tmp_path / "out")
        command = ["run", str(file), "--out", out, "--store", str(store), "--workers", "1"]
        ended = CliRunner().invoke(app, [*command, "--quiet"])
    assert ended.exit_code == 2, ended.output
    assert words in ended.output
    assert not (tmp_path / "out" / "results.json").exists()
