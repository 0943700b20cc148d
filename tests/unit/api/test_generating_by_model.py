"""Images by a text-to-image model at hand, without a study: words or names of classes ask it."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from synthlift import api
from synthlift.api.kept_generators import open_generator
from synthlift.api.pretrained import find_pretrained
from synthlift.spec.provenance import LICENCE, provenance_of
from synthlift.weights import Shelf
from tests.unit.api.test_run import cli

PROMPT = "a thick red seven leaning left on a black background"
LICENCES = re.compile(r"Apache License|CC BY 4\.0")
FEW = ("--steps", 3, "--device", "cpu")


def rows_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "provenance.csv").open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_words_alone_ask_and_the_folder_asks_again(tmp_path: Path) -> None:
    out, again = tmp_path / "sevens", tmp_path / "again"
    asked = ("--prompt", PROMPT, "--per-class", 2, "--seed", 3, *FEW)
    found = cli("generate", "model:embedded", *asked, "--out", out)
    assert found.exit_code == 0, found.output
    assert "2 images in" in found.output
    rows = rows_of(out)
    assert {(row["label"], row["generator"], row["prompt"]) for row in rows} == {
        ("", "embedded", PROMPT)
    }
    files = [out / row["file"] for row in rows]
    assert [Image.open(file).size for file in files] == [(32, 32)] * 2
    told = provenance_of(files[0]) or {}
    assert told["origin"] == "synthetic"
    assert "class" not in told, "words are no class"
    assert (out / "contact-sheet.png").is_file()
    (terms,) = out.rglob(LICENCE)
    assert {"Apache License", "CC BY 4.0"} <= {*LICENCES.findall(terms.read_text())}
    silent = cli("generate", out, "--out", again)
    assert silent.exit_code == 2, "the folder knows no class either"
    assert "--prompt" in silent.output
    assert cli("generate", out, *asked, "--out", again).exit_code == 0
    assert [(again / row["file"]).read_bytes() for row in rows] == [f.read_bytes() for f in files]


def test_a_stopped_command_goes_on_where_it_was(tmp_path: Path) -> None:
    asked = ("generate", "model:embedded", "--prompt", PROMPT, "--seed", 1, *FEW)
    whole, part = tmp_path / "whole", tmp_path / "part"
    assert cli(*asked, "--per-class", 3, "--out", whole).exit_code == 0
    assert cli(*asked, "--per-class", 3, "--out", part).exit_code == 0
    images = sorted((part / "images" / "picture").iterdir())
    begun = json.loads((part / "generators" / "embedded" / "component.json").read_text())
    other = {"generator": {"name": "embedded", **begun}, "classes": ["picture"], "per_class": 3}
    (part / "begun.json").write_text(
        json.dumps({**other, "attributes": {}, "seed": 1, "device": "cpu", "params": params(part)})
    )
    first = images[0].stat().st_mtime_ns
    images[2].unlink()
    assert cli(*asked, "--per-class", 3, "--out", part).exit_code == 0
    assert images[0].stat().st_mtime_ns == first
    assert images[2].read_bytes() == (whole / "images" / "picture" / images[2].name).read_bytes()


def params(folder: Path) -> dict[str, object]:
    (prompt,) = {row["prompt"] for row in rows_of(folder)}
    return {"prompt": prompt, "sampler_steps": 3}


def test_names_of_classes_ask_too_and_say_what_the_pictures_are(tmp_path: Path) -> None:
    out = tmp_path / "out"
    asked = ("--class", "seven", "--class", "circle", "--per-class", 4, "--device", "cpu")
    found = cli("generate", "model:embedded", *asked, "--out", out)
    assert found.exit_code == 0, found.output
    assert "8 images of 2 classes" in found.output
    said = {(row["label"], row["prompt"]) for row in rows_of(out)}
    assert said == {("seven", "a photo of seven"), ("circle", "a photo of circle")}
    pictures = [np.asarray(Image.open(out / row["file"])) for row in rows_of(out)]
    assert len({picture.tobytes() for picture in pictures}) == 8
    kept = open_generator(out)
    assert (kept.classes, kept.nameless) == (("seven", "circle"), False)
    more = cli("generate", out, "--per-class", 1, "--device", "cpu", "--out", tmp_path / "more")
    assert more.exit_code == 0, more.output
    for row in rows_of(tmp_path / "more"):
        assert (out / row["file"]).read_bytes() == (tmp_path / "more" / row["file"]).read_bytes()


def test_a_model_of_the_shelf_is_asked_by_its_name(
    tmp_path: Path, tiny_pipeline: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SYNTHLIFT_WEIGHTS", str(tmp_path / "shelf"))
    Shelf().add(tiny_pipeline, name="mine")
    assert find_pretrained("mine").place == tiny_pipeline
    out = tmp_path / "out"
    asked = ("--prompt", "a crane", "--per-class", 1, "--steps", 1, "--device", "cpu")
    found = cli("generate", "model:mine", *asked, "--out", out)
    assert found.exit_code == 0, found.output
    (row,) = rows_of(out)
    assert Image.open(out / row["file"]).size == (16, 16)


def test_images_that_a_safety_checker_blackens_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.pipelines import tiny_stable_diffusion

    monkeypatch.setenv("SYNTHLIFT_WEIGHTS", str(tmp_path / "shelf"))
    Shelf().add(tiny_stable_diffusion(tmp_path / "strict", objecting=True), name="strict")
    out, component = tmp_path / "out", tmp_path / "out" / "generators" / "strict"
    asked: dict[str, Any] = {
        "prompt": "a crane",
        "per_class": 2,
        "steps": 1,
        "out": out,
        "device": "cpu",
    }

    def stop(done: int, _total: int, _note: str) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        api.generate("model:strict", **asked, progress=stop)
    (out / "images" / "picture" / "strict_00001.png").unlink(missing_ok=True)
    words = ("--prompt", "a crane", "--per-class", 2, "--steps", 1, "--out", out, "--device", "cpu")
    found = cli("generate", "model:strict", *words)
    assert found.exit_code == 0, found.output
    said = "Note: 2 of 2 images came out black, as a safety checker leaves what it objects to, and"
    assert said in found.output
    assert "2 of them stayed black" in found.output
    assert {row["made_from"] for row in rows_of(out)} == {
        "drawn anew, black before: 3, black still"
    }
    told = json.loads((component / "component.json").read_text())
    assert told["blackened"] == {"images": 2, "redrawn": 2, "black": 2}
    whole = api.generate("model:strict", **{**asked, "out": tmp_path / "whole"})
    assert (whole.redrawn, whole.black, len(whole.remarks)) == (2, 2, 1)
    usual = api.generate("model:embedded", **{**asked, "out": tmp_path / "usual"})
    assert (usual.redrawn, usual.black, usual.remarks) == (0, 0, ())


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (("model:embedded",), "without words"),
        (("model:embeded", "--prompt", "x"), "no model is called 'embeded'"),
        (("model:", "--prompt", "x"), "no model is called ''"),
        (("model:embedded", "--prompt", "x", "--attribute", "a=b"), "a prompt beside values of a"),
        (("model:embedded", "--class", "x", "--attribute", "a=b"), "values of a for a model"),
        (("model:embedded", "--prompt", "x", "--generator", "flow"), "--generator flow"),
        (("model:embedded", "--prompt", "x", "--set", "seed=1"), "--set seed=1"),
        (("model:embedded", "--prompt", "x", "--steps", 5000), "1 to 1000"),
    ],
)
def test_what_a_model_cannot_be_asked_is_refused(
    tmp_path: Path, given: tuple[object, ...], words: str
) -> None:
    out = tmp_path / "out"
    found = cli("generate", *given, "--out", out)
    assert found.exit_code == 2, found.output
    assert words in found.output
    assert not out.exists()


def test_a_class_is_never_a_path(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "out"
    asked = ("--class", "../../one", "--class", "a/b", "--per-class", 1, *FEW)
    found = cli("generate", "model:embedded", *asked, "--out", out)
    assert found.exit_code == 0, found.output
    assert {row["label"] for row in rows_of(out)} == {"../../one", "a/b"}
    written = sorted(file.relative_to(tmp_path) for file in tmp_path.rglob("*.png"))
    assert all(file.parts[:2] == ("deep", "out") for file in written)
    assert {file.parts[3] for file in written if file.parts[2] == "images"} == {"_.._one", "a_b"}
