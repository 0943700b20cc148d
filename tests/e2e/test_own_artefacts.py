"""A run's own images, model and settings are used, though others in the store look like them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

from synthlift import api
from synthlift.api.generated_images import GeneratedImages, Wanted
from synthlift.errors import InputError
from synthlift.spec.provenance import provenance_of
from synthlift.store import Store
from synthlift.store.images import SOFT_LABELS
from tests.e2e.tiny import Ran, draw_folder, home_of, run, study_of

PLUGIN = Path(__file__).parent / "plugins" / "mixing.py"
ELSEWHERE = ("a", "b", "c")
"""External sets whose images are called as those of the data set are."""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("own")


@pytest.fixture(scope="module")
def source(home: Path) -> Path:
    folder = draw_folder(home / "drawn")
    rows = [f"{p.stem},site {n % 2}" for n, p in enumerate(sorted(folder.glob("*/*.png")))]
    (home / "sites.csv").write_text("\n".join(["image,site", *rows]))
    for number, name in enumerate(ELSEWHERE):
        draw_folder(home / name, seed=40 + number)
    return folder


@pytest.fixture(scope="module")
def ran(source: Path, home: Path) -> Ran:
    data = {
        "source": str(source),
        "metadata": str(home / "sites.csv"),
        "attributes": ["site"],
        "max_pixels": 100,
        "split": {"design": "fixed", "validation": 0.25},
        "external": [{"name": name, "source": str(home / name)} for name in ELSEWHERE],
    }
    study = study_of(
        source,
        data=data,
        classifier={"kind": "own_cnn"},
        generators=[{"kind": "mixing"}],
        curation=[{"name": "seen before", "kind": "exact_duplicates"}],
        arms=["real", {"kind": "mixed", "multiples": [0.5], "recipes": ["plain"]}],
        plugins=[str(PLUGIN)],
        replicates=1,
        generator_fits=1,
    )
    return run(study, home=home)


@pytest.mark.parametrize("named", [True, False])
def test_training_images_are_those_of_the_data_set(
    ran: Ran, source: Path, home: Path, tmp_path: Path, named: bool
) -> None:
    folder = ran.folder
    if not named:  # as earlier versions wrote it
        folder = tmp_path / "earlier"
        shutil.copytree(ran.folder, folder)
        (folder / "artefacts.json").unlink()
    sites = pd.read_csv(home / "sites.csv", dtype=str).set_index("image")["site"]
    with home_of(home):
        opened = api.load(folder)
        data = opened.dataset("real")
        for row, image in enumerate(data.images):
            pixels, _ = data[row]
            original = np.asarray(Image.open(source / image.id), np.float32) / 255
            assert np.allclose(pixels[0], original, atol=1e-6), image.id
        out = tmp_path / "out"
        opened.export("real", out=out, form="csv")
    table = pd.read_csv(out / "metadata.csv", dtype=str)
    assert len(table) > 50
    for one in table.to_dict("records"):
        assert one["site"] == sites[Path(one["id"]).stem]


def test_a_card_says_that_models_trained_on_class_probabilities(
    ran: Ran, home: Path, tmp_path: Path
) -> None:
    with home_of(home):
        opened = api.load(ran.folder)
        for arm in ("mixed@0.5", "real"):
            opened.export(arm, out=tmp_path / arm, accept_copies=True)
    told = {arm: (tmp_path / arm / "DATA_CARD.md").read_text() for arm in ("mixed@0.5", "real")}
    assert "images lie between classes" in told["mixed@0.5"]
    assert "images lie between classes" not in told["real"]


@pytest.mark.parametrize("gone", [False, True])
def test_an_export_says_of_each_image_between_which_classes_it_lies(
    ran: Ran, home: Path, tmp_path: Path, gone: bool
) -> None:
    """Where the store is gone, too: its images are sampled again."""
    folder = ran.folder
    if gone:
        folder = tmp_path / "moved"
        shutil.copytree(ran.folder, folder)
        facts = folder / "study.yaml"
        facts.write_text(facts.read_text().replace(str(home / "store"), str(tmp_path / "none")))
    with home_of(home):
        for form, table in {"csv": "metadata.csv", "imagefolder": "provenance.csv"}.items():
            out = tmp_path / form
            api.load(folder).export(
                "mixed@0.5", out=out, form=form, accept_copies=True, synthetic_only=True
            )
            classes = sorted(path.name for path in (home / "drawn").iterdir())
            rows = pd.read_csv(out / table).to_dict("records")
            assert len(rows) > 20
            for row in rows:
                other = classes[(classes.index(row["label"]) + 1) % len(classes)]
                shares = {row["label"]: 0.7, other: 0.3}
                assert json.loads(row["class_shares"]) == pytest.approx(shares)
                said = provenance_of(out / row["file_name" if form == "csv" else "file"]) or {}
                assert said["class_shares"] == row["class_shares"]


@pytest.mark.parametrize("form", ["hf:hf", "csv/metadata.csv", "imagefolder/train"])
def test_a_pool_of_images_between_classes_trains_on_both_again(
    ran: Ran, source: Path, home: Path, tmp_path: Path, form: str
) -> None:
    scheme, _, place = form.rpartition(":")
    out = tmp_path / place.partition("/")[0]
    with home_of(home):
        api.load(ran.folder).export(
            "mixed@0.5", out=out, form=out.name, accept_copies=True, synthetic_only=True
        )
    pool = {
        "kind": "pool",
        "source": f"{scheme}:{tmp_path / place}" if scheme else str(tmp_path / place),
        "reserved": 0,
    }
    if place == "imagefolder/train":  # folders of other names for the same classes
        shutil.move(out / "train" / "disc", out / "train" / "round")
        pool["classes"] = {"round": "disc"}
    study = study_of(
        source,
        generators=[pool],
        curation=[],
        arms=["real", {"kind": "mixed", "multiples": [0.2], "recipes": ["plain"]}],
        replicates=1,
        generator_fits=1,
    )
    again = run(study, home=home, out=f"again-{out.name}")
    store = Store(home / "store")
    chunks = [store.open(key) for key in again.computed("sample")]
    full = [chunk for chunk in chunks if chunk.summary["hashes"]]
    assert {chunk.record["config"]["label"] for chunk in full} == {0, 1, 2}
    for chunk in full:
        label = chunk.record["config"]["label"]
        shares = np.zeros(3)
        shares[[label, (label + 1) % 3]] = 0.7, 0.3
        soft = np.load(chunk.folder / SOFT_LABELS)
        assert len(soft) == len(chunk.summary["hashes"])
        assert soft == pytest.approx(np.tile(shares, (len(soft), 1)))


def test_no_hand_puts_back_a_copy_whatever_its_filter_is_called(ran: Ran, home: Path) -> None:
    with home_of(home):
        images = GeneratedImages(api.load(ran.folder))
        (row, *_) = images.find(Wanted(rejected_by="seen before"))
        with pytest.raises(InputError, match="rejected as a copy"):
            images.judge(row, "keep", who="Ann")


def test_a_model_reads_pictures_as_its_study_did(ran: Ran, source: Path, home: Path) -> None:
    """With the classifier of its plug-in, and the study's limit on the size of a picture."""
    rows = pd.read_parquet(ran.folder / "predictions.parquet")
    rows = rows[(rows["arm"] == "real") & (rows["evaluation_set"] == "validation")]
    Image.new("L", (12, 12)).save(home / "larger.png")
    for model in (ran.folder / "models" / "rival", ran.folder / "model", ran.folder):
        with home_of(home):
            found = api.classify(model, [source / name for name in rows["image_id"]], device="auto")
        if model.name == "rival":
            told = [list(one.probabilities.values()) for one in found]
            np.testing.assert_allclose(told, np.stack(rows["probabilities"].to_list()), atol=1e-6)
        with home_of(home), pytest.raises(InputError, match="more than 100 pixels"):
            api.classify(model, [home / "larger.png"])


def test_a_studys_plug_ins_are_there_before_its_run(source: Path, home: Path) -> None:
    study = {
        "name": "own",
        "data": {"source": str(source)},
        "plugins": [str(PLUGIN)],
        "generators": [{"kind": "mixing"}],
        "classifier": {"kind": "own_cnn"},
        "training": {"steps": 4},
    }
    file = home / "own.yaml"
    file.write_text(yaml.safe_dump(study))
    with home_of(home) as store:
        made = api.generate(file, per_class=2, out=home / "made", store=store, workers=1)
    assert set(made.counts.values()) == {2}
    with home_of(home) as store:
        curated = api.curate(made.path / "images", real=file, store=store, workers=1)
    assert curated.images == 6
