"""Models without a study: which are offered, and that nobody is told where they lie."""

from __future__ import annotations

import gc
import json
import os
import shutil
import time
import weakref
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from flask.testing import FlaskClient
from safetensors.torch import load_file, save_file

from synthlift.api.pretrained import facts_of, find_pretrained, open_pretrained
from synthlift.errors import InputError
from synthlift.vision.holding import held_bytes
from synthlift.vision.prediction import WEIGHTS, Classifier, load_classifier
from synthlift.web import generations as module
from synthlift.web.generations import Generation, Generations
from synthlift.web.inference.client import Inference
from synthlift.web.inference.loaded import Loaded
from synthlift.web.inference.worker import Worker, told
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
    kept.weigh("single file")  # without a tensor, its files say what it takes
    kept.get(tmp_path / "c", lambda: "c", beside=[tmp_path / "large.safetensors"])
    assert len(kept) == 1, "two such models are more than may be kept"


def test_models_are_given_up_by_the_memory_that_they_take_least_recently_used_first(
    model: Path, tmp_path: Path
) -> None:
    weights = load_file(model / WEIGHTS)
    save_file({name: value.half() for name, value in weights.items()}, model / WEIGHTS)
    on_disk = sum(file.stat().st_size for file in model.iterdir())
    held = held_bytes(load_classifier(model))
    assert held > 1.5 * on_disk, "half of the bytes of each number lie on the disk"
    kept, loads = Loaded(limit_bytes=2 * held, look_again=0), list[str]()
    assert 3 * on_disk < kept.limit_bytes, "by their files, three models would be kept"

    def load(place: Path) -> Classifier:
        loads.append(place.name)
        return load_classifier(place)

    for name in "abacaab":
        place = tmp_path / name
        if not place.exists():
            shutil.copytree(model, place)
        assert held_bytes(kept.get(place, partial(load, place))) == held
    assert loads == list("abcb"), "b was given up for c, since a had been used after it"
    assert len(kept) == 2


def test_what_is_given_up_is_gone_before_another_is_loaded(model: Path) -> None:
    kept = Loaded(limit_bytes=1, look_again=0)
    place = find_pretrained("embedded").place
    opened: Any = kept.get(place, lambda: open_pretrained("embedded")).fitted
    encoder = weakref.ref(opened._pipeline.text_encoder)
    del opened

    def load() -> Classifier:
        assert encoder() is None, "its parts refer to each other"
        return load_classifier(model)

    gc.disable()  # it could come by chance
    try:
        kept.get(model, load)
    finally:
        gc.enable()
    assert len(kept) == 1, "what is larger alone is kept alone"


def test_what_is_in_use_is_kept_and_one_that_is_larger_alone_too(tmp_path: Path) -> None:
    """A pipeline that draws, and the classifier that judges what it draws."""
    kept, loads = Loaded(limit_bytes=100, look_again=0), list[str]()

    def get(name: str, size: int) -> object:
        place = tmp_path / name
        place.mkdir(exist_ok=True)
        (place / "weights").write_bytes(bytes(size))
        os.utime(place / "weights", (0, 0))

        def load() -> object:
            loads.append(name)
            return [torch.zeros(size, dtype=torch.uint8)]

        return kept.get(place, load)

    for _ in range(3):
        pipeline = get("pipeline", 150)
        with kept.use(pipeline):
            get("judge", 10)
            get("another", 20)
            assert len(kept) == 2, "only what was loaded last fits beside it"
        assert len(kept) == 1
    assert loads.count("pipeline") == 1
    with kept.use(pipeline), kept.use(pipeline):
        get("another", 20)
    get("another", 20)
    assert len(kept) == 1, "nobody uses it any more"
    assert get("pipeline", 150) is not pipeline


def test_a_pipeline_that_is_opened_to_draw_counts_from_then_on(model: Path, tmp_path: Path) -> None:
    generator = open_pretrained("embedded", classes=("seven",))
    held = held_bytes(generator)
    place = tmp_path / "run" / "generators" / "words"
    generator.fitted.save(place)
    (place / "component.json").write_text(json.dumps(facts_of(generator)))
    said: list[dict[str, Any]] = []
    worker = Worker(lambda event: said.append(dict(event)), device="cpu", memory_bytes=3 * held)
    worker.take([{"id": "a", "do": "classify", **question(model)}])
    drawn = {"run": str(tmp_path / "run"), "generator": "words", "label": "seven", "judge": ""}
    more = {"attributes": {}, "seed": 0, "count": 1, "params": {"sampler_steps": 1}}
    request = {"id": "b", "do": "generate", **drawn, **more, "out": str(tmp_path)}
    kept = worker.drawer._of_run(request)[0]
    assert (held_bytes(kept), len(worker.loaded)) == (0, 2), "its files take half of the memory"
    worker.take([request])
    while worker.busy:
        worker.go_on()
    assert [event["event"] for event in said[-2:]] == ["image", "done"]
    assert held_bytes(kept) >= held
    assert len(worker.loaded) == 1, "the classifier was given up"


# ── the processes that draw and classify ──────────────────────────────────────────────────────


def question(model: Path, **more: Any) -> dict[str, Any]:
    picture = str(model.parent / "red.png")
    return {"models": [str(model)], "files": [picture], "max_pixels": 10**6, **more}


def test_what_fails_while_computing_harms_nobody_else(model: Path, tmp_path: Path) -> None:
    said: dict[str, dict[str, Any]] = {}
    worker = Worker(lambda event: said.update({event["id"]: dict(event)}), device="cpu")
    twin = shutil.copytree(model, tmp_path / "twin")
    # What a picture is like is looked up in the run, which somebody has deleted meanwhile.
    explained = {"explain": True, "rival": str(model), "run": str(tmp_path / "gone")}
    worker.take(
        [
            {"id": "a", "do": "classify", **question(model, **explained)},
            {"id": "b", "do": "classify", **question(twin)},
        ]
    )
    assert said["a"]["event"] == "failed"
    assert said["b"]["pictures"][0]["answers"][str(twin)].keys() == {"a", "b"}
    worker.take([{"id": "c", "do": "classify", **question(model)}])
    assert said["c"]["event"] == "done"


def test_what_goes_wrong_with_a_run_is_told_by_its_name() -> None:
    run = "/srv/secret/runs/trees-1"
    error = InputError(f"'{run}/generators/flow' holds no generator", rule=f"{run}", remedy="-")
    assert told(error, {"run": run}) == {
        "given": "'trees-1/generators/flow' holds no generator",
        "rule": "trees-1",
        "remedy": "-",
    }
    assert told(error, {"run": None})["rule"] == run


def test_a_request_that_cannot_be_begun_takes_no_place(tmp_path: Path) -> None:
    (tmp_path / "generated").write_text("no folder")
    upload = tmp_path / "upload"
    upload.write_bytes(b"a picture")
    process = Inference(device="cpu", answer_seconds=100, waiting=10)
    made = Generations(tmp_path / "generated", process, process, open_at_once=2)
    for _ in range(4):
        with pytest.raises(NotADirectoryError):
            made.start({"count": 1}, {}, upload=upload)
    assert not upload.exists()


@pytest.fixture(scope="module")
def processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Inference]]:
    """Started once: each reads torch. Their shelf has a pipeline that objects to every picture."""
    from tests.pipelines import tiny_stable_diffusion

    place = tmp_path_factory.mktemp("processes")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SYNTHLIFT_WEIGHTS", str(place / "shelf"))
        Shelf().add(tiny_stable_diffusion(place / "strict", objecting=True), name="strict")
        started = [Inference(device="cpu", answer_seconds=100, waiting=10) for _ in range(2)]
        for one in started:
            one.warm_up()
    yield started
    for one in started:
        one.close()


@pytest.fixture
def generations(tmp_path: Path, processes: list[Inference]) -> Generations:
    return Generations(tmp_path / "generated", *processes, open_at_once=5)


# Guidance of 1 leaves what to avoid without effect, which is told before anything is drawn; all
# eight are computed together, in so many steps that nothing more is heard for minutes.
LONG = {"prompt": "a red seven", "negative_prompt": "blue", "guidance_scale": 1}
WISH = {"model": "embedded", "attributes": {}, "seed": 0, "judge": ""}


def test_images_that_a_safety_checker_blackens_are_told(
    generations: Generations,
) -> None:
    told = {"params": {"prompt": "a crane", "sampler_steps": 1}}
    one = generations.start({**WISH, "model": "strict", "count": 3}, told, by_pipeline=True)
    until(lambda: one.state != "running")
    assert (one.state, len(one.images)) == ("done", 3)
    (words,) = one.remarks
    assert words.startswith("3 of 3 images came out black")
    assert words.endswith("; 3 of them stayed black")


def test_a_pipeline_that_does_not_listen_is_stopped_and_classifying_goes_on(
    generations: Generations, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 0.2)
    generations.inference.warm_up()
    params = {**LONG, "sampler_steps": 1000}
    one = generations.start({**WISH, "count": 8}, {"params": params}, by_pipeline=True)
    until(lambda: bool(one.remarks))  # its process has opened the model, and goes on to draw
    answer = generations.inference.classify(question(model))
    assert answer["pictures"][0]["answers"][str(model)].keys() == {"a", "b"}
    assert (one.state, one.images) == ("running", []), "drawing goes on, and has kept nobody up"
    short = {"params": {"prompt": "a", "sampler_steps": 1}}
    waiting, other = (
        generations.start({**WISH, "count": 1, "seed": n}, short, by_pipeline=True)
        for n in range(2)
    )
    generations.cancel(other.id)
    assert other.wait(images=0, seconds=20)
    assert (other.state, one.state) == ("cancelled", "running"), "what only waits ends at once"
    generations.cancel(one.id)
    assert one.wait(images=0, seconds=20)
    assert (one.state, one.images, one.error) == ("cancelled", [], {})
    assert waiting.wait(images=0, seconds=150), "in another process it begins anew"
    until(lambda: waiting.state != "running")
    assert (waiting.state, len(waiting.images)) == ("done", 1)


def test_what_was_drawn_long_ago_is_read_again(
    generations: Generations, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "REMEMBERED", 2)
    short = {"params": {"prompt": "a red seven", "sampler_steps": 1}}
    made = []
    for seed in range(4):
        made.append(generations.start({**WISH, "count": 1, "seed": seed}, short, by_pipeline=True))
        assert made[-1].wait(images=1, seconds=150)
    assert [one.state for one in made] == ["done"] * 4
    again = [generations.get(one.id) for one in made]
    assert [a is b for a, b in zip(again, made, strict=True)] == [False, True, True, True]
    assert (again[0].state, again[0].images) == ("done", made[0].images)
    assert again[0].request == made[0].request


def test_what_a_pipeline_drew_for_another_is_not_lost_when_somebody_stops(
    generations: Generations, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 0.1)
    one, other = (
        Generation(name * 16, generations.folder / name, {"count": 2}, by_pipeline=True)
        for name in "ef"
    )
    for made in (one, other):
        made.folder.mkdir(parents=True)
        generations._known[made.id] = made
        tell = made.listener()
        tell({"event": "turn"})
        tell({"event": "image", "file": "00000.png", "facts": {}})
    tell({"event": "turn"})
    one.listener()({"event": "turn"})
    generations.cancel(one.id)
    assert not one.wait(images=1, seconds=0.5)
    tell({"event": "done"})
    assert one.wait(images=1, seconds=20), "it is looked again and again"
    assert (one.state, other.state) == ("cancelled", "done")


def until(reached: Callable[[], bool], *, seconds: float = 150) -> None:
    end = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < end
        time.sleep(0.02)
