"""Studies with images from elsewhere: imported pools, unlabelled images, few labels."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from synthlift import api
from synthlift.errors import InputError
from synthlift.spec.provenance import LICENCE
from synthlift.spec.study import Study
from synthlift.testing.inputs import draw_images
from tests.e2e.tiny import FLOW, Ran, draw_folder, home_of, run, study_of

THEIRS = ("round", "stripes", "odd")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_folder(tmp_path_factory.mktemp("drawn"))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def elsewhere(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images of two of the classes under other names, one further class, and five of ours."""
    folder = tmp_path_factory.mktemp("elsewhere")
    pixels, labels = draw_images(240, seed=77)
    for row, (image, label) in enumerate(zip(pixels, labels, strict=True)):
        place = folder / THEIRS[label]
        place.mkdir(exist_ok=True)
        Image.fromarray(np.asarray(image[:, :, 0])).save(place / f"{row:03}.png")
    for path in sorted((source / "disc").glob("*.png"))[:5]:
        (folder / "round" / f"ours_{path.name}").write_bytes(path.read_bytes())
    return folder


def pool_study(source: Path, elsewhere: Path, **changes: Any) -> Study:
    classes = {"round": "disc", "stripes": "bars", "odd": ""}
    pool = {"kind": "pool", "source": str(elsewhere), "classes": classes, **changes}
    arm = {"kind": "mixed", "multiples": [0.5], "recipes": ["best_rival"]}
    return study_of(
        source,
        generators=[pool],
        arms=["real", "augmented", arm, {"kind": "synthetic_only"}],
        curation=["near_copies"],
    )


@pytest.fixture(scope="module")
def pooled(source: Path, elsewhere: Path, home: Path) -> Ran:
    return run(pool_study(source, elsewhere), home=home, out="pooled")


def test_a_pool_is_a_generator_with_an_end(pooled: Ran) -> None:
    table = pd.read_parquet(pooled.folder / "verdicts.parquet")
    first = table[table["fit"] == 0]
    assert set(first["label"]) == {"disc", "bars"}
    assert first["made_from"].is_unique
    assert first["made_from"].str.match(r"(round|stripes)/").all()
    assert pooled.results["counts"]["fell_short"].keys() == {"ramp"}


def test_figures_hold_given_the_images_of_the_pool(pooled: Ran) -> None:
    assert "given this pool of synthetic images" in pooled.results["verdict"]["scope"]
    said = [note for note in pooled.results["notes"] if "made before" in note]
    assert [note.split("'")[1] for note in said] == ["pool"]


def test_pictures_of_ours_are_told_and_never_judge(pooled: Ran) -> None:
    notes = [line for line in pooled.results["limitations"] if "show a picture" in line]
    assert len(notes) == 1
    assert notes[0].startswith("5 images of 'pool'")
    split = pd.read_csv(pooled.folder / "splits.csv")
    judging = {Path(name).name for name in split[split["part"] != "train"]["id"]}
    table = pd.read_parquet(pooled.folder / "verdicts.parquet")
    ours = table[table["made_from"].str.contains("ours_")]
    assert len(ours)
    assert not judging & {name.rpartition("ours_")[2] for name in ours["made_from"]}
    # Copies of training images are what the copying check is for.
    assert set(ours["rejected_by"]) == {"near_copies"}


def test_a_class_that_nobody_mapped_is_refused(source: Path, elsewhere: Path, home: Path) -> None:
    with pytest.raises(InputError, match="odd"):
        run(pool_study(source, elsewhere, classes={"round": "disc"}), home=home, out="refused")


def test_an_export_comes_back_as_a_pool(pooled: Ran, source: Path, home: Path) -> None:
    arm = "mixed@0.5+rival"
    out = home / "exported"
    (kept,) = (pooled.folder / "generators").iterdir()
    (kept / LICENCE).write_text("Draw no swans.")  # as a text-to-image generator's folder has
    with home_of(home):
        api.export(
            pooled.folder, arm=arm, out=out, form="csv", synthetic_only=True, accept_copies=True
        )
    table = pd.read_csv(out / "metadata.csv")
    pool = {"kind": "pool", "name": "back", "source": str(out / "metadata.csv"), "reserved": 0}
    again = run(
        study_of(
            source,
            generators=[pool],
            arms=["real", {"kind": "mixed", "multiples": [0.2], "recipes": ["plain"]}],
            curation=[],
        ),
        home=home,
        out="again",
    )
    told = pd.read_parquet(again.folder / "verdicts.parquet")
    assert set(told[told["fit"] == 0]["made_from"]) == set(table["file_name"])
    terms = again.folder / "generators" / "back" / f"{kept.name}-{LICENCE}"
    assert terms.read_text() == "Draw no swans."
    once_more = home / "once more"
    arms = [one["name"] for one in again.results["arms"] if one["name"].startswith("mixed")]
    with home_of(home):
        api.export(again.folder, arm=arms[0], out=once_more, form="csv", accept_copies=True)
    assert (once_more / f"back-{kept.name}-{LICENCE}").read_text() == "Draw no swans."


@pytest.mark.parametrize("form", ["imagefolder", "hf"])
def test_generate_hands_on_the_terms_of_a_pool(
    source: Path, home: Path, tmp_path: Path, form: str
) -> None:
    """Also where the pool is given as ``hf:PATH``, relative to the study."""
    pool = tmp_path / "pool"
    if form == "hf":
        rows: dict[str, list[Any]] = {"image": [], "label": []}
        for place in sorted(source.rglob("*.png"))[::8]:
            rows["image"].append({"bytes": place.read_bytes(), "path": place.name})
            rows["label"].append(place.parent.name)
        pool.mkdir()
        pd.DataFrame(rows).to_parquet(pool / "train.parquet")
    else:
        shutil.copytree(source, pool)
    (pool / f"flux-{LICENCE}").write_text("Draw no swans.")
    named = {"imagefolder": "./pool", "hf": "hf:./pool"}[form]
    study = study_of(source, generators=[{"kind": "pool", "source": named, "reserved": 0}])
    file = tmp_path / "study.yaml"
    file.write_text(study.model_dump_json())
    with home_of(home):
        api.generate(file, per_class=1, out=tmp_path / "drawn", workers=1)
    kept = tmp_path / "drawn" / "generators" / "pool" / f"flux-{LICENCE}"
    assert kept.read_text() == "Draw no swans."


def test_generate_takes_what_a_pool_has(pooled: Ran, tmp_path: Path) -> None:
    found = api.generate(pooled.folder, per_class=100, out=tmp_path / "out")
    assert found.counts["ramp"] == 0
    assert 40 < found.counts["bars"] < 100
    told = pd.read_csv(found.path / "provenance.csv")
    assert told["made_from"].is_unique


def test_pictures_and_places_of_a_pool_are_not_shared(pooled: Ran, elsewhere: Path) -> None:
    assert "data:image/png" in (pooled.folder / "report.html").read_text()
    shared = api.share_report(pooled.folder).read_text()
    assert "data:image/" not in shared
    assert elsewhere.name not in shared


def test_terms_of_a_pool_hold_an_export_back(source: Path, elsewhere: Path, home: Path) -> None:
    ran = run(pool_study(source, elsewhere, redistribute="no"), home=home, out="closed")
    with home_of(home), pytest.raises(InputError, match="redistribute"):
        api.export(ran.folder, arm="mixed@0.5+rival", out=home / "closed-out", accept_copies=True)


def test_few_labels_leave_an_unlabelled_pool_to_the_generator(source: Path, home: Path) -> None:
    split = {"design": "redrawn", "draws": 2, "labels_per_class": 4, "validation": 0.25}
    ran = run(
        study_of(source, data={"source": str(source), "split": split}, generators=[FLOW]),
        home=home,
        out="few",
    )
    counts = ran.results["counts"]
    assert counts["train"] == 12
    assert counts["unlabelled"] > 12


def test_an_unlabelled_folder_is_learnt_from_without_what_we_have(
    source: Path, elsewhere: Path, home: Path, tmp_path: Path
) -> None:
    flat = tmp_path / "flat"
    flat.mkdir()
    for path in sorted(elsewhere.glob("*/*.png")):
        (flat / path.name).write_bytes(path.read_bytes())

    def study(unlabelled: list[str]) -> Study:
        data = {
            "source": str(source),
            "split": {"design": "fixed", "validation": 0.25},
            "unlabelled": unlabelled,
        }
        return study_of(source, data=data, generators=[FLOW])

    ran = run(study([str(flat)]), home=home, out="unlabelled")
    assert any(line.startswith("5 unlabelled images show") for line in ran.results["limitations"])
    without = run(study([]), home=home, out="labelled")
    assert ran.computed("fit")
    assert without.computed("fit")


def pasting_study(source: Path, masks: Path, *, size: int = 4, **changes: Any) -> Study:
    """Two classes have masks; the third, without objects, is what is pasted onto."""
    for path in sorted(source.glob("*/*.png")):
        mask = np.zeros((8, 8), np.uint8)
        if path.parent.name != "ramp":
            mask[2 : 2 + size, 3 : 2 + size] = 255
        (masks / path.parent.name).mkdir(parents=True, exist_ok=True)
        Image.fromarray(mask).save(masks / path.parent.name / path.name)
    return study_of(
        source,
        data={
            "source": str(source),
            "masks": str(masks),
            "split": {"design": "fixed", "validation": 0.25},
        },
        generators=[{"kind": "cut_paste", "backgrounds": ["ramp"]}],
        arms=["real", "augmented", {"kind": "targeted", "target": {"fill_to": 40}}],
        **changes,
    )


def test_pasted_images_resemble_their_backgrounds_and_are_not_stopped(
    source: Path, home: Path, tmp_path: Path
) -> None:
    study = pasting_study(source, tmp_path / "masks", size=2, curation=["near_copies"])
    ran = run(study, home=home, out="near")
    told = pd.read_parquet(ran.folder / "verdicts.parquet")
    assert told["rejected_by"].eq("near_copies").mean() > 0.1
    assert not ran.results["generators"][0]["gate_stopped"]
    assert any(arm["generator"] == "cut_paste" for arm in ran.results["arms"])
    reasons = {one["name"]: one["reason"] for one in ran.results["decisions"]}
    assert "of which it changes a part by design" in reasons["memorisation_gate"]


def test_flaws_are_pasted_along_masks(source: Path, home: Path, tmp_path: Path) -> None:
    ran = run(pasting_study(source, tmp_path / "masks", curation=[]), home=home, out="pasted")
    told = pd.read_parquet(ran.folder / "verdicts.parquet")
    assert set(told["label"]) == {"bars", "disc"}
    assert told["made_from"].str.contains(" on ramp/").all()
    assert ran.results["counts"]["fell_short"].keys() == {"ramp"}
    found = api.generate(ran.folder, per_class=3, out=tmp_path / "out")
    assert found.counts == {"bars": 3, "disc": 3, "ramp": 0}
    assert len(list((tmp_path / "out" / "masks").glob("*/*.png"))) == 6


def test_cut_and_paste_without_masks_is_refused(source: Path, home: Path) -> None:
    with pytest.raises(InputError, match="needs masks"):
        run(study_of(source, generators=[{"kind": "cut_paste"}]), home=home, out="maskless")


def test_a_pool_can_be_given_again_under_other_conditions(
    source: Path, elsewhere: Path, home: Path
) -> None:
    conditions = {"style": [0, 1], "fog": [0, 0.3], "noise": [0, 20], "share": 0.9}
    study = pool_study(source, elsewhere, randomise=conditions, repeats=3, reserved=0.45)
    ran = run(study, home=home, out="conditions")
    table = pd.read_parquet(ran.folder / "verdicts.parquet")
    first = table[table["fit"] == 0]
    told = first["made_from"].str.extract(r"^(?P<file>[^ ]+) \((?P<drawn>.+)\)$")
    assert told.notna().all(axis=None)
    assert told["drawn"].str.contains("noise ").any()
    assert told["drawn"].is_unique
    # Every picture comes once before any comes again, and none more often than was allowed.
    assert told["file"].value_counts().max() <= 3
    again = run(study, home=home / "other", out="conditions")
    assert (again.folder / "verdicts.parquet").read_bytes() == (
        ran.folder / "verdicts.parquet"
    ).read_bytes()


def test_a_class_that_nothing_is_held_out_of_leaves_a_run_that_can_be_read(
    source: Path, elsewhere: Path, home: Path, tmp_path: Path
) -> None:
    """The pool shows that class alone, so that no distance has anything to compare with."""
    for place in source.iterdir():
        for number, file in enumerate(sorted(place.iterdir())):
            part = ("train", "train", "val", "test")[number % 4]
            if (place.name, part) != ("disc", "val"):
                (tmp_path / part / place.name).mkdir(parents=True, exist_ok=True)
                shutil.copy(file, tmp_path / part / place.name)
    classes = {"round": "disc", "stripes": "", "odd": ""}
    rare = {"kind": "pool", "source": str(elsewhere), "classes": classes}
    mixed = {"kind": "mixed", "multiples": [0.5], "recipes": ["plain"]}
    study = study_of(tmp_path, generators=[rare], arms=["real", mixed], curation=[])
    ran = run(study, home=home, out="rare")
    (told,) = ran.results["generators"]
    assert (told["copying_ratio"], told["copying_controls"]) == (None, {})
    assert 0 < told["copies"] <= 0.1, "five of its images are ours"
    with home_of(home):
        assert api.load(ran.folder).results.generators[0].copies == told["copies"]
        api.share_report(ran.folder)
