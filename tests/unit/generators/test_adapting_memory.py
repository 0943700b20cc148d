"""Memory that runs out while a pipeline is adapted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from synthlift.errors import is_out_of_memory
from synthlift.generators.adapting import adapt, bench
from synthlift.generators.adapting.bench import Bench, open_bench
from synthlift.generators.adapting.memory import NOTED
from tests.unit.generators.adapting import fit, learnt_files, settings


class Small:
    """A device on which a network's call of more than so many examples does not fit.

    With ``learning`` that holds of calls with gradients; the others are counted.
    """

    def __init__(self, holds: int, *, again: bool = False, learning: bool = False) -> None:
        self.holds, self.again, self.learning = holds, again, learning
        self.asked: list[int] = []
        self.opened: list[int] = []
        self.drew = 0

    def open(self, config: Any, **told: Any) -> Bench:
        """A bench whose network raises torch's own error where it is given too many."""
        self.opened.append(config.micro_batch)
        found = open_bench(config, **told)
        computes_again = config.adapt.gradient_checkpointing is True

        def look(_module: torch.nn.Module, given: tuple[Any, ...], named: dict[str, Any]) -> None:
            if self.learning and not torch.is_grad_enabled():
                self.drew += 1
                return
            first = given[0] if given else named["sample"]
            self.asked.append(len(first))
            if len(first) > self.holds or self.again > computes_again:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

        found.pipeline.unet.register_forward_pre_hook(look, with_kwargs=True)
        return found


def adapted(model: Path, small: Small | None, folder: Path, **further: Any) -> Any:
    config = settings(model, adapt={"kind": "lora", "learning_rate": 0.01, **further})
    with pytest.MonkeyPatch.context() as patch:
        if small is not None:
            patch.setattr(adapt, "open_bench", small.open)
        return fit(config, folder)


def test_an_adaptation_goes_on_with_fewer_at_once_and_says_so(
    tiny_pipeline: Path, tmp_path: Path
) -> None:
    small = Small(2)
    found = adapted(tiny_pipeline, small, tmp_path / "small", readings=0)
    assert max(small.asked) == 4
    told = (
        "Memory was short while the pipeline was adapted: gradients were computed for at most 2 "
        "at a time in place of 4."
    )
    assert found.facts()["warnings"][-1] == told
    plenty = adapted(tiny_pipeline, None, tmp_path / "plenty", readings=0)
    assert told not in plenty.facts()["warnings"]
    # Sums of the same numbers in another order.
    (name,) = learnt_files(found, tmp_path / "one")
    mine, theirs = (
        load_file(learnt_files(one, tmp_path / place)[name])
        for one, place in ((found, "two"), (plenty, "three"))
    )
    assert max(float(value.abs().max()) for at, value in mine.items() if "lora_B" in at) > 0.003
    for at, value in mine.items():
        torch.testing.assert_close(value, theirs[at], rtol=1e-3, atol=1e-3)


def test_where_one_at_a_time_is_too_much_layers_are_computed_again(
    tiny_pipeline: Path, tmp_path: Path
) -> None:
    small = Small(1, again=True)
    found = adapted(tiny_pipeline, small, tmp_path)
    assert found.facts()["warnings"][-1].endswith(
        "1 at a time in place of 4, and layers were computed again rather than kept."
    )
    (noted,) = tmp_path.rglob(NOTED)
    assert json.loads(noted.read_text()) == [1, True]
    # A second attempt begins where the first one ended.
    again = Small(1, again=True)
    assert adapted(tiny_pipeline, again, tmp_path).facts()["warnings"]
    assert set(again.asked) == {1}


def test_memory_that_never_suffices_ends_the_fit(tiny_pipeline: Path, tmp_path: Path) -> None:
    with pytest.raises(torch.OutOfMemoryError) as caught:
        adapted(tiny_pipeline, Small(0), tmp_path)
    assert is_out_of_memory(caught.value)


@pytest.mark.parametrize(("batch", "sizes"), [(1, [4, 1, 1]), (2, [4, 1, 1]), (4, [4, 2, 1, 1])])
def test_no_attempt_is_made_that_would_ask_for_as_much_again(
    tiny_pipeline: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch: int, sizes: Any
) -> None:
    small, large = Small(0), Small(0)
    with pytest.raises(torch.OutOfMemoryError):
        adapted(tiny_pipeline, small, tmp_path / "a", readings=0, batch_size=batch)
    assert small.opened == sizes, "the last one computes layers again"
    monkeypatch.setattr(bench, "LARGE", 0)
    with pytest.raises(torch.OutOfMemoryError):
        adapted(tiny_pipeline, large, tmp_path / "b", readings=0, batch_size=batch)
    assert large.opened == sizes[:-1], "a large network does so from the beginning"


def test_what_is_said_was_lowered_was(tiny_pipeline: Path, tmp_path: Path) -> None:
    def said(**further: Any) -> str:
        name = "-".join(map(str, further.values()))
        found = adapted(tiny_pipeline, Small(1), tmp_path / name, **further)
        return str(found.facts()["warnings"][-1])

    assert said(batch_size=2, readings=0).endswith(
        "gradients were computed for at most 1 at a time in place of 2."
    )
    assert said(batch_size=1, readings=1).endswith(
        "images were encoded and drawn at most 1 at a time in place of 4."
    )


def test_the_prior_is_drawn_once_however_often_memory_runs_out(
    tiny_pipeline: Path, tmp_path: Path
) -> None:
    small = Small(0, learning=True)
    prior = {"images": 6, "prompts": ["a bird"]}
    with pytest.raises(torch.OutOfMemoryError):
        adapted(tiny_pipeline, small, tmp_path, readings=0, prior=prior)
    assert small.opened == [4, 2, 1, 1]
    assert small.drew == 2, "once four, once two"
    assert len([*tmp_path.glob("prior/*.npy")]) == 6
