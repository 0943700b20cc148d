"""Uploaded zips: good ones are unpacked, bad ones leave nothing behind."""

from __future__ import annotations

import csv
import io
import os
import stat
import struct
import tracemalloc
import zipfile
from pathlib import Path

import pytest

from synthlift.data.contract import Where
from synthlift.data.sources import open_source
from synthlift.errors import InputError
from synthlift.web.archives import unpack

LIMITS = {"max_entries": 10, "max_bytes": 10_000, "max_seconds": 60}


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
    left_out += [".ipynb_checkpoints/1.png"]
    assert unpack(zipped(*names, *left_out), tmp_path / "new", **LIMITS) == len(names)
    found = {p.relative_to(tmp_path / "new").as_posix() for p in tmp_path.rglob("*") if p.is_file()}
    assert found == set(names)


@pytest.mark.parametrize(
    "name",
    ["../1.png", "oak/../../1.png", "/1.png", "..\\1.png", "C:\\1.png", "C:/1.png"],
)
def test_names_that_lead_out_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="leads out") as refused:
        unpack(zipped("oak/1.png", name), tmp_path / "new", **LIMITS)
    assert name.replace("\\", "/") in refused.value.given.replace("\\", "/")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("oak/a\x01.png", "oak/a\\x01.png"),
        ("a/" * 9 + "1.png", "a/a/"),
        ("木" * 90 + ".png", "木木木"),
        ("oak/a" + "a" * 200 + ".png", "aaa…"),
    ],
    ids=["control", "deep", "bytes", "long"],
)
def test_names_that_systems_cannot_have_are_refused_and_told(
    tmp_path: Path, name: str, told: str
) -> None:
    with pytest.raises(InputError, match="cannot be used") as refused:
        unpack(zipped("oak/1.png", name), tmp_path / "new", **LIMITS)
    assert told in refused.value.given
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name == "nt", reason="Windows cannot have such names")
def test_ordinary_names_stay_as_a_table_beside_them_says(tmp_path: Path) -> None:
    names = [
        *("Quercus sp./IMG 12:30:11.png", "Quercus sp./what?.png", "Quercus sp./ 1.png"),
        *("con/B:2.png", 'con/"a" <b>.png', "con/1*.png"),
    ]
    rows = [[name, f"P{number}"] for number, name in enumerate(names)]
    table = io.StringIO()
    csv.writer(table).writerows([["file", "patient"], *rows])
    stream = zipped(*names)
    with zipfile.ZipFile(stream, "a") as archive:
        archive.writestr("patients.csv", table.getvalue())
    assert unpack(stream, tmp_path / "new", **LIMITS) == len(names) + 1
    beside = tmp_path / "new" / "patients.csv"
    where = Where(str(tmp_path / "new"), "", metadata=str(beside), group="patient")
    found = {item.id: (item.label, item.group) for item in open_source(where).items}
    assert found == {name: (name.split("/")[0], patient) for name, patient in rows}


def test_names_that_fall_together_are_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"'oak/ä\.png' is in the zip twice"):
        unpack(zipped("oak/ä.png", "oak/a\u0308.png"), tmp_path / "new", **LIMITS)
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


def directory_alone(entries: int, *, declared: int, large: bool = False) -> io.BytesIO:
    """The directory of so many empty files, which are not there, and an end that says otherwise."""
    one = struct.pack("<4s6H3L5H2L", b"PK\1\2", *[0] * 6, *[0] * 3, 1, *[0] * 4, 0, 0) + b"a"
    size, content = len(one) * entries, one * entries
    told = (declared, declared, size, 0)
    if large:  # as ZIP64
        end = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, *told)
        content += end + struct.pack("<4sLQL", b"PK\6\7", 0, size, 1)
        told = (0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF)
    return io.BytesIO(content + struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, *told, 0))


@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize("declared", [1, 60_000])
def test_entries_are_counted_before_they_cost_anything(
    tmp_path: Path, declared: int, large: bool
) -> None:
    many = directory_alone(60_000, declared=declared, large=large)
    assert len(zipfile.ZipFile(many).infolist()) == 60_000
    tracemalloc.start()
    with pytest.raises(InputError, match="files in the zip"):
        unpack(many, tmp_path / "new", max_entries=10_000, max_bytes=10_000, max_seconds=60)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 500_000, "60,000 entries of zipfile take more than 20 MB"
    with pytest.raises(InputError, match="directory of the zip is too large"):
        unpack(many, tmp_path / "new", max_entries=1000, max_bytes=10_000, max_seconds=60)


def test_an_end_that_can_be_read_in_two_ways_is_refused(tmp_path: Path) -> None:
    whole = directory_alone(2, declared=2, large=True).getvalue()
    assert len(zipfile.ZipFile(io.BytesIO(whole)).infolist()) == 2
    with pytest.raises(InputError, match="cannot be read"):  # it lies elsewhere than it says
        unpack(io.BytesIO(b"x" + whole), tmp_path / "new", **LIMITS)


@pytest.mark.parametrize("method", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_methods_whose_memory_the_sender_chooses_are_refused(tmp_path: Path, method: int) -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        archive.writestr("oak/1.png", b"x")
    with pytest.raises(InputError, match="unusual way"):
        unpack(stream, tmp_path / "new", **LIMITS)
    assert list(tmp_path.iterdir()) == []


def test_a_zip_with_a_comment_and_one_of_many_files_are_unpacked(tmp_path: Path) -> None:
    stream = zipped("oak/1.png")
    with zipfile.ZipFile(stream, "a") as archive:
        archive.comment = b"from the field" * 1000
    assert unpack(stream, tmp_path / "comment", **LIMITS) == 1
    large = io.BytesIO()
    with zipfile.ZipFile(large, "w") as archive, archive.open("oak/1.png", "w", force_zip64=True):
        pass
    assert unpack(large, tmp_path / "large", **LIMITS) == 1


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
