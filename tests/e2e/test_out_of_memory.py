"""Memory that runs out: while sampling the chunk is halved, while training there is a remedy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from synthlift import api
from synthlift.api.images import Pixels
from synthlift.api.kept_generators import COMPONENT
from synthlift.api.training_sets import arm_images
from synthlift.errors import DeviceMemoryError, InputError, is_out_of_memory
from synthlift.spec.study import Study
from tests.e2e.tiny import Ran, draw_folder, home_of, read_log, run, study_of

PLUGIN = Path(__file__).parent / "plugins" / "greedy.py"
MIXED = {"kind": "mixed", "multiples": [6], "recipes": ["best_rival"]}


def greedy(source: Path, **settings: Any) -> Study:
    return study_of(
        source,
        generators=[{"kind": "greedy", **settings}],
        arms=["real", MIXED],
        curation=[],
        replicates=1,
        generator_fits=1,
        plugins=[str(PLUGIN)],
    )


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_folder(tmp_path_factory.mktemp("drawn"))


@pytest.fixture(scope="module")
def ran(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    return run(greedy(source), home=tmp_path_factory.mktemp("home"))


def together(home: Path) -> dict[tuple[str, int, int], set[int]]:
    """How many images were computed together, by stream, class and number of the chunk."""
    found = {}
    for folder in (home / "store" / "artefacts").glob("sample-*"):
        config = json.loads((folder / "record.json").read_text())["config"]
        pixels = np.load(folder / "pixels.npy")
        place = (config["stream"], config["label"], config["chunk"])
        assert place not in found, "a chunk was sampled twice"
        found[place] = set(pixels[:, 0, 0, 0].tolist())
    return found


def test_chunks_that_were_not_committed_are_halved_until_they_fit(ran: Ran) -> None:
    found = together(ran.folder.parent)
    assert {place[2] for place in found} >= {0, 1, 2}
    assert all(found["train", label, 0] == {16} for label in range(3))
    assert all(values == {4} for place, values in found.items() if place[2])


def test_the_halving_is_a_decision_that_log_and_results_tell(ran: Ran) -> None:
    told = {one["name"]: one for one in ran.results["decisions"]}
    names = sorted(name for name in told if name.startswith("sampling_memory/greedy-"))
    assert [name.rpartition("/")[2] for name in names] == ["1", "2"]
    assert [told[name]["value"]["micro_batch"] for name in names] == [8, 4]
    before = told[names[0]]["value"]["before"]
    assert before == {f"train/{label}": [[0, 0]] for label in range(3)}
    assert "too small to sample 16 images together" in told[names[0]]["reason"]
    logged = [fields["name"] for event, fields in read_log(ran.folder) if event == "decision"]
    assert set(names) <= set(logged)


def test_the_resolved_study_gives_the_same_pixels_elsewhere(
    ran: Ran, source: Path, tmp_path: Path
) -> None:
    """Also where memory would have sufficed: the decision is followed, not the machine."""
    resolved = yaml.safe_load((ran.folder / "study.yaml").read_text())
    again = run(greedy(source), home=tmp_path, preset=resolved["run"]["decisions"])
    assert together(tmp_path) == together(ran.folder.parent)
    assert again.results["arms"][1]["metrics"] == ran.results["arms"][1]["metrics"]


def test_a_second_run_finds_everything(ran: Ran, source: Path) -> None:
    assert not run(greedy(source), home=ran.folder.parent, out="again").computed()


def test_generate_goes_on_with_fewer_at_once_and_says_from_where(ran: Ran, tmp_path: Path) -> None:
    with home_of(ran.folder.parent):
        made = api.generate(ran.folder, per_class=70, out=tmp_path / "out", classes=["disc"])
    assert made.counts == {"disc": 70}
    facts = json.loads((made.path / "generators" / "greedy" / COMPONENT).read_text())
    assert facts["sampling_memory"] == [
        {"micro_batch": 8, "label": 1, "index": 64},
        {"micro_batch": 4, "label": 1, "index": 64},
    ]


def test_images_that_are_sampled_again_are_computed_as_those_that_were_trained_on(
    ran: Ran, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = api.load(ran.folder)
    images = arm_images(opened, opened.arm("mixed@6+rival"))
    made = [image for image in images if image.origin == "synthetic"]
    kept = [Pixels(opened).synthetic(image) for image in made]
    assert {int(one[0, 0, 0]) for one in kept} == {4, 16}
    without = Pixels(opened)
    monkeypatch.setitem(without.__dict__, "store", None)
    without.sample_again(images)
    for image, before in zip(made, kept, strict=True):
        assert np.array_equal(without.synthetic(image), before), image.id


WAYS = ("decoded in tiles", "with parts elsewhere")


def test_where_one_image_does_not_fit_memory_is_saved_in_further_ways(
    source: Path, tmp_path: Path
) -> None:
    study = greedy(source, holds=0, ways=WAYS, saves_with=2)
    ran = run(study, home=tmp_path)
    told = {one["name"]: one for one in ran.results["decisions"]}
    taken = [told[name] for name in sorted(told) if name.startswith("sampling_memory/")]
    values = [(one["value"]["micro_batch"], one["value"].get("savings", 0)) for one in taken]
    assert values == [(8, 0), (4, 0), (2, 0), (1, 0), (1, 1), (1, 2)]
    assert taken[-1]["reason"].endswith("1 at a time, decoded in tiles, with parts elsewhere")
    page = (ran.folder / "report.html").read_text()
    assert "1 at a time, decoded in tiles, with parts elsewhere" in page
    found = together(tmp_path)
    assert all(found["train", label, 0] == {16} for label in range(3))
    assert all(values == {201} for place, values in found.items() if place[2])
    with home_of(tmp_path):
        made = api.generate(ran.folder, per_class=66, out=tmp_path / "out", classes=["disc"])
    facts = json.loads((made.path / "generators" / "greedy" / COMPONENT).read_text())
    said = [(one["micro_batch"], one.get("savings", 0)) for one in facts["sampling_memory"]]
    assert said == values


def test_one_image_that_never_fits_is_refused_when_all_ways_are_tried(
    source: Path, tmp_path: Path
) -> None:
    with pytest.raises(DeviceMemoryError, match="too small to sample 1 image") as caught:
        run(greedy(source, holds=0, ways=WAYS, saves_with=3), home=tmp_path)
    assert "dtype: bfloat16" in caught.value.remedy


def test_one_image_that_does_not_fit_is_refused(source: Path, tmp_path: Path) -> None:
    with pytest.raises(DeviceMemoryError, match="too small to sample 1 image") as caught:
        run(greedy(source, holds=0), home=tmp_path)
    assert "data.image_size" in caught.value.remedy
    assert not (tmp_path / "run" / "results.json").exists()


def test_a_fit_that_does_not_fit_names_what_to_lower(source: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="too small to train generator 'greedy'") as caught:
        run(greedy(source, starves_in_fit=True), home=tmp_path)
    assert "batch_size (now 32), or micro_batch (now 16)" in caught.value.remedy
    assert caught.value.exit_code == 2


def test_what_is_out_of_memory() -> None:
    words = "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9"
    assert is_out_of_memory(RuntimeError(words))
    assert is_out_of_memory(MemoryError())
    assert not is_out_of_memory(RuntimeError("shapes do not match"))
    assert not is_out_of_memory(ValueError("out of memory"))
