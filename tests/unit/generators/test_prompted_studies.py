"""Study files that ``init`` writes for a pipeline."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from synthlift import api
from synthlift.cli import app
from synthlift.errors import InputError
from synthlift.spec.loading import load_study
from tests.e2e.tiny import draw_folder


def test_a_study_file_is_written_for_a_pipeline(tiny_pipeline: Path, tmp_path: Path) -> None:
    images = draw_folder(tmp_path / "images", per_class=6)
    out = tmp_path / "study.yaml"
    arguments = ["init", str(images), "--text-to-image", str(tiny_pipeline), "--out", str(out)]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    (generator,) = load_study(out).generators
    assert generator.kind == "text_to_image"
    assert generator.settings()["prompt"] == "a photo of {label}"
    assert generator.settings()["model"] == str(tiny_pipeline)
    with pytest.raises(InputError, match="holds no pipeline"):
        api.init(images, out=tmp_path / "no.yaml", text_to_image=str(images))
    assert not (tmp_path / "no.yaml").exists()


def test_columns_that_prompts_could_name_are_told(tiny_pipeline: Path, tmp_path: Path) -> None:
    images = draw_folder(tmp_path / "images", per_class=6)
    files = [path.relative_to(images).as_posix() for path in sorted(images.glob("*/*"))]
    rows = [f"{file},{'fm'[k % 2]},p{k},{k % 2}" for k, file in enumerate(files)]
    table = tmp_path / "facts.csv"
    table.write_text("\n".join(["path,sex,patient,seen", *rows]))
    said = {"source": str(images), "metadata": str(table)}
    out = api.init({"data": said}, out=tmp_path / "one.yaml", text_to_image=str(tiny_pipeline))
    (generator,) = load_study(out).generators
    assert generator.settings()["prompt"] == "a photo of {label}"
    told = " ".join(line.removeprefix("#").strip() for line in out.read_text().splitlines()[:20])
    assert f"columns of '{table}' that are not used: sex (f, m), seen (0, 1); list" in told
    data = {**said, "attributes": ["sex", "seen"]}
    again = api.init({"data": data}, out=tmp_path / "two.yaml", text_to_image=str(tiny_pipeline))
    assert (
        load_study(again).generators[0].settings()["prompt"] == "a photo of {label}, {sex}, {seen}"
    )
    assert "are not used" not in again.read_text()


def test_what_came_along_with_the_images_is_named_by_prompts(tmp_path: Path) -> None:
    out = api.init("embedded:coloured-digits", out=tmp_path / "s.yaml", text_to_image="embedded")
    (generator,) = load_study(out).generators
    wanted = "a photo of {label}, {background}, {colour}, {slant}, {thickness}"
    assert generator.settings()["prompt"] == wanted


def test_a_column_that_no_prompt_can_name_is_left_out_of_it(
    tiny_pipeline: Path, tmp_path: Path
) -> None:
    images = draw_folder(tmp_path / "images", per_class=6)
    files = [path.relative_to(images).as_posix() for path in sorted(images.glob("*/*"))]
    rows = [f"{file},{k % 3},{'fm'[k % 2]}" for k, file in enumerate(files)]
    table = tmp_path / "facts.csv"
    table.write_text("\n".join(["path,age (years),sex", *rows]))
    data = {"source": str(images), "metadata": str(table), "attributes": ["age (years)", "sex"]}
    out = api.init({"data": data}, out=tmp_path / "study.yaml", text_to_image=str(tiny_pipeline))
    (generator,) = load_study(out).generators
    assert generator.settings()["prompt"] == "a photo of {label}, {sex}"
