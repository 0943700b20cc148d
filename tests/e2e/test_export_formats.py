"""Exports of a whole study in every format, back in again, behind their gates; and its sharing."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import re
import stat
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image
from typer.testing import CliRunner, Result

from synthlift import api
from synthlift.cli import app
from synthlift.errors import InputError
from synthlift.spec.provenance import provenance_of
from synthlift.store.files import hash_files
from synthlift.testing.inputs import CLASSES, draw_images
from tests.e2e.tiny import Ran, run, study_of

PLUGINS = Path(__file__).resolve().parent / "plugins"
ARM = "mixed@0.5+rival"
CLINIC, DOCTOR, SECRET = "Klinik-Sommerfeld", "dr_lindqvist", "Ann Smith, 12 Elm Street"


def cli(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Drawn images under telling names, JPEG and PNG with owners in their headers, and a table."""
    place = tmp_path_factory.mktemp("data") / CLINIC
    (place / DOCTOR).mkdir(parents=True)
    pixels, labels = draw_images(108, seed=3)
    exif = Image.Exif()
    exif[0x013B], exif[0x0112] = SECRET, 6
    lines = ["path,label,patient,sex,bed"]
    for row, (image, label) in enumerate(zip(pixels, labels, strict=True)):
        name = f"{DOCTOR}/PAT{row // 2:04d}_{row}." + ("jpg" if row % 4 == 0 else "png")
        Image.fromarray(image[:, :, 0]).save(place / name, exif=exif, quality=95)
        patient = f"PAT{row // 2:04d}"
        lines.append(f"{name},{CLASSES[label]},{patient},{'fm'[row % 2]},bed-{row // 27:02d}")
    (place / "patients.csv").write_text("\n".join(lines) + "\n")
    return place / "patients.csv"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def ran(table: Path, home: Path) -> Ran:
    data = {
        "source": str(table),
        "group": "patient",
        "attributes": ["sex", "bed"],
        "terms": "CC BY-NC 4.0",
        "split": {"design": "fixed", "validation": 0.25},
    }
    study = study_of(table, name=CLINIC, data=data, generator_fits=1, replicates=1)
    return run(study, home=home)


@pytest.fixture(scope="module")
def exports(ran: Ran, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One export in each format."""
    place = tmp_path_factory.mktemp("exports")
    for form in ("imagefolder", "csv", "parquet", "hf"):
        options = ("--arm", ARM, "--format", form, "--out", place / form, "--quiet", "--json")
        result = cli("export", ran.folder, *options)
        assert result.exit_code == 0, result.stderr
    return place


def metadata(exports: Path) -> list[dict[str, str]]:
    with (exports / "csv" / "metadata.csv").open(encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def ids_of_test(ran: Ran) -> set[str]:
    with (ran.folder / "splits.csv").open() as stream:
        return {row["id"] for row in csv.DictReader(stream) if row["part"] == "test"}


# ── what is written ───────────────────────────────────────────────────────────────────────────


def test_all_formats_hold_the_same_images(ran: Ran, exports: Path) -> None:
    rows = metadata(exports)
    hashes = {
        row["id"]: hashlib.sha256((exports / "csv" / row["file_name"]).read_bytes()) for row in rows
    }
    assert {row["split"] for row in rows} == {"train", "validation"}
    assert {row["origin"] for row in rows if row["split"] == "validation"} == {"real"}
    assert not ids_of_test(ran) & {row["id"] for row in rows}
    for form, place in (("parquet", "{}.parquet"), ("hf", "data/{}-00000-of-00001.parquet")):
        for split in ("train", "validation"):
            found = pq.read_table(exports / form / place.format(split)).to_pylist()
            mine = [row for row in rows if row["split"] == split]
            assert [row["id"] for row in found] == [row["id"] for row in mine]
            for row, other in zip(found, mine, strict=True):
                data = row["image"]["bytes"]
                assert hashlib.sha256(data).digest() == hashes[row["id"]].digest()
                assert sorted(ran.results["study"]["classes"])[row["label"]] == other["label"]
                assert row["seed"] == (int(other["seed"]) if other["seed"] else None)
    with (exports / "imagefolder" / "provenance.csv").open() as stream:
        folder = {row["id"]: row["file"] for row in csv.DictReader(stream)}
    assert set(folder) == {row["id"] for row in rows if row["split"] == "train"}
    for name, file in folder.items():
        data = (exports / "imagefolder" / file).read_bytes()
        assert hashlib.sha256(data).digest() == hashes[name].digest()


def test_every_synthetic_png_says_so(ran: Ran, exports: Path) -> None:
    seen = 0
    for row in metadata(exports):
        said = provenance_of(exports / "csv" / row["file_name"])
        if row["origin"] == "real":
            assert said is None
            continue
        seen += 1
        assert said is not None
        assert said["origin"] == "synthetic"
        keys = {"class": "label", "generator": "generator", "seed": "seed", "index": "index"}
        assert {key: said[key] for key in keys} == {key: row[keys[key]] for key in keys}
    assert seen == sum(ran.results["arms"][2]["synthetic"].values())


def test_the_seed_makes_the_image_again(ran: Ran, exports: Path) -> None:
    from synthlift.api.kept_generators import open_generator
    from synthlift.types import SampleRequest

    kept = open_generator(ran.folder)
    row = next(row for row in metadata(exports) if row["generator"])
    label = kept.classes.index(row["label"])
    request = SampleRequest(index=int(row["index"]), label=label, seed=int(row["seed"]))
    (batch,) = list(kept.fitted.sample([request]))
    with Image.open(exports / "csv" / row["file_name"]) as image:
        assert np.array_equal(np.asarray(image), batch.pixels[0, :, :, 0])
    said = provenance_of(exports / "csv" / row["file_name"])
    assert said is not None
    assert int(said["fit_seed"]) == kept.seed


def test_real_images_lose_their_owner_and_keep_their_pixels(table: Path, exports: Path) -> None:
    rows = [row for row in metadata(exports) if row["origin"] == "real"]
    assert {Path(row["file_name"]).suffix for row in rows} == {".jpg", ".png"}
    for row in rows:
        before, after = table.parent / row["id"], exports / "csv" / row["file_name"]
        assert SECRET.encode() in before.read_bytes()
        assert SECRET.encode() not in after.read_bytes()
        with Image.open(before) as old, Image.open(after) as new:
            turned = old.transpose(Image.Transpose.ROTATE_270)
            shown = new.transpose(Image.Transpose.ROTATE_270) if after.suffix == ".jpg" else new
            assert np.array_equal(np.asarray(turned), np.asarray(shown))
        assert row["sex"] in ("f", "m")
        assert row["group"] == Path(row["id"]).stem.split("_")[0]


def test_no_owner_of_an_image_is_in_store_or_run(ran: Ran, home: Path) -> None:
    files = [path for path in home.rglob("*") if path.is_file()]
    assert any(path.is_relative_to(ran.folder) for path in files)
    assert any(path.name == "inventory.parquet" for path in files)
    assert not [path for path in files if SECRET.encode() in path.read_bytes()]


def test_the_same_export_has_the_same_bytes(ran: Ran, exports: Path, tmp_path: Path) -> None:
    for form in ("csv", "hf"):
        api.export(ran.folder, arm=ARM, out=tmp_path / form, form=form)
        assert hash_files(tmp_path / form) == hash_files(exports / form)


def test_cards_tell_what_results_tell_and_no_place(ran: Ran, exports: Path, home: Path) -> None:
    cards = {
        form: (exports / form / ("README.md" if form == "hf" else "DATA_CARD.md")).read_text()
        for form in ("imagefolder", "csv", "parquet", "hf")
    }
    generator = ran.results["generators"][0]
    for form, card in cards.items():
        assert f"Copying ratio: {generator['copying_ratio']['value']:.2f}" in card
        assert "CC BY-NC 4.0" in card
        assert "kind class_gaussian" in card
        assert f"synthlift {ran.results['environment']['versions']['synthlift']}" in card
        assert f"--format {form}" in card or form == "imagefolder"
        for name, count in ran.results["counts"]["rejected"].items():
            assert f"| rejected: {name.replace('_', ' ')} | {count} |" in card
        for place in (home, Path.home(), ran.folder.parent, "/tmp"):
            assert str(place) not in card
    rows = metadata(exports)
    for name in ran.results["study"]["classes"]:
        mine = [row for row in rows if row["label"] == name]
        real = sum(row["origin"] == "real" and row["split"] == "train" for row in mine)
        made = sum(row["origin"] == "synthetic" for row in mine)
        assert f"| {name} | {real} | {made} | {len(mine) - real - made} |" in cards["csv"]
    header = yaml.safe_load(cards["hf"].split("---\n")[1])
    splits = {split["name"]: split["num_examples"] for split in header["dataset_info"]["splits"]}
    assert sum(splits.values()) == len(rows)
    for given in header["configs"][0]["data_files"]:
        assert len(list((exports / "hf").glob(given["path"]))) == 1


# ── back in again ─────────────────────────────────────────────────────────────────────────────


def test_an_exported_folder_is_studied_again(exports: Path, tmp_path: Path) -> None:
    study = study_of(
        exports / "imagefolder" / "train",
        generators=[],
        curation=[],
        arms=["real"],
        replicates=1,
        generator_fits=1,
        training={"steps": 2, "batch_size": 16, "flip": "no"},
    )
    again = run(study, home=tmp_path)
    files = list((exports / "imagefolder" / "train").rglob("*.*"))
    assert again.results["counts"]["used"] == len(files)


# ── gates ─────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def copied(table: Path, home: Path) -> Ran:
    data = {"source": str(table), "split": {"design": "fixed", "validation": 0.25}}
    study = study_of(
        table,
        name="copied",
        data={**data, "redistribute": "no", "terms": "for this clinic only"},
        generators=["copier"],
        curation=["near_copies"],
        arms=["real", "augmented", {"kind": "mixed", "multiples": [0.5], "curated": False}],
        plugins=[*study_of(table).plugins, str(PLUGINS / "copier.py")],
        generator_fits=1,
        replicates=1,
    )
    return run(study, home=home, out="copied")


def test_a_generator_that_copies_needs_a_yes(copied: Ran, tmp_path: Path) -> None:
    arm = "mixed-uncurated@0.5"
    assert copied.results["generators"][0]["gate_stopped"]
    options = ("--arm", arm, "--out", tmp_path / "e", "--accept-terms", "--quiet")
    refused = cli("export", copied.folder, *options)
    assert refused.exit_code == 2
    assert "failed the copying gate" in refused.stderr
    assert "are copies of training images, more than 10%" in " ".join(refused.stderr.split())
    assert "--accept-copies" in refused.stderr
    assert not list(tmp_path.iterdir())
    result = cli("export", copied.folder, *options, "--accept-copies")
    assert result.exit_code == 0, result.stderr
    assert "stopped before it was trained" in result.stdout
    card = (tmp_path / "e" / "DATA_CARD.md").read_text()
    assert "**The copying gate failed**" in card
    assert "--accept-copies" in card
    made = list((tmp_path / "e" / "train").rglob("synthetic_*.png"))
    assert made
    assert all(provenance_of(path) for path in made)


def test_terms_that_forbid_it_need_a_yes(copied: Ran, tmp_path: Path) -> None:
    for synthetic_only in (False, True):
        with pytest.raises(InputError, match="may not be redistributed") as raised:
            api.export(
                copied.folder,
                arm="mixed-uncurated@0.5",
                out=tmp_path / "e",
                accept_copies=True,
                synthetic_only=synthetic_only,
            )
        assert "for this clinic only" in str(raised.value)
        assert "synthetic images only" in str(raised.value)
    api.export(copied.folder, arm="real", out=tmp_path / "e", accept_terms=True)
    card = (tmp_path / "e" / "DATA_CARD.md").read_text()
    assert "**not allowed by the source**" in card


def test_a_ratio_below_one_fails_the_gate(ran: Ran, tmp_path: Path) -> None:
    run_ = api.load(ran.folder)
    ratio = run_.results.generators[0].copying_ratio
    assert ratio is not None
    ratio.value = 0.93
    with pytest.raises(InputError, match=r"the copying ratio is 0\.93, below 1"):
        api.export(run_, arm=ARM, out=tmp_path / "e")
    assert api.export(run_, arm="real", out=tmp_path / "r").synthetic == 0
    assert api.export(run_, arm=ARM, out=tmp_path / "e", accept_copies=True).synthetic > 0


def test_nothing_is_written_when_an_export_fails(ran: Ran, tmp_path: Path) -> None:
    def stop(done: int, _total: int, _note: str) -> None:
        if done == 5:
            raise RuntimeError("unplugged")

    with pytest.raises(RuntimeError, match="unplugged"):
        api.export(ran.folder, arm=ARM, out=tmp_path / "e", progress=stop)
    with pytest.raises(InputError, match="unknown format 'parket' – did you mean 'parquet'"):
        api.export(ran.folder, arm=ARM, out=tmp_path / "e", form="parket")
    assert not list(tmp_path.iterdir())


# ── the shareable report ──────────────────────────────────────────────────────────────────────


def pictures(html: str) -> Iterator[np.ndarray]:
    """The pixels of every embedded picture."""
    for data in re.findall(r"data:image/\w+;base64,([^\"]+)", html):
        with Image.open(io.BytesIO(base64.b64decode(data))) as image:
            yield np.asarray(image.convert("L"))


def test_a_shareable_report_tells_nothing(ran: Ran, table: Path, home: Path) -> None:
    result = cli("report", ran.folder, "--shareable")
    assert result.exit_code == 0, result.stderr
    file = Path(result.stdout.strip())
    shared, full = file.read_text(), (ran.folder / "report.html").read_text()
    with (ran.folder / "splits.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    telling = {
        CLINIC,
        DOCTOR,
        SECRET,
        "patients.csv",
        str(home),
        str(table.parent),
        "bed-0",
        "PAT0",
    }
    telling |= {str(ran.folder), str(Path.home()), ran.results["openings"]["test_hash"]}
    telling |= {name for row in rows for name in (row["id"], Path(row["id"]).name, row["group"])}
    telling |= {ran.results["study"]["key"], *(row["sha256"] for row in rows)}
    assert CLINIC in full
    assert "bed-00" in full
    assert not {name for name in telling if name in shared}
    assert not re.search(r"\.(png|jpe?g|csv|parquet)\b", re.sub(r"base64,[^\"]+", "", shared))
    real = {
        np.asarray(Image.open(path).convert("L")).tobytes()
        for path in sorted((ran.folder / "gallery").glob("*_real_*.png"))
    }
    kept = sorted((ran.folder / "gallery").glob("*_kept_*.png"))
    shown = [pixels.tobytes() for pixels in pictures(shared)]
    assert real
    assert not real & set(shown)
    assert len(shown) == len(kept) > 0
    for kind in ("real", "rejected", "copy_neighbour"):
        for path in (ran.folder / "gallery").glob(f"*_{kind}_*.png"):
            assert base64.b64encode(path.read_bytes()).decode() not in shared
    for name in ran.results["study"]["classes"]:
        assert name in shared


def test_one_run_hashes_alike_and_another_differently(ran: Ran, tmp_path: Path) -> None:
    first = api.share_report(ran.folder, out=tmp_path / "a.html").read_text()
    again = api.share_report(ran.folder, out=tmp_path / "b.html").read_text()
    assert first == again
    key = ran.folder / "share.key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert key.read_text() not in first
    before = set(re.findall(r"id-[0-9a-f]{10}", first))
    kept = key.rename(tmp_path / "key")
    try:
        other = api.share_report(ran.folder, out=tmp_path / "c.html").read_text()
    finally:
        kept.replace(key)
    assert before
    assert not before & set(re.findall(r"id-[0-9a-f]{10}", other))


def test_pictures_of_a_generator_that_copies_are_not_shared(copied: Ran) -> None:
    shared = api.share_report(copied.folder).read_text()
    assert not list(pictures(shared))
    assert "stopped this generator" in shared


def test_where_a_shareable_report_may_lie(ran: Ran, tmp_path: Path) -> None:
    result = cli("report", ran.folder, "--out", tmp_path / "x.html")
    assert result.exit_code == 2
    assert "--shareable" in result.stderr
    assert cli("report", ran.folder, "--shareable", "--out", tmp_path).exit_code == 2
    found = cli("report", ran.folder, "--shareable", "--out", tmp_path / "x.html", "--json")
    assert json.loads(found.stdout)["report"] == str(tmp_path / "x.html")
    assert [path.name for path in tmp_path.iterdir()] == ["x.html"]
