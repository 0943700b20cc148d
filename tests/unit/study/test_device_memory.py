"""Only so many workers hold large models as the device's memory takes."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from synthlift.generators.image_to_image.config import ImageToImageConfig
from synthlift.generators.pipelines.files import pipeline_files
from synthlift.generators.pipelines.footprint import count_weights, pipeline_bytes
from synthlift.generators.text_to_image.config import TextToImageConfig
from synthlift.registry import load_plugin
from synthlift.spec.study import Component
from synthlift.store import StageContext, StageRequest, Store, Summary
from synthlift.study.device_memory import CONTEXT, GIB, device_bytes, holds, workers_that_fit
from synthlift.study.executors.local import HOLDS, LocalExecutor
from synthlift.study.ledger import Ledger
from synthlift.study.planning import describe_task
from synthlift.study.preparation import decide_design, open_data
from synthlift.study.session import Session
from tests.e2e.tiny import draw_folder, home_of, run, study_of
from tests.pipelines import tiny_controlnet

PLUGIN = Path(__file__).parents[2] / "e2e" / "plugins" / "large.py"


@pytest.mark.parametrize(
    ("workers", "total", "held", "fit"),
    [
        (8, 24, 5, 3),  # 0.9 × 24 − 8 × 0.5 = 17.6
        (8, 24, 17, 1),
        (8, 24, 40, 1),  # whether one fits is found out by trying
        (2, 24, 5, 2),
        (16, 80, 5, 12),
        (1, 8, 30, 1),
        (64, 24, 1, 1),  # the processes alone fill the device
    ],
)
def test_workers_are_as_many_as_the_memory_takes(
    workers: int, total: int, held: int, fit: int
) -> None:
    found = workers_that_fit(workers, total=total * GIB, held=held * GIB, context=CONTEXT)
    assert found == fit


def test_memory_of_a_pipeline_follows_its_files_and_settings(
    tiny_pipeline: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(tiny_pipeline, tmp_path / "tiny")
    weights = [
        tensor.numel()
        for path in folder.rglob("*.safetensors")
        for tensor in load_file(path).values()
    ]
    assert count_weights(folder) == sum(weights) > 10_000
    half = {"weight": torch.zeros(1000, dtype=torch.float16)}
    save_file(half, folder / "unet" / "diffusion_pytorch_model.fp16.safetensors")
    save_file(half, folder / "v1-5.safetensors")
    assert count_weights(folder) == sum(weights), "copies are not opened"
    # 16 pixels a side, and a last level that 8 channels enter.
    computed = 4 * 16 * 16 * 8 * 4
    files = pipeline_files(str(folder))
    found = pipeline_bytes(files, dtype="bfloat16", micro_batch=4, side=None)
    assert found == 2 * (sum(weights) + computed)
    config = TextToImageConfig(model=str(folder), micro_batch=4)
    assert config.device_bytes() == 4 * (sum(weights) + computed)
    adapted = TextToImageConfig.model_validate({**config.model_dump(), "adapt": {"kind": "lora"}})
    assert adapted.device_bytes() == 2 * config.device_bytes()
    larger = config.model_copy(update={"size": 32})
    assert larger.device_bytes() == 4 * (sum(weights) + 4 * computed)
    control = tiny_controlnet(tmp_path / "control", tiny_pipeline)
    along = ImageToImageConfig.model_validate(
        {"model": str(folder), "method": "control", "control_model": str(control), "micro_batch": 4}
    )
    assert along.device_bytes() - config.device_bytes() == 4 * count_weights(control)


def where(request: StageRequest, context: StageContext) -> Summary:
    time.sleep(0.05)
    return {"pid": os.getpid(), "began": time.monotonic()}


def test_large_models_have_processes_of_their_own(tmp_path: Path) -> None:
    store = Store(tmp_path)
    requests = [
        StageRequest(
            stage="where",
            function=f"{__name__}:where",
            config={"number": number},
            local={HOLDS: GIB} if number % 2 else {},
        )
        for number in range(16)
    ]
    with LocalExecutor(store, workers=3) as executor:
        executor.holding = 1
        executor.run(requests)
    found = [(bool(request.local), store.open(request.key).summary["pid"]) for request in requests]
    large, small = ({pid for apart, pid in found if apart is kind} for kind in (True, False))
    assert len(large) == 1
    assert len(small) >= 2
    assert not large & small


def test_a_plan_counts_with_the_workers_that_may_hold_a_model(tmp_path: Path) -> None:
    generators = [{"kind": "large"}, {"kind": "large", "name": "little", "holds": GIB // 2}]
    study = study_of(
        draw_folder(tmp_path / "drawn", per_class=24),
        generators=generators,
        arms=["real", {"kind": "mixed", "generator": "every", "multiples": [1]}],
        curation=[],
        plugins=[str(PLUGIN)],
    )
    with home_of(tmp_path / "home") as store, LocalExecutor(Store(store), workers=2) as executor:
        load_plugin(PLUGIN)
        session = Session(
            study=study, store=executor.store, executor=executor, ledger=Ledger(), base=tmp_path
        )
        opened = open_data(session)
        task = describe_task(session, opened, decide_design(session, opened), 2)
        assert task.at_once == {"large": 1}
        (taken,) = (one for one in session.store.decisions(session.key) if "large_models" in one)
        assert taken == f"large_models/cpu-{device_bytes('cpu') // GIB}GiB-2"


def test_a_study_decides_how_many_workers_hold_its_models(tmp_path: Path) -> None:
    source = draw_folder(tmp_path / "drawn", per_class=24)
    study = study_of(
        source,
        generators=[{"kind": "large"}],
        arms=["real", {"kind": "mixed", "multiples": [1]}],
        curation=[],
        plugins=[str(PLUGIN)],
    )
    ran = run(study, home=tmp_path / "home", workers=2)
    gib = device_bytes("cpu") // GIB
    (taken,) = (one for one in ran.results["decisions"] if one["name"].startswith("large_models/"))
    assert taken["name"] == f"large_models/cpu-{gib}GiB-2"
    assert taken["value"] == 1
    assert "takes 1048576.0 GiB" in taken["reason"]
    drawn = [
        np.load(path)[0, 0, :2, 0].tolist()
        for path in sorted((tmp_path / "home" / "store" / "artefacts").glob("sample-*/pixels.npy"))
    ]
    assert len(drawn) >= 6
    assert len({process for process, _ in drawn}) == 1
    assert {held for _, held in drawn} == {1}, "two fits, one after the other"
    small = Component.model_validate({"kind": "large", "holds": GIB // 2})
    with home_of(tmp_path / "small"):
        load_plugin(PLUGIN)
        assert not holds(small), "small ones go to any worker"
