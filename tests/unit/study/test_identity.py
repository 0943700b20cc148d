"""A study is known by what it asks for and by contents, wherever these lie."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageOps

from synthlift.errors import InputError
from synthlift.store import Store, digest
from synthlift.study.executors.local import LocalExecutor
from synthlift.study.ledger import Ledger
from synthlift.study.preparation import decide_design, open_data
from synthlift.study.session import Session
from synthlift.vision.clip.files import clip_place
from tests.e2e.tiny import draw_folder, home_of, study_of

Opens = Callable[..., Session]
PARTS = ("test", "validation", "train")


@pytest.fixture(scope="module")
def opens(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opens]:
    """Opens the data of a study, given what differs from a study of real images alone."""
    home = tmp_path_factory.mktemp("home")
    source = draw_folder(home / "drawn", per_class=9)
    with home_of(home) as place, LocalExecutor(Store(place), workers=1) as executor:

        def open_study(data: Mapping[str, Any] | None = None, **changes: Any) -> Session:
            given = {"source": str(source), **(data or {})}
            preset = {name: changes.pop(name, kind()) for name, kind in PRESET.items()}
            content = {"arms": ["real"], "generators": [], "plugins": [], "curation": []}
            session = Session(
                study=study_of(source, **{**content, "data": given, **changes}),
                store=executor.store,
                executor=executor,
                ledger=Ledger(),
                base=home,
                **preset,
            )
            open_data(session)
            return session

        yield open_study


PRESET: Mapping[str, Callable[[], Any]] = {"preset": dict, "preset_key": str}


def invert(folder: Path) -> None:
    """Other pictures under the same names."""
    for file in folder.rglob("*.png"):
        with Image.open(file) as image:
            changed = ImageOps.invert(image)
        changed.save(file)


NAMED: Mapping[str, Callable[[Path], dict[str, Any]]] = {
    "pool": lambda place: {"generators": [{"kind": "pool", "source": str(place)}]},
    "translation": lambda place: {"generators": [{"kind": "translation", "source": str(place)}]},
    "unlabelled": lambda place: {"data": {"unlabelled": [str(place)]}},
    "external": lambda place: {"data": {"external": [{"name": "else", "source": str(place)}]}},
    "masks": lambda place: {"data": {"masks": str(place)}},
}


@pytest.mark.parametrize("what", NAMED)
def test_images_beside_the_data_set_count_by_content(
    opens: Opens, tmp_path: Path, what: str
) -> None:
    draw_folder(tmp_path / "one", per_class=9, seed=3 if what == "masks" else 5)
    before = opens(**NAMED[what](tmp_path / "one")).key
    assert before != opens().key
    shutil.copytree(tmp_path / "one", tmp_path / "moved")
    assert opens(**NAMED[what](tmp_path / "moved")).key == before
    invert(tmp_path / "one")
    assert opens(**NAMED[what](tmp_path / "one")).key != before


def weights_of(place: Path) -> dict[str, Any]:
    return {"clip": str(place), "classifier": "clip", "curation": ["clip_score"]}


def test_weights_count_by_content(opens: Opens, tmp_path: Path) -> None:
    shutil.copytree(clip_place("embedded"), tmp_path / "clip")
    before = opens(**weights_of(Path("embedded"))).key
    assert opens(**weights_of(tmp_path / "clip")).key == before
    (weights,) = (tmp_path / "clip").glob("*.safetensors")
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    assert opens(**weights_of(tmp_path / "clip")).key != before


def write_split(file: Path, source: Path, *, first: int) -> None:
    ids = sorted(path.relative_to(source).as_posix() for path in source.rglob("*.png"))
    rows = [f"{name},{PARTS[(first + number) % 3]}" for number, name in enumerate(ids)]
    file.write_text("\n".join(["id,part", *rows]) + "\n")


def test_a_published_split_counts_by_what_it_says(opens: Opens, tmp_path: Path) -> None:
    source, file = Path(opens().study.data.source), tmp_path / "split.csv"
    write_split(file, source, first=0)
    before = opens({"split": {"file": str(file)}})
    shutil.copy(file, tmp_path / "moved.csv")
    moved = opens({"split": {"file": str(tmp_path / "moved.csv")}})
    assert moved.key == before.key
    design = decide_design(before, open_data(before))
    write_split(file, source, first=1)
    edited = opens({"split": {"file": str(file)}})
    assert edited.key != before.key
    assert decide_design(edited, open_data(edited)).file != design.file
    # A recorded design that comes with a study file follows what the file said then.
    taken = {"design": {"value": design.config()}}
    write_split(file, source, first=2)
    again = opens({"split": {"file": str(file)}}, preset=taken)
    with pytest.raises(InputError, match="not the split that the recorded design follows"):
        decide_design(again, open_data(again))


def test_choices_of_a_study_file_hold_for_the_contents_they_were_taken_for(
    opens: Opens, tmp_path: Path
) -> None:
    pool = NAMED["pool"](draw_folder(tmp_path / "pool", per_class=4, seed=5))
    taken = {"memorisation_gate": {"value": {}, "reason": "none is a copy"}}
    known = opens(**pool)
    assert opens(**pool, preset=dict(taken), preset_key=known.key).preset == taken
    invert(tmp_path / "pool")
    assert opens(**pool, preset=dict(taken), preset_key=known.key).preset == {}


def test_a_study_that_names_nothing_has_the_key_of_earlier_versions(opens: Opens) -> None:
    """Its choices and its openings of the test set go on to count."""
    session = opens()
    places = dict.fromkeys(("source", "metadata", "masks", "terms", "redistribute"), True)
    asked = session.study.model_dump(
        mode="json",
        exclude={
            "name": True,
            "plugins": True,
            "data": {**places, "external": {"__all__": {"source", "metadata"}}},
        },
    )
    content = open_data(session).read.summary["digest"]
    assert session.key == digest({"study": asked, "plugins": [], "content": content})
