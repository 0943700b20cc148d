"""What a flow leaves to be measured is fixed when it is fitted, and stays."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from synthlift.errors import InputError
from synthlift.generators.conditions import Vocabulary
from synthlift.generators.flow.config import FlowConfig, settle
from synthlift.generators.flow.generator import FlowFitted, FlowGenerator
from synthlift.generators.flow.network import build_network, plan_network
from synthlift.generators.flow.space import PixelSpace
from synthlift.generators.flow.tuning import Worth, tuned
from synthlift.generators.learning import compiling
from synthlift.generators.learning.examples import load_examples
from synthlift.generators.learning.timing import CHUNKS, FILE
from synthlift.testing.inputs import drawn_inputs
from synthlift.types import RunContext, SampleRequest, UInt8

SMALL: dict[str, Any] = {
    "steps": 12,
    "batch_size": 16,
    "width": 32,
    "depth": 1,
    "readings": 0,
    "sampler_steps": 2,
}


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine of which nothing is known yet."""
    monkeypatch.setenv("SYNTHLIFT_DATA_HOME", str(tmp_path / "machine"))
    return tmp_path / "machine" / "measured"


def fit(folder: Path, **settings: Any) -> FlowFitted:
    folder.mkdir(parents=True, exist_ok=True)
    config = FlowConfig(**{**SMALL, **settings})
    return FlowGenerator(config).fit(drawn_inputs(), run=RunContext(folder=folder, seed=3))


def pixels(fitted: FlowFitted) -> UInt8:
    requests = [SampleRequest(index=i, label=0, seed=i) for i in range(5)]
    return np.concatenate([batch.pixels for batch in fitted.sample(requests)])


def choose(
    folder: Path, config: FlowConfig, *, worth: Worth, space: PixelSpace | None = None
) -> tuple[FlowConfig, dict[str, Any]]:
    """What a fit would choose, without the fit."""
    folder.mkdir(parents=True, exist_ok=True)
    train = drawn_inputs().train
    config = settle(config, examples=len(train), image_shape=train.image_shape)
    vocabulary = Vocabulary.of(train, ())
    plan = plan_network(config, image_shape=train.image_shape, conditions=vocabulary.sizes)
    network = build_network(plan, seed=0)
    before = [weight.clone() for weight in network.parameters()]
    found = tuned(
        config,
        network=network,
        plan=plan,
        examples=load_examples(train, vocabulary, class_balance=0.0, device="cpu"),
        space=space or PixelSpace(train.image_shape),
        run=RunContext(folder=folder, seed=0),
        worth=worth,
    )
    assert all(torch.equal(a, b) for a, b in zip(before, network.parameters(), strict=True))
    return found


def test_a_measured_chunk_is_fixed_kept_with_the_fit_and_for_the_machine(
    tmp_path: Path, machine: Path
) -> None:
    fitted = fit(tmp_path / "one", micro_batch="measured")
    told = fitted.facts()
    assert told["config"]["micro_batch"] == fitted.micro_batch in CHUNKS
    times = {int(size): seconds for size, seconds in told["measured"]["seconds_per_image"].items()}
    assert times[fitted.micro_batch] <= 1.05 * min(times.values())
    assert all(
        seconds > 1.05 * min(times.values())
        for size, seconds in times.items()
        if size < fitted.micro_batch
    )
    fitted.save(tmp_path / "saved")
    loaded = FlowGenerator(FlowConfig()).load(tmp_path / "saved")
    assert loaded.micro_batch == fitted.micro_batch
    again = fit(tmp_path / "two", micro_batch="measured")
    assert again.facts()["measured"] == told["measured"]  # not timed anew
    assert np.array_equal(pixels(again), pixels(fitted))
    assert len(list(machine.iterdir())) == 1


def test_a_killed_fit_goes_on_as_it_began_whatever_is_known_by_then(
    tmp_path: Path, machine: Path
) -> None:
    fit(tmp_path / "one", micro_batch="measured")
    (kept,) = machine.iterdir()
    kept.write_text(json.dumps({"micro_batch": 7}), encoding="utf-8")
    assert fit(tmp_path / "other", micro_batch="measured").micro_batch == 7
    place = tmp_path / "one" / FILE
    place.write_text(json.dumps({"micro_batch": 5}), encoding="utf-8")
    assert fit(tmp_path / "one", micro_batch="measured").micro_batch == 5
    place.unlink()
    kept.write_text("{ damaged", encoding="utf-8")
    assert fit(tmp_path / "one", micro_batch="measured").micro_batch in CHUNKS


def test_forms_of_a_step_are_tried_only_where_a_fit_is_long_enough(tmp_path: Path) -> None:
    config = FlowConfig(**SMALL, precision="measured")
    short, told = choose(tmp_path / "short", config, worth=Worth())
    assert short.precision == "float32"
    assert set(told["seconds_per_step"]) == {"float32"}
    longer = config.model_copy(update={"steps": 13})
    chosen, told = choose(tmp_path / "long", longer, worth=Worth(trying=0))
    times = told["seconds_per_step"]
    assert set(times) == {"float32", "bfloat16"}
    faster = times["bfloat16"] <= 0.9 * times["float32"]
    assert chosen.precision == ("bfloat16" if faster else "float32")


class Narrow(PixelSpace):
    """Memory for 32 images."""

    def leave(self, x_nchw: torch.Tensor) -> torch.Tensor:
        if len(x_nchw) > 32:
            raise torch.OutOfMemoryError("no memory is left")
        return super().leave(x_nchw)


def test_memory_that_ends_ends_the_search_for_a_chunk(tmp_path: Path) -> None:
    config = FlowConfig(**SMALL, micro_batch="measured")
    space = Narrow(drawn_inputs().train.image_shape)
    found, told = choose(tmp_path / "run", config, worth=Worth(), space=space)
    assert set(told["seconds_per_image"]) <= {"4", "8", "16", "32"}
    assert found.micro_batch in (4, 8, 16, 32)


def test_a_network_is_compiled_whole_and_by_a_compiler_that_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ValueError, match="'compile' goes with 'parts: 1'"):
        FlowConfig(compile="measured", parts=2)
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(InputError, match="nothing here can compile"):
        fit(tmp_path / "run", compile=True)
    config = FlowConfig(**SMALL, compile="measured")
    chosen, told = choose(tmp_path / "kept", config, worth=Worth(trying=0, compiling=0))
    assert chosen.compile is False
    assert set(told["seconds_per_step"]) == {"float32"}


@pytest.mark.slow
@pytest.mark.skipif(not compiling.can_compile("cpu"), reason="needs a C++ compiler")
def test_a_compiled_fit_learns_the_same_but_for_rounding(tmp_path: Path) -> None:
    plain = fit(tmp_path / "plain")
    built = fit(tmp_path / "built", compile=True)
    again = fit(tmp_path / "again", compile=True)
    assert np.array_equal(pixels(built), pixels(again))
    assert np.abs(pixels(built).astype(int) - pixels(plain)).max() <= 2
    config = FlowConfig(**SMALL, compile="measured")
    chosen, told = choose(tmp_path / "kept", config, worth=Worth(trying=0, compiling=0))
    times = told["seconds_per_step"]
    assert set(times) == {"float32", "float32, compiled"}
    assert chosen.compile is (times["float32, compiled"] <= 0.9 * times["float32"])
