"""What SOURCE may be, and what is filled in."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from synthlift.api import ask, demo_study
from synthlift.api.sources import study_name
from synthlift.data.designs import choose_design
from synthlift.data.splits import make_split
from synthlift.errors import InputError
from synthlift.spec.study import Study


def resolved(folder: Path, study: Study, **facts: object) -> Path:
    folder.mkdir()
    run = {"format": 1, "key": "k", "store": "/somewhere", "decisions": {}, **facts}
    content = {"run": run, **study.model_dump(mode="json")}
    (folder / "study.yaml").write_text(yaml.safe_dump(content))
    return folder


def test_a_bare_folder_has_half_an_hour(tmp_path: Path) -> None:
    folder = tmp_path / "my images (2024)"
    folder.mkdir()
    asked = ask(folder)
    assert asked.study.budget == "30m"
    assert asked.study.data.source == str(folder)
    assert asked.study.name == "my images -2024"
    assert asked.out == Path.cwd() / "runs" / "my images -2024"


def test_a_folder_with_anybodys_name_is_called_as_the_one_around_it(tmp_path: Path) -> None:
    (tmp_path / "moles" / "images").mkdir(parents=True)
    (tmp_path / "moles" / "metadata.csv").touch()
    assert ask(tmp_path / "moles" / "images").study.name == "moles"
    assert ask(tmp_path / "moles" / "metadata.csv").study.name == "moles"
    assert ask(tmp_path / "moles").study.name == "moles"


def test_overrides_seed_and_budget_change_the_study(tmp_path: Path) -> None:
    asked = ask(tmp_path, overrides=["training.steps=40"], seed=7, budget="none")
    assert (asked.study.training.steps, asked.study.seed) == (40, 7)
    assert asked.study.budget is None
    assert ask(tmp_path, budget="90s").study.budget == "90s"


def test_embedded_data() -> None:
    asked = ask("sklearn:digits")
    assert (asked.study.data.source, asked.study.name) == ("sklearn:digits", "digits")


def test_a_local_data_set_after_its_scheme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "saved").mkdir()
    (tmp_path / "set.parquet").touch()
    monkeypatch.chdir(tmp_path)
    for name, title in (("saved", "saved"), ("set.parquet", "set")):
        study = ask(f"hf:{name}?image=img").study
        assert (study.data.source, study.name) == (f"hf:{tmp_path / name}?image=img", title)
    assert ask("hf:owner/set.parquet").study.data.source == "hf:owner/set.parquet"


def test_all_sources_of_a_study_file_are_beside_it(tmp_path: Path) -> None:
    outside = "{name: B, source: ../b, metadata: b.csv}"
    file = tmp_path / "s.yaml"
    file.write_text(f"data: {{source: 'hf:./set?image=img', external: [{outside}]}}\n")
    data = ask(file).study.data
    assert data.source == f"hf:{tmp_path / 'set'}?image=img"
    assert data.external[0].source == str(tmp_path.parent / "b")
    assert data.external[0].metadata == str(tmp_path / "b.csv")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("cat.JPG", "is one image .* folders of the classes"),
        ("pets.tar.gz", "is an archive .* unpack it"),
        ("x.npy", "a .npy file, which is not read .* np.savez"),
    ],
)
def test_files_that_are_neither_data_nor_a_study(tmp_path: Path, name: str, said: str) -> None:
    (tmp_path / name).write_bytes(b"\x89\x00")
    with pytest.raises(InputError) as caught:
        ask(tmp_path / name)
    assert re.search(said, " ".join(str(caught.value).split()))


def test_a_study_file_has_no_budget_of_its_own(tmp_path: Path) -> None:
    file = tmp_path / "s.yaml"
    file.write_text("name: mine\ndata: {source: ./images}\n")
    study = ask(file).study
    assert (study.name, study.budget) == ("mine", None)
    assert study.data.source == str(tmp_path / "images")


def test_a_run_folder_brings_its_store_and_decisions(tmp_path: Path) -> None:
    decisions = {"image_size": {"value": 8, "reason": "small"}}
    folder = resolved(tmp_path / "run", Study(name="x"), decisions=decisions, base="/data")
    asked = ask(folder)
    assert asked.resumed
    assert (asked.out, asked.store, asked.base) == (folder, Path("/somewhere"), Path("/data"))
    assert asked.preset == decisions
    assert asked.study == Study(name="x")
    copied = ask(folder / "study.yaml")
    assert copied.preset == decisions
    assert copied.out == Path.cwd() / "runs" / "x"


def test_a_changed_study_decides_again(tmp_path: Path) -> None:
    folder = resolved(tmp_path / "run", Study(), decisions={"image_size": {"value": 8}})
    assert ask(folder, overrides=["replicates=3"]).preset is None


def test_what_was_asked_may_be_asked_with_changes(tmp_path: Path) -> None:
    folder = resolved(tmp_path / "run", Study(), decisions={"image_size": {"value": 8}})
    first = ask(folder)
    assert ask(first) == first
    second = ask(first, overrides=["replicates=3"], seed=7, budget="2h", store=tmp_path)
    assert (second.study.replicates, second.study.seed, second.study.budget) == (3, 7, "2h")
    assert (second.out, second.store, second.preset) == (folder, tmp_path, None)
    assert ask(first, out=tmp_path / "other").out == tmp_path / "other"
    renamed = ask(ask(Study(name="x")), overrides=["name=y"])
    assert renamed.out == Path.cwd() / "runs" / "y"


def test_a_run_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    folder = resolved(tmp_path / "run", Study(), format=99)
    with pytest.raises(InputError, match="newer Synthlift"):
        ask(folder)


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no file or folder"):
        ask(tmp_path / "nowhere")


def test_names_become_allowed_names() -> None:
    assert study_name("ä ö") == "study"
    assert study_name("..x/y") == "x-y"
    Study(name=study_name("é" * 100 + "cats_and dogs.v2" * 9))


def test_the_demo_can_be_drawn_from_the_digits() -> None:
    labels = [str(k) for k in range(10) for _ in range(174)]
    ids = [f"{i:04d}" for i in range(len(labels))]
    design = choose_design(demo_study().data.split, labels=labels, groups=ids)
    table = make_split(design, ids=ids, labels=labels, groups=ids, seed=0)
    first = table.part[table.draw == 0]
    assert design.kind == "redrawn"
    assert (first == "train").sum() == sum(round(40 * (3 / 40) ** (k / 9)) for k in range(10))
    assert (first == "test").sum() == 870
