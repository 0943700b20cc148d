from __future__ import annotations

import codecs
import csv
import io
import sys
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthlift.data.attributes import bin_numeric
from synthlift.data.delimited import has_decimal_comma, has_thousands, read_delimited
from synthlift.data.tables import Table, as_text, read_table
from synthlift.errors import InputError


def table(path: Path, content: bytes | str) -> Table:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_table(path, given=path.name)


def refusal(path: Path, content: bytes | str | None = None) -> str:
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError) as caught:
        read_table(path, given=path.name)
    return str(caught.value)


@pytest.mark.parametrize(
    ("delimiter", "words"),
    [(",", "comma"), (";", "semicolon"), ("\t", "tab"), ("|", "bar")],
)
def test_delimiters_are_found_and_stated(tmp_path: Path, delimiter: str, words: str) -> None:
    lines = ["path,label", '"a, b;c|d.png",007', "e.png,NA", "", "f.png,"]
    rows = list(csv.reader(lines))
    stream = io.StringIO()
    csv.writer(stream, delimiter=delimiter).writerows(rows)
    found = table(tmp_path / "t.csv", stream.getvalue())
    assert found.columns == {
        "path": ["a, b;c|d.png", "e.png", "f.png"],
        "label": ["007", "NA", ""],
    }
    assert found.rows == [2, 3, 5]
    assert found.notes == (f"'t.csv' read as {words}-separated, encoding UTF-8",)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("path;größe\né.png;ß".encode(), "UTF-8"),
        (codecs.BOM_UTF8 + "path;größe\né.png;ß".encode(), "UTF-8 with BOM"),
        ("path;größe\né.png;ß".encode("utf-16"), "UTF-16 with BOM"),
        ("path;größe\né.png;ß".encode("utf-16-be"), "UTF-16 (BE)"),
        ("path;größe\r\né.png;ß\r\n".encode("cp1252"), "cp1252"),
        ("path;größe\ré.png;ß\r\x81;\r".encode("latin-1"), "latin-1"),
    ],
)
def test_encodings_are_found_and_stated(tmp_path: Path, content: bytes, words: str) -> None:
    found = table(tmp_path / "t.csv", content)
    assert list(found.columns) == ["path", "größe"]
    assert (found.columns["path"][0], found.columns["größe"][0]) == ("é.png", "ß")
    assert found.notes == (f"'t.csv' read as semicolon-separated, encoding {words}",)


def test_decimal_commas_are_found_in_columns_of_numbers(tmp_path: Path) -> None:
    lines = ["file;age;dose;label;n", "a.png;61,5;1,250;a,b;3", "b.png;;2;c;4"]
    found = table(tmp_path / "t.csv", "\n".join(lines).encode("cp1252"))
    assert found.decimal_comma == {"age", "dose"}
    assert found.columns["age"] == ["61,5", ""]
    assert found.with_points("age") == ["61.5", ""]
    assert found.with_points("label") == ["a,b", "c"]
    assert "decimal comma in 'age', 'dose'" in found.notes[0]


def test_a_comma_may_part_thousands() -> None:
    assert not has_decimal_comma(["1,234", "12,000"], delimiter=",")
    assert has_decimal_comma(["1,234", "0,125"], delimiter=",")
    assert not has_decimal_comma(["1,234", "x"], delimiter=";")
    assert has_decimal_comma(["1,234", "NA", ""], delimiter=";")
    assert has_thousands(["1,234", "950", "NA"], delimiter=",")
    assert has_thousands(["1,234", "950.5"], delimiter=";")
    assert not has_thousands(["1,234", "0,125"], delimiter=",")
    assert not has_thousands(["1,234", "12,5"], delimiter=",")
    assert not has_thousands(["950", "12"], delimiter=",")


def test_bins_count_thousands_as_such(tmp_path: Path) -> None:
    values = ["1,234", "950", "2,500", "400"]
    rows = [f'{k}.png,{"ab"[k % 2]},"{value}"' for k, value in enumerate(values)]
    found = table(tmp_path / "t.csv", "\n".join(["path,label,cells", *rows]).encode())
    assert found.notes[0].endswith("commas between thousands in 'cells'")
    assert bin_numeric(found.with_points("cells"), [1000]) == [
        "1000 or more",
        "below 1000",
        "1000 or more",
        "below 1000",
    ]
    # Where no column tells what the comma is, nothing is guessed.
    with pytest.raises(InputError, match="2 values are no number: '1,234', '2,500'"):
        bin_numeric(values, [1000])


def test_what_spreadsheets_and_pandas_leave_behind(tmp_path: Path) -> None:
    found = table(tmp_path / "a.csv", "sep=;\npath;label;;\na.png;x;;\n;;;\n b.png ; y;;\n")
    assert found.columns == {"path": ["a.png", "b.png"], "label": ["x", "y"]}
    assert found.rows == [3, 5]
    found = table(tmp_path / "b.csv", ",path,label\n0,a.png,x\n1,b.png,y\n")
    assert list(found.columns) == ["path", "label"]
    assert found.notes[1] == "1 column without a name left out"
    found = table(tmp_path / "c.csv", "path\na.png\nb.png\n")
    assert found.columns == {"path": ["a.png", "b.png"]}
    assert found.notes == ("'c.csv' read as one column, encoding UTF-8",)


cells = st.text(st.characters(codec="utf-8", exclude_characters="\x00\x1f"), max_size=8).map(
    lambda text: " ".join(text.split())
)


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(st.tuples(cells, cells), min_size=2, max_size=6),
    delimiter=st.sampled_from(",;\t|"),
)
def test_what_is_written_is_read(rows: list[tuple[str, str]], delimiter: str) -> None:
    stream = io.StringIO()
    writer = csv.writer(stream, delimiter=delimiter, quoting=csv.QUOTE_ALL)
    writer.writerows([("first", "second"), *rows])
    found = read_delimited(stream.getvalue().encode(), given="t.csv")
    assert found.delimiter == delimiter
    assert found.cells == [list(row) for row in rows if any(row)]


def test_parquet_numbers_get_one_form(tmp_path: Path) -> None:
    columns = pa.table(
        {
            "path": ["a.png", "b.png"],
            "whole": pa.array([3.0, None]),
            "short": pa.array([0.1, float("nan")], pa.float32()),
            "n": pa.array([7, None], pa.int64()),
            "kind": pa.array(["NA", "007"]).dictionary_encode(),
            "flag": [True, False],
            "several": [["x", "y"], []],
            "picture": [b"\x89PNG", b""],
        }
    )
    pq.write_table(columns, tmp_path / "t.parquet")
    found = read_table(tmp_path / "t.parquet", given="t.parquet")
    assert found.columns == {
        "path": ["a.png", "b.png"],
        "whole": ["3", ""],
        "short": ["0.1", ""],
        "n": ["7", ""],
        "kind": ["NA", "007"],
        "flag": ["True", "False"],
        "several": ['["x", "y"]', "[]"],
    }
    assert found.notes == (
        "'t.parquet' read as parquet, without 'picture' (bytes or nested values)",
    )


def test_values_as_text() -> None:
    assert [as_text(v) for v in (1e20, -0.5, Decimal("1.50"), Decimal("1E+2"), 10**30)] == [
        "1e+20",
        "-0.5",
        "1.5",
        "100",
        "1" + "0" * 30,
    ]
    times = [as_text(v) for v in (datetime(2024, 5, 1), datetime(2024, 5, 1, 9), date(2024, 5, 1))]  # noqa: DTZ001
    assert times == ["2024-05-01", "2024-05-01T09:00:00", "2024-05-01"]


def test_excel(tmp_path: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl", reason="reading .xlsx needs openpyxl")
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.title = "Images"
    for row in (["path", "label", "age"], [], ["a.png", "007", 3.0], ["b.png", "NA", "#N/A"]):
        sheet.append(row)
    book.create_sheet("Notes").append(["hidden"])
    book.save(tmp_path / "t.xlsx")
    found = read_table(tmp_path / "t.xlsx", given="t.xlsx")
    assert found.columns == {"path": ["a.png", "b.png"], "label": ["007", "NA"], "age": ["3", ""]}
    assert found.rows == [3, 4]
    assert found.notes == ("'t.xlsx' read as .xlsx, sheet 'Images' (of 2)",)
    text = refusal(tmp_path / "bad.xlsx", b"PK\x03\x04 no archive")
    assert text.startswith("'bad.xlsx' cannot be read as .xlsx: ")


def test_excel_without_openpyxl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    assert refusal(tmp_path / "t.xlsx", b"PK") == (
        "'t.xlsx' is an .xlsx file, and openpyxl, which reads them, is not installed\n"
        "  Rule: reading .xlsx needs the package openpyxl\n"
        "  Remedy: pip install openpyxl, or save the sheet as CSV (UTF-8)"
    )


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("t.csv", "", "the table 't.csv' is empty"),
        ("t.csv", "path,label\n", "the table 't.csv' has no row below its column names"),
        ("t.csv", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(9), "'t.csv' is no text table"),
        ("t.csv", "a.png,cat\nb.png,dog\n", "the first row of 't.csv' holds the image 'a.png'"),
        ("t.csv", "path,label,path\na,b,c\n", "'t.csv' has several columns called 'path'"),
        ("t.csv", 'path,label\na.png,"cat\nb.png,dog\n', "'t.csv' cannot be read at line 3: "),
        ("t.parquet", b"PAR1", "'t.parquet' cannot be read as parquet: "),
        ("t.ods", b"PK", "'t.ods' has the ending '.ods', which is no table that can be read"),
        (
            "t.json",
            '{"images": [], "annotations": [{"bbox": [0, 0, 9, 9]}]}',
            "'t.json' is a COCO file: objects in images, with boxes or outlines",
        ),
        (
            "t.csv",
            "path,label\na.png,cat\nb.png\nc.png,dog,3\n",
            "'t.csv' has 2 columns, but 2 of its rows have another number of cells: line 3 has 1,",
        ),
    ],
)
def test_refusals(tmp_path: Path, name: str, content: bytes | str, text: str) -> None:
    assert refusal(tmp_path / name, content).startswith(text)


def test_a_table_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("path,label\n")
    (tmp_path / "folder.csv").mkdir()
    text = refusal(tmp_path / "lables.csv")
    assert text.startswith("there is no table 'lables.csv' – did you mean 'labels.csv'?\n")
    assert refusal(tmp_path / "folder.csv").startswith("'folder.csv' is a folder, not a table")


def test_a_column_that_is_not_there_gets_the_nearest(tmp_path: Path) -> None:
    found = table(tmp_path / "t.csv", "Path,LABEL,age\na.png,x,3\n")
    for wanted, nearest in (("label", "LABEL"), ("lable", "LABEL"), ("path", "Path")):
        with pytest.raises(InputError) as caught:
            found.column(wanted, key="label")
        assert f"'t.csv' has no column '{wanted}' – did you mean '{nearest}'?" in str(caught.value)
    assert list(found.column("age", key="group")) == ["3"]
