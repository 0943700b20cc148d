"""50,000 images of 224 pixels – more than a small machine's memory – train within 4 GB."""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from synthlift.registry import available
from synthlift.store import StageRequest, Store
from synthlift.store.images import INVENTORY, PIXELS, SPLIT, DataKeys, as_inputs
from synthlift.study.modelling import LAYOUT, SCORER

ROOT = Path(__file__).resolve().parents[2]
COUNT, SIDE, STEPS, BLOCK = 50_000, 224, 30, 500
PARTS = {"train": 46_000, "validation": 2_000, "test": 2_000}
LIMIT = 4 * 10**9
KEYS: DataKeys = {"inventory": "inventory-0", "pixels": "pixels-0", "split": "split-0"}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """Noise whose brightness depends on the class; 7.5 GB, removed afterwards."""
    if shutil.disk_usage(tmp_path).free < 10 * 10**9:
        pytest.skip("needs 10 GB of free disk")
    found = Store(tmp_path / "store")
    try:
        _fill(found)
        yield found
    finally:
        shutil.rmtree(tmp_path / "store")


def _fill(store: Store) -> None:
    random = np.random.default_rng(0)
    labels = random.integers(0, 2, COUNT)
    ids = np.array([f"{row:05}" for row in range(COUNT)])
    ok = np.full(COUNT, "ok")
    inventory = {"id": ids, "label": np.array(["dark", "light"])[labels], "group": ids}
    inventory |= {"sha256": ids, "status": ok, "part": np.full(COUNT, "")}
    inventory |= {"attributes": np.full(COUNT, "{}")}
    parts = random.permutation(np.repeat(list(PARTS), list(PARTS.values())))
    pq.write_table(pa.table(inventory), _folder(store, KEYS["inventory"]) / INVENTORY)
    split = {"draw": np.zeros(COUNT, np.int64), "id": ids, "part": parts}
    pq.write_table(pa.table(split), _folder(store, KEYS["split"]) / SPLIT)
    with (_folder(store, KEYS["pixels"]) / PIXELS).open("wb") as stream:
        shape = (COUNT, SIDE, SIDE, 3)
        header = {"descr": "|u1", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(stream, header)
        for start in range(0, COUNT, BLOCK):
            noise = random.integers(0, 160, (BLOCK, SIDE, SIDE, 3), dtype=np.uint8)
            noise += (60 * labels[start : start + BLOCK]).astype(np.uint8)[:, None, None, None]
            stream.write(noise.data)


def _folder(store: Store, key: str) -> Path:
    folder = store.folder(key)
    folder.mkdir(parents=True)
    names = {"inventory-0": INVENTORY, "pixels-0": PIXELS, "split-0": SPLIT}
    record = {"key": key, "files": {names[key]: ""}, "summary": {}, "inputs": {}}
    (folder / "record.json").write_text(json.dumps({**record, "config": {"white": 255}}))
    return folder


def _request() -> StageRequest:
    found = available("classifiers")["small_cnn"]
    training = {
        "steps": STEPS,
        "batch_size": 64,
        "optimizer": "adam",
        "learning_rate": 4e-3,
        "weight_decay": 0.0,
        "label_smoothing": 0.0,
        "ema": 0.0,
        "flip": False,
        "early_stopping": False,
    }
    arm = SCORER.model_dump(
        mode="json", include={"recipe", "duplicate", "regime", "synthetic_share", "posing"}
    )
    return StageRequest(
        stage="model",
        function="synthlift.study.stages.models:train_model",
        config={
            "arm": arm,
            "classifier": {
                "kind": "small_cnn",
                "identity": found.identity(),
                "config": found.config().model_dump(mode="json"),
            },
            "training": training,
            "draw": 0,
            "fit": "pad",
            "manifest": [],
            "posing": {},
        },
        inputs=as_inputs(KEYS),
        seed=5,
        numerics=LAYOUT,
    )


def train_here(root: str) -> None:
    """Train one model in this process and print what it took, as JSON."""
    import torch

    torch.set_num_threads(1)
    store, began = Store(Path(root)), time.perf_counter()
    store.compute(_request())
    summary: dict[str, Any] = dict(store.open(_request().key).summary)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    unit = 1 if sys.platform == "darwin" else 1024
    seconds = time.perf_counter() - began
    print(json.dumps({**summary, "peak": peak * unit, "seconds": seconds}))


@pytest.mark.slow
def test_a_set_larger_than_memory_trains_within_four_gigabytes(store: Store) -> None:
    written = (store.folder("pixels-0") / PIXELS).stat()
    assert written.st_size > 7.5e9
    assert written.st_blocks * 512 > 7.5e9, "a sparse file"
    code = "import sys; from tests.slow.test_large_data import train_here; train_here(sys.argv[1])"
    done = subprocess.run(
        [sys.executable, "-c", code, str(store.root)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    print(f"peak {found['peak'] / 1e9:.2f} GB, {found['seconds']:.0f} s, {STEPS} steps")
    assert found["real_images"] == PARTS["train"]
    assert found["validation_accuracy"] > 0.9
    assert found["peak"] < LIMIT
