"""Studies whose synthetic images go where the model on real images errs."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner

from synthlift import api
from synthlift.cli import app
from synthlift.errors import InputError
from synthlift.spec.study import Study
from synthlift.spec.targets import Cell
from synthlift.store import Store
from synthlift.study.stages.errors import hard_rows, read_errors, shrunk_errors
from tests.e2e.tiny import Ran, comparable, draw_folder, home_of, run, study_of

ERROR, HARD = "targeted-validation_error@1", "targeted-hard_cases@0.5"
ARMS: list[Any] = [
    "real",
    {"kind": "targeted", "target": "validation_error", "recipes": ["plain"]},
    {"kind": "targeted", "target": "hard_cases", "multiples": [0.5], "recipes": ["plain"]},
]
DIGITS = {
    "source": "sklearn:digits",
    "split": {"design": "redrawn", "draws": 2, "per_class": 12, "validation": 0.25},
}


def digits_study(**changes: Any) -> Study:
    settings: dict[str, Any] = {"data": DIGITS, "arms": ARMS, "curation": [], **changes}
    return study_of("sklearn:digits", **settings)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def ran(home: Path) -> Ran:
    return run(digits_study(), home=home, out="digits")


def decisions(ran: Ran) -> dict[str, Any]:
    return {one["name"]: one["value"] for one in ran.results["decisions"]}


def measured(ran: Ran, home: Path, draw: int) -> Any:
    store = Store(home / "store")
    keys = [k for k in ran.computed("errors") if store.open(k).record["config"]["draw"] == draw]
    found = {store.open(key).record["config"]["part"]: store.open(key) for key in keys}
    assert found.keys() == {"train"}
    return read_errors(found["train"])


def test_images_are_spread_by_error_and_by_hard_cases(ran: Ran, home: Path) -> None:
    found = decisions(ran)
    assert found["target_errors"] == "out_of_fold"
    for draw in range(2):
        errors = measured(ran, home, draw)
        cells = [Cell(k) for k in range(10)]
        images = dict(zip(cells, np.bincount(errors.labels, minlength=10).tolist(), strict=True))
        wrong = np.bincount(errors.labels, errors.error, 10).tolist()
        rates = shrunk_errors(cells, images, dict(zip(cells, wrong, strict=True)))
        weights = found[f"validation_error_draw_{draw + 1}"]
        assert weights == pytest.approx({str(c.label): r for c, r in rates.items()}, abs=1e-6)
        hard = np.bincount(errors.labels[hard_rows(errors)], minlength=10)
        assert hard.sum() == -(-len(errors.ids) // 5)
        assert found[f"hard_cases_draw_{draw + 1}"] == {str(k): n for k, n in enumerate(hard)}


def test_every_training_image_is_measured_by_models_that_never_saw_it(ran: Ran, home: Path) -> None:
    split = pd.read_csv(ran.folder / "splits.csv")
    for draw in range(2):
        train = split[(split["draw"] == draw) & (split["part"] == "train")]
        assert set(measured(ran, home, draw).ids) == set(train["id"])


def test_arms_train_on_the_share_of_their_class(ran: Ran) -> None:
    arms = {arm["name"]: arm for arm in ran.results["arms"]}
    found = decisions(ran)
    total = ran.results["counts"]["train"]
    for name, decision, multiple in ((ERROR, "validation_error", 1), (HARD, "hard_cases", 0.5)):
        made = arms[name]["synthetic"]
        assert sum(made.values()) == pytest.approx(multiple * total, abs=5)
        for label, count in made.items():
            shares = [found[f"{decision}_draw_{d}"] for d in (1, 2)]
            share = np.mean([one[label] / sum(one.values()) for one in shares])
            assert count == pytest.approx(multiple * total * share, abs=1.01)


def test_an_export_holds_what_the_arm_was_trained_on(ran: Ran, home: Path) -> None:
    with home_of(home):
        data = api.load(ran.folder).dataset(HARD)
    made = pd.Series([i.label for i in data.images if i.origin == "synthetic"]).value_counts()
    hard = decisions(ran)["hard_cases_draw_1"]
    assert set(made.index.astype(str)) == {label for label, count in hard.items() if count}


def test_the_report_names_the_targets(ran: Ran) -> None:
    text = (ran.folder / "report.html").read_text()
    assert "targeted by the error of the model on real images" in text
    assert "targeted by hard cases" in text
    assert "highest loss out of fold" in text


def test_nothing_depends_on_the_number_of_workers(ran: Ran, tmp_path: Path) -> None:
    again = run(digits_study(), home=tmp_path, workers=2)
    assert comparable(again.results, again.folder) == comparable(ran.results, ran.folder)


def test_where_validation_is_large_errors_are_measured_on_it(home: Path) -> None:
    source = str(draw_folder(home / "large", per_class=130))
    data = {"source": source, "split": {"design": "fixed", "validation": 0.2}}
    ran = run(digits_study(data=data, arms=ARMS[:2]), home=home, out="large-run")
    found = decisions(ran)
    assert found["target_errors"] == "validation"
    store = Store(home / "store")
    (key,) = ran.computed("errors")
    split = pd.read_csv(ran.folder / "splits.csv")
    held_out = set(split[split["part"] == "validation"]["id"])
    assert set(read_errors(store.open(key)).ids) == held_out
    # The models that are asked are those of the arm 'real': nothing is trained for it alone.
    assert len(ran.computed("model")) == 2 * 2 + len(ran.computed("fit")) / 2


def test_folds_that_choose_and_the_final_model_measure_for_themselves(home: Path) -> None:
    split = {"design": "cross_validated", "folds": 2, "repeats": 1, "validation": 0.25}
    source = draw_folder(home / "drawn", per_class=24)
    study = study_of(
        source,
        data={"source": str(source), "split": split},
        arms=ARMS,
        curation=[],
        replicates=2,
        selection="cross_selection",
        primary={"generative": HARD},
    )
    ran = run(study, home=home, out="crossed")
    assert {"hard_cases_fold_1", "hard_cases_fold_2"} <= decisions(ran).keys()
    # What is measured to choose, inside the training sets, is no decision of the study's.
    assert sum(name.startswith("hard_cases") for name in decisions(ran)) == 2


def test_a_decision_brought_along_is_followed_or_refused(tmp_path: Path) -> None:
    source = draw_folder(tmp_path / "drawn", per_class=16)
    study = study_of(source, arms=ARMS[:2], curation=[], replicates=1, generator_fits=1)
    preset = {"validation_error": {"value": {"bars": 3.0, "disc": 1.0}, "reason": "so I say"}}
    ran = run(study, home=tmp_path / "home", preset=preset)
    made = next(a["synthetic"] for a in ran.results["arms"] if a["name"] == ERROR)
    assert made["ramp"] == 0
    assert made["bars"] == pytest.approx(3 * made["disc"], abs=2)
    preset["validation_error"]["value"] = {"cat": 1.0}
    with pytest.raises(InputError, match="no weight for any cell"):
        run(study, home=tmp_path / "other", preset=preset)


def test_hard_images_are_what_objects_are_cut_out_of(home: Path, tmp_path: Path) -> None:
    source = draw_folder(tmp_path / "drawn")
    masks = tmp_path / "masks"
    for path in sorted(source.glob("*/*.png")):
        mask = np.zeros((8, 8), np.uint8)
        if path.parent.name != "ramp":
            mask[2:6, 3:6] = 255
        (masks / path.parent.name).mkdir(parents=True, exist_ok=True)
        Image.fromarray(mask).save(masks / path.parent.name / path.name)
    with (source / "tones.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["file", "tone"])
        for row, path in enumerate(sorted(source.glob("*/*.png"))):
            writer.writerow([path.name, "dark" if row % 3 == 0 else "light"])
    study = study_of(
        source,
        data={
            "source": str(source),
            "masks": str(masks),
            "split": {"design": "fixed", "validation": 0.25},
        },
        generators=[{"kind": "cut_paste", "backgrounds": ["ramp"]}],
        arms=[*ARMS[:1], ARMS[2], {"kind": "mixed", "recipes": ["plain"]}],
        curation=[],
        replicates=1,
        generator_fits=1,
    )
    ran = run(study, home=home, out="pasted")
    store = Store(home / "store")
    (key,) = ran.computed("errors")
    errors = read_errors(store.open(key))
    hard = set(errors.ids[hard_rows(errors)].tolist())
    table = pd.read_parquet(ran.folder / "verdicts.parquet")
    aimed = table[table["attributes"].str.contains("hard_cases")]
    assert len(aimed)
    assert set(aimed["made_from"].str.partition(" on ")[0]) <= hard
    others = table[~table["attributes"].str.contains("hard_cases")]
    assert set(others["made_from"].str.partition(" on ")[0]) - hard
    split = pd.read_csv(ran.folder / "splits.csv")
    held_out = set(split[split["part"] != "train"]["id"])
    assert not held_out & set(table["made_from"].str.split(" on ").explode())
    with home_of(home):
        data = api.load(ran.folder).dataset(HARD)
    made = [one for one in data.images if one.origin == "synthetic"]
    assert made
    assert {one.made_from.partition(" on ")[0] for one in made} <= hard


@pytest.mark.parametrize(
    ("target", "says"),
    [("{by: hard_case}", "hard_cases"), ("validation_eror", "validation_error")],
)
def test_a_misspelt_target_is_refused(target: str, says: str, tmp_path: Path) -> None:
    file = tmp_path / "study.yaml"
    file.write_text(f"arms: [real, {{kind: targeted, target: {target}}}]")
    found = CliRunner().invoke(app, ["plan", str(file)])
    assert found.exit_code == 2
    assert says in found.stderr


def test_the_name_of_sources_is_taken(tmp_path: Path) -> None:
    source = draw_folder(tmp_path / "drawn", per_class=12)
    with (source / "table.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["file", "sources"])
        writer.writerows([path.name, "yes"] for path in sorted(source.glob("*/*.png")))
    data = {
        "source": str(source),
        "metadata": str(source / "table.csv"),
        "attributes": ["sources"],
    }
    aim = {"kind": "targeted", "target": {"by": "hard_cases", "cells": ["label", "sources"]}}
    with pytest.raises(InputError, match="called 'sources'"):
        run(study_of(source, data=data, arms=["real", aim]), home=tmp_path / "home")
