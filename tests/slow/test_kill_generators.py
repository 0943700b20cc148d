"""Every generator, killed in mid-training and in mid-sampling, gives the pixels of a calm run.

The calm run has one worker and the killed one two, so that the same comparison shows that workers
change no bit of any generator's images.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from synthlift.generators.learning.checkpoints import FILE
from synthlift.registry import available
from tests.e2e.every_generator import KINDS, PROMPTED, TRAINED, study_with
from tests.e2e.tiny import committed, comparable, finish, kill, read_results, start, wait_until

Moment = Callable[[Path], bool]


def in_training(home: Path) -> bool:
    return any((home / "store" / "work").glob(f"fit-*/**/{FILE}"))


def in_fitting(home: Path) -> bool:
    """Nothing is trained: as early as the fit can be seen."""
    return any((home / "store" / "work").glob("fit-*")) or "fit" in stages(home)


def in_sampling(home: Path) -> bool:
    """Some chunks are committed, and more are to come."""
    return "sample" in stages(home)


def stages(home: Path) -> set[str]:
    return {key.partition("-")[0] for key in committed(home)}


def pixels(home: Path) -> dict[str, str]:
    """SHA-256 of the pixels of every committed chunk."""
    found = {}
    for key in committed(home):
        if key.startswith("sample-"):
            record = home / "store" / "artefacts" / key / "record.json"
            found[key] = json.loads(record.read_text())["files"]["pixels.npy"]
    return found


def test_every_registered_generator_is_killed() -> None:
    # Plug-ins that other tests have loaded may be registered, too.
    ours = {
        kind
        for kind, found in available("generators").items()
        if found.target.startswith("synthlift.")
    }
    assert ours == set(KINDS)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("kind", KINDS)
def test_killed_in_training_and_in_sampling(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    model = request.getfixturevalue("tiny_pipeline") if kind in PROMPTED else None
    study = study_with(kind, tmp_path / "data", pipeline=model)
    calm = finish(start(study, home=tmp_path / "calm", workers=1), home=tmp_path / "calm")
    home, expected = tmp_path / "killed", pixels(tmp_path / "calm")
    assert len(expected) > 3, "too few chunks to be killed between them"
    moments: tuple[Moment, ...] = (in_training if kind in TRAINED else in_fitting, in_sampling)
    for moment in moments:
        process = start(study, home=home)
        wait_until(lambda moment=moment: moment(home), process=process)  # type: ignore[misc]
        kill(process, group=True)
        if moment is in_training:
            assert "fit" not in stages(home), "the fit had ended before the kill"
    before = pixels(home)
    assert 0 < len(before) < len(expected), "all chunks were there before the kill"
    folder = finish(start(study, home=home), home=home)
    assert pixels(home) == expected
    assert {key: expected[key] for key in before} == before
    assert committed(home) == committed(tmp_path / "calm")
    assert comparable(read_results(folder), folder) == comparable(read_results(calm), calm)
    assert not list((home / "store" / "work").iterdir()), "left-over work"
