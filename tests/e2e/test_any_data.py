"""Whole studies on data that are more than a folder of classes."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from synthlift.errors import InputError
from tests.e2e.tiny import Ran, draw_folder, run, study_of

SITES = ("arm", "face", "")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_folder(tmp_path_factory.mktemp("drawn"))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def table(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two images a patient, and a site; joined by stem, separated by semicolons."""
    file = tmp_path_factory.mktemp("table") / "patients.csv"
    paths = sorted(source.glob("*/*.png"))
    with file.open("w", newline="", encoding="utf-8-sig") as stream:
        writer = csv.writer(stream, delimiter=";")
        writer.writerow(["image", "patient", "site"])
        for row, path in enumerate(paths):
            writer.writerow([path.stem, f"P{row // 2:03}", SITES[row % 3]])
    return file


def split_of(ran: Ran) -> pd.DataFrame:
    frame = pd.read_csv(ran.folder / "splits.csv", dtype=str, keep_default_na=False)
    return frame.set_index("id")


def test_a_table_beside_a_folder_gives_groups_and_subgroups(
    source: Path, table: Path, home: Path
) -> None:
    study = study_of(
        source,
        data={
            "source": str(source),
            "metadata": str(table),
            "group": "patient",
            "attributes": ["site"],
            "split": {"design": "fixed", "validation": 0.25, "test": 0.4, "stratify": ["site"]},
        },
    )
    ran = run(study, home=home, out="joined")
    parts = split_of(ran).groupby("group")["part"].nunique()
    assert (parts == 1).all(), "a patient crosses the split"
    assert split_of(ran)["group"].str.startswith("P").all()
    found = {(one["attribute"], one["value"]): one for one in ran.results["subgroups"]}
    assert set(found) == {("site", "arm"), ("site", "face"), ("site", "missing")}
    tested = split_of(ran).query("part == 'test'")
    assert sum(one["test_images"] for one in found.values()) == len(tested)
    assert any("patients.csv" in note and "semicolon" in note for note in ran.results["notes"])
    assert "Subgroup by subgroup" in (ran.folder / "report.html").read_text()


def test_a_table_of_paths_is_a_source(source: Path, tmp_path: Path) -> None:
    root = tmp_path / "flat"
    root.mkdir()
    rows = []
    for path in sorted(source.glob("*/*.png")):
        name = f"{path.parent.name}-{path.name}"
        shutil.copy(path, root / name)
        rows.append({"file_name": name, "label": path.parent.name})
    pd.DataFrame(rows).to_csv(root / "labels.tsv", sep="\t", index=False)
    study = study_of(root / "labels.tsv")
    ran = run(study, home=tmp_path)
    assert ran.results["study"]["classes"] == ["bars", "disc", "ramp"]
    assert ran.results["counts"]["used"] == 108


def parts_folder(source: Path, place: Path) -> Path:
    """The images below train and test, every third one in test."""
    for number, path in enumerate(sorted(source.glob("*/*.png"))):
        part = "test" if number % 3 == 0 else "train"
        target = place / part / path.parent.name / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    return place


def test_the_split_that_the_data_bring_is_honoured_or_ignored(source: Path, tmp_path: Path) -> None:
    root = parts_folder(source, tmp_path / "given")
    honoured = run(study_of(root), home=tmp_path, out="honoured")
    table = split_of(honoured)
    assert set(table[table["part"] == "test"].index) == {
        name for name in table.index if name.startswith("test/")
    }
    data = {"source": str(root), "split": {"design": "fixed", "given": "ignore"}}
    ignored = run(study_of(root, data=data), home=tmp_path, out="ignored")
    tested = split_of(ignored).query("part == 'test'").index
    assert {name.split("/")[0] for name in tested} == {"train", "test"}


def test_a_published_split_is_followed_exactly(source: Path, home: Path, tmp_path: Path) -> None:
    first = run(study_of(source), home=home, out="first")
    shutil.copy(first.folder / "splits.csv", tmp_path / "published.csv")
    data = {"source": str(source), "split": {"file": str(tmp_path / "published.csv")}}
    again = run(study_of(source, data=data, seed=9), home=home, out="again")
    assert split_of(again)["part"].to_dict() == split_of(first)["part"].to_dict()
    assert again.results["openings"]["test_hash"] == first.results["openings"]["test_hash"]


def test_one_site_is_left_out_at_a_time(source: Path, table: Path, home: Path) -> None:
    data = {
        "source": str(source),
        "metadata": str(table),
        "attributes": ["site"],
        "split": {"leave_one_out": "site", "validation": 0.25},
    }
    ran = run(study_of(source, data=data), home=home, out="sites")
    assert ran.results["study"]["design"] == "cross_validated"
    frame = pd.read_csv(ran.folder / "splits.csv", dtype=str, keep_default_na=False)
    site = {p.stem: SITES[n % 3] for n, p in enumerate(sorted(source.glob("*/*.png")))}
    tested = frame[frame["part"] == "test"]
    for _, fold in tested.groupby("draw"):
        assert len({site[Path(name).stem] for name in fold["id"]}) == 1
    assert len(tested) == 108


def test_images_from_elsewhere_are_tested_under_our_class_names(
    source: Path, home: Path, tmp_path: Path
) -> None:
    elsewhere = draw_folder(tmp_path / "elsewhere", per_class=12, seed=8)
    (elsewhere / "disc").rename(elsewhere / "circle")
    shutil.rmtree(elsewhere / "ramp")
    outside = {"name": "other site", "source": str(elsewhere), "classes": {"circle": "disc"}}
    data = {
        "source": str(source),
        "split": {"design": "fixed", "validation": 0.25},
        "external": [outside],
    }
    ran = run(study_of(source, data=data), home=home, out="external")
    (found,) = ran.results["external"]
    assert (found["name"], found["images"], found["metric"]) == ("other site", 24, "accuracy")
    assert found["missing_classes"] == ["ramp"]
    rows = pd.read_parquet(ran.folder / "predictions.parquet")
    rows = rows[rows["evaluation_set"] == "other site"]
    right = np.stack(rows["probabilities"].to_list()).argmax(axis=1) == rows["label"]
    level = right.groupby(rows["arm"]).mean()
    inside = {arm["name"]: arm["metrics"]["accuracy"]["value"] for arm in ran.results["arms"]}
    for arm in found["arms"]:
        assert arm["estimate"]["value"] == pytest.approx(level[arm["name"]], abs=1e-9)
        assert arm["drop"]["value"] == pytest.approx(inside[arm["name"]] - level[arm["name"]])
    limits = ran.results["limitations"]
    assert not any("another site, device or time" in text for text in limits)
    assert "Images from elsewhere" in (ran.folder / "report.html").read_text()
    opened = [fields for name, fields in ran.events if name == "test_opened"]
    asked = [name for name, _ in ran.events].index("test_opened")
    predicted = [
        position
        for position, (name, fields) in enumerate(ran.events)
        if name == "stage_done" and fields["stage"] == "predict"
    ]
    assert opened
    assert min(predicted) > asked


def test_names_that_repeat_are_warned_of_before_anything_is_trained(
    source: Path, home: Path, tmp_path: Path
) -> None:
    root = tmp_path / "patients"
    for folder in sorted(source.iterdir()):
        (root / folder.name).mkdir(parents=True)
        for row, path in enumerate(sorted(folder.glob("*.png"))):
            name = f"{folder.name}P{row // 3:03}_{row % 3}.png"
            shutil.copy(path, root / folder.name / name)
    small: dict[str, Any] = {"generators": [], "curation": [], "arms": ["real"], "replicates": 1}
    small["training"] = {"steps": 2, "batch_size": 16, "flip": "no"}
    data = {"source": str(root), "split": {"design": "fixed", "validation": 0.25}}
    ran = run(study_of(root, data=data, **small), home=home, out="repeating")
    names = [name for name, _ in ran.events]
    (fields,) = [fields for name, fields in ran.events if name == "warning"]
    assert "108 images share 36 stems" in fields["text"]
    assert "--set data.group=stem" in fields["text"]
    trained = [
        place
        for place, (name, fields) in enumerate(ran.events)
        if name == "stage_done" and fields["stage"] == "model"
    ]
    assert names.index("warning") < min(trained)
    assert fields["text"] in ran.results["notes"]
    data["group"] = "stem"
    grouped = run(study_of(root, data=data, **small), home=home, out="grouped")
    assert "warning" not in [name for name, _ in grouped.events]
    assert split_of(grouped)["group"].nunique() == 36


def test_an_unknown_class_elsewhere_is_refused_before_anything_is_trained(
    source: Path, tmp_path: Path
) -> None:
    elsewhere = draw_folder(tmp_path / "elsewhere", per_class=3)
    (elsewhere / "disc").rename(elsewhere / "discs")
    data = {"source": str(source), "external": [{"name": "x", "source": str(elsewhere)}]}
    with pytest.raises(InputError) as caught:
        run(study_of(source, data=data), home=tmp_path)
    assert "classes that the study does not know: 'discs' – did you mean 'disc'?" in str(
        caught.value
    )
