from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image, PngImagePlugin

from synthlift.data import stages
from synthlift.data.contract import Where
from synthlift.data.decode import UnusableImageError, decode_file, picture_size
from synthlift.data.inventory import Asked
from synthlift.data.sources import open_source
from synthlift.errors import InputError
from synthlift.store import Store

pydicom = pytest.importorskip("pydicom", reason="the extra 'dicom' is not installed")

LIMIT = 1_000_000
RNG = np.random.default_rng(0)
CT = RNG.integers(0, 4096, (7, 5)).astype(np.uint16)
SECRETS = ("Muster^Zoe", "PID-774411", "19410203", "Klinikum Nirgendwo")


def write(path: Path, pixels: np.ndarray, **elements: Any) -> Path:
    """An uncompressed DICOM file with a patient in its header."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=["x"])
    found = Dataset()
    found.file_meta = meta
    found.PatientName, found.PatientID, found.PatientBirthDate, found.InstitutionName = SECRETS
    found.SOPClassUID, found.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
    found.Rows, found.Columns = pixels.shape[:2]
    found.SamplesPerPixel = 3 if pixels.ndim == 3 else 1
    found.PhotometricInterpretation = "RGB" if pixels.ndim == 3 else "MONOCHROME2"
    found.BitsAllocated = found.BitsStored = 8 * pixels.dtype.itemsize
    found.HighBit = found.BitsStored - 1
    found.PixelRepresentation = int(pixels.dtype.kind == "i")
    if pixels.ndim == 3:
        found.PlanarConfiguration = 0
    for name, value in elements.items():
        setattr(found, name, value)
    found.PixelData = pixels.tobytes() + b"\0" * (pixels.nbytes % 2)
    path.parent.mkdir(parents=True, exist_ok=True)
    found.save_as(path, enforce_file_format=True)
    return path


def shown(path: Path) -> np.ndarray:
    found = decode_file(path, max_pixels=LIMIT).pixels
    assert found.dtype == np.uint8
    return found[:, :, 0] if found.shape[2] == 1 else found


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
def test_window_is_that_of_the_standard(tmp_path: Path, function: str) -> None:
    """Against pydicom's own, which spreads over the range of the stored bits."""
    from pydicom.pixels import apply_modality_lut, apply_windowing

    path = write(
        tmp_path / "x.dcm",
        CT,
        BitsStored=12,
        HighBit=11,
        RescaleSlope="2",
        RescaleIntercept="-1024",
        WindowCenter=["700", "40"],
        WindowWidth=["3000", "400"],
        VOILUTFunction=function,
    )
    header = pydicom.dcmread(path)
    units = apply_modality_lut(header.pixel_array, header)
    expected = apply_windowing(units, header)
    lowest, span = -1024, 2 * 4095
    assert np.array_equal(shown(path), np.rint(255 * (expected - lowest) / span))
    found = decode_file(path, max_pixels=LIMIT)
    assert (found.mode, found.bits, found.peak) == ("MONOCHROME2", 16, 0)
    assert found.conversions == ("window",)


def test_soft_tissue_window_by_hand(tmp_path: Path) -> None:
    """Centre 40, width 400: below −160 black, above 239 white (PS3.3 C.11.2.1.2)."""
    units = np.array([[-2000, -160, 39, 40, 239, 240, 3000]], np.int16)
    path = write(tmp_path / "x.dcm", units, WindowCenter="40", WindowWidth="400")
    assert shown(path).tolist() == [[0, 0, 127, 128, 255, 255, 255]]


def test_width_1_is_a_threshold(tmp_path: Path) -> None:
    units = np.array([[9, 10, 11]], np.int16)
    path = write(tmp_path / "x.dcm", units, WindowCenter="10.5", WindowWidth="1")
    assert shown(path).tolist() == [[0, 0, 255]]


def test_without_a_window_values_are_stretched(tmp_path: Path) -> None:
    values = np.array([[-2000, 100, 200, 300, 1100]], np.int16)
    path = write(tmp_path / "x.dcm", values)
    assert shown(path)[0, [0, -1]].tolist() == [0, 255]
    padded = write(tmp_path / "y.dcm", values, PixelPaddingValue=-2000)
    assert shown(padded).tolist() == [[0, 0, 26, 51, 255]]
    assert decode_file(padded, max_pixels=LIMIT).conversions == ("no window",)
    assert shown(write(tmp_path / "z.dcm", np.full((3, 3), 700, np.uint16))).max() == 0


def test_8_bit_images_are_shown_as_stored(tmp_path: Path) -> None:
    grey = RNG.integers(20, 90, (7, 5), dtype=np.uint8)
    found = decode_file(write(tmp_path / "x.dcm", grey), max_pixels=LIMIT)
    assert np.array_equal(found.pixels[:, :, 0], grey)
    assert (found.bits, found.conversions) == (8, ())


def test_monochrome1_is_inverted(tmp_path: Path) -> None:
    grey = RNG.integers(0, 256, (7, 5), dtype=np.uint8)
    path = write(tmp_path / "x.dcm", grey, PhotometricInterpretation="MONOCHROME1")
    assert np.array_equal(shown(path), 255 - grey)
    path = write(
        tmp_path / "y.dcm",
        CT,
        PhotometricInterpretation="MONOCHROME1",
        WindowCenter="2048",
        WindowWidth="4096",
    )
    plain = write(tmp_path / "z.dcm", CT, WindowCenter="2048", WindowWidth="4096")
    assert np.abs(255 - shown(path).astype(int) - shown(plain)).max() <= 1
    assert decode_file(path, max_pixels=LIMIT).conversions == ("window", "inverted")


def test_voi_lut_where_there_is_no_window(tmp_path: Path) -> None:
    from pydicom.dataset import Dataset

    table = Dataset()
    table.LUTDescriptor = [4, 100, 8]
    table.LUTData = np.array([0, 10, 200, 255], "<u2").tobytes()
    values = np.array([[0, 100, 101, 102, 103, 999]], np.uint16)
    path = write(tmp_path / "x.dcm", values, VOILUTSequence=[table])
    assert shown(path).tolist() == [[0, 0, 10, 200, 255, 255]]
    assert decode_file(path, max_pixels=LIMIT).conversions == ("window",)


def test_window_in_the_groups_of_an_enhanced_file(tmp_path: Path) -> None:
    from pydicom.dataset import Dataset

    window, rescale, group = Dataset(), Dataset(), Dataset()
    window.WindowCenter, window.WindowWidth = "40", "400"
    rescale.RescaleSlope, rescale.RescaleIntercept, rescale.RescaleType = "1", "-1000", "HU"
    group.FrameVOILUTSequence, group.PixelValueTransformationSequence = [window], [rescale]
    frames = np.array([[[840, 1040, 1240]], [[0, 0, 0]]], np.uint16)
    path = write(
        tmp_path / "x.dcm",
        frames[0],
        NumberOfFrames=2,
        SharedFunctionalGroupsSequence=[group],
    )
    with path.open("rb") as stream:
        header = pydicom.dcmread(stream)
    header.PixelData = frames.tobytes()
    header.save_as(path)
    assert shown(path).tolist() == [[0, 128, 255]]
    assert decode_file(path, max_pixels=LIMIT).conversions == ("first frame", "window")


def test_colour(tmp_path: Path) -> None:
    pixels = RNG.integers(0, 256, (6, 4, 3), dtype=np.uint8)
    assert np.array_equal(shown(write(tmp_path / "x.dcm", pixels)), pixels)
    ycc = np.asarray(Image.fromarray(pixels).convert("YCbCr"))
    path = write(tmp_path / "y.dcm", ycc, PhotometricInterpretation="YBR_FULL")
    assert np.abs(shown(path).astype(int) - pixels).max() <= 3


@pytest.mark.parametrize(
    ("name", "same"),
    [
        ("MR_small_RLE.dcm", "MR_small.dcm"),
        ("MR_small_jp2klossless.dcm", "MR_small.dcm"),
        ("MR_small_bigendian.dcm", "MR_small.dcm"),
        ("MR_small_implicit.dcm", "MR_small.dcm"),
    ],
)
def test_compression_does_not_show(name: str, same: str) -> None:
    from pydicom.data import get_testdata_file

    found = [Path(str(get_testdata_file(n, download=False))) for n in (name, same)]
    assert np.array_equal(shown(found[0]), shown(found[1]))
    assert picture_size(found[0]) == (64, 64)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("MR_small_jpeg_ls_lossless.dcm", "unsupported: DICOM compressed as 'JPEG-LS Lossless"),
        ("SC_rgb_jpeg_gdcm.dcm", "unsupported: DICOM compressed as 'JPEG Lossless"),
        ("JPGExtended.dcm", "unsupported: DICOM compressed as 'JPEG Extended"),
        ("MR_truncated.dcm", "unreadable: damaged image data"),
        ("test-SR.dcm", "unsupported: a DICOM file without a picture"),
    ],
)
def test_files_that_cannot_be_used(name: str, reason: str) -> None:
    from pydicom.data import get_testdata_file

    with pytest.raises(UnusableImageError) as caught:
        decode_file(Path(str(get_testdata_file(name, download=False))), max_pixels=LIMIT)
    assert caught.value.reason.startswith(reason)


@pytest.mark.parametrize("name", ["image_dfl.dcm", "SC_rgb_jpeg_dcmtk.dcm", "examples_palette.dcm"])
def test_further_files_are_read(name: str) -> None:
    from pydicom.data import get_testdata_file

    path = Path(str(get_testdata_file(name, download=False)))
    found = decode_file(path, max_pixels=LIMIT).pixels
    assert found.shape[:2][::-1] == picture_size(path)
    assert found.min() < 30
    assert found.max() > 200


def test_limit_and_damage(tmp_path: Path) -> None:
    path = write(tmp_path / "x.dcm", CT)
    with pytest.raises(UnusableImageError, match="too large: more than 34 pixels"):
        decode_file(path, max_pixels=34)
    data = bytearray(path.read_bytes())
    for cut in (100, 140, 300, len(data) - 20):
        (tmp_path / "cut.dcm").write_bytes(data[:cut])
        with pytest.raises(UnusableImageError):
            decode_file(tmp_path / "cut.dcm", max_pixels=LIMIT)


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    """Two classes of DICOM files, named as scanners name them."""
    for name in ("benign", "malignant"):
        for i in range(4):
            pixels = RNG.integers(0, 4096, (12, 10)).astype(np.uint16)
            ending = ("a.dcm", "IM0001", "1.2.840.10008.5", "b.DCM")[i]
            write(tmp_path / "scans" / name / ending, pixels, WindowCenter=2048, WindowWidth=4096)
        (tmp_path / "scans" / name / "README").write_text("no picture")
    return tmp_path / "scans"


def test_a_folder_of_scans(scans: Path) -> None:
    source = open_source(Where("scans", str(scans.parent)))
    names = [item.path.partition("/")[2] for item in source.items[:4]]
    assert names == ["1.2.840.10008.5", "IM0001", "a.dcm", "b.DCM"]
    assert source.ignored == {"no extension": 2}
    assert source.load("benign/IM0001", max_pixels=LIMIT).pixels.shape == (12, 10, 1)


@pytest.fixture
def without_pydicom(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [n for n in sys.modules if n.partition(".")[0] == "pydicom"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pydicom", None)


def test_the_package_is_named_where_it_is_missing(scans: Path, without_pydicom: None) -> None:
    with pytest.raises(InputError) as caught:
        open_source(Where("scans", str(scans.parent)))
    assert caught.value.given == "4 DICOM files, and the package 'pydicom' is not installed"
    assert caught.value.remedy == "pip install 'synthlift[dicom]', or in a clone: make setup"
    with pytest.raises(UnusableImageError, match=r"pip install 'synthlift\[dicom\]'"):
        decode_file(scans / "benign" / "IM0001", max_pixels=LIMIT)


def test_no_identity_is_ever_stored(scans: Path, tmp_path: Path) -> None:
    exif = Image.Exif()
    # ImageDescription, Artist, Copyright, CameraOwnerName.
    for tag, value in zip((0x010E, 0x013B, 0x8298, 0xA430), SECRETS, strict=True):
        exif[tag] = value
    info = PngImagePlugin.PngInfo()
    info.add_text("Author", SECRETS[0])
    for name in ("benign", "malignant"):
        pixels = RNG.integers(0, 256, (12, 10, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(scans / name / "x.jpg", exif=exif)
        Image.fromarray(pixels[::-1]).save(scans / name / "y.png", pnginfo=info, exif=exif)
        (scans / name / "damaged.dcm").write_bytes((scans / name / "a.dcm").read_bytes()[:-9])
    originals = b"".join(p.read_bytes() for p in scans.rglob("*") if p.is_file())
    assert all(secret.encode() in originals for secret in SECRETS)

    store = Store(tmp_path / "store")
    source = open_source(Where("scans", str(tmp_path)))
    request = stages.read_request(source, Asked(LIMIT))
    store.compute(request)
    read = store.open(request.key)
    request = stages.inventory_request(read)
    store.compute(request)
    request = stages.pixels_request(
        request.key, read=read, source=source, size=8, fit="pad", channels=3
    )
    store.compute(request)
    assert read.summary["usable"] == 12
    assert read.summary["excluded"] == {"unreadable": 2}

    files = [path for path in (tmp_path / "store").rglob("*") if path.is_file()]
    stored = b"".join(path.read_bytes() for path in files)
    # Compressed columns would hide a name from a search of the bytes.
    tables = [str(pq.read_table(p).to_pylist()) for p in files if p.suffix == ".parquet"]
    assert len(tables) == 2
    for secret in SECRETS:
        for word in {secret, *secret.split("^")}:
            assert word.encode() not in stored
            assert word.encode("utf-16-le") not in stored
            assert all(word not in table for table in tables)
