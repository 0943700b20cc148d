"""Uploaded zips: good ones are unpacked, bad ones leave nothing behind."""

from __future__ import annotations

import io
import stat
import zipfile
from pathlib import Path

import pytest

from synthlift.errors import InputError
from synthlift.web.archives import unpack

LIMITS = {"max_entries": 10, "max_bytes": 10_000}


def zipped(*names: str, content: bytes = b"x") -> io.BytesIO:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            archive.writestr(name, content)
    stream.seek(0)
    return stream


def test_images_and_tables_are_unpacked_and_nothing_else(tmp_path: Path) -> None:
    names = ["oak/1.png", "buche rot/ä.JPG", "labels.csv"]
    left_out = ["run.sh", "oak/.hidden.png", "__MACOSX/oak/1.png", "oak/notes.html"]
    assert unpack(zipped(*names, *left_out), tmp_path / "new", **LIMITS) == len(names)
    found = {p.relative_to(tmp_path / "new").as_posix() for p in tmp_path.rglob("*") if p.is_file()}
    assert found == set(names)


@pytest.mark.parametrize(
    "name",
    ["../1.png", "oak/../../1.png", "/1.png", "..\\1.png", "C:\\1.png", "C:/1.png"],
)
def test_names_that_lead_out_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="leads out"):
        unpack(zipped("oak/1.png", name), tmp_path / "new", **LIMITS)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["oak/a\x01.png", "con/1.png", "oak./1.png", "a/" * 9 + "1.png"])
def test_names_that_some_systems_cannot_have_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="cannot be used"):
        unpack(zipped(name), tmp_path / "new", **LIMITS)
    assert list(tmp_path.iterdir()) == []


def test_links_are_refused(tmp_path: Path) -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        link = zipfile.ZipInfo("oak/1.png")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(InputError, match="link"):
        unpack(stream, tmp_path / "new", **LIMITS)
    assert list(tmp_path.iterdir()) == []


def test_too_many_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="11 files"):
        unpack(zipped(*(f"oak/{i}.png" for i in range(11))), tmp_path / "new", **LIMITS)


def test_a_bomb_is_refused_before_it_is_written(tmp_path: Path) -> None:
    bomb = zipped("oak/1.png", content=bytes(1_000_000))
    assert len(bomb.getvalue()) < 2000
    with pytest.raises(InputError, match="too much"):
        unpack(bomb, tmp_path / "new", **LIMITS)
    assert list(tmp_path.iterdir()) == []


def test_a_header_that_lies_about_the_size_helps_nobody(tmp_path: Path) -> None:
    bomb = bytearray(zipped("oak/1.png", content=bytes(100_000)).getvalue())
    true, told = (100_000).to_bytes(4, "little"), (100).to_bytes(4, "little")
    assert bomb.count(true) == 2
    with pytest.raises(InputError):
        unpack(io.BytesIO(bomb.replace(true, told)), tmp_path / "new", **LIMITS)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("cut", [0, 10, 60, -1])
def test_damaged_zips_are_refused(tmp_path: Path, cut: int) -> None:
    whole = zipped("oak/1.png", content=bytes(range(256))).getvalue()
    with pytest.raises(InputError):
        unpack(io.BytesIO(whole[:cut]), tmp_path / "new", **LIMITS)
    assert list(tmp_path.iterdir()) == []


def test_an_encrypted_zip_is_refused(tmp_path: Path) -> None:
    content = bytearray(zipped("oak/1.png").getvalue())
    content[6] |= 1  # the flag in the local header
    content[content.index(b"PK\x01\x02") + 8] |= 1  # and in the directory
    with pytest.raises(InputError, match="encrypted"):
        unpack(io.BytesIO(content), tmp_path / "new", **LIMITS)


def test_a_zip_without_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no image"):
        unpack(zipped("readme.txt"), tmp_path / "new", **LIMITS)
    assert list(tmp_path.iterdir()) == []
