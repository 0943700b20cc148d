"""What does not fit into memory is read as it is needed, and no bit of a study depends on that."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.tiny import EXAMPLE, SMALL_FLOW, draw_folder, run, study_of

PLUGIN = Path(__file__).parent / "plugins" / "no_memory.py"
MEASURED = {"speed"}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_folder(tmp_path_factory.mktemp("drawn"))


def contents(store: Path) -> dict[str, Any]:
    """Files and summary of every artefact."""
    found = {}
    for folder in (store / "artefacts").iterdir():
        record = json.loads((folder / "record.json").read_text())
        if record["stage"] not in MEASURED:
            found[folder.name] = record["files"], record["summary"]
    return found


def test_a_study_without_memory_gives_the_same_bits(source: Path, tmp_path: Path) -> None:
    changes: dict[str, Any] = {"generators": [SMALL_FLOW], "replicates": 1, "generator_fits": 1}
    kept, read = tmp_path / "kept", tmp_path / "read"
    run(study_of(source, **changes), home=kept)
    run(study_of(source, **changes, plugins=[str(EXAMPLE), str(PLUGIN)]), home=read)
    expected, found = contents(kept / "store"), contents(read / "store")
    assert {"fit", "judge", "copying", "pictures", "model", "predict"} <= {
        key.split("-")[0] for key in found
    }
    assert json.dumps(found, sort_keys=True) == json.dumps(expected, sort_keys=True)
    assert list((read / "store" / "scratch").iterdir()) == []
