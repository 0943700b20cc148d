"""Errors of the model on real images: their arithmetic, and whose they may be."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthlift.errors import LeakageError
from synthlift.spec.targets import Cell
from synthlift.store import StageContext, StageRequest, Store, Summary
from synthlift.store.images import INVENTORY, SPLIT
from synthlift.study.open_test import PREDICTIONS
from synthlift.study.stages.errors import (
    ERRORS,
    PRIOR_IMAGES,
    Errors,
    hard_rows,
    hard_sources,
    measure,
    read_errors,
    shrunk_errors,
)

CELLS = [Cell(0), Cell(1), Cell(2)]
PARTS = {"a": "train", "b": "train", "c": "train", "v": "validation", "t": "test"}


def test_rates_are_the_mean_of_the_beta_posterior() -> None:
    images, errors = {Cell(0): 90, Cell(1): 3}, {Cell(0): 9.0, Cell(1): 3.0}
    found = shrunk_errors(CELLS, images, errors)
    rate = 12.5 / 94
    for cell in CELLS:
        a = PRIOR_IMAGES * rate + errors.get(cell, 0)
        b = PRIOR_IMAGES * (1 - rate) + images.get(cell, 0) - errors.get(cell, 0)
        assert found[cell] == pytest.approx(a / (a + b))
    # Three wrong of three are not taken for 100 %, and what nobody measured errs as all do.
    assert 0.1 < found[Cell(0)] < found[Cell(1)] < 0.4
    assert found[Cell(2)] == pytest.approx(rate)


@given(
    st.dictionaries(st.sampled_from(CELLS), st.tuples(st.integers(0, 200), st.floats(0, 1))),
)
def test_rates_lie_between_the_cells_own_and_that_of_all(
    measured: dict[Cell, tuple[int, float]],
) -> None:
    images = {cell: n for cell, (n, _) in measured.items()}
    errors = {cell: n * share for cell, (n, share) in measured.items()}
    found = shrunk_errors(CELLS, images, errors)
    rate = (sum(errors.values()) + 0.5) / (sum(images.values()) + 1)
    for cell, value in found.items():
        own = errors[cell] / images[cell] if images.get(cell) else rate
        assert 0 < value < 1
        assert min(own, rate) - 1e-12 <= value <= max(own, rate) + 1e-12


def test_without_any_error_all_cells_get_alike() -> None:
    found = shrunk_errors(CELLS, dict.fromkeys(CELLS, 20), {})
    assert len(set(found.values())) == 1
    assert found[Cell(0)] > 0


def test_the_top_fifth_is_rounded_up_and_ties_go_by_name() -> None:
    loss = np.array([1.0, 3.0, 3.0, 0.5, 3.0, 2.0])
    ids = np.array(["a", "f", "c", "b", "e", "d"])
    errors = Errors(ids, np.zeros(6, np.int64), np.zeros(6), loss)
    assert ids[hard_rows(errors)].tolist() == ["c", "e"]


# ── the stage, on a store with a data set of five images ──────────────────────────────────────


Make = Callable[..., str]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def make(store: Store) -> Make:
    """Commits an artefact with the given files."""

    def commit(stage: str, write: Callable[[Path], None]) -> str:
        request = StageRequest(stage=stage, function=f"tests:{stage}", config={"at": len(made)})
        made.append(stage)
        folder = store.folder(request.key)
        folder.mkdir(parents=True)
        write(folder)
        files = {path.name: "" for path in folder.iterdir()}
        record = {"files": files, "summary": {}, "config": {}, "inputs": {}}
        (folder / "record.json").write_text(json.dumps(record))
        return request.key

    made: list[str] = []
    return commit


@pytest.fixture
def data(make: Make) -> dict[str, str]:
    ids = list(PARTS)
    columns = {
        "id": ids,
        "label": ["x", "x", "y", "x", "y"],
        "group": ids,
        "sha256": ids,
        "part": [""] * 5,
        "status": ["ok"] * 5,
        "attributes": ["{}"] * 5,
    }
    split = {"draw": [0] * 5, "id": ids, "part": list(PARTS.values())}
    return {
        "inventory": make("read", lambda f: pq.write_table(pa.table(columns), f / INVENTORY)),
        "pixels": make("resize", lambda _: None),
        "split": make("split", lambda f: pq.write_table(pa.table(split), f / SPLIT)),
    }


def predictions(ids: Sequence[str], labels: Sequence[int], odds: object) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        np.savez(
            folder / PREDICTIONS,
            ids=np.array(ids),
            labels=np.array(labels),
            probabilities=np.array(odds, np.float32),
        )

    return write


def ask(
    store: Store, data: dict[str, str], models: list[str], learnt: object, part: str, out: Path
) -> Summary:
    out.mkdir()
    request = StageRequest(
        stage="errors",
        function="synthlift.study.stages.errors:measure",
        config={"draw": 0, "part": part, "learnt": learnt},
        inputs={**data, "models": models},
    )
    context = StageContext(store, out, out, lambda *_: None, lambda *_a, **_k: None)
    return measure(request, context)


def test_models_are_averaged_and_unlearnt_classes_left_out(
    store: Store, make: Make, data: dict[str, str], tmp_path: Path
) -> None:
    first = make("model", predictions(["b", "a"], [0, 0], [[0.25, 0.75], [0.5, 0.5]]))
    second = make("model", predictions(["a", "c"], [0, 1], [[0.2, 0.8], [1.0, 0.0]]))
    out = tmp_path / "out"
    ask(store, data, [first, second], [[1, 1], [2, 0]], "train", out)
    with np.load(out / ERRORS) as found:
        assert found["ids"].tolist() == ["a", "b"]
        assert found["error"].tolist() == [0.5, 1.0]
        expected = [-(np.log(0.5) + np.log(np.float32(0.2))) / 2, -np.log(0.25)]
        assert found["loss"] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("part", "stranger"), [("train", "v"), ("train", "t"), ("validation", "t")]
)
def test_no_other_image_decides(
    store: Store, make: Make, data: dict[str, str], tmp_path: Path, part: str, stranger: str
) -> None:
    own = {"train": "a", "validation": "v"}[part]
    model = make("model", predictions([own, stranger], [0, 0], [[0.5, 0.5]] * 2))
    with pytest.raises(LeakageError, match=part):
        ask(store, data, [model], [[1, 1]], part, tmp_path / "out")


def errors_of(make: Make, store: Store, ids: list[str]) -> str:
    def write(folder: Path) -> None:
        n = len(ids)
        np.savez(
            folder / ERRORS,
            ids=np.array(ids),
            labels=np.zeros(n, np.int64),
            error=np.ones(n),
            loss=np.arange(n, 0, -1.0),
        )

    key = make("errors", write)
    assert len(read_errors(store.open(key)).ids) == len(ids)
    return key


@pytest.mark.parametrize("stranger", ["v", "t"])
def test_a_held_out_image_is_never_a_source(
    store: Store, make: Make, data: dict[str, str], stranger: str
) -> None:
    asked = {"cell": Cell(0), "data": data, "draw": 0}
    key = errors_of(make, store, ["b", "a", "c"])
    assert hard_sources(store, key, **asked) == ("b",)  # type: ignore[arg-type]
    key = errors_of(make, store, [stranger, "a", "c"])
    with pytest.raises(LeakageError):
        hard_sources(store, key, **asked)  # type: ignore[arg-type]
