"""``gc`` beside a run, an interrupted extension, and two folders of one study."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from synthlift import api
from synthlift.api.keeping import delete
from synthlift.errors import Interrupted
from synthlift.spec.study import Study
from synthlift.store import Store
from synthlift.study.driver import Options, conduct, forecast
from synthlift.study.executors.local import Listener
from tests.e2e.tiny import comparable, draw_folder, home_of, read_results, run, study_of


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """Two arms, trained on all but one of two folds."""
    source = draw_folder(tmp_path_factory.mktemp("drawn"), per_class=24)
    return study_of(
        source,
        data={
            "source": str(source),
            "split": {"design": "cross_validated", "folds": 2, "repeats": 1, "validation": 0.4},
        },
        curation=[],
        arms=["real", {"kind": "mixed", "multiples": [0.5], "recipes": ["plain"]}],
    )


@pytest.fixture(scope="module")
def home(study: Study, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run, while which ``gc`` was called after every result."""
    home = tmp_path_factory.mktemp("gc")
    freed: list[int] = []

    def collect(name: str, _fields: dict[str, Any]) -> None:
        if name == "stage_done":
            freed.append(api.gc(home / "store").results)

    with home_of(home) as store:
        options = Options(out=home / "run", store=store, workers=1)
        conduct(study, base=home, options=options, listener=Listener(on_event=collect))
    assert len(freed) > 10
    assert not any(freed), "nothing of a run that goes on is unused"
    return home


def test_gc_spares_a_run_that_goes_on_and_what_it_was_made_from(home: Path) -> None:
    assert api.gc(home / "store", dry_run=True).results == 0
    (root,) = Store(home / "store").roots().values()
    assert (root["state"], root["folder"]) == ("done", str(home / "run"))


def test_a_plan_says_no_less_than_what_the_store_then_holds(study: Study, home: Path) -> None:
    held = sum(path.stat().st_size for path in (home / "store" / "artefacts").rglob("*.*"))
    with home_of(home) as store:
        options = Options(store=store, workers=1)
        planned = forecast(study, base=home, options=options, listener=Listener())
    assert held < planned["disk_bytes"] < 6 * held
    assert held / 3 < planned["disk_bytes_about"] < planned["disk_bytes"]


def test_plans_leave_the_choice_by_speed_to_the_run(study: Study, home: Path) -> None:
    timed = study.model_copy(update={"budget": "10m", "replicates": 40, "seed": 1})
    said = []
    with home_of(home) as store:
        for workers in (1, 16):
            options = Options(store=store, workers=workers)
            found = forecast(timed, base=home, options=options, listener=Listener())
            said.append(found["decisions"]["budget"]["reason"])
        assert not list(store.glob("decisions/*/budget.json"))
    assert "on 1 workers" in said[0]
    assert "on 16 workers" in said[1]
    assert api.gc(home / "store").results > 0, "what plans measured serves no run"


def test_an_interrupted_extension_protects_no_less_than_before(study: Study, home: Path) -> None:
    api.gc(home / "store")  # what plans measured
    begun: list[str] = []

    def note(name: str, fields: dict[str, Any]) -> None:
        if name == "decision" and fields["name"].startswith("added_round"):
            begun.append(fields["name"])

    listener = Listener(on_event=note, should_stop=lambda: bool(begun))
    options = Options(out=home / "run", store=home / "store", workers=1, more=60.0)
    with home_of(home), pytest.raises(Interrupted):
        conduct(study, base=home, options=options, listener=listener)
    assert begun == ["added_round_2"]
    assert api.gc(home / "store", dry_run=True).results == 0


def test_two_folders_of_one_study_each_protect_it(study: Study, home: Path) -> None:
    # As a version left it that gave both folders one name.
    store = Store(home / "store")
    ((name, root),) = store.roots().items()
    study_alone = name.rpartition("-")[0]
    store.register_root(study_alone, root["keys"], **{k: root[k] for k in ("folder", "key")})
    store.drop_root(name)
    first = run(study, home=home)
    assert set(store.roots()) == {name}, "the earlier root is part of the new one"
    second = run(study, home=home, out="again")
    assert not second.computed()
    assert len(store.roots()) == 2
    assert len(api.runs(home / "store")) == 2
    assert comparable(second.results, second.folder) == comparable(first.results, first.folder)
    delete(first.folder)
    assert api.gc(home / "store").results == 0
    assert not run(study, home=home, out="again").computed()
    assert read_results(second.folder)["study"]["name"] == "tiny"
    delete(second.folder)
    assert not list((home / "store" / "artefacts").iterdir())
    assert store.roots() == {}
