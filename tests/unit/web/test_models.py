"""Models without a study: which are offered, and that nobody is told where they lie."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from synthlift.api.pretrained import open_pretrained
from synthlift.errors import InputError
from synthlift.web import generations
from synthlift.web.generations import Generations
from synthlift.web.inference.client import Inference
from synthlift.web.inference.loaded import Loaded
from synthlift.web.inference.worker import Worker
from synthlift.weights import Shelf
from synthlift.weights import files as weights_files
from tests.unit.web.conftest import OURS


@pytest.fixture
def shelf(tmp_path: Path, tiny_pipeline: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A shelf with a pipeline, one that lacks its network, a part of one, and one that is gone."""
    monkeypatch.setenv("SYNTHLIFT_WEIGHTS", str(tmp_path / "shelf"))
    place = tmp_path / "my secret folder"
    for name in ("whole", "half-turbo", "gone"):
        shutil.copytree(tiny_pipeline, place / name)
        Shelf().add(place / name)
    (place / "whole" / "README.md").write_text("---\nlicense: mit\n---\n")
    Shelf().add(place / "whole", name="licensed")
    Shelf().add(place / "whole" / "vae", name="part")
    shutil.rmtree(place / "gone")
    shutil.rmtree(place / "half-turbo" / "unet")
    return place


def test_pipelines_of_the_shelf_are_offered_without_reading_their_weights(
    client: FlaskClient, shelf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(*_: object) -> str:
        raise AssertionError("weights were read")

    monkeypatch.setattr(weights_files, "_hash_file", read)
    answer = client.get("/api/v1/models")
    models = {one["name"]: one for one in answer.get_json()["models"]}
    assert list(models) == ["embedded", "half-turbo", "licensed", "whole"]
    assert models["licensed"]["licence"] == "mit"
    assert models["half-turbo"]["defaults"] == {"guidance_scale": 0, "sampler_steps": 4}
    assert models["whole"]["limits"] == {"guidance_scale": [0, 50], "sampler_steps": [1, 200]}
    assert str(shelf.parent) not in answer.get_data(as_text=True)
    wish = {"model": "gone", "prompt": "a crane"}
    refused = client.post("/api/v1/generations", json=wish, headers=OURS)
    assert (refused.status_code, str(shelf) in json.dumps(refused.get_json())) == (400, False)


def test_a_pipeline_draws_at_its_own_size_and_its_place_is_not_told(shelf: Path) -> None:
    kept = open_pretrained("licensed")
    assert (kept.kind, kept.fitted.image_shape) == ("text_to_image", (16, 16, 3))
    with pytest.raises(InputError, match="half-turbo") as refused:
        open_pretrained("half-turbo")
    assert str(shelf) not in str(refused.value)


def test_what_fails_while_drawing_is_told_without_the_models_place(
    shelf: Path, tmp_path: Path
) -> None:
    said: list[dict[str, Any]] = []
    worker = Worker(lambda event: said.append(dict(event)), device="cpu")
    wish = {"model": "whole", "attributes": {}, "seed": 0, "count": 1, "judge": ""}
    more = {"params": {"prompt": "a crane", "sampler_steps": 1}, "out": str(tmp_path / "out")}
    (tmp_path / "out").mkdir()
    request = {"id": "a", "do": "generate", **wish, **more}
    worker.take([request])
    while worker.busy:
        worker.go_on()
    assert [event["event"] for event in said] == ["image", "done"]
    index = shelf / "whole" / "model_index.json"
    index.write_text(index.read_text().replace("StableDiffusionPipeline", "DDPMPipeline"))
    time.sleep(1.1)  # the worker looks at the files of a model once a second
    worker.take([request])
    while worker.busy:
        worker.go_on()
    assert said[-1]["event"] == "failed"
    told = json.dumps(said[-1]["error"])
    assert "the text-to-image model 'whole'" in told
    assert str(shelf) not in told


def test_weights_that_lie_beside_a_generator_count_for_its_size(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()
        (tmp_path / name / "facts.json").write_text("{}")
    (tmp_path / "large.safetensors").write_bytes(bytes(100))
    kept = Loaded(limit_bytes=110, look_again=0)
    kept.get(tmp_path / "a", lambda: "a")
    kept.get(tmp_path / "b", lambda: "b")
    assert len(kept) == 2
    kept.get(tmp_path / "large.safetensors", lambda: "single file")
    assert len(kept) == 3
    kept.get(tmp_path / "c", lambda: "c", beside=[tmp_path / "large.safetensors"])
    assert len(kept) == 1, "two such models are more than may be kept"


def test_a_pipeline_that_does_not_listen_is_stopped_and_classifying_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generations, "PATIENCE_SECONDS", 0.2)
    classifying, pipelines = (
        Inference(device="cpu", answer_seconds=100, waiting=10) for _ in range(2)
    )
    made = Generations(tmp_path, classifying, pipelines, open_at_once=3)
    wish = {"model": "embedded", "attributes": {}, "seed": 0, "count": 8, "judge": ""}
    # All eight are computed together, in so many steps that nothing is heard for long.
    params = {"prompt": "a red seven", "sampler_steps": 200}
    try:
        one = made.start(wish, {"params": params}, by_pipeline=True)
        other = made.start(wish, {"params": params}, by_pipeline=True)
        assert not classifying.waits, "drawing waits for nobody who classifies, nor he for it"
        made.cancel(other.id)
        assert not other.wait(images=0, seconds=0.6), "the process draws for another, too"
        made.cancel(one.id)
        begun = time.monotonic()
        assert one.wait(images=0, seconds=20)
        assert (one.state, one.images, one.error) == ("cancelled", [], {})
        assert time.monotonic() - begun < 20
        assert other.wait(images=0, seconds=20)
        again = made.start(wish | {"count": 1}, {"params": {"prompt": "a"}}, by_pipeline=True)
        assert again.wait(images=0, seconds=60), "another process has taken its place"
        assert len(again.images) == 1
    finally:
        classifying.close()
        pipelines.close()
