"""What a finished run gives: tables, images, its model, and the commands on it."""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner, Result

from synthlift import api
from synthlift.api.images import Pixels
from synthlift.api.training_sets import arm_images
from synthlift.cli import app
from synthlift.errors import InputError
from synthlift.store.files import hash_files


def cli(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def pixel_hashes(folder: Path) -> set[str]:
    images = [p for p in folder.rglob("*") if p.suffix == ".png"]
    return {hashlib.sha256(np.asarray(Image.open(p)).tobytes()).hexdigest() for p in images}


# ── tables ────────────────────────────────────────────────────────────────────────────────────


def test_tables_say_what_results_say(finished: api.Run) -> None:
    arms = {arm.name: arm for arm in finished.results.arms}
    assert list(finished.arms.index) == ["real", "mixed@2"]
    for name, row in finished.arms.iterrows():
        assert row["accuracy"] == arms[str(name)].metrics["accuracy"].value
        assert row["accuracy_low"] == arms[str(name)].metrics["accuracy"].low
    assert len(finished.contrasts) == len(finished.results.contrasts)
    assert list(finished.classes.index) == ["circle", "cross", "square"]
    assert finished.cost["seconds"].sum() > 0
    assert finished.verdict is not None
    assert finished.verdict.exploratory


def test_predictions_give_the_accuracy_that_is_shown(finished: api.Run) -> None:
    table = finished.predictions()
    rows = table[(table["arm"] == "real") & (table["evaluation_set"] == "test")]
    correct = np.stack(rows["probabilities"].to_list()).argmax(1) == rows["label"]
    assert correct.mean() == pytest.approx(finished.arms.loc["real", "accuracy"])


def test_a_run_shows_itself_in_a_notebook(finished: api.Run) -> None:
    shown = finished._repr_html_()
    assert finished.verdict is not None
    assert finished.verdict.sentence.split(",")[0] in shown
    assert "mixed@2" in shown
    assert "report.html" in shown


def test_an_unfinished_run_says_so(finished: api.Run, tmp_path: Path) -> None:
    shutil.copyfile(finished.path / "study.yaml", tmp_path / "study.yaml")
    run = api.load(tmp_path)
    with pytest.raises(InputError, match=r"holds no results\.json yet"):
        _ = run.results
    assert "holds no results.json yet" in run._repr_html_()


# ── images ────────────────────────────────────────────────────────────────────────────────────


def test_a_dataset_holds_the_training_images(finished: api.Run) -> None:
    data = finished.dataset("mixed@2")
    table = data.table
    real, synthetic = table[table["origin"] == "real"], table[table["origin"] == "synthetic"]
    counts = finished.results.counts.per_class
    for name in data.classes:
        n = int(counts[name]["train"])
        assert (real["label"] == name).sum() == n
        assert (synthetic["label"] == name).sum() == 2 * n
    image, label = data[0]
    assert image.shape == (3, 8, 8)
    assert image.dtype == torch.float32
    assert 0 <= image.min() <= image.max() <= 1
    assert data.classes[label] == table["label"][0]
    assert len(data) == len(data.targets)
    as_given = finished.dataset("mixed@2", transform=lambda picture: picture.size)
    assert as_given[len(as_given) - 1] == ((8, 8), data.targets[-1])


def test_the_dataset_never_shows_a_test_image(finished: api.Run) -> None:
    splits = np.genfromtxt(finished.path / "splits.csv", delimiter=",", dtype=str, skip_header=1)
    tested = set(splits[splits[:, 2] == "test"][:, 1])
    assert tested
    for part in ("train", "validation"):
        ids = set(finished.dataset("mixed@2", part=part).table["id"])
        assert ids
        assert not ids & tested
    with pytest.raises(InputError, match="part 'test'"):
        finished.dataset("mixed@2", part="test")


def test_images_are_the_same_without_the_store(
    finished: api.Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = arm_images(finished, finished.arm("mixed@2"))
    with_store = Pixels(finished)
    assert with_store.store is not None
    without = Pixels(finished)
    monkeypatch.setitem(without.__dict__, "store", None)
    without.sample_again(images)
    for image in images:
        assert np.array_equal(with_store.training(image), without.training(image)), image


@pytest.mark.parametrize(
    ("arm", "replicate", "words"),
    [("mixed@3", 0, "did you mean 'mixed@2'"), ("real", 1, "replicate 1")],
)
def test_what_the_run_does_not_have(
    finished: api.Run, arm: str, replicate: int, words: str
) -> None:
    with pytest.raises(InputError, match=words):
        finished.dataset(arm, replicate=replicate)


# ── export, generate, classify, evaluate ──────────────────────────────────────────────────────


def test_export_writes_the_training_folder(finished: api.Run, tmp_path: Path) -> None:
    result = cli("export", finished.path, "--arm", "mixed@2", "--out", tmp_path / "e", "--quiet")
    assert result.exit_code == 0, result.stderr
    assert "the model of arm 'mixed@2', replicate 1" in result.stdout
    with (tmp_path / "e" / "provenance.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    written = {
        p.relative_to(tmp_path / "e").as_posix() for p in (tmp_path / "e/train").rglob("*.png")
    }
    assert written == {row["file"] for row in rows}
    source = Path(finished.study.data.source)
    for row in rows:
        assert Path(row["file"]).parts[:2] == ("train", row["label"])
        if row["origin"] == "real":
            assert (tmp_path / "e" / row["file"]).read_bytes() == (source / row["id"]).read_bytes()
    with (tmp_path / "e" / "splits.csv").open() as stream:
        tested = [row["id"] for row in csv.DictReader(stream) if row["part"] == "test"]
    shown = pixel_hashes(tmp_path / "e" / "train")
    assert tested
    assert not shown & {
        hashlib.sha256(np.asarray(Image.open(source / name)).tobytes()).hexdigest()
        for name in tested
    }
    assert json.loads((tmp_path / "e/model/model.json").read_text())["classes"][0] == "circle"


def test_export_of_synthetic_images_only(finished: api.Run, tmp_path: Path) -> None:
    found = api.export(finished, arm="mixed@2", out=tmp_path / "e", synthetic_only=True)
    assert (found.real, found.reduced) == (0, 0)
    assert found.synthetic == len(list((tmp_path / "e/train").rglob("*.png"))) > 0
    with pytest.raises(InputError, match="is not empty"):
        api.export(finished, arm="mixed@2", out=tmp_path / "e")
    with pytest.raises(InputError, match="arm 'real' has no synthetic images"):
        api.export(finished, arm="real", out=tmp_path / "f", synthetic_only=True)


def test_export_without_the_originals_says_so(
    finished: api.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = Path(finished.study.data.source)
    moved = source.rename(tmp_path / "moved")
    try:
        found = api.export(finished, arm="real", out=tmp_path / "e")
    finally:
        moved.rename(source)
    assert found.reduced == found.real > 0
    sizes = {Image.open(p).size for p in (tmp_path / "e/train").rglob("*.png")}
    assert sizes == {(8, 8)}


def test_generate_is_decided_by_the_seed(finished: api.Run, tmp_path: Path) -> None:
    folders = [tmp_path / name for name in "abc"]
    for folder, seed, count in zip(folders, (1, 1, 2), (3, 2, 3), strict=True):
        arguments = ("--per-class", count, "--seed", seed, "--out", folder, "--quiet")
        assert cli("generate", finished.path, *arguments).exit_code == 0
    first, second, other = (hash_files(folder / "images") for folder in folders)
    assert len(first) == 9
    assert second == {name: first[name] for name in second}
    assert not set(first.values()) & set(other.values())
    with (folders[0] / "provenance.csv").open() as stream:
        assert {row["file"] for row in csv.DictReader(stream)} == {f"images/{n}" for n in first}
    assert Image.open(folders[0] / "contact-sheet.png").size[1] > 3 * 96


def test_generate_goes_on_from_what_it_wrote(finished: api.Run, tmp_path: Path) -> None:
    first = api.generate(finished.path, per_class=2, out=tmp_path / "a", classes=["cross"])
    again = api.generate(first.path, per_class=1, out=tmp_path / "b", classes=["cross"])
    assert first.counts == {"cross": 2}
    one = next((again.path / "images").rglob("*.png"))
    assert one.read_bytes() == (first.path / "images/cross/flow_00000.png").read_bytes()
    with pytest.raises(InputError, match="there is no class 'crss' – did you mean 'cross'"):
        api.generate(finished.path, per_class=1, out=tmp_path / "c", classes=["crss"])


def test_generate_goes_on_where_it_was_stopped(finished: api.Run, tmp_path: Path) -> None:
    whole = api.generate(finished.path, per_class=4, out=tmp_path / "whole", seed=3)

    class StopError(Exception):
        pass

    def stop(done: int, _total: int, _note: str) -> None:
        if done == 6:
            raise StopError

    out = tmp_path / "out"
    with pytest.raises(StopError):
        api.generate(finished.path, per_class=4, out=out, seed=3, progress=stop)
    written = {path: path.stat().st_mtime_ns for path in (out / "images").rglob("*.png")}
    assert len(written) == 6
    with pytest.raises(InputError, match="holds the beginning of other images"):
        api.generate(finished.path, per_class=4, out=out, seed=4)
    again = api.generate(finished.path, per_class=4, out=out, seed=3)
    assert again.counts == whole.counts
    assert hash_files(again.path) == hash_files(whole.path)
    assert {path: path.stat().st_mtime_ns for path in written} == written
    with pytest.raises(InputError, match="is not empty"):
        api.generate(finished.path, per_class=4, out=out, seed=3)


def test_generate_makes_images_of_every_cell(
    tmp_path: Path, draw_images: Callable[..., Path]
) -> None:
    source = draw_images(tmp_path / "shapes", per_class=6)
    files = sorted(source.rglob("*.png"))
    table = tmp_path / "shapes.csv"
    rows = [
        f"{p.relative_to(tmp_path)},{p.parent.name},{'dark a' if k % 2 else 'light'}"
        for k, p in enumerate(files)
    ]
    table.write_text("\n".join(["path,label,tone", *rows]) + "\n")
    asked = ("--attribute", "tone=dark a", "--attribute", "tone=light", "--class", "cross")
    result = cli(
        "generate",
        table,
        *asked,
        "--per-class",
        2,
        "--out",
        tmp_path / "out",
        "--workers",
        1,
        "--set",
        "data.attributes=[tone]",
        "--set",
        "generators.flow.steps=5",
        "--quiet",
    )
    assert result.exit_code == 0, result.stderr
    assert "4 images of 2 cells" in result.stdout
    with (tmp_path / "out/provenance.csv").open() as stream:
        told = {row["file"]: row["tone"] for row in csv.DictReader(stream)}
    assert told == {
        "images/cross/flow_dark-a_00000.png": "dark a",
        "images/cross/flow_dark-a_00001.png": "dark a",
        "images/cross/flow_light_00000.png": "light",
        "images/cross/flow_light_00001.png": "light",
    }


def test_generate_fits_a_generator_on_images_first(
    tmp_path: Path, draw_images: Callable[..., Path]
) -> None:
    source = draw_images(tmp_path / "shapes", per_class=4)
    found = api.generate(
        source,
        per_class=2,
        out=tmp_path / "a",
        overrides=["generators.flow.steps=20"],
        workers=1,
        device="cpu",
    )
    assert found.counts == {"circle": 2, "cross": 2, "square": 2}
    assert {Image.open(p).size for p in (found.path / "images").rglob("*.png")} == {(16, 16)}
    again = api.generate(found.path, per_class=2, out=tmp_path / "b")
    assert hash_files(again.path / "images") == hash_files(found.path / "images")


def test_generate_learns_nothing_from_test_images_that_the_data_bring(
    tmp_path: Path, draw_images: Callable[..., Path]
) -> None:
    """Other test images change no bit of what is generated."""
    written = []
    for name, shift in (("a", 20), ("b", 90)):
        draw_images(tmp_path / name / "train", per_class=4)
        for path in draw_images(tmp_path / name / "test", per_class=2).rglob("*.png"):
            moved = [(value + shift) % 256 for value in range(256)]
            Image.open(path).point(moved * 3).save(path)
        found = api.generate(
            tmp_path / name,
            per_class=1,
            out=tmp_path / f"out-{name}",
            # The same drawings in other light: near-duplicates are another test's.
            overrides=["generators.flow.steps=3", "data.near_duplicates=ignore"],
            workers=1,
            device="cpu",
        )
        assert "fitted on 9 images, watched on 3, 6 left out" in found.fitted_on
        assert "the data bring their own 6 test images" in found.fitted_on
        written.append(hash_files(found.path / "images"))
    assert written[0] == written[1]


def test_classify_gives_class_and_probability(finished: api.Run) -> None:
    source = Path(finished.study.data.source)
    files = [source / "cross/000.png", source / "circle/001.png"]
    result = cli("classify", finished.path, *files, "--json")
    answers = json.loads(result.stdout)
    assert [answer["file"] for answer in answers] == [str(file) for file in files]
    for answer in answers:
        assert sum(answer["probabilities"].values()) == pytest.approx(1, abs=1e-5)
        assert answer["probability"] == max(answer["probabilities"].values())
        assert answer["probabilities"][answer["label"]] == answer["probability"]
    assert "probability" in cli("classify", finished.path / "model", files[0]).stdout
    assert len(finished.classify([source])) == 30


def test_classify_resizes_as_in_training(finished: api.Run) -> None:
    """The model's answer on a validation file is the one that the study recorded."""
    table = finished.predictions()
    rows = table[(table["arm"] == "real") & (table["evaluation_set"] == "validation")]
    source = Path(finished.study.data.source)
    answers = finished.classify([source / name for name in rows["image_id"]])
    found = [[a.probabilities[name] for name in ("circle", "cross", "square")] for a in answers]
    np.testing.assert_allclose(found, np.stack(rows["probabilities"].to_list()), atol=1e-6)


def test_evaluate_repeats_the_verdict(finished: api.Run, tmp_path: Path) -> None:
    outcome = api.evaluate(finished.path)
    assert finished.verdict is not None
    assert outcome.verdict.contrast.difference == finished.verdict.contrast.difference
    assert outcome.verdict.word == finished.verdict.word
    declared = set(outcome.verdict.exploratory_reasons)
    assert declared == set(finished.verdict.exploratory_reasons)
    asked: dict[str, dict[str, Any]] = {
        "margin": {"margin": 0.2},
        "metric": {"metric": "accuracy"},
        "arms": {"rival": "mixed@2", "generative": "real"},
        "metric and margin": {"metric": "macro_f1", "margin": 0.2},
    }
    for what, changes in asked.items():
        verdict = api.evaluate(finished.path, **changes).verdict
        (reason,) = set(verdict.exploratory_reasons) - declared
        assert reason == f"other {what} than the run declared before the test set was opened"
    with pytest.raises(InputError, match="margin 0"):
        api.evaluate(finished.path, margin=0.0)
    shutil.copyfile(finished.path / "predictions.parquet", tmp_path / "p.parquet")
    alone = api.evaluate(tmp_path / "p.parquet", margin=0.05)
    assert (alone.verdict.rival, alone.verdict.arm) == ("real", "mixed@2")
    assert alone.verdict.margin == 0.05
    assert alone.verdict.contrast.difference == outcome.verdict.contrast.difference
    result = cli("evaluate", tmp_path / "p.parquet", "--json")
    assert json.loads(result.stdout)["verdict"]["rival"] == "real"
    assert "EXPLORATORY" in cli("evaluate", tmp_path / "p.parquet").stdout


# ── keeping house ─────────────────────────────────────────────────────────────────────────────


def test_status_runs_report_and_stop_of_a_finished_run(finished: api.Run) -> None:
    assert api.status(finished.path).state == "done"
    assert cli("status", finished.path).stdout.splitlines()[0].endswith("tiny: done")
    listed = json.loads(cli("runs", "--json").stdout)
    assert [run["state"] for run in listed if run["folder"] == str(finished.path)] == ["done"]
    before = finished.report_path.read_text()
    finished.report_path.unlink()
    assert cli("report", finished.path).stdout.strip() == str(finished.report_path)
    assert len(finished.report_path.read_text()) > len(before) / 2
    assert "was not running: done" in cli("stop", finished.path).stdout


def test_gc_spares_what_a_run_needs(finished: api.Run) -> None:
    assert json.loads(cli("gc", "--json").stdout)["dry_run"] is False
    assert len(finished.dataset("mixed@2")[0]) == 2
    assert Pixels(finished).artefacts("model")


def test_running_again_changes_nothing(finished: api.Run) -> None:
    before = (finished.path / "results.json").read_bytes()
    result = cli("run", finished.path, "--quiet", "--device", "cpu", "--workers", "1")
    assert result.exit_code == 0, result.stderr
    assert "Report: " in result.stdout
    assert (finished.path / "results.json").read_bytes() == before
