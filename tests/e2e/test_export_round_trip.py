"""Exports opened by others – the package ``datasets``, offline – and by Synthlift itself again."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from synthlift import api
from synthlift.data.integrity import pixel_hash
from synthlift.data.inventory import Asked, Row, take_inventory
from synthlift.data.sources import open_source
from synthlift.errors import InputError
from synthlift.spec.provenance import provenance_of
from synthlift.study.places import where_of
from synthlift.testing.inputs import draw_images
from tests.e2e.tiny import Ran, run, study_of

datasets = pytest.importorskip("datasets", reason="the extra 'hub' is not installed")

LABELS = ("Bars, wide", "disc", "naïve ramp")
ARM = "mixed@0.5"
PARTS = ("train", "validation")
SOURCES = {
    "hf:hf": PARTS,
    "hf:parquet": PARTS,
    "hf:parquet/validation.parquet": ("validation",),
    "parquet/train.parquet": ("train",),
    "csv/metadata.csv": PARTS,
    "imagefolder": ("train",),
    "imagefolder/train": ("train",),
}


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Drawn images, 8 × 12, grey and in colour, as PNG and as turned JPEG, two of each patient."""
    place = tmp_path_factory.mktemp("data")
    (place / "ward").mkdir()
    pixels, labels = draw_images(90, seed=5)
    exif = Image.Exif()
    exif[0x0112] = 6
    lines = ["path;label;patient;sex"]
    for row, (image, label) in enumerate(zip(pixels, labels, strict=True)):
        grey = np.pad(image[:, :, 0], ((2, 2), (0, 0)), mode="edge")
        shown = np.stack([grey, grey // 2, 255 - grey], axis=2) if row % 3 else grey
        name = f"ward/{row}." + ("jpg" if row % 5 == 0 else "png")
        extra: dict[str, Any] = {"exif": exif, "quality": 95} if row % 5 == 0 else {}
        Image.fromarray(shown).save(place / name, **extra)
        lines.append(f"{name};{LABELS[label]};p{row // 2};{'fm'[row // 2 % 2]}")
    (place / "patients.csv").write_text("\n".join(lines), encoding="utf-8")
    return place / "patients.csv"


@pytest.fixture(scope="module")
def ran(table: Path, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    data = {
        "source": str(table),
        "group": "patient",
        "attributes": ["sex"],
        "image_size": 8,
        "split": {"design": "fixed", "validation": 0.25},
    }
    arms = ["real", {"kind": "mixed", "multiples": [0.5], "recipes": ["plain"]}]
    small = {"curation": [], "generator_fits": 1, "replicates": 1}
    training = {"steps": 2, "batch_size": 16, "flip": "no"}
    study = study_of(table, data=data, arms=arms, training=training, **small)
    return run(study, home=tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def exports(ran: Ran, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One export in each format."""
    place = tmp_path_factory.mktemp("exports")
    for form in ("imagefolder", "csv", "parquet", "hf"):
        api.export(ran.folder, arm=ARM, out=place / form, form=form)
    return place


@pytest.fixture(scope="module")
def rows(exports: Path) -> dict[str, dict[str, str]]:
    """What ``metadata.csv`` says, by image."""
    with (exports / "csv" / "metadata.csv").open(encoding="utf-8", newline="") as stream:
        return {row["id"]: row for row in csv.DictReader(stream)}


def original(row: dict[str, str], table: Path, exports: Path) -> np.ndarray:
    """A real image as its source has it, seen upright; a generated one as its PNG has it."""
    real = row["origin"] == "real"
    with Image.open(table.parent / row["id"] if real else exports / "csv" / row["file_name"]) as im:
        return np.asarray(ImageOps.exif_transpose(im))


# ── by datasets ───────────────────────────────────────────────────────────────────────────────


def check_rows(
    found: Iterable[dict[str, Any]],
    features: Any,
    rows: dict[str, dict[str, str]],
    table: Path,
    exports: Path,
) -> None:
    """Every row's picture, class and facts are those of the export with plain files."""
    assert isinstance(features["image"], datasets.Image)
    assert features["label"].names == sorted(LABELS)
    seen = 0
    for row in found:
        told = rows[row["id"]]
        expected = original(told, table, exports)
        assert np.array_equal(np.asarray(row["image"]), expected)
        assert features["label"].int2str(row["label"]) == told["label"]
        assert (row["origin"], row["group"]) == (told["origin"], told["group"])
        assert (row["sex"] or "") == told["sex"]
        assert row["seed"] == (int(told["seed"]) if told["seed"] else None)
        seen += 1
    assert seen > 0


@pytest.mark.parametrize("form", ["hf", "parquet"])
def test_datasets_loads_the_folder(
    form: str, exports: Path, table: Path, rows: dict[str, dict[str, str]], tmp_path: Path
) -> None:
    found = datasets.load_dataset(str(exports / form), cache_dir=str(tmp_path))
    counts = Counter(row["split"] for row in rows.values())
    assert {split: len(part) for split, part in found.items()} == counts
    for split, part in found.items():
        assert {rows[row]["split"] for row in part["id"]} == {split}
        check_rows(part, part.features, rows, table, exports)


def test_datasets_reads_one_file(
    exports: Path, table: Path, rows: dict[str, dict[str, str]], tmp_path: Path
) -> None:
    file = exports / "parquet" / "train.parquet"
    found = datasets.Dataset.from_parquet(str(file), cache_dir=str(tmp_path))
    assert len(found) == sum(row["split"] == "train" for row in rows.values())
    check_rows(found, found.features, rows, table, exports)


def test_datasets_reads_the_folders_of_files(
    exports: Path, rows: dict[str, dict[str, str]], tmp_path: Path
) -> None:
    train = datasets.load_dataset(
        "imagefolder", data_dir=str(exports / "imagefolder"), cache_dir=str(tmp_path)
    )["train"]
    names = train.features["label"].names
    assert names == sorted(LABELS)
    expected = Counter(row["label"] for row in rows.values() if row["split"] == "train")
    assert Counter(names[label] for label in train["label"]) == expected
    beside = datasets.load_dataset(str(exports / "csv"), cache_dir=str(tmp_path))["train"]
    assert {row["id"]: row["label"] for row in beside.remove_columns("image")} == {
        name: row["label"] for name, row in rows.items()
    }


# ── by Synthlift ──────────────────────────────────────────────────────────────────────────────


def read_again(place: str, exports: Path, *overrides: str) -> list[Row]:
    """Every usable image of an export that a user names as a source."""
    scheme, _, name = place.rpartition(":")
    asked = api.ask(f"{scheme}:{exports / name}" if scheme else exports / name, overrides=overrides)
    source = open_source(where_of(asked.study.data, base=asked.base))
    inventory = take_inventory(source, Asked(10_000), progress=lambda *_: None)
    assert all(row.status == "ok" for row in inventory.rows)
    return list(inventory.rows)


@pytest.mark.parametrize(("place", "parts"), SOURCES.items())
def test_an_export_is_a_source_with_equal_labels_parts_and_pixels(
    place: str,
    parts: tuple[str, ...],
    exports: Path,
    table: Path,
    rows: dict[str, dict[str, str]],
) -> None:
    expected: Counter[tuple[str, str, str]] = Counter()
    for row in rows.values():
        pixels = original(row, table, exports)
        if pixels.ndim == 3 and (pixels == pixels[:, :, :1]).all():
            pixels = pixels[:, :, 0]  # equal channels are grey, however they are stored
        digest = pixel_hash(pixels if pixels.ndim == 3 else pixels[:, :, None])
        assert row["sha256"] in ("", digest)
        if row["split"] in parts:
            expected[digest, row["label"], row["split"]] += 1
    split = {"imagefolder/train": "train", "parquet/train.parquet": "train"}
    split["hf:parquet/validation.parquet"] = "validation"  # one file says nothing of its part
    again = read_again(place, exports)
    found = Counter((row.sha256, row.label, split.get(place, row.part)) for row in again)
    assert found == expected


@pytest.mark.parametrize("place", ["hf:hf", "hf:parquet", "csv/metadata.csv"])
def test_groups_and_attributes_come_back_too(
    place: str, exports: Path, rows: dict[str, dict[str, str]]
) -> None:
    again = read_again(place, exports, "data.group=group", "data.attributes=[sex, origin]")
    real = [row for row in rows.values() if row["origin"] == "real"]
    assert {row["group"] for row in real} < {f"p{n}" for n in range(45)}
    found = Counter(
        (row.sha256, row.group, row.attributes["sex"])
        for row in again
        if row.attributes["origin"] == "real"
    )
    assert found == Counter((row["sha256"], row["group"], row["sex"]) for row in real)


def test_what_was_generated_is_told_when_it_is_looked_at(
    exports: Path, rows: dict[str, dict[str, str]]
) -> None:
    generated = sum(row["origin"] == "synthetic" for row in rows.values())
    for place in (exports / "csv" / "metadata.csv", f"hf:{exports / 'hf'}"):
        found = api.inspect(str(place))
        assert found["generated"] == generated
        note = f"{generated} images whose file says that Synthlift generated them"
        assert note in found["notes"]
        assert found["findings"]["warnings"][0].startswith(f"{generated} images were generated")


def test_what_was_generated_stays_so_in_a_second_export(
    exports: Path, rows: dict[str, dict[str, str]], tmp_path: Path
) -> None:
    source = f"hf:{exports / 'hf'}"
    data = {"source": source, "image_size": 8, "split": {"design": "fixed"}}
    small = {"generators": [], "curation": [], "generator_fits": 1, "replicates": 1}
    training = {"steps": 2, "batch_size": 16, "flip": "no"}
    study = study_of(source, data=data, arms=["real"], training=training, **small)
    again = run(study, home=tmp_path)
    api.export(again.folder, arm="real", out=tmp_path / "out", form="csv")
    generated = Counter(row["split"] for row in rows.values() if row["origin"] == "synthetic")
    with (tmp_path / "out" / "metadata.csv").open(encoding="utf-8", newline="") as stream:
        found = list(csv.DictReader(stream))
    kept = [row for row in found if row["origin"] == "synthetic"]
    assert 0 < len(kept) <= generated["train"]
    assert {row["origin"] for row in found} == {"real", "synthetic"}
    for row in found:
        said = provenance_of(tmp_path / "out" / row["file_name"])
        assert (said is not None) == (row["origin"] == "synthetic")
    card = (tmp_path / "out" / "DATA_CARD.md").read_text(encoding="utf-8")
    assert f"**{len(kept)} images counted as real say that they were generated**" in card


def test_a_folder_of_another_format_says_how_it_is_named(exports: Path) -> None:
    for name, said in (
        ("hf", f"say hf:{exports / 'hf'}"),
        ("parquet", f"say hf:{exports / 'parquet'}"),
        ("csv", f"give the table: {exports / 'csv' / 'metadata.csv'}"),
    ):
        with pytest.raises(InputError) as caught:
            read_again(name, exports)
        assert said in caught.value.remedy


def test_the_card_tells_at_what_the_arm_aims(exports: Path) -> None:
    assert "- multiple: 0.5 × the real images, target all\n" in (
        exports / "csv" / "DATA_CARD.md"
    ).read_text(encoding="utf-8")
