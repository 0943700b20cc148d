from __future__ import annotations

import gzip
import struct
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from synthlift.data.contract import Source, Where
from synthlift.data.readers.torchvision_sets import SETS, class_labels
from synthlift.data.sources import open_source
from synthlift.errors import InputError

LIMIT = 1_000_000
RNG = np.random.default_rng(0)
CLOTHES = ("T-shirt/top", "Trouser", "Pullover")


def write_idx(path: Path, values: np.ndarray) -> None:
    """The format of MNIST: two zeros, type 8 (uint8), the number of axes, and their lengths."""
    path.parent.mkdir(parents=True, exist_ok=True)
    head = struct.pack(f">BBBB{values.ndim}I", 0, 0, 8, values.ndim, *values.shape)
    path.write_bytes(head + values.astype(np.uint8).tobytes())
    with gzip.open(f"{path}.gz", "wb") as stream:
        stream.write(head + values.astype(np.uint8).tobytes())


def fashion(root: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    found = {}
    for name, n in (("train", 9), ("t10k", 6)):
        images = RNG.integers(0, 256, (n, 28, 28), dtype=np.uint8)
        labels = np.arange(n) % 3
        raw = root / "FashionMNIST" / "raw"
        write_idx(raw / f"{name}-images-idx3-ubyte", images)
        write_idx(raw / f"{name}-labels-idx1-ubyte", labels)
        found[name] = images, labels
    return found


def opened(base: Path, source: str, **more: Any) -> Source:
    return open_source(Where(source, str(base), **more))


def refusal(base: Path, source: str) -> InputError:
    with pytest.raises(InputError) as caught:
        opened(base, source)
    return caught.value


def test_parts_classes_and_pixels_are_kept(tmp_path: Path) -> None:
    parts = fashion(tmp_path / "sets")
    source = opened(tmp_path, "torchvision:FashionMNIST?root=./sets")
    assert Counter(item.part for item in source.items) == {"train": 9, "test": 6}
    assert [item.id for item in source.items[:7]] == [
        *(f"test/{i:05d}" for i in range(6)),
        "train/00000",
    ]
    assert [item.label for item in source.items[:6]] == [*CLOTHES, *CLOTHES]
    for part, name in (("train", "train"), ("test", "t10k")):
        found = source.load(f"{part}/00004", max_pixels=LIMIT)
        assert np.array_equal(found.pixels[:, :, 0], parts[name][0][4])
        assert (found.mode, found.bits) == ("L", 8)


def test_root_comes_from_the_environment_or_lies_beside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fashion(tmp_path / "data")
    assert len(opened(tmp_path, "torchvision:FashionMNIST").items) == 15
    (tmp_path / "data").rename(tmp_path / "elsewhere")
    monkeypatch.setenv("SYNTHLIFT_DATA", str(tmp_path / "elsewhere"))
    assert len(opened(tmp_path / "x", "torchvision:FashionMNIST").items) == 15


def test_one_part_may_be_asked_for(tmp_path: Path) -> None:
    fashion(tmp_path)
    source = opened(tmp_path, "torchvision:FashionMNIST?root=.&split=train")
    assert [item.part for item in source.items] == [""] * 9
    error = refusal(tmp_path, "torchvision:FashionMNIST?root=.&split=trian")
    assert error.given == "FashionMNIST has no part 'trian' – did you mean 'train'?"


def test_a_set_of_folders_without_parts(tmp_path: Path) -> None:
    pixels = RNG.integers(0, 256, (2, 3, 8, 8, 3), dtype=np.uint8)
    for k, name in enumerate(("Forest", "River")):
        folder = tmp_path / "eurosat" / "2750" / name
        folder.mkdir(parents=True)
        for i in range(3):
            Image.fromarray(pixels[k, i]).save(folder / f"{name}_{i}.png")
    source = opened(tmp_path, "torchvision:EuroSAT?root=.")
    assert [item.label for item in source.items] == ["Forest"] * 3 + ["River"] * 3
    assert {item.part for item in source.items} == {""}
    assert np.array_equal(source.load("images/00004", max_pixels=LIMIT).pixels, pixels[1, 1])
    first = source.fingerprint
    assert opened(tmp_path, "torchvision:EuroSAT?root=.").fingerprint == first
    Image.fromarray(pixels[0, 0]).save(tmp_path / "eurosat" / "2750" / "River" / "new.png")
    assert opened(tmp_path, "torchvision:EuroSAT?root=.").fingerprint != first


def test_nothing_is_downloaded_unasked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("reached for the network")

    monkeypatch.setattr("urllib.request.urlopen", refuse)
    error = refusal(tmp_path, "torchvision:CIFAR10?root=.")
    assert error.given.startswith(f"torchvision:CIFAR10 is not (completely) in {tmp_path}: ")
    assert error.remedy.endswith(f"torchvision:CIFAR10?root={tmp_path}&download=yes")
    assert list(tmp_path.iterdir()) == []


def test_a_download_that_fails_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def refuse(request: Any, *_: object, **__: object) -> None:
        asked.append(request.full_url)
        raise OSError("no network")

    monkeypatch.setattr("urllib.request.urlopen", refuse)
    error = refusal(tmp_path, "torchvision:CIFAR10?root=.&download=yes")
    assert "cannot be downloaded to" in error.given
    assert any("cifar-10-python" in url for url in asked)


def test_names_and_options_are_checked(tmp_path: Path) -> None:
    error = refusal(tmp_path, "torchvision:CIFAR1O")
    assert error.given == ("unknown torchvision data set 'CIFAR1O' – did you mean 'CIFAR10'?")
    assert "CocoDetection" not in error.rule
    assert "asks for 'rot' – did you mean 'root'?" in str(
        refusal(tmp_path, "torchvision:MNIST?rot=.")
    )
    assert "download is yes or no" in str(refusal(tmp_path, "torchvision:MNIST?download=1"))


def test_every_set_exists_and_takes_its_parts() -> None:
    import inspect

    from torchvision import datasets

    for name, splits in SETS.items():
        parameters = inspect.signature(getattr(datasets, name).__init__).parameters
        assert bool(splits) == bool({"split", "train"} & set(parameters)), name


def test_labels_of_sets_that_only_decoding_tells() -> None:
    from torchvision.datasets import FakeData

    found = FakeData(size=6, image_size=(3, 4, 4), num_classes=3)
    assert class_labels(found) == [str(int(found[row][1])) for row in range(6)]


def test_classes_of_one_name_stay_apart() -> None:
    class Cranes:
        classes = (("crane",), ("ox", "bull"), ("crane",))
        targets = (0, 1, 2)

        def __len__(self) -> int:
            return 3

    assert class_labels(Cranes()) == ["crane 0", "ox, bull", "crane 2"]


def test_an_unlabelled_part_is_no_data_set() -> None:
    class Pool:
        labels = np.array([-1, -1])

        def __len__(self) -> int:
            return 2

    with pytest.raises(InputError, match=r"2 images of this part have no class"):
        class_labels(Pool())
