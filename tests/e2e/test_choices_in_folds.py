"""With cross-validation every split chooses for itself, and no choice sees the fold's test."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from synthlift.api import classify, export
from synthlift.api.run_folder import load
from synthlift.store import Store
from synthlift.store.images import DataKeys, members
from tests.e2e.tiny import Ran, draw_folder, home_of, run, study_of

FOLDS = 2
RIVALS = ["real", "augmented"]
MIXED = ["mixed@0.5+rival", "mixed@1+rival"]
STAND_INS = ("best_rival", "best_generative")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_folder(tmp_path_factory.mktemp("drawn"))


def folds_of(source: Path, selection: str, **changes: Any) -> Any:
    split = {"design": "cross_validated", "folds": FOLDS, "repeats": 1, "validation": 0.4}
    mixed = {"kind": "mixed", "multiples": [0.5, 1], "recipes": ["best_rival"]}
    return study_of(
        source,
        data={"source": str(source), "split": split},
        arms=[*RIVALS, mixed],
        selection=selection,
        **changes,
    )


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def validated(source: Path, home: Path) -> Ran:
    return run(folds_of(source, "validation"), home=home, out="validated")


@pytest.fixture(scope="module")
def crossed(source: Path, home: Path) -> Ran:
    return run(folds_of(source, "cross_selection"), home=home, out="crossed")


def decisions(ran: Ran) -> dict[str, dict[str, Any]]:
    return {one["name"]: one for one in ran.results["decisions"]}


def table(ran: Ran) -> pd.DataFrame:
    return pd.read_parquet(ran.folder / "predictions.parquet")


def balanced(rows: pd.DataFrame) -> float:
    right = np.stack(rows["probabilities"].to_list()).argmax(axis=1) == rows["label"]
    return float(right.groupby(rows["label"]).mean().mean())


def test_each_fold_chooses_on_its_own_validation_images(validated: Ran) -> None:
    rows = table(validated)
    validation = rows[rows["evaluation_set"] == "validation"]
    for fold in range(FOLDS):
        mine = validation[validation["replicate"] == fold]
        scores = {arm: balanced(mine[mine["arm"] == arm]) for arm in RIVALS}
        chosen = decisions(validated)[f"best_rival_fold_{fold + 1}"]["value"]
        assert scores[chosen] == max(scores.values())
        assert decisions(validated)[f"primary_arm_fold_{fold + 1}"]["value"]["arm"] in MIXED
    assert not {"best_rival", "primary_arm", "augmentation"} & set(decisions(validated))


@pytest.mark.parametrize("how", ["validated", "crossed"])
def test_the_verdict_compares_what_each_fold_chose(how: str, request: Any) -> None:
    ran: Ran = request.getfixturevalue(how)
    verdict, taken, rows = ran.results["verdict"], decisions(ran), table(ran)
    assert (verdict["rival"], verdict["arm"]) == STAND_INS
    assert verdict["selected"]
    tests = rows[rows["evaluation_set"] == "test"]
    differences = []
    for fold in range(FOLDS):
        mine = tests[tests["replicate"] == fold]
        chosen = (
            taken[f"best_rival_fold_{fold + 1}"]["value"],
            taken[f"primary_arm_fold_{fold + 1}"]["value"]["arm"],
        )
        for stand_in, arm in zip(STAND_INS, chosen, strict=True):
            first, second = (
                np.stack(
                    mine[mine["arm"] == name].sort_values("image_id")["probabilities"].to_list()
                )
                for name in (stand_in, arm)
            )
            assert np.array_equal(first, second)
        rival, generative = (balanced(mine[mine["arm"] == arm]) for arm in chosen)
        differences.append(generative - rival)
    value = verdict["contrast"]["difference"]["value"]
    assert value == pytest.approx(np.mean(differences), abs=1e-9)
    assert any("Each fold chose its best rival for itself" in n for n in ran.results["notes"])
    assert not any(point["arm"] in STAND_INS[1:] for point in ran.results["curve"])


def test_recipes_follow_each_folds_own_rival(validated: Ran) -> None:
    by_name = {arm["name"]: arm for arm in validated.results["arms"]}
    for fold in range(FOLDS):
        rival = by_name["best_rival"]["folds"][fold]
        assert rival["arm"] == decisions(validated)[f"best_rival_fold_{fold + 1}"]["value"]
        assert by_name["mixed@1+rival"]["folds"][fold]["recipe"] == rival["recipe"]


def test_choosing_inside_never_meets_a_folds_test_images(crossed: Ran, home: Path) -> None:
    store = Store(home / "store")
    inside: dict[str, DataKeys] = {}
    outside: DataKeys | None = None
    for name, fields in crossed.events:
        if name == "stage_done" and fields["stage"] == "model":
            inputs = store.open(fields["key"]).record["inputs"]
            keys: DataKeys = {
                "inventory": inputs["inventory"],
                "pixels": inputs["pixels"],
                "split": inputs["split"],
            }
            function = store.open(keys["split"]).record["function"]
            if function.endswith("split_inside"):
                inside[keys["split"]] = keys
            elif not function.endswith("everything"):
                outside = keys
    assert outside is not None or inside
    (split,) = inside.values()
    whole = DataKeys(
        inventory=split["inventory"],
        pixels=split["pixels"],
        split=store.open(split["split"]).record["inputs"]["split"],
    )
    for fold in range(FOLDS):
        train, test = (set(members(store, whole, fold, part)) for part in ("train", "test"))
        for third in range(3):
            draw = 3 * fold + third
            used = [set(members(store, split, draw, part)) for part in ("train", "validation")]
            assert set.union(*used) == train
            assert not set.union(*used) & test


def test_an_arm_of_a_fold_is_exported_as_that_fold_trained_it(
    validated: Ran, home: Path, tmp_path: Path
) -> None:
    with home_of(home):
        opened = load(validated.folder)
        for fold in range(FOLDS):
            record = opened.arm("best_generative", replicate=fold)
            chosen = decisions(validated)[f"primary_arm_fold_{fold + 1}"]["value"]["arm"]
            assert record.name == chosen
            out = tmp_path / f"fold-{fold}"
            opened.export("best_generative", out=out, replicate=fold)
            made = list(out.glob("train/*/synthetic_*.png"))
            trained = next(a for a in validated.results["arms"] if a["name"] == chosen)
            assert len(made) == pytest.approx(sum(trained["synthetic"].values()), abs=3)


def test_the_exported_model_is_the_one_that_was_tested(
    crossed: Ran, source: Path, home: Path, tmp_path: Path
) -> None:
    """Not one of an inner fold, nor the last one, which was trained on this fold's test images."""
    rows = table(crossed)
    rows = rows[rows["evaluation_set"] == "test"]
    with home_of(home):
        for fold in range(FOLDS):
            for arm in RIVALS:
                out = tmp_path / f"{arm}-{fold}"
                made = export(crossed.folder, arm=arm, out=out, replicate=fold)
                assert made.model == f"the model of arm '{arm}', replicate {fold + 1}"
                said = rows[(rows["arm"] == arm) & (rows["replicate"] == fold)]
                answers = classify(out / "model", [source / name for name in said["image_id"]])
                found = [list(one.probabilities.values()) for one in answers]
                tested = np.stack(said["probabilities"].to_list())
                np.testing.assert_allclose(found, tested, atol=1e-5)


def test_without_its_store_an_arms_own_model_or_none_is_named(
    crossed: Ran, home: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(crossed.folder, folder)
    (folder / "artefacts.json").unlink()  # as earlier versions wrote it
    with home_of(home):
        made = export(folder, arm="real", out=tmp_path / "out", replicate=1)
    assert "the arm's own is no longer in the store" in made.model
    assert "trained on all images" in made.model


def test_an_arm_with_synthetic_images_is_refitted_with_them(source: Path, home: Path) -> None:
    pair = {"arm": "mixed@0.5+rival", "recommended": "mixed@0.5+rival"}
    preset = {
        f"primary_arm_fold_{fold + 1}": {"value": pair, "reason": "for this test"}
        for fold in range(FOLDS)
    }
    study = folds_of(source, "validation", curation=["exact_duplicates"])
    ran = run(study, home=home, out="refitted", preset=preset)
    (note,) = [n for n in ran.results["notes"] if "The model in 'model/'" in n]
    assert "arm 'mixed@0.5+rival', trained again on all 108 images and 5" in note
    fitted = [f["label"] for n, f in ran.events if n == "stage_done" and f["stage"] == "fit"]
    assert fitted[-1] == "fit class_gaussian, on all images"
    description = json.loads((ran.folder / "model" / "model.json").read_text())
    assert description["temperature"] != 1
    assert "folds" in description["temperature_note"]
    (found,) = load(ran.folder).classify([next(source.glob("*/*.png"))])
    assert 1 / 3 <= found.probability <= 1
