"""``synthlift curate`` on drawn images with planted faults, and what it writes."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner

from synthlift import api
from synthlift.api.curating import copying_verdict
from synthlift.cli import app
from synthlift.errors import InputError
from synthlift.spec.provenance import LICENCE
from synthlift.testing.inputs import CLASSES, draw_images
from synthlift.vision.copying import blur
from tests.e2e.tiny import home_of, run, study_of

SIZE = 16
QUICK = ["training.steps=80", "training.flip=no"]
PLANTED = 6


def _write(folder: Path, label: str, name: str, pixels: Any) -> None:
    (folder / label).mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(pixels, np.uint8).reshape(SIZE, SIZE)).save(
        folder / label / f"{name}.png"
    )


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("real")
    pixels, labels = draw_images(360, seed=3, size=SIZE)
    for row, (image, label) in enumerate(zip(pixels, labels, strict=True)):
        _write(folder, CLASSES[label], f"real_{row:03}", image)
    return folder


@pytest.fixture(scope="module")
def pool(real: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """New images as real ones are, and some with faults; the file's name says which."""
    folder = tmp_path_factory.mktemp("pool")
    pixels, labels = draw_images(90, seed=44, size=SIZE)
    for row, (image, label) in enumerate(zip(pixels, labels, strict=True)):
        _write(folder, CLASSES[label], f"new_{row:03}", image)
    rng = np.random.default_rng(0)
    for row in range(PLANTED):
        label = CLASSES[row % 3]
        own = sorted((real / label).glob("*.png"))[10 + row]
        (folder / label / f"copy_{row}.png").write_bytes(own.read_bytes())
        original = np.asarray(Image.open(sorted((real / label).glob("*.png"))[30 + row]))
        _write(folder, label, f"dimmed_{row}", original * 0.7 + 20)
        _write(folder, label, f"black_{row}", np.full((SIZE, SIZE), row))
        _write(folder, label, f"noise_{row}", rng.integers(0, 256, (SIZE, SIZE)))
        soft = pixels[row + 3][None]
        for _ in range(4):
            soft = blur(soft)
        _write(folder, CLASSES[labels[row + 3]], f"blurred_{row}", soft)
        _write(folder, CLASSES[(labels[row] + 1) % 3], f"wrong_{row}", 255 - pixels[row + 60])
    (folder / "disc" / "broken.png").write_bytes(b"no image")
    (folder / f"flux-{LICENCE}").write_text("Draw no swans.")
    return folder


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def curated(real: Path, pool: Path, home: Path) -> api.Curated:
    with home_of(home) as store:
        return api.curate(
            pool, real=real, out=home / "curated", store=store, workers=1, overrides=QUICK
        )


def _fate(curated: api.Curated, kind: str) -> list[str]:
    rows = [one for one in curated.verdicts if f"/{kind}_" in one["id"]]
    return [one["rejected_by"] for one in rows]


def test_planted_faults_are_rejected_and_new_images_kept(curated: api.Curated) -> None:
    assert set(_fate(curated, "copy")) <= {"same_picture", "exact_duplicates"}
    assert set(_fate(curated, "dimmed")) <= {"same_picture", "near_copies", "pixel_copies"}
    assert set(_fate(curated, "black")) == {"low_contrast"}
    assert "" not in _fate(curated, "noise")
    assert _fate(curated, "blurred").count("") <= 1
    copies = [one for one in curated.verdicts if "/copy_" in one["id"]]
    real = [Path(one["nearest_real"]).name for one in copies]
    assert all(name.startswith("real_") for name in real)
    new = _fate(curated, "new")
    assert new.count("") >= 0.75 * len(new)
    assert curated.unusable == {"unreadable": 1}


def test_nothing_vanishes(curated: api.Curated) -> None:
    assert curated.images == 90 + 6 * PLANTED
    assert sum(sum(own.values()) for own in curated.counts.values()) == curated.images
    assert sum(own["kept"] for own in curated.counts.values()) == curated.kept
    assert curated.path is not None
    table = pd.read_csv(curated.path / "verdicts.csv")
    assert len(table) == curated.images + 1
    broken = table[table["id"] == "disc/broken.png"].iloc[0]
    assert (broken["kept"], broken["rejected_by"]) == (False, "unusable")
    rejected = table[~table["kept"]]
    assert rejected["reason"].str.len().min() > 5


def test_kept_files_are_the_originals_with_their_provenance(
    curated: api.Curated, pool: Path
) -> None:
    assert curated.path is not None
    table = pd.read_csv(curated.path / "metadata.csv")
    assert len(table) == curated.kept == len(list(curated.path.glob("images/*/*.png")))
    for row in table.to_dict("records"):
        written = (curated.path / row["file_name"]).read_bytes()
        assert written == (pool / row["made_from"]).read_bytes()
        assert Path(row["file_name"]).parent.name == row["label"]
    assert (curated.path / f"flux-{LICENCE}").read_text() == "Draw no swans."


def test_the_page_shows_kept_and_rejected_images(curated: api.Curated) -> None:
    assert curated.path is not None
    page = (curated.path / "curation.html").read_text()
    for words in ("Hardly anything to see", "disc/black_0.png", "The closest pairs", "can be used"):
        assert words in page
    assert page.count("data:image/png;base64,") > 30
    kept = [one["id"] for one in curated.verdicts if one["kept"]]
    shown = [place for place, name in enumerate(kept) if f'alt="{name}"' in page]
    # Not the first of each class only.
    assert len({name.split("/")[0] for name in (kept[place] for place in shown)}) == 3
    assert max(place for place in shown) > 0.8 * len(kept)
    assert "http" not in page.replace("http-equiv", "")
    summary = json.loads((curated.path / "summary.json").read_text())
    assert summary["kept"] == curated.kept
    assert summary["filters"][1]["kind"] == "near_copies"
    with Image.open(curated.path / "contact-sheet.png") as sheet:
        assert sheet.width > 400


def test_copies_are_called_copies(real: Path, home: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    for label in ("disc", "bars", "ramp"):
        for row, path in enumerate(sorted((real / label).glob("*.png"))[:25]):
            own = np.asarray(Image.open(path)).astype(float)
            _write(
                tmp_path / "copies",
                label,
                f"{row}",
                np.clip(own + rng.normal(0, 2, own.shape), 0, 255),
            )
    with home_of(home) as store:
        found = api.curate(tmp_path / "copies", real=real, store=store, workers=1, overrides=QUICK)
    assert found.copying["verdict"] == "copies"
    assert found.kept <= 0.15 * found.images
    assert found.path is None


def test_a_second_time_all_is_equal_and_kept_images_may_be_links(
    curated: api.Curated, real: Path, pool: Path, tmp_path: Path
) -> None:
    with home_of(tmp_path) as store:
        fresh = api.curate(
            pool,
            real=real,
            out=tmp_path / "again",
            store=store,
            workers=2,
            overrides=QUICK,
            link=True,
        )
    assert fresh.verdicts == curated.verdicts
    linked = next((tmp_path / "again" / "images" / "disc").iterdir())
    assert linked.is_symlink()
    assert linked.resolve().is_relative_to(pool.resolve())


def test_diversity_selects_down_to_a_share(
    curated: api.Curated, real: Path, pool: Path, home: Path
) -> None:
    with home_of(home) as store:
        found = api.curate(pool, real=real, store=store, workers=1, overrides=QUICK, keep=0.5)
    for label, own in curated.counts.items():
        assert found.counts[label]["kept"] == -(-own["kept"] // 2)
        assert found.counts[label]["diversity"] == own["kept"] // 2


def test_what_was_kept_is_a_pool_for_a_study(curated: api.Curated, real: Path, home: Path) -> None:
    assert curated.path is not None
    places = ("images", "metadata.csv")
    study = study_of(
        real,
        generators=[
            {"kind": "pool", "name": name, "source": str(curated.path / name), "reserved": 0}
            for name in places
        ],
        curation=[],
        arms=[
            "real",
            *(
                {"kind": "mixed", "generator": name, "multiples": [0.05], "recipes": ["plain"]}
                for name in places
            ),
        ],
        replicates=1,
        generator_fits=1,
    )
    ran = run(study, home=home, out="study")
    told = pd.read_parquet(ran.folder / "verdicts.parquet")
    kept = set(pd.read_csv(curated.path / "metadata.csv")["file_name"])
    for name in places:
        used = set(told[told["generator"] == name]["made_from"])
        # Drawn images are alike: some look like one that the study tests on, and are left out.
        assert len(used) >= 0.6 * curated.kept
        assert {f"images/{one.removeprefix('images/')}" for one in used} <= kept


def test_images_of_12_bits_are_written_as_bright_as_they_were_judged(
    real: Path, home: Path, tmp_path: Path
) -> None:
    pixels, labels = draw_images(24, seed=45, size=SIZE)
    grey = np.asarray(pixels)[..., 0].astype(np.uint16)
    grey[:, 0, 0] = 255  # the brightest there is: what a source holds says what white is
    names = np.array([CLASSES[label] for label in labels])
    deep = np.rint(grey * (4095 / 255)).astype(np.uint16)
    np.savez(tmp_path / "deep.npz", images=deep, labels=names)
    with home_of(home) as store:
        found = api.curate(
            tmp_path / "deep.npz",
            real=real,
            out=tmp_path / "kept",
            filters=["exact_duplicates"],
            store=store,
            workers=1,
            overrides=QUICK,
        )
    assert found.kept == 24
    with (tmp_path / "kept" / "metadata.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    for row in rows:
        number = int(row["made_from"].rpartition("/")[2])
        written = np.asarray(Image.open(tmp_path / "kept" / row["file_name"]))
        assert np.abs(written.astype(int) - grey[number]).max() <= 1


def test_classes_are_mapped_or_left_out(real: Path, pool: Path, home: Path, tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "round").symlink_to(pool / "disc")
    (tmp_path / "theirs" / "odd").symlink_to(pool / "bars")
    with home_of(home) as store:
        found = api.curate(
            tmp_path / "theirs",
            real=real,
            classes={"round": "disc", "odd": ""},
            filters=["low_contrast"],
            store=store,
            workers=1,
            overrides=QUICK,
        )
    assert found.counts["bars"] == {"kept": 0}
    assert {one["label"] for one in found.verdicts} == {"disc"}
    assert [one["kind"] for one in found.filters] == ["low_contrast"]


def _refused(arguments: list[str], home: Path) -> dict[str, str]:
    with home_of(home) as store:
        done = CliRunner().invoke(
            app, ["curate", *arguments, "--store", str(store), "--json", "--quiet"]
        )
    assert done.exit_code == 2, done.output
    error: dict[str, str] = json.loads(done.stdout)["error"]
    return error


def test_what_cannot_be_judged_is_refused(
    real: Path, pool: Path, home: Path, tmp_path: Path
) -> None:
    out = ["--out", str(tmp_path / "out")]
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "dics").symlink_to(pool / "disc")
    (tmp_path / "twin").symlink_to(real)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    (tmp_path / "bad" / "disc").mkdir(parents=True)
    (tmp_path / "bad" / "disc" / "x.png").write_bytes(b"no image")
    theirs = str(tmp_path / "theirs")
    cases = {
        "did you mean 'disc'": [theirs, "--real", str(real), *out],
        "has no image of the real data's classes": [
            theirs,
            "--real",
            str(real),
            "--class",
            "dics=",
            *out,
        ],
        "is the real data itself": [str(tmp_path / "twin"), "--real", str(real), *out],
        "has no usable image": [str(tmp_path / "bad"), "--real", str(real), *out],
        "is not empty": [str(pool), "--real", str(real), "--out", str(tmp_path / "full")],
        "did you mean 'quality'": [str(pool), "--real", str(real), "--filter", "qualty", *out],
        "--class disc": [str(pool), "--real", str(real), "--class", "disc", *out],
        "'keep' of filter": [str(pool), "--real", str(real), "--keep", "3", *out],
        "no-such-folder": [str(tmp_path / "no-such-folder"), "--real", str(real), *out],
    }
    for words, arguments in cases.items():
        assert words in _refused(arguments, home)["message"], words
        assert not (tmp_path / "out").exists()
        assert not list(tmp_path.glob(".*")), words


def test_a_strength_is_named_but_not_chosen(real: Path, pool: Path, home: Path) -> None:
    asked = [str(pool), "--real", str(real), "--set"]
    wrong = _refused([*asked, "curation=[{kind: quality, strength: auto}]"], home)
    assert "strength: auto" in wrong["message"]
    assert "off, light, medium, strong" in wrong["remedy"]
    wrong = _refused([*asked, "curation=[{kind: pixel_copies, strength: strong}]"], home)
    assert "has no strengths" in wrong["rule"]


def test_too_few_real_images_are_refused(pool: Path, home: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for part, count in (("train", 2), ("test", 6)):
        for label in ("disc", "bars"):
            for row in range(count):
                noise = rng.integers(0, 256, (SIZE, SIZE))
                _write(tmp_path / "parted" / part, label, f"{row}", noise)
    arguments = [str(pool), "--real", str(tmp_path / "parted"), "--class", "ramp="]
    error = _refused(arguments, home)
    assert error["given"] == "of the real images 2 are left to compare with and 2 to hold out"


def test_a_copied_folder_is_recognised_by_its_content(
    real: Path, home: Path, tmp_path: Path
) -> None:
    for path in real.glob("*/*.png"):
        target = tmp_path / "moved" / path.parent.name / f"other_{path.name}"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    with home_of(home) as store, pytest.raises(InputError, match="is the real data itself"):
        api.curate(tmp_path / "moved", real=real, store=store, workers=1)


def test_the_command_says_what_was_found(
    curated: api.Curated, real: Path, pool: Path, home: Path
) -> None:
    settings = [word for one in QUICK for word in ("--set", one)]
    with home_of(home) as store:
        done = CliRunner().invoke(
            app,
            ["curate", str(pool), "--real", str(real), "--store", str(store), "--quiet", *settings],
        )
    assert done.exit_code == 0, done.output
    assert f"{curated.kept} of {curated.images} images can be used." in done.stdout
    assert "low_contrast" in done.stdout
    assert "held-out real images" in done.stdout


@pytest.mark.parametrize(
    ("figures", "verdict"),
    [
        ({"ratio": 1.2, "copies": 0.02, "c_t": 0.4}, "fine"),
        ({"ratio": 0.9, "copies": 0.02, "c_t": -1.4}, "fine"),
        ({"ratio": 0.8, "copies": 0.02, "c_t": -3.4}, "close"),
        ({"ratio": 1.2, "copies": 0.2, "c_t": 0.4}, "copies"),
        ({"ratio": 0.9, "copies": 0.02, "c_t": -5.3}, "close"),
        ({"ratio": float("nan"), "copies": 0.02, "c_t": float("nan")}, "fine"),
    ],
)
def test_the_copying_verdict(figures: dict[str, float], verdict: str) -> None:
    found = copying_verdict({**figures, "held_out_copies": 0.01})
    assert found["verdict"] == verdict
    assert "1.0% of new real ones" in found["words"]
