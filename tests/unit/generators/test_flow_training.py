from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from synthlift.errors import SynthliftError
from synthlift.generators.flow.config import FlowConfig, settle
from synthlift.generators.flow.generator import FlowFitted, FlowGenerator
from synthlift.generators.learning.checkpoints import FILE
from synthlift.generators.learning.optimizer import learning_rate_factor
from synthlift.store.files import hash_files
from synthlift.testing.inputs import drawn_inputs
from synthlift.types import ImageBatch, MonitorReading, RunContext, SampleRequest
from tests.unit.generators.killing import Progress, kill_once_told

WATCHED: dict[str, Any] = {
    "steps": 240,
    "batch_size": 16,
    "width": 32,
    "depth": 1,
    "readings": 6,
    "monitor_images": 8,
    "sampler_steps": 2,
    "micro_batch": 8,
}


class Verdicts:
    """A monitor that accepts (+) or refuses (-) reading by reading, whatever the samples."""

    def __init__(self, answers: str, *, steps: int = 240) -> None:
        self._answers, self._every = answers, steps // len(answers)
        self.seen: list[ImageBatch] = []

    def __call__(self, step: int, samples: ImageBatch) -> MonitorReading:
        self.seen.append(samples)
        accepted = self._answers[step // self._every - 1] == "+"
        return MonitorReading(value=1.1 if accepted else 0.9, acceptable=accepted)


def fit(
    folder: Path, *, monitor: Verdicts | None = None, progress: Any = None, **settings: Any
) -> FlowFitted:
    run = RunContext(folder=folder, seed=11, monitor=monitor)
    run = replace(run, progress=progress) if progress else run
    config = FlowConfig(**{**WATCHED, **settings})
    return FlowGenerator(config).fit(drawn_inputs(), run=run)


def _fit_watched(progress: Progress, folder: Path) -> FlowFitted:
    return fit(folder, monitor=Verdicts("++-+++"), progress=progress, checkpoint_seconds=1e-6)


def _weights(fitted: FlowFitted, folder: Path) -> str:
    fitted.save(folder)
    return hash_files(folder)["network/diffusion_pytorch_model.safetensors"]


def test_a_killed_fit_goes_on_and_ends_with_the_same_bits(tmp_path: Path) -> None:
    killed = tmp_path / "killed"
    killed.mkdir()
    kill_once_told(partial(_fit_watched, folder=killed), lambda done, _note: done >= 130)
    assert (killed / FILE).is_file()

    logged: list[dict[str, Any]] = []
    run = RunContext(
        folder=killed,
        seed=11,
        monitor=Verdicts("++-+++"),
        log=lambda event, **fields: logged.append({"event": event, **fields}),
    )
    config = FlowConfig(**{**WATCHED, "checkpoint_seconds": 1e-6})
    resumed = FlowGenerator(config).fit(drawn_inputs(), run=run)
    assert logged[0]["event"] == "flow.resumed"
    assert 100 < logged[0]["step"] < 240

    whole = fit(tmp_path, monitor=Verdicts("++-+++"), checkpoint_seconds=1e-6)
    resumed.save(tmp_path / "a")
    whole.save(tmp_path / "b")
    assert hash_files(tmp_path / "a") == hash_files(tmp_path / "b")


def test_a_check_point_of_other_settings_is_not_continued(tmp_path: Path) -> None:
    fit(tmp_path, steps=20, checkpoint_seconds=1e-6)
    assert (tmp_path / FILE).is_file()
    mixed = fit(tmp_path, steps=20, learning_rate=1e-3)
    fresh_folder = tmp_path / "fresh"
    fresh_folder.mkdir()
    fresh = fit(fresh_folder, steps=20, learning_rate=1e-3)
    assert _weights(mixed, tmp_path / "a") == _weights(fresh, tmp_path / "b")


@pytest.mark.parametrize(
    ("answers", "kept", "done", "acceptable"),
    [
        ("++++++", 240, 240, True),
        ("+++--+", 120, 200, True),  # two refusals in a row: copying has begun
        ("++-+-+", 240, 240, True),
        ("--++++", 240, 240, True),  # blurred first samples do not end the training
        ("------", 40, 240, False),
    ],
)
def test_the_last_accepted_reading_before_copying_is_kept(
    tmp_path: Path, answers: str, kept: int, done: int, acceptable: bool
) -> None:
    facts = fit(tmp_path, monitor=Verdicts(answers)).facts()
    assert facts["kept_step"] == kept
    assert facts["steps_done"] == done
    assert facts["copying_watched"]
    assert facts["copying_acceptable"] is acceptable
    assert [r["step"] for r in facts["readings"]] == list(range(40, done + 1, 40))


def test_the_monitor_sees_all_classes_evenly_and_the_kept_weights(tmp_path: Path) -> None:
    monitor = Verdicts("+++--+")
    fitted = fit(tmp_path, monitor=monitor, monitor_images=9)
    assert np.bincount(monitor.seen[0].labels).tolist() == [3, 3, 3]
    # The third reading was kept: the same seeds give the pixels that were judged there.
    from synthlift.seeds import seed_for

    requests = [
        SampleRequest(index=i, label=i % 3, seed=seed_for(11, "monitor", i)) for i in range(9)
    ]
    pixels = np.concatenate([batch.pixels for batch in fitted.sample(requests)])
    assert np.array_equal(pixels, monitor.seen[2].pixels)
    assert not np.array_equal(pixels, monitor.seen[3].pixels)


def test_without_a_monitor_the_last_step_is_kept(tmp_path: Path) -> None:
    facts = fit(tmp_path, steps=30).facts()
    assert facts["kept_step"] == facts["steps_done"] == 30
    assert facts["copying_watched"] is False
    assert facts["copying_acceptable"] is None
    assert facts["parameters"] > 1000
    assert json.loads(json.dumps(facts)) == facts


def test_the_loss_falls_and_progress_is_told(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    fitted = fit(tmp_path, progress=lambda done, total, _note: told.append((done, total)))
    losses = np.array(fitted.facts()["losses"])
    assert losses[-10:, 1].mean() < 0.6 * losses[:5, 1].mean()
    assert told[-1] == (240, 240)
    assert told == sorted(told)


def test_a_loss_that_is_not_finite_is_refused_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(SynthliftError, match="the loss is not finite at step") as caught:
        fit(tmp_path, learning_rate=1e30)
    assert "lower 'learning_rate' (now 1e+30), for instance to 2.5e+29" in str(caught.value)


def test_the_learning_rate_rises_then_falls_to_zero() -> None:
    factors = [learning_rate_factor(step, 100) for step in range(101)]
    assert factors[0] == pytest.approx(0.2)
    assert max(factors) > 0.99
    assert factors[-1] == pytest.approx(0)
    assert np.argmax(factors) == 4


@pytest.mark.parametrize(("examples", "steps"), [(5, 600), (1000, 1000), (60000, 2500)])
def test_steps_follow_the_number_of_images(examples: int, steps: int) -> None:
    assert settle(FlowConfig(), examples=examples, image_shape=(8, 8, 1)).steps == steps
    kept = settle(FlowConfig(steps=7, width=40), examples=examples, image_shape=(8, 8, 1))
    assert (kept.steps, kept.width) == (7, 40)


def test_nothing_is_left_open() -> None:
    settled = settle(FlowConfig(), examples=100, image_shape=(28, 28, 1)).model_dump()
    assert "auto" not in settled.values()
    assert settled["network"] == "unet"
