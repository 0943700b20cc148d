"""What a stage took: attempts that failed or were killed count, and what is not known is said."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from synthlift.store import Store
from synthlift.store.metering import EnergyCounter, Meter
from tests.unit.store.stages import request

ROOT = Path(__file__).resolve().parents[3]
COMPUTE = """
import pathlib, sys
from synthlift.store import Store
from synthlift.store.metering import EnergyCounter, Meter
from tests.unit.store.stages import request
told = sys.argv[2] == "told"
wanted = request("burning", seconds=2.0, told=told)
wanted.local["pause"] = "yes"
Store(pathlib.Path(sys.argv[1])).compute(wanted)
"""


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def cost_of(store: Store, **config: Any) -> dict[str, Any]:
    wanted = request("burning", **config)
    store.compute(wanted)
    return dict(store.open(wanted.key).record["cost"])


def killed(store: Store, *, told: bool) -> None:
    """Burn 1.6 of 2 seconds in a process of its own, then ``kill -9`` it."""
    wanted = request("burning", seconds=2.0, told=told)
    tenths = store.root / "work" / wanted.key / "tenths.txt"
    command = [sys.executable, "-c", COMPUTE, str(store.root), "told" if told else "silent"]
    process = subprocess.Popen(command, cwd=ROOT)
    until = time.monotonic() + 60
    while not (tenths.is_file() and tenths.read_text() == "8"):
        assert time.monotonic() < until
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait(timeout=30)
    assert not store.has(wanted.key)


def test_a_stage_that_nobody_disturbed_costs_what_it_took(store: Store) -> None:
    cost = cost_of(store, seconds=0.3, told=True)
    assert cost["cpu_seconds"] >= 0.3
    assert cost["seconds"] >= 0.3
    assert cost["earlier_seconds"] == 0
    assert cost["at_least"] is False


def test_what_a_killed_attempt_noted_is_counted_and_the_rest_is_said(store: Store) -> None:
    killed(store, told=True)
    cost = cost_of(store, seconds=2.0, told=True)
    # 0.4 seconds were left to do; of the 1.6 before, all but the last half second were noted.
    assert cost["cpu_seconds"] >= 0.4 + 1.6 - 0.6
    assert cost["earlier_seconds"] >= 1.6 - 0.6
    assert cost["at_least"] is True


def test_a_killed_attempt_that_noted_nothing_is_not_taken_for_none(store: Store) -> None:
    killed(store, told=False)
    cost = cost_of(store, seconds=2.0, told=False)
    assert cost["earlier_seconds"] == 0
    assert cost["at_least"] is True


def test_a_failed_attempt_is_counted_whole(store: Store) -> None:
    wanted = request("burning", seconds=0.6, told=False, fails=True)
    with pytest.raises(RuntimeError, match="on purpose"):
        store.compute(wanted)
    noted = json.loads((store.root / "work" / wanted.key / "spent.json").read_text())
    assert noted["cpu_seconds"] >= 0.3
    store.compute(wanted)
    cost = store.open(wanted.key).record["cost"]
    assert cost["cpu_seconds"] >= 0.6
    assert cost["earlier_seconds"] == pytest.approx(noted["seconds"])
    assert cost["at_least"] is False


def test_attempts_add_up_over_several_kills(store: Store) -> None:
    work = store.root / "work" / request("burning", seconds=0.1, told=True).key
    work.mkdir(parents=True)
    noted = {"seconds": 50.0, "cpu_seconds": 40.0, "peak_memory_mib": 1e6, "at_least": True}
    (work / "spent.json").write_text(json.dumps({**noted, "ended": True}))
    cost = cost_of(store, seconds=0.1, told=True)
    assert cost["cpu_seconds"] >= 40.1
    assert cost["peak_memory_mib"] == 1e6
    assert cost["at_least"] is True, "an earlier kill is not forgotten by an orderly end"


@pytest.mark.parametrize("content", ["", '{"seconds": ', "\0"])
def test_a_damaged_note_is_no_note(store: Store, content: str) -> None:
    work = store.root / "work" / request("burning", seconds=0.1, told=True).key
    work.mkdir(parents=True)
    (work / "spent.json").write_text(content)
    cost = cost_of(store, seconds=0.1, told=True)
    assert cost["earlier_seconds"] == 0
    assert cost["at_least"] is True


def counter(*counts: int | None) -> EnergyCounter:
    """A GPU that counts so, reading by reading."""
    told = iter(counts)
    return EnergyCounter("GPU-1", lambda: next(told))


def test_what_a_gpu_counted_is_noted_attempt_by_attempt(tmp_path: Path) -> None:
    first = Meter(tmp_path, on_gpu=True, counter=counter(1_000, 1_500, 2_000))
    first.note()
    first.note(ended=True)
    cost = Meter(tmp_path, on_gpu=True, counter=counter(9_000, 9_700)).read()
    assert [(gpu, last - first) for gpu, _, _, first, last in cost["gpu_energy"]] == [
        ("GPU-1", 1_000),
        ("GPU-1", 700),
    ]
    assert all(began <= ended for _, began, ended, *_ in cost["gpu_energy"])
    json.dumps(cost)


@pytest.mark.parametrize("counts", [None, (None, 5), (5, None), (5, 4)])
def test_a_gpu_without_a_count_leaves_energy_unknown_for_all_attempts(
    tmp_path: Path, counts: tuple[int | None, ...] | None
) -> None:
    used = None if counts is None else counter(*counts)
    first = Meter(tmp_path / "work", on_gpu=True, counter=used)
    (tmp_path / "work").mkdir()
    first.note(ended=True)
    after = Meter(tmp_path / "work", on_gpu=True, counter=counter(5, 6)).read()
    assert after["gpu_energy"] is None


def test_work_on_the_processor_takes_nothing_of_a_gpu(store: Store) -> None:
    assert cost_of(store, seconds=0.1, told=True)["gpu_energy"] == []
    wanted = request("burning", seconds=0.1, told=False)
    store.compute(replace(wanted, device="cuda:0"), counter=counter(1, 2))
    assert store.open(wanted.key).record["cost"]["gpu_energy"][0][3:] == [1, 2]
