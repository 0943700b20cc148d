"""Studies with an arm that retrieves real images from an unlabelled pool."""

from __future__ import annotations

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
from synthlift.testing.inputs import CLASSES, draw_images
from tests.e2e.tiny import Ran, comparable, draw_folder, home_of, run, study_of

ARMS: list[Any] = ["real", "augmented", {"kind": "retrieval", "multiples": [0.5, 2]}]
MIXED = {"kind": "mixed", "multiples": [0.5], "recipes": ["plain"]}


def digits_study() -> Study:
    split = {"design": "redrawn", "draws": 2, "labels_per_class": 8, "validation": 0.1}
    data = {"source": "sklearn:digits", "split": split}
    # Enough steps for features in which digits are told apart.
    training = {"steps": 60, "batch_size": 32, "flip": "no"}
    return study_of("digits", data=data, arms=[*ARMS, MIXED], training=training, curation=[])


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    return run(digits_study(), home=tmp_path_factory.mktemp("digits"))


def test_images_come_from_the_pool_once_and_mostly_of_their_class(digits: Ran) -> None:
    found = pd.read_csv(digits.folder / "retrieved.csv", dtype={"label": str})
    split = pd.read_csv(digits.folder / "splits.csv", dtype={"label": str})
    assert set(found["draw"]) == {0, 1}
    for draw, mine in found.groupby("draw"):
        own = split[split["draw"] == draw].set_index("id")
        assert mine["id"].is_unique
        assert set(own.loc[mine["id"], "part"]) == {"unlabelled"}
        assert mine.groupby("label").size().max() <= 2 * 8
        truth = own.loc[mine["id"], "label"].to_numpy()
        assert (truth == mine["label"].to_numpy()).mean() > 0.8
        for _, ranked in mine.groupby("label"):
            assert ranked["distance"].is_monotonic_increasing


def test_the_report_calls_them_retrieved_and_real(digits: Ran) -> None:
    arms = {arm["name"]: arm for arm in digits.results["arms"]}
    found = pd.read_csv(digits.folder / "retrieved.csv")
    for name in ("retrieval@0.5", "retrieval@2"):
        assert sum(arms[name]["synthetic"].values()) == 0
        assert arms[name]["role"] == "rival"
        assert arms[name]["recipe"]["retrieved"]
    further = sum(arms["retrieval@2"]["real"].values()) - sum(arms["real"]["real"].values())
    assert further == pytest.approx(len(found) / 2)
    half = sum(arms["retrieval@0.5"]["real"].values()) - sum(arms["real"]["real"].values())
    assert half == pytest.approx(40)
    told = [note for note in digits.results["notes"] if "retrieval@2" in note]
    assert len(told) == 1
    assert "not on synthetic ones" in told[0]
    assert "retrieved real images" in (digits.folder / "report.html").read_text()
    table = pd.read_parquet(digits.folder / "predictions.parquet")
    assert set(table[table["arm"] == "retrieval@2"]["multiple"]) == {0.0}


@pytest.mark.slow  # the same for error targets is in the quick tests
def test_nothing_depends_on_the_number_of_workers(digits: Ran, tmp_path: Path) -> None:
    again = run(digits_study(), home=tmp_path, workers=2)
    assert comparable(again.results, again.folder) == comparable(digits.results, digits.folder)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_folder(tmp_path_factory.mktemp("drawn"))


def write_pool(place: Path, source: Path, *, told: bool) -> Path:
    """Sixty images from elsewhere and all of ours; in folders of wrong classes where ``told``."""
    pixels, labels = draw_images(60, seed=77)
    for row, (image, label) in enumerate(zip(pixels, labels, strict=True)):
        folder = place / CLASSES[(label + 1) % 3] if told else place
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.asarray(image[:, :, 0])).save(folder / f"{row:03}.png")
    for path in sorted(source.glob("*/*.png")):
        (place / f"ours_{path.name}").write_bytes(path.read_bytes())
    return place


def pool_study(source: Path, pool: Path, **changes: Any) -> Study:
    data = {
        "source": str(source),
        "split": {"design": "fixed", "validation": 0.25},
        "unlabelled": [str(pool)],
    }
    return study_of(source, **{"data": data, "arms": [*ARMS, MIXED], "curation": [], **changes})


def test_labels_of_a_pool_are_not_read_nor_pictures_of_ours(source: Path, tmp_path: Path) -> None:
    tables = []
    for told in (False, True):
        pool = write_pool(tmp_path / f"pool-{told}", source, told=told)
        ran = run(pool_study(source, pool), home=tmp_path / "home", out=f"run-{told}")
        tables.append(pd.read_csv(ran.folder / "retrieved.csv"))
    for table in tables:
        assert len(table) > 20
        table["id"] = table["id"].str.rpartition("/")[2]
        assert not table["id"].str.startswith("ours_").any()
    pd.testing.assert_frame_equal(tables[0], tables[1])


def test_folds_choose_inside_and_the_final_model_retrieves_for_itself(
    source: Path, tmp_path: Path
) -> None:
    pool = write_pool(tmp_path / "pool", source, told=False)
    split = {"design": "cross_validated", "folds": 2, "repeats": 1, "validation": 0.25}
    data = {"source": str(source), "split": split, "unlabelled": [str(pool)]}
    study = pool_study(
        source,
        pool,
        data=data,
        arms=["real", {"kind": "retrieval"}, MIXED],
        selection="cross_selection",
        primary={"rival": "retrieval@1"},
    )
    ran = run(study, home=tmp_path / "home")
    (note,) = [n for n in ran.results["notes"] if n.startswith("The model in")]
    assert "retrieved ones" in note or "synthetic ones" in note
    with home_of(tmp_path / "home"), pytest.raises(InputError, match="unlabelled pool"):
        api.export(ran.folder, arm="retrieval@1", out=tmp_path / "out")


def test_few_labels_leave_a_pool_to_folds_that_choose_too(tmp_path: Path) -> None:
    split = {"design": "redrawn", "draws": 2, "labels_per_class": 6, "validation": 0.1}
    data = {"source": "sklearn:digits", "split": split}
    study = study_of(
        "digits",
        data=data,
        arms=["real", {"kind": "retrieval"}],
        selection="cross_selection",
        generators=[],
    )
    ran = run(study, home=tmp_path)
    decisions = {one["name"]: one["value"] for one in ran.results["decisions"]}
    assert decisions["selection"] == "cross_selection"
    assert len(ran.computed("retrieve")) == 2 + 2 * 3


def test_without_a_pool_it_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "study.yaml"
    file.write_text("data: {source: 'sklearn:digits'}\narms: [real, retrieval]\ngenerators: []\n")
    found = CliRunner().invoke(app, ["plan", str(file), "--store", str(tmp_path / "store")])
    assert found.exit_code == 2
    assert "data.unlabelled" in found.stderr


def test_a_pool_of_nothing_but_ours_is_refused(source: Path, tmp_path: Path) -> None:
    pool = tmp_path / "pool"
    pool.mkdir()
    for path in sorted(source.glob("*/*.png")):
        (pool / path.name).write_bytes(path.read_bytes())
    with pytest.raises(InputError, match="no unlabelled image"):
        run(pool_study(source, pool), home=tmp_path / "home")
    assert not (tmp_path / "home" / "run").exists()
