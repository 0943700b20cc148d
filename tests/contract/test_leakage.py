"""Nothing but the opening reads test images: every component, every public type, whole studies."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from synthlift import registry
from synthlift.data.overlap import overlap_request
from synthlift.errors import LeakageError
from synthlift.registry import Group, available
from synthlift.spec.study import Training
from synthlift.store import StageRequest, Store
from synthlift.store.files import hash_files
from synthlift.store.images import (
    INVENTORY,
    MASKS,
    PIXELS,
    SPLIT,
    DataKeys,
    as_inputs,
    locked_test,
    read_part,
)
from synthlift.study.ledger import Ledger
from synthlift.study.modelling import SCORER
from synthlift.study.open_test import open_test, prediction_request
from synthlift.testing.inputs import CLASSES, draw_images, drawn_inputs
from synthlift.training.settings import resolve_training
from synthlift.types import FitInputs, ImageSet
from synthlift.vision.clip.config import ClipCheckpoint

CHEATS = Path(__file__).resolve().parents[1] / "e2e" / "plugins" / "cheats.py"
# Small settings under which every registered component fits in well under a second or two.
FILTERS = ["exact_duplicates", "near_copies", "class_agreement", "confidence_band", "diversity"]
FILTERS += ["clip_score", "low_contrast", "outliers", "pixel_copies", "quality"]
SETTINGS: dict[Group, dict[str, dict[str, Any]]] = {
    "generators": {
        "flow": {"steps": 3, "sampler_steps": 2, "micro_batch": 8},
        "cut_paste": {"place": "as_seen"},
        "gan": {"steps": 3, "micro_batch": 8},
        "pool": {"source": "./itself"},
        "text_to_image": {
            "model": "tiny",
            "sampler_steps": 2,
            "micro_batch": 8,
            "adapt": {"kind": "lora", "steps": 2, "readings": 1, "learning_rate": 0.1},
        },
        "image_to_image": {"model": "tiny", "sampler_steps": 4, "micro_batch": 8},
        "translation": {"source": "./itself", "pairing": "name", "steps": 3, "width": 8},
        "vae": {"steps": 3, "micro_batch": 8},
    },
    "filters": {kind: {} for kind in FILTERS},
    "classifiers": {
        "small_cnn": {},
        "resnet": {"width": 8},
        "timm": {"model": "test_resnet"},
        "clip": {},
    },
}
SETTINGS["classifiers"]["clip"] = {"model": "tiny"}
NAMED: tuple[tuple[Group, str, str], ...] = (
    ("generators", "text_to_image", "tiny_pipeline"),
    ("generators", "image_to_image", "tiny_pipeline"),
    ("classifiers", "clip", "tiny_clip"),
)
OWN_SOURCE = {"pool": "source pool", "translation": "source source"}


@pytest.fixture(autouse=True)
def no_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_plugins", {})


def _ways() -> dict[str, Any]:
    spec = importlib.util.spec_from_file_location("leakage_cheats", CHEATS)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found: dict[str, Any] = module.WAYS
    return found


WAYS = _ways()


# ── every public type ─────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("way", WAYS)
def test_no_public_type_leads_to_the_test(way: str) -> None:
    with pytest.raises((LeakageError, TypeError) if way == "array" else LeakageError):
        WAYS[way](drawn_inputs())


# ── a data set whose test images can be changed ───────────────────────────────────────────────

PER_PART = {"train": 36, "validation": 18, "test": 18}


def _commit(store: Store, key: str, files: dict[str, Any], **config: Any) -> str:
    folder = store.folder(key)
    folder.mkdir(parents=True)
    for name, content in files.items():
        if isinstance(content, pa.Table):
            pq.write_table(content, folder / name)
        else:
            np.save(folder / name, content)
    empty: dict[str, Any] = {"summary": {}, "inputs": {}}
    record = {"key": key, "files": hash_files(folder), "config": config, **empty}
    (folder / "record.json").write_text(json.dumps(record))
    return key


def data_set(root: Path, *, spoilt: bool) -> tuple[Store, DataKeys]:
    """Drawn images in one split; where ``spoilt``, test images and labels are others."""
    store = Store(root)
    count = sum(PER_PART.values())
    pixels, labels = draw_images(count, seed=7)
    parts = np.repeat(list(PER_PART), list(PER_PART.values()))
    test = parts == "test"
    if spoilt:
        pixels[test] = 255 - pixels[test]
        labels[test] = (labels[test] + 1) % 3
    ids = np.array([f"{row:03}" for row in range(count)])
    inventory = pa.table(
        {
            "id": ids,
            "label": np.array(CLASSES)[labels],
            "group": ids,
            "sha256": ids,
            "part": np.full(count, ""),
            "attributes": np.full(count, "{}"),
            "status": np.full(count, "ok"),
        }
    )
    split = pa.table({"draw": np.zeros(count, np.int64), "id": ids, "part": parts})
    keys: DataKeys = {
        "inventory": _commit(store, "inventory-0", {INVENTORY: inventory}),
        "pixels": _commit(store, "pixels-0", {PIXELS: pixels}, white=255),
        "split": _commit(store, "split-0", {SPLIT: split}),
    }
    masks = np.zeros((count, 8, 8), np.uint8)
    masks[(np.arange(count) // 3) % 2 == 0, 2:5, 2:5] = 255
    if spoilt:
        masks[test] = 255 - masks[test]
    _commit(store, "masks-0", {MASKS: masks})
    return store, keys


@pytest.fixture(scope="module")
def twins(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Store, DataKeys]]:
    """The same data set twice, but for its test images."""
    return [data_set(tmp_path_factory.mktemp("twin"), spoilt=spoilt) for spoilt in (False, True)]


@pytest.fixture(autouse=True)
def real_paths(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Build the tiny pipeline where a test needs it."""
    for group, kind, fixture in NAMED:
        if kind in request.node.name:
            monkeypatch.setitem(
                SETTINGS[group][kind], "model", str(request.getfixturevalue(fixture))
            )


def _resolved(group: Group, kind: str) -> dict[str, Any]:
    found = available(group)[kind]
    config = found.config.model_validate(SETTINGS[group][kind])
    return {"kind": kind, "identity": found.identity(), "config": config.model_dump(mode="json")}


def _model(keys: DataKeys, classifier: str) -> StageRequest:
    given = Training(steps=4, batch_size=16, learning_rate=1e-3, weight_decay=0, ema=0, flip="no")
    training = resolve_training(given, train_count=1, image_size=8, classes=3)
    arm = SCORER.model_dump(include={"recipe", "duplicate", "regime", "synthetic_share", "posing"})
    return StageRequest(
        stage="model",
        function="synthlift.study.stages.models:train_model",
        config={
            "arm": arm,
            "classifier": _resolved("classifiers", classifier),
            "training": training.model_dump(mode="json"),
            "draw": 0,
            "fit": "pad",
            "manifest": [],
            "posing": {},
        },
        inputs=as_inputs(keys),
        seed=5,
        numerics={"channels_last": True, "bf16": False},
    )


def _fit(keys: DataKeys, generator: str) -> StageRequest:
    return StageRequest(
        stage="fit",
        function="synthlift.study.stages.generation:fit",
        config={"generator": _resolved("generators", generator), "draw": 0, "monitor": "copying"},
        inputs={**as_inputs(keys), **_beside(keys, generator)},
        seed=5,
    )


def _overlap(keys: DataKeys) -> StageRequest:
    """The data set as its own pool: every tested picture of it must be found and left out."""
    ours = {"inventory": keys["inventory"], "pixels": keys["pixels"]}
    return overlap_request(**ours, other=keys["inventory"], other_pixels=keys["pixels"])


def _beside(keys: DataKeys, generator: str) -> dict[str, str | list[str]]:
    if generator in OWN_SOURCE:
        return {OWN_SOURCE[generator]: [keys["inventory"], keys["pixels"], _overlap(keys).key]}
    return {"masks": "masks-0"} if generator == "cut_paste" else {}


def _chunks(fit: str) -> list[StageRequest]:
    chunk = {"chunk": 0, "size": 8, "stream": "train", "image_shape": [8, 8, 1]}
    return [
        StageRequest(
            stage="sample",
            function="synthlift.study.stages.generation:sample",
            config={"label": label, **chunk},
            inputs={"fit": fit},
            seed=5,
        )
        for label in range(3)
    ]


def _made(store: Store, request: StageRequest) -> dict[str, Any]:
    """Compute a stage; everything that it says and writes."""
    store.compute(request)
    record = store.open(request.key).record
    summary = {k: v for k, v in record["summary"].items() if "seconds" not in k}
    return {"files": record["files"], "summary": summary}


def test_every_registered_component_is_tested() -> None:
    for group, kinds in SETTINGS.items():
        assert set(available(group)) == set(kinds), group


@pytest.mark.parametrize("kind", SETTINGS["generators"])
def test_generators_do_not_depend_on_test_images(
    kind: str, twins: list[tuple[Store, DataKeys]]
) -> None:
    made = []
    for store, keys in twins:
        fit = _fit(keys, kind)
        if kind in OWN_SOURCE:
            store.compute(_overlap(keys))
        made.append([_made(store, fit), *(_made(store, one) for one in _chunks(fit.key))])
    assert made[0] == made[1]


@pytest.mark.parametrize("kind", SETTINGS["filters"])
def test_filters_do_not_depend_on_test_images(
    kind: str, twins: list[tuple[Store, DataKeys]]
) -> None:
    made = []
    for store, keys in twins:
        fit, scorer = _fit(keys, "flow"), _model(keys, "small_cnn")
        chunks = _chunks(fit.key)
        for request in (fit, scorer, *chunks):
            store.compute(request)
        filters = [{"name": kind, **_resolved("filters", kind)}]
        model = SETTINGS["classifiers"]["clip"]["model"]
        clip = ClipCheckpoint(model=model).model_dump() if kind == "clip_score" else None
        judge = StageRequest(
            stage="judge",
            function="synthlift.study.stages.generation:judge",
            config={"draw": 0, "filters": filters, "clip": clip},
            inputs={
                **keys,  # type: ignore[dict-item]
                "scorer": scorer.key,
                "reference": [chunk.key for chunk in chunks],
                "chunk": chunks[0].key,
            },
        )
        made.append(_made(store, judge))
    assert made[0] == made[1]


@pytest.mark.parametrize("kind", SETTINGS["classifiers"])
def test_classifiers_do_not_depend_on_test_images(
    kind: str, twins: list[tuple[Store, DataKeys]]
) -> None:
    made = [_made(store, _model(keys, kind)) for store, keys in twins]
    assert made[0]["files"]["model.safetensors"] == made[1]["files"]["model.safetensors"]
    assert made[0] == made[1]


def test_components_get_a_lock_instead_of_the_test(twins: list[tuple[Store, DataKeys]]) -> None:
    store, keys = twins[0]
    lock = locked_test(store, keys, draw=0)
    assert len(lock) == PER_PART["test"]
    inputs = FitInputs(
        train=read_part(store, keys, draw=0, part="train"),
        validation=read_part(store, keys, draw=0, part="validation"),
        test=lock,
    )
    images = [value for value in vars(inputs).values() if isinstance(value, ImageSet)]
    seen = {name for one in images for name in one.ids}
    assert not seen & set(lock.ids)
    assert sum(map(len, images)) == PER_PART["train"] + PER_PART["validation"]


# ── the opening ───────────────────────────────────────────────────────────────────────────────


def test_the_test_part_is_not_read_like_the_others(twins: list[tuple[Store, DataKeys]]) -> None:
    store, keys = twins[0]
    with pytest.raises(LeakageError, match="part 'test' is locked"):
        read_part(store, keys, draw=0, part="test")  # type: ignore[arg-type]


def test_the_opening_waits_for_all_planned_models(
    twins: list[tuple[Store, DataKeys]], tmp_path: Path
) -> None:
    store, keys = twins[0]
    model = _model(keys, "small_cnn")
    store.compute(model)
    ledger = Ledger(tmp_path / "openings.jsonl")
    with pytest.raises(LeakageError, match="1 of 2 planned models are not committed"):
        open_test(
            store, test_hash="t", study="s", models=[model.key, "model-missing"], ledger=ledger
        )
    assert not ledger.opened(test_hash="t", model=model.key), "a refused opening is no opening"


def test_predicting_needs_an_opening_on_record(
    twins: list[tuple[Store, DataKeys]], tmp_path: Path
) -> None:
    store, keys = twins[0]
    model = _model(keys, "small_cnn")
    store.compute(model)
    ledger = Ledger(tmp_path / "openings.jsonl")

    def request(test_hash: str) -> StageRequest:
        return prediction_request(
            model.key, keys, draw=0, test_hash=test_hash, ledger=ledger, plugins=[]
        )

    with pytest.raises(LeakageError, match="no opening of the test set is on record"):
        store.compute(request("mine"))
    assert not store.has(request("mine").key)
    open_test(store, test_hash="mine", study="s", models=[model.key], ledger=ledger)
    with pytest.raises(LeakageError):
        store.compute(request("another test set"))
    assert store.compute(request("mine")) == "computed"
    with np.load(store.open(request("mine").key).path("predictions.npz")) as found:
        assert sorted(found["ids"]) == sorted(locked_test(store, keys, draw=0).ids)
