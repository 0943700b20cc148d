"""``synthlift preview`` on digits, in seconds."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from synthlift import api
from synthlift.cli import app
from synthlift.cli.output import size
from synthlift.cli.preview import _words
from synthlift.errors import InputError
from synthlift.spec.provenance import provenance_of
from tests.e2e.tiny import EXAMPLE, draw_folder, home_of

DIGITS: dict[str, Any] = {
    "name": "digits",
    "data": {"source": "sklearn:digits", "split": {"design": "fixed", "test": 0.5}},
    "generators": [{"kind": "flow"}, {"name": "plug-in", "kind": "class_gaussian"}],
    "plugins": [str(EXAMPLE)],
}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def seen(home: Path) -> api.Preview:
    with home_of(home) as store:
        return api.preview(DIGITS, out=home / "sheet.png", within="6s", store=store, workers=1)


def test_every_generator_is_shown_with_how_far_it_was_trained(seen: api.Preview) -> None:
    flow, plug_in = seen.generators
    assert 10 <= flow["steps"] <= flow["planned"]
    if flow["steps"] < flow["planned"]:
        words = f"after {flow['steps']:,} of {flow['planned']:,} planned steps"
        assert flow["label"] == words
    assert plug_in["steps"] is None
    assert plug_in["label"] == "nothing is trained"
    for one in seen.generators:
        assert one["images"] == dict.fromkeys("0123456789", 4)
        assert one["images_per_second"] > 0
    assert flow["steps_per_second"] > 1


def test_what_reading_took_is_said_beside_the_time(seen: api.Preview) -> None:
    assert 0 < seen.reading_seconds < seen.seconds
    told = _words(replace(seen, seconds=200.0, reading_seconds=80.0))
    assert "of them to read the pictures, which is done once." in told
    assert "to read the pictures" not in _words(replace(seen, reading_seconds=0.1))


def test_the_sheet_shows_both_generators(seen: api.Preview) -> None:
    assert provenance_of(seen.sheet) is not None, "it says that it is synthetic"
    with Image.open(seen.sheet) as sheet:
        pixels = np.asarray(sheet)
    rows = 2 * 10
    assert pixels.shape[0] > rows * 96
    assert (pixels < 200).any(axis=2).mean() > 0.2


def test_the_study_is_forecast_from_the_same_speeds(seen: api.Preview, home: Path) -> None:
    with home_of(home) as store:
        planned = api.plan(DIGITS, store=store, workers=1)
    assert seen.plan["seconds"] == planned["seconds"]
    assert seen.plan["arms"] == planned["arms"]
    assert sum(planned["classes"].values()) > 100, "images of each class"
    assert len(planned["arm_labels"]) == len(planned["arms"])
    # One busy core at 10 W, as measured costs are estimated.
    assert planned["energy_kwh"] == pytest.approx(planned["seconds"] * 10 / 3.6e6)
    assert seen.plan["energy_kwh"] == planned["energy_kwh"]
    assert seen.classifier_steps_per_second > 1


def test_a_second_preview_fits_nothing_again(seen: api.Preview, home: Path) -> None:
    from synthlift.study.executors.local import Listener

    heard: list[str] = []

    def hear(name: str, fields: dict[str, Any]) -> None:
        if name == "stage_done":
            heard.append(fields["stage"])

    with home_of(home) as store:
        again = api.preview(
            DIGITS,
            out=home / "again.png",
            within="6s",
            store=store,
            workers=1,
            listener=Listener(on_event=hear),
        )
    assert heard == []
    assert again.generators[0]["steps"] == seen.generators[0]["steps"]
    assert again.sheet.read_bytes() == seen.sheet.read_bytes()


def test_the_command_prints_speeds_and_the_forecast(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = draw_folder(tmp_path / "drawn")
    monkeypatch.chdir(tmp_path)
    arguments = ["preview", str(source), "--within", "3s", "--per-class", "2", "--quiet"]
    with home_of(tmp_path) as store:
        done = CliRunner().invoke(app, [*arguments, "--store", str(store)])
        assert done.exit_code == 0, done.output
        as_json = CliRunner().invoke(app, [*arguments, "--store", str(store), "--json"])
    assert "planned steps" in done.stdout
    assert "The study would take at most" in done.stdout
    assert (tmp_path / "preview-drawn.png").is_file()
    found = json.loads(as_json.stdout)
    assert found["generators"][0]["images"] == {"bars": 2, "disc": 2, "ramp": 2}


def test_disk_and_energy_are_told_and_a_preview_tells_how_small_pictures_become(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from synthlift.store import packed
    from synthlift.study import storing
    from tests.pipelines import tiny_stable_diffusion

    for module in (packed, storing):  # as if pictures of 32 pixels were large
        monkeypatch.setattr(module, "LARGE_IMAGE", 64)
    source = draw_folder(tmp_path / "drawn", per_class=12)
    monkeypatch.chdir(tmp_path)

    def said(command: str, model: Path, *more: str) -> str:
        drawn = {"kind": "text_to_image", "model": str(model), "sampler_steps": 1}
        changes = ["--set", f"generators={json.dumps([drawn])}", "--set", "arms=[real,mixed]"]
        changes += ["--set", "data.image_size=32"]
        words = [command, str(source), *changes, "--store", str(store), "--quiet", *more]
        done = CliRunner().invoke(app, words)
        assert done.exit_code == 0, done.output
        return done.stdout

    with home_of(tmp_path) as store:
        model = tiny_stable_diffusion(tmp_path / "model")
        before = said("plan", model)
        told = json.loads(said("plan", model, "--json"))
        seen = said("preview", model, "--within", "1s", "--per-class", "2")
        after = json.loads(said("plan", model, "--json"))
        strict = tiny_stable_diffusion(tmp_path / "strict", objecting=True)
        black = said("preview", strict, "--within", "1s", "--per-class", "1")
        blackened = json.loads(said("plan", strict, "--json"))
    assert "disk about" in before
    assert "`synthlift preview` measures" in before
    assert told["disk_bytes_about"] is None
    assert after["disk_bytes_about"] < after["disk_bytes"] < told["disk_bytes"]
    about, most = (size(after[name]) for name in ("disk_bytes_about", "disk_bytes"))
    assert f"Disk: about {about}, at most {most}." in seen
    assert "Energy at most: " in seen
    assert "estimated for the processor alone" in seen
    assert "Note: text_to_image: 3 of 3 images came out black" in black
    assert "; 3 of them stayed black." in black
    assert blackened["disk_bytes_about"] is None, "black pictures say nothing of the size of others"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"within": "soon"}, "no length of time"),
        ({"per_class": 0}, "0 images per class"),
        ({"out": "no/such/folder/x.png"}, "cannot be written"),
        ({"overrides": ["generators=[]"]}, "no generator"),
    ],
)
def test_what_cannot_be_shown_is_refused(
    changes: dict[str, Any], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = draw_folder(tmp_path / "drawn")
    monkeypatch.chdir(tmp_path)
    with home_of(tmp_path) as store, pytest.raises(InputError, match=words):
        api.preview(source, **{"store": store, "workers": 1, **changes})
    assert not list(tmp_path.glob("*.png"))
