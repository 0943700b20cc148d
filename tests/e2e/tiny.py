"""Whole studies that take seconds: drawn images, how to run them, and what to ask of a run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from synthlift import registry
from synthlift.spec.results import Results
from synthlift.spec.study import Study
from synthlift.study.driver import Options, conduct
from synthlift.study.executors.local import Listener
from synthlift.testing.inputs import CLASSES, draw_images

EXAMPLE = Path(__file__).resolve().parents[2] / "docs" / "examples" / "my_generator.py"
GAUSSIAN = {"kind": "class_gaussian"}
FLOW = {"kind": "flow", "steps": 6, "sampler_steps": 2, "readings": 2}
SMALL_FLOW = {**FLOW, "width": 32, "depth": 1}
ARMS: tuple[Any, ...] = (
    "real",
    "augmented",
    {"kind": "mixed", "multiples": [0.5], "recipes": ["best_rival"]},
)


def draw_folder(place: Path, *, per_class: int = 36, seed: int = 3) -> Path:
    """A folder of drawn 8 × 8 images: noisy discs, bars and ramps, one sub-folder a class."""
    pixels, labels = draw_images(3 * per_class, seed=seed)
    for row, (image, label) in enumerate(zip(pixels, labels, strict=True)):
        folder = place / CLASSES[label]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.asarray(image[:, :, 0])).save(folder / f"{row:03}.png")
    return place


def zip_with_table(place: Path) -> Path:
    """Pictures in folders, and a table beside their folder."""
    shapes = draw_folder(place / "shapes", per_class=12)
    files = sorted(shapes.rglob("*.png"))
    rows = [f"{file.name};P{n // 3};{'ab'[n % 2]}" for n, file in enumerate(files)]
    with zipfile.ZipFile(place / "mine.zip", "w") as archive:
        for file in files:
            archive.write(file, f"mine/pictures/{file.parent.name}/{file.name}")
        archive.writestr("mine/patients.csv", "\n".join(["file;patient;device", *rows]))
    return place / "mine.zip"


def study_of(source: Path | str, **changes: Any) -> Study:
    """A study of two replicates on one training set, with the example plug-in as generator."""
    content: dict[str, Any] = {
        "name": "tiny",
        "data": {"source": str(source), "split": {"design": "fixed", "validation": 0.25}},
        "generators": [GAUSSIAN],
        "curation": ["exact_duplicates", "near_copies", {"kind": "class_agreement", "keep": 0.9}],
        "arms": list(ARMS),
        "training": {"steps": 8, "batch_size": 16, "flip": "no"},
        "replicates": 2,
        "generator_fits": 2,
        "selection": "predeclared",
        "plugins": [str(EXAMPLE)],
    }
    return Study.model_validate({**content, **changes})


@dataclass(frozen=True)
class Ran:
    """A run: its folder, its results and the events that were heard."""

    folder: Path
    results: dict[str, Any]
    events: list[tuple[str, dict[str, Any]]]

    def computed(self, *stages: str) -> set[str]:
        """Keys that this run computed, of all or only some stages."""
        return {
            fields["key"]
            for name, fields in self.events
            if name == "stage_done" and (not stages or fields["stage"] in stages)
        }

    def stages(self) -> set[str]:
        """The stages of which this run computed something."""
        return {fields["stage"] for name, fields in self.events if name == "stage_done"}


@contextmanager
def home_of(place: Path) -> Iterator[Path]:
    """A ledger of its own, and no plug-in that outlives the study that named it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SYNTHLIFT_DATA_HOME", str(place / "data-home"))
        patch.setattr(registry, "_plugins", {})
        yield place / "store"


def run(
    study: Study,
    *,
    home: Path,
    out: str = "run",
    workers: int = 1,
    more: float | None = None,
    replan: bool = False,
    preset: Mapping[str, Any] | None = None,
) -> Ran:
    """Run a study in this process, with store, ledger and run folder under ``home``."""
    heard: list[tuple[str, dict[str, Any]]] = []
    with home_of(home) as store:
        folder = conduct(
            study,
            base=home,
            options=Options(out=home / out, store=store, workers=workers, more=more, replan=replan),
            listener=Listener(on_event=lambda name, fields: heard.append((name, dict(fields)))),
            preset=preset,
        )
    return Ran(folder, read_results(folder), heard)


def read_results(folder: Path) -> dict[str, Any]:
    """``results.json`` as it lies there, after it has passed its schema."""
    text = (folder / "results.json").read_text()
    Results.model_validate_json(text)
    content: dict[str, Any] = json.loads(text)
    return content


def read_log(folder: Path) -> list[tuple[str, dict[str, Any]]]:
    """All events in a run folder's log, in order; a line cut short by a kill is left out."""
    events = []
    for line in (folder / "log.jsonl").read_text().splitlines():
        try:
            fields = json.loads(line)
        except ValueError:
            continue
        events.append((fields.pop("event"), fields))
    return events


def comparable(results: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """What must not differ between two runs of a study: all but times, energy and places."""
    text = json.dumps(results).replace(json.dumps(str(folder))[1:-1], "RUN")
    content: dict[str, Any] = json.loads(text)
    del content["created"]
    for name in ("command", "source"):
        del content["study"][name]
    for name in ("workers", "evidence"):
        content["environment"].pop(name, None)
    for arm in content["arms"]:
        del arm["seconds"], arm["generation_seconds"]
    for generator in content["generators"]:
        for name in ("images_per_second", "fit_seconds", "energy_kwh", "cost_at_least"):
            del generator[name]
    content["cost"] = {cost["stage"]: cost["tasks"] for cost in content["cost"]}
    return content


# ── as a user starts them: a process of its own ───────────────────────────────────────────────

# Where tests run in the background, shells have children ignore Ctrl-C.
PROGRAM = (
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "from synthlift.cli import main; main()"
)


def start(
    study: Study, *, home: Path, out: str = "run", workers: int = 2
) -> subprocess.Popen[bytes]:
    """``synthlift run`` in a process group of its own; store and ledger under ``home``."""
    home.mkdir(parents=True, exist_ok=True)
    file = home / "study.yaml"
    file.write_text(yaml.safe_dump(study.model_dump(mode="json")))
    command = [sys.executable, "-c", PROGRAM, "run", str(file), "--out", str(home / out)]
    environment = {**os.environ, "SYNTHLIFT_DATA_HOME": str(home / "data-home")}
    return subprocess.Popen(
        [*command, "--store", str(home / "store"), "--workers", str(workers), "--quiet"],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=(home / f"{out}.stderr").open("wb"),
        start_new_session=True,
    )


def wait_until(
    reached: Callable[[], bool], *, process: subprocess.Popen[bytes], seconds: float = 120
) -> None:
    """Wait for a moment in a started study's life; it must come before the study ends."""
    until = time.monotonic() + seconds
    while not reached():
        assert process.poll() is None, "the study ended before the moment to kill it came"
        assert time.monotonic() < until, "the moment never came"
        time.sleep(0.01)


def kill(process: subprocess.Popen[bytes], *, group: bool) -> None:
    """``kill -9``: the whole process group at once, or the main process alone."""
    if group:
        os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    process.wait(timeout=60)


def finish(
    process: subprocess.Popen[bytes], *, home: Path, out: str = "run", seconds: float = 280
) -> Path:
    """Wait for a started study; its run folder."""
    code = process.wait(timeout=seconds)
    assert code == 0, (home / f"{out}.stderr").read_text()
    return home / out


def committed(home: Path) -> list[str]:
    """Keys in the store under ``home``."""
    folder = home / "store" / "artefacts"
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def names(results: Mapping[str, Any]) -> Sequence[str]:
    """The arms of a run, in order."""
    return [arm["name"] for arm in results["arms"]]
