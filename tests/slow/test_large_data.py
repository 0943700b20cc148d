"""50,000 images of 224 pixels – more than a small machine's memory – are studied within 4 GB."""

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
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image, ImageDraw

from synthlift.registry import available
from synthlift.store import StageRequest, Store
from synthlift.store.images import INVENTORY, PIXELS, SPLIT, DataKeys, as_inputs
from synthlift.study.modelling import SCORER
from tests.e2e.tiny import read_results

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
        numerics={"channels_last": True, "bf16": False},
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


# ── a whole study, from files to the report ───────────────────────────────────────────────────

FILES = 50_000
STUDY: dict[str, Any] = {
    "name": "large",
    "data": {
        "image_size": SIDE,
        "split": {"design": "fixed", "test": 0.04, "validation": 0.12},
    },
    "generators": [{"kind": "flow", "steps": 8, "readings": 1, "sampler_steps": 2}],
    "arms": ["real", "augmented", {"kind": "mixed", "multiples": [0.02]}],
    "training": {"steps": 20},
    "selection": "predeclared",
    "replicates": 1,
    "generator_fits": 1,
}


def draw_files(folder: Path, *, count: int) -> Path:
    """JPEG files: a disc or a square of some colour on clouds that are like no other."""
    random = np.random.default_rng(0)
    for row in range(count):
        place = folder / ("disc", "square")[row % 2] / f"{row:05}.jpg"
        place.parent.mkdir(parents=True, exist_ok=True)
        clouds = Image.fromarray(random.integers(0, 256, (9, 9, 3), dtype=np.uint8))
        image = clouds.resize((SIDE, SIDE), Image.Resampling.BICUBIC)
        x, y, radius = random.integers(60, 160, 3).tolist()
        draw = (ImageDraw.Draw(image).ellipse, ImageDraw.Draw(image).rectangle)[row % 2]
        colour = tuple(random.integers(0, 256, 3).tolist())
        draw((x - radius // 3, y - radius // 3, x + radius // 3, y + radius // 3), fill=colour)
        image.save(place, quality=85)
    return folder


def _proportional_memory(process: psutil.Process) -> int:
    """Bytes of one process, pages that it shares counted by their share (PSS)."""
    try:
        text = Path(f"/proc/{process.pid}/smaps_rollup").read_text()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return 0  # it has just ended
    return sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:")) * 1024


def run_and_weigh(
    command: list[str], *, store: Path, errors: Path
) -> tuple[int, dict[str, int], float]:
    """Run a command; the most memory that it and its workers took together, by stage at work.

    Returns:
        Exit code, bytes by the stage that a worker was at, and seconds.
    """
    began, peaks = time.monotonic(), dict[str, int]()
    with errors.open("wb") as stream:
        started = psutil.Popen(command, stdout=subprocess.DEVNULL, stderr=stream)
        while started.poll() is None:
            everyone = [started, *started.children(recursive=True)]
            together = sum(map(_proportional_memory, everyone))
            stages = {path.name.split("-")[0] for path in (store / "work").glob("*-*")}
            name = "+".join(sorted(stages)) or "main process"
            peaks[name] = max(together, peaks.get(name, 0))
            time.sleep(0.25)
    return started.returncode, peaks, time.monotonic() - began


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="needs Linux's /proc")
def test_a_generative_study_of_such_a_set_stays_within_four_gigabytes(tmp_path: Path) -> None:
    """All processes together, from the first file to the report."""
    if shutil.disk_usage(tmp_path).free < 14 * 10**9:
        pytest.skip("needs 14 GB of free disk")
    store, out = tmp_path / "store", tmp_path / "run"
    try:
        source = draw_files(tmp_path / "files", count=FILES)
        study = {**STUDY, "data": {**STUDY["data"], "source": str(source)}}
        (tmp_path / "study.yaml").write_text(yaml.safe_dump(study))
        program = "from synthlift.cli import main; main()"
        command = [sys.executable, "-c", program, "run", str(tmp_path / "study.yaml"), "--quiet"]
        command += ["--out", str(out), "--store", str(store), "--workers", "1", "--device", "cpu"]
        errors = tmp_path / "errors"
        code, peaks, seconds = run_and_weigh(command, store=store, errors=errors)
        assert code == 0, errors.read_text()[-2000:]
        for name, peak in peaks.items():
            print(f"{name}: {peak / 1e9:.2f} GB")
        print(f"peak {max(peaks.values()) / 1e9:.2f} GB, {seconds:.0f} s, {FILES:,} files")
        pixels = next((store / "artefacts").glob("pixels-*")) / PIXELS
        results = read_results(out)
        assert {"fit", "sample", "judge", "copying", "pictures", "predict"} <= {
            cost["stage"] for cost in results["cost"]
        }
        assert results["counts"]["used"] >= 0.99 * FILES
        assert pixels.stat().st_size > 0.99 * FILES * SIDE * SIDE * 3
        assert [generator["gate_stopped"] for generator in results["generators"]] == [False]
        assert "5,000 of" in results["generators"][0]["copying_ratio"]["method"]
        assert max(peaks.values()) < LIMIT
    finally:
        for name in ("files", "store"):
            shutil.rmtree(tmp_path / name, ignore_errors=True)
