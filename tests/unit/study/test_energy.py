"""A GPU's joules are counted once, whoever shares it, and what is not counted is not told."""

from __future__ import annotations

import math

import pytest

from benchmarks.power import Energy
from synthlift.store.metering import Piece
from synthlift.study.energy import (
    ESTIMATED,
    MEASURED,
    NOT_KNOWN,
    WATTS_PER_CORE,
    Taken,
    kwh_by_key,
    method,
    shared_joules,
    sum_known,
)
from synthlift.study.forecast import _energy
from synthlift.study.gpu_energy import bus_id, energy_counter, most_watts

ONE, OTHER = "GPU-1", "GPU-2"


def test_work_alone_gets_what_the_gpu_counted_meanwhile() -> None:
    pieces = [Piece(ONE, 0, 10, 5_000, 8_000), Piece(ONE, 10, 20, 8_000, 8_500)]
    assert shared_joules(pieces) == [3.0, 0.5]
    assert shared_joules([]) == []


def test_what_runs_at_a_time_shares_and_nothing_is_counted_twice() -> None:
    # Of 0 to 40 J the first has 10 alone; then two, and for 10 J three; the last 10 are one's own.
    pieces = [
        Piece(ONE, 0, 3, 0, 30_000),
        Piece(ONE, 1, 4, 10_000, 40_000),
        Piece(ONE, 2, 2.5, 15_000, 25_000),
    ]
    found = shared_joules(pieces)
    assert found == pytest.approx([10 + 2.5 + 10 / 3 + 2.5, 2.5 + 10 / 3 + 2.5 + 10, 10 / 3])
    assert sum(found) == pytest.approx(40)
    assert shared_joules(pieces[::-1]) == pytest.approx(found[::-1])


def test_gpus_share_nothing_nor_do_times_before_and_after_a_counter_began_anew() -> None:
    apart = [Piece(ONE, 0, 9, 0, 7_000), Piece(OTHER, 0, 9, 0, 7_000), Piece(ONE, 10, 19, 0, 7_000)]
    assert shared_joules(apart) == [7.0, 7.0, 7.0]


def test_the_same_work_twice_at_a_time_costs_each_half() -> None:
    assert shared_joules([Piece(ONE, 0, 5, 100, 2_100)] * 4) == pytest.approx([0.5] * 4)
    assert shared_joules([Piece(ONE, 0, 5, 100, 100)] * 2) == [0.0, 0.0]


def taken(key: str, gpu_energy: object = (), *, on_gpu: bool = True, **cost: object) -> Taken:
    told = {} if gpu_energy == () else {"gpu_energy": gpu_energy}
    return Taken(key, "fit", {"cpu_seconds": 360.0, **told, **cost}, on_gpu, 0)


def test_energy_by_artefact_is_that_of_gpus_and_of_busy_cores() -> None:
    members = [
        taken("a", [[ONE, 0, 5, 0, 3_600_000], [ONE, 6, 9, 0, 3_600_000]]),
        taken("b", [[ONE, 0, 5, 0, 3_600_000]]),
        taken("c", []),  # on a processor, though the study has a GPU
        taken("d", None),  # no counter
        taken("old"),
        taken("old-cpu", on_gpu=False),
    ]
    core = 360 * WATTS_PER_CORE / 3.6e6
    found = kwh_by_key(members)
    assert found == {
        "a": pytest.approx(0.0015 + core),
        "b": pytest.approx(0.0005 + core),
        "c": pytest.approx(core),
        "d": None,
        "old": None,
        "old-cpu": pytest.approx(core),
    }
    assert sum_known([found["a"], found["b"]]) == pytest.approx(0.002 + 2 * core)
    assert sum_known([found["a"], found["d"]]) is None
    assert method(members[:3], known=True) == MEASURED
    assert method(members[2:3], known=True) == ESTIMATED
    assert method(members, known=False) == NOT_KNOWN


def test_where_no_gpu_counts_none_is_made_up() -> None:
    assert energy_counter("cpu") is energy_counter("mps") is None
    assert bus_id(0, 0x3B, 0) == "00000000:3B:00.0"
    if energy_counter("cuda:0") is not None:
        pytest.skip("there is a GPU here; see tests/gpu")
    assert most_watts("cuda:0") is None
    planned = _energy(3600, workers=2, device="cuda:0")
    assert planned["energy_kwh"] is None
    assert "not known" in planned["energy_method"]
    with Energy("cuda:0") as spent:
        pass
    assert math.isnan(spent.kwh)
    assert spent.method == "not known"


def test_a_plan_counts_a_busy_core_for_each_worker() -> None:
    planned = _energy(3600, workers=2, device="cpu")
    assert planned["energy_kwh"] == pytest.approx(2 * WATTS_PER_CORE / 1000)
    assert "processor alone" in planned["energy_method"]
