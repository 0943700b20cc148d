"""Data that cannot be studied, as a user meets the refusal: exit code 2, what, why and what now."""

from __future__ import annotations

import csv
import os
import pickle
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from synthlift.cli import app

RNG = np.random.default_rng(0)
IMAGES = 24
Maker = Callable[[Path], Sequence[object]]


def cli(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def refused(result: Result, *words: str) -> None:
    """Exit code 2, nothing on stdout, and the three parts of an error on stderr."""
    said = " ".join(result.stderr.split())
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    for word in ("Error:", "Rule:", "Remedy:", *words):
        assert word in said, said


def draw(path: Path, shape: tuple[int, ...] = (12, 12, 3)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(RNG.integers(0, 255, shape, dtype=np.uint8)).save(path)


def folder(place: Path, *classes: str, each: int = 4) -> Path:
    for name in classes:
        for number in range(each):
            draw(place / name / f"{number}.png")
    return place


def table(place: Path, changes: Callable[[int], dict[str, object]], *, rows: int = IMAGES) -> Path:
    """24 images and a table of paths and labels a and b; ``changes`` are cells by row, or None."""
    for number in range(IMAGES):
        draw(place / "images" / f"{number}.png")
    told = [
        {"path": f"images/{number}.png", "label": "ab"[number % 2], **changes(number)}
        for number in range(rows)
    ]
    told = [{name: cell for name, cell in row.items() if cell is not None} for row in told]
    with (place / "t.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, told[0])
        writer.writeheader()
        writer.writerows(told)
    return place / "t.csv"


def arrays(place: Path, labels: np.ndarray) -> Path:
    place.mkdir(exist_ok=True)
    np.savez(place / "x.npz", images=np.zeros((len(labels), 8, 8), np.uint8), labels=labels)
    return place / "x.npz"


# ── tables ────────────────────────────────────────────────────────────────────────────────────


def test_missing_files_are_counted_and_the_first_five_named(tmp_path: Path) -> None:
    source = table(tmp_path, lambda _: {}, rows=40)
    named = "'images/24.png', 'images/25.png', 'images/26.png', 'images/27.png', 'images/28.png'"
    for command in ("inspect", "plan", "run"):
        result = cli(command, source, "--quiet")
        refused(result, "16 of the 40 rows", f"{named} and 11 more")


def test_an_image_with_two_rows(tmp_path: Path) -> None:
    source = table(tmp_path, lambda n: {"path": f"images/{n % 20}.png"})
    refused(cli("inspect", source), "4 images with more than one row", "'images/0.png' (rows 2, 22")


def test_empty_labels(tmp_path: Path) -> None:
    source = table(tmp_path, lambda n: {"label": "ab"[n % 2] if n > 1 else ""})
    refused(cli("inspect", source), "2 images", "without a class", "'images/0.png'")


def test_a_misspelt_label_column(tmp_path: Path) -> None:
    source = table(tmp_path, lambda n: {"diagnosis": "xy"[n % 2]})
    refused(cli("inspect", source, "--label", "diagnossis"), "did you mean 'diagnosis'?")


@pytest.mark.parametrize("path", ["../outside.png", "/etc/hostname", "images/../../outside.png"])
def test_a_path_that_leads_out_of_the_tables_folder(tmp_path: Path, path: str) -> None:
    draw(tmp_path / "outside.png")
    place = tmp_path / "inside"
    source = table(place, lambda n: {"path": path} if n == 3 else {})
    refused(cli("inspect", source), "1 path", "leads out of its folder", f"'{path}'")


def test_an_attribute_with_one_value_an_image(tmp_path: Path) -> None:
    source = table(tmp_path, lambda n: {"uid": f"u{n}"})
    refused(cli("inspect", source, "--attribute", "uid"), "24 values for 24 images", "identifier")


@pytest.mark.parametrize("name", ["width", "status", "sha256", "Part"])
def test_an_attribute_called_like_a_built_in_column(tmp_path: Path, name: str) -> None:
    source = table(tmp_path, lambda n: {name: "xy"[n % 2]})
    refused(cli("inspect", source, "--attribute", name), f"cannot be called '{name}'")


def test_forty_thousand_classes(tmp_path: Path) -> None:
    draw(tmp_path / "images" / "0.png")
    lines = ["path,label", "images/0.png,c0"]
    for number in range(1, 40_000):
        os.link(tmp_path / "images" / "0.png", tmp_path / "images" / f"{number}.png")
        lines.append(f"images/{number}.png,c{number}")
    (tmp_path / "t.csv").write_text("\n".join(lines))
    refused(cli("inspect", tmp_path / "t.csv"), "40,000 classes", "at most 1,000")


# ── splits, masks, sets from elsewhere ────────────────────────────────────────────────────────


def test_a_declared_group_in_two_given_splits_leaves_no_run(tmp_path: Path) -> None:
    source = table(
        tmp_path,
        lambda n: {"patient": f"p{n // 3}", "split": "train" if n < 16 else "test"},
    )
    for command in (("plan",), ("run", "--out", tmp_path / "run")):
        result = cli(*command, source, "--group", "patient", "--quiet", "--device", "cpu")
        refused(result, "1 declared group", "'p5' in test and train")
    assert not (tmp_path / "run").exists()
    told = cli("inspect", source, "--group", "patient", "--quiet", "--no-page")
    assert told.exit_code == 0
    assert "cannot be studied: 1 declared group lies in two parts" in told.stdout
    assert "Move each group into one part" in told.stdout


def test_a_class_only_in_test(tmp_path: Path) -> None:
    folder(tmp_path / "set" / "train", "cat", "dog")
    folder(tmp_path / "set" / "test", "cat", "dog", "bird")
    refused(cli("plan", tmp_path / "set", "--quiet"), "without a training image", "'bird' (only in")


def test_an_external_set_with_an_unknown_class_leaves_no_run(tmp_path: Path) -> None:
    source = folder(tmp_path / "ours", "cat", "dog")
    folder(tmp_path / "theirs", "cat", "dogs")
    file = tmp_path / "study.yaml"
    file.write_text("data: {source: ./ours, external: [{name: B, source: ./theirs}]}")
    for command in (("inspect",), ("plan",), ("run", "--out", tmp_path / "run")):
        result = cli(*command, file, "--quiet")
        refused(result, "external set 'B'", "'dogs' – did you mean 'dog'?", "{dogs: dog}")
    assert not (tmp_path / "run").exists()
    file.write_text(file.read_text().replace("./theirs", "./theirs, classes: {dogs: dog}"))
    told = cli("inspect", file, "--quiet", "--no-page")
    assert told.exit_code == 0, told.stderr
    assert "the external set 'B': 8 images" in told.stdout
    refused(cli("plan", source, "--set", "data.names={cta: Cat}"), "did you mean 'cat'?")
    own = "generators=[{kind: text_to_image, model: embedded, names: {cta: Cat}}]"
    refused(cli("plan", source, "--set", own), "'names' of 'text_to_image'", "did you mean 'cat'?")


def test_masks_of_another_size(tmp_path: Path) -> None:
    source = folder(tmp_path / "set", "cat", "dog")
    for path in source.rglob("*.png"):
        side = 10 if path.name == "0.png" else 12
        draw(tmp_path / "masks" / path.relative_to(source), (side, 12))
    masks = ("--set", f"data.masks={tmp_path / 'masks'}", "--quiet")
    words = ("2 masks have another size", "cat/0.png (12 × 10, image 12 × 12)")
    refused(cli("plan", source, *masks), *words)
    told = cli("inspect", source, *masks, "--no-page").stdout
    assert "2  masks of another size than their image" in told
    assert "Export the masks at the size of the images." in told


# ── other tasks, other files ──────────────────────────────────────────────────────────────────


class Bomb:
    """What a pickle may do when it is opened."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (self.path,))


def test_a_pickle_is_never_opened(tmp_path: Path) -> None:
    trap = tmp_path / "opened"
    pickle.loads(pickle.dumps(Bomb(trap)))  # it does what it says
    trap.unlink()
    labels = np.array([Bomb(trap)] * 9, dtype=object)
    refused(cli("inspect", arrays(tmp_path, labels)), "pickled Python objects", "never opened")
    (tmp_path / "raw.npz").write_bytes(pickle.dumps(Bomb(trap)))
    refused(cli("inspect", tmp_path / "raw.npz"), "cannot be read as an .npz file")
    assert not trap.exists()


OTHER_TASKS: dict[str, tuple[Maker, str]] = {
    "several labels in a cell": (
        lambda p: [table(p, lambda n: {"label": ["a|b", "a", "b"][n % 3]})],
        "multi-label data are not read",
    ),
    "a column for each class": (
        lambda p: [table(p, lambda n: {"label": None, "cough": n % 2, "rash": n // 2 % 2})],
        "'cough', 'rash' look like one column a class",
    ),
    "several labels in an array": (
        lambda p: [arrays(p, RNG.integers(0, 2, (20, 14)))],
        "several labels an image",
    ),
    "numbers on a scale": (
        lambda p: [table(p, lambda n: {"label": n * 0.37})],
        "does not predict numbers (regression)",
    ),
    "numbers on a scale in an array": (
        lambda p: [arrays(p, RNG.random(20))],
        "regression is not supported",
    ),
    "boxes in a table": (
        lambda p: [table(p, lambda n: {"xmin": n, "ymin": 1, "xmax": 30, "ymax": 9})],
        "does not read detection data",
    ),
    "a folder of boxes": (
        lambda p: [folder(p / "set", "images", "labels")],
        "segmentation and detection data are not read",
    ),
    "a folder of masks": (
        lambda p: [folder(p / "set", "images", "masks")],
        "segmentation and detection data are not read",
    ),
    "masks in an array": (
        lambda p: [arrays(p, RNG.integers(0, 2, (20, 8, 8)))],
        "segmentation alone is not read",
    ),
}


@pytest.mark.parametrize("task", OTHER_TASKS)
def test_other_tasks_are_told_apart(tmp_path: Path, task: str) -> None:
    make, words = OTHER_TASKS[task]
    refused(cli("inspect", *make(tmp_path)), words)
    refused(cli("plan", *make(tmp_path / "again")), words)
