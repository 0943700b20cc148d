"""``synthlift generate --from-picture``: the same images again, what is told of them, mistakes."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from synthlift import api
from synthlift.api.varying import why_not_from_a_picture
from synthlift.errors import InputError
from synthlift.registry import available
from synthlift.store.files import hash_files
from tests.unit.api.test_run import cli


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """A picture of another size and shape than the study's."""
    place = tmp_path / "my secret.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (30, 41, 3), np.uint8)).save(place)
    return place


def test_images_from_a_picture_are_given_again_and_say_so(
    finished: api.Run, picture: Path, tmp_path: Path
) -> None:
    def varied(name: str, **changes: Any) -> api.Generated:
        asked = {"per_class": 2, "classes": ["cross"], "from_picture": picture, **changes}
        return api.generate(finished.path, out=tmp_path / name, **asked)

    first, again, more = varied("a"), varied("b"), varied("c", strength=0.9)
    images = hash_files(first.path / "images")
    assert hash_files(again.path / "images") == images
    assert not set(hash_files(more.path / "images").values()) & set(images.values())
    with (more.path / "provenance.csv").open() as stream:
        said = {row["made_from"] for row in csv.DictReader(stream)}
    assert said == {"a variation of a given picture, strength 0.9"}
    everything = [path.read_bytes() for path in more.path.rglob("*") if path.is_file()]
    assert not any(b"my secret" in content for content in everything)
    untouched, full = varied("d", from_picture=None), varied("e", strength=1.0)
    assert pixels_of(full) == pixels_of(untouched), "nothing is left of the picture"


def pixels_of(made: api.Generated) -> list[bytes]:
    return [Image.open(path).tobytes() for path in sorted((made.path / "images").rglob("*.png"))]


def test_a_beginning_from_another_picture_is_not_gone_on_with(
    finished: api.Run, picture: Path, tmp_path: Path
) -> None:
    def stop(_done: int, _total: int, _note: str) -> None:
        raise KeyboardInterrupt

    asked: dict[str, Any] = {"per_class": 2, "out": tmp_path / "out", "from_picture": picture}
    with pytest.raises(KeyboardInterrupt):
        api.generate(finished.path, progress=stop, **asked)
    with pytest.raises(InputError, match="holds the beginning of other images"):
        api.generate(finished.path, **{**asked, "from_picture": None})
    Image.new("RGB", (9, 9), "red").save(picture)
    with pytest.raises(InputError, match="holds the beginning of other images"):
        api.generate(finished.path, **asked)


def test_what_cannot_be_started_from_is_refused(
    finished: api.Run, picture: Path, tmp_path: Path
) -> None:
    text, out = tmp_path / "text.png", tmp_path / "out"
    text.write_text("no picture")
    common = ("--out", out, "--quiet")
    for arguments, words in [
        (("--from-picture", text), "cannot be used"),
        (("--from-picture", tmp_path / "none.png"), "none.png"),
        (("--from-picture", picture, "--strength", "0"), "above 0, at most 1"),
        (("--from-picture", picture, "--strength", "1.2"), "above 0, at most 1"),
        (("--from-picture", picture, "--strength", "nan"), "above 0, at most 1"),
        (("--strength", "0.4"), "--from-picture FILE"),
    ]:
        found = cli("generate", finished.path, *common, *arguments)
        assert found.exit_code == 2, found.output
        assert words in " ".join(found.output.split())
    with pytest.raises(InputError, match="kind gan cannot start from a picture; these can: flow"):
        api.generate(
            finished.study.data.source,
            per_class=1,
            out=out,
            overrides=["generators=[gan]"],
            from_picture=picture,
        )
    assert not out.exists()


def test_every_kind_says_whether_it_can() -> None:
    able = {kind for kind in available("generators") if not why_not_from_a_picture(kind)}
    assert able == {"flow", "image_to_image", "text_to_image"}
    assert why_not_from_a_picture("a kind of a plug-in") == "", "it is asked when it is opened"
