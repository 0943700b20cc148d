"""What an export does to one file: its header, its name, and what a generated PNG says."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, TiffImagePlugin
from PIL.PngImagePlugin import PngInfo

from synthlift.api.exporting.card import as_code, as_markdown
from synthlift.api.exporting.entries import Entry, Names
from synthlift.api.exporting.headers import without_headers
from synthlift.api.naming import fitting, folder_names, plain_name
from synthlift.api.pretrained import licence_behind
from synthlift.api.training_sets import ArmImage
from synthlift.data.decode import decode_stream
from synthlift.spec.provenance import facts_of, png_bytes, provenance_in, provenance_of

OWNER = "Ann Smith"
PIXELS = np.arange(8 * 12 * 3, dtype=np.uint8).reshape(8, 12, 3)


def encoded(form: str, *, orientation: int = 1, **options: object) -> bytes:
    """A picture with its owner in the EXIF header."""
    exif = Image.Exif()
    exif[0x013B], exif[0x0112] = OWNER, orientation
    stream = io.BytesIO()
    Image.fromarray(PIXELS).save(stream, format=form, exif=exif, **options)
    return stream.getvalue()


def shown(data: bytes) -> np.ndarray:
    return decode_stream(io.BytesIO(data), max_pixels=1000).pixels


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"comment": OWNER}])
def test_jpeg_keeps_pixels_and_orientation(orientation: int, options: dict[str, object]) -> None:
    before = encoded("JPEG", orientation=orientation, **options)
    after = without_headers(before + b"trailer of a phone: " + OWNER.encode())
    assert OWNER.encode() in before
    assert after is not None
    assert OWNER.encode() not in after
    assert np.array_equal(shown(before), shown(after))
    assert without_headers(after) == after


def test_cmyk_jpeg_keeps_its_colours() -> None:
    stream = io.BytesIO()
    picture = Image.fromarray(PIXELS).convert("CMYK")
    picture.save(stream, format="JPEG", comment=OWNER.encode())
    after = without_headers(stream.getvalue())
    assert after is not None
    assert OWNER.encode() not in after
    assert np.array_equal(shown(stream.getvalue()), shown(after))


def test_png_keeps_pixels_and_our_words_only() -> None:
    chunks = PngInfo()
    chunks.add_text("Author", OWNER)
    chunks.add_text("synthlift:origin", "synthetic")
    before = encoded("PNG", pnginfo=chunks)
    after = without_headers(before)
    assert OWNER.encode() in before
    assert after is not None
    assert OWNER.encode() not in after
    assert provenance_in(after) == {"origin": "synthetic"}
    assert np.array_equal(shown(before), shown(after))


def test_headers_that_cannot_be_taken_off_are_noticed() -> None:
    assert without_headers(encoded("WEBP", lossless=True)) is None
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[315] = OWNER
    stream = io.BytesIO()
    Image.fromarray(PIXELS).save(stream, format="TIFF", tiffinfo=tags)
    assert without_headers(stream.getvalue()) is None
    plain = io.BytesIO()
    Image.fromarray(PIXELS).save(plain, format="TIFF")
    assert without_headers(plain.getvalue()) == plain.getvalue()
    bitmap = io.BytesIO()
    Image.fromarray(PIXELS).save(bitmap, format="BMP")
    assert without_headers(bitmap.getvalue()) == bitmap.getvalue()


@pytest.mark.parametrize("form", ["JPEG", "PNG"])
def test_damaged_files_are_refused_or_kept_whole(form: str) -> None:
    data = encoded(form)
    for length in range(2, len(data), 7):
        found = without_headers(data[:length])
        assert found is None or OWNER.encode() not in found


# ── provenance ────────────────────────────────────────────────────────────────────────────────


def facts(**changes: object) -> dict[str, str]:
    given_: dict[str, object] = {
        "generator": "flow",
        "kind": "flow",
        "label": "Äpfel / りんご",
        "seed": 2**62 + 1,
        "index": 7,
        "fit": 2,
        "fit_seed": 5,
        "prompt": "a photo of Äpfel\nby night",
    }
    return facts_of(**{**given_, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize("channels", [1, 3])
def test_a_png_gives_back_what_it_was_told(channels: int, tmp_path: Path) -> None:
    data = png_bytes(PIXELS[:, :, :channels], facts=facts())
    assert data == png_bytes(PIXELS[:, :, :channels], facts=facts())
    (tmp_path / "x.png").write_bytes(data)
    said = provenance_of(tmp_path / "x.png")
    assert said == facts()
    assert said["class"] == "Äpfel / りんご"
    assert said["prompt"] == "a photo of Äpfel\nby night"
    assert np.array_equal(shown(data), PIXELS[:, :, :channels])
    assert "prompt" not in facts(prompt="")
    assert "fit" not in facts(fit=None)


def test_other_files_have_no_provenance(tmp_path: Path) -> None:
    data = png_bytes(PIXELS, facts=facts())
    for number, content in enumerate((png_bytes(PIXELS), encoded("JPEG"), b"", b"text", data[:40])):
        path = tmp_path / str(number)
        path.write_bytes(content)
        assert provenance_of(path) is None
    with pytest.raises(FileNotFoundError):
        provenance_of(tmp_path / "absent.png")


# ── names ─────────────────────────────────────────────────────────────────────────────────────


def real(name: str, label: str = "a") -> Entry:
    return Entry(ArmImage("real", id=name, label=label), split="train")


def test_files_of_different_folders_keep_apart() -> None:
    names = Names()
    ids = ["a/x/1.png", "a/y/1.png", "a/x__1.png", "b/1.png", "a/X/1.PNG", "../1.png", "a/1.dcm"]
    found = [names.take(real(name), ".png" if name.endswith("dcm") else "") for name in ids]
    assert found == [
        *("x__1.png", "y__1.png", "x__1_2.png", "b__1.png", "X__1_3.PNG", "1.png", "1_2.png"),
    ]
    assert names.take(real("b/1.png", "b"), "") == "1.png"


def test_long_names_are_cut_and_stay_apart(tmp_path: Path) -> None:
    names = Names()
    ids = [f"a/{'deep folder ' * 30}{k}/{'年' * 80}.png" for k in range(3)]
    ids += [f"a/{'x' * 250}.yyy{k}" for k in range(2)]
    found = [names.take(real(name), "") for name in ids]
    assert len(set(found)) == 5
    assert [name[-4:] for name in found] == [".png"] * 3 + ["yyy0", "yyy1"]
    for name in found:
        (tmp_path / name).write_bytes(b"")
    assert fitting("x" * 240) == "x" * 240
    assert {len(fitting("é" * n + ".jpeg").encode()) for n in (119, 120, 500)} == {240}


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("tiny-gan:mixed@2+rival", "tiny-gan:mixed@2+rival"),
        ("r-fill_label+M/F_to_median@1", "r-fill_label+M_F_to_median@1"),
        ("a\\b\n", "a_b_"),
    ],
)
def test_any_text_names_one_folder(text: str, name: str) -> None:
    assert plain_name(text) == name


@given(st.lists(st.text("ab/.\\A _", min_size=1, max_size=6), unique=True, min_size=1))
def test_no_name_leaves_its_folder_or_comes_twice(ids: list[str]) -> None:
    names = Names()
    found = [names.take(real(name), "") for name in ids]
    assert len({name.casefold() for name in found}) == len(ids)
    assert not any("/" in name or "\\" in name or name.startswith(".") for name in found)


@given(st.lists(st.text(min_size=1, max_size=6), unique=True, min_size=1))
def test_every_class_has_a_folder_of_its_own(labels: list[str]) -> None:
    found = folder_names(labels)
    assert len({name.casefold() for name in found.values()}) == len(labels)
    for name in found.values():
        assert Path(name).name == name
        assert not name.startswith(".")
    assert folder_names(["melanoma", "type 2"]) == {"melanoma": "melanoma", "type 2": "type 2"}


# ── words of a card ───────────────────────────────────────────────────────────────────────────


def test_the_licence_of_the_packaged_model_is_told() -> None:
    assert licence_behind({"model": "embedded", "licence": ""}) == "apache-2.0"
    assert licence_behind({"model": "/models/x", "licence": "openrail++"}) == "openrail++"
    assert licence_behind({"steps": 3}) == ""


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("skin_tone (dark)", "skin_tone (dark)"),
        ("<img src=x>", r"\<img src=x>"),
        ("[a](http://b)", r"\[a](http://b)"),
        ("a|b\n`c` & *d*", r"a\|b \`c\` \& \*d\*"),
        ("a\\|b", r"a\\\|b"),
    ],
)
def test_names_are_no_markdown(text: str, shown: str) -> None:
    assert as_markdown(text) == shown


def test_code_ends_where_it_should() -> None:
    assert as_code("synthlift run x") == "`synthlift run x`"
    assert as_code("a `b` ``c") == "``` a `b` ``c ```"
