"""Data sets of torchvision by name: ``torchvision:CIFAR10?root=./data&download=yes``.

After the question mark may stand

- ``root``: the folder that torchvision was given; else ``$SYNTHLIFT_DATA``, else ``data``;
- ``split``: one of the set's own parts, where not all of them are wanted;
- ``download=yes``: fetch what is missing. Nothing is ever downloaded without it.

torchvision itself unpickles some sets (CIFAR) once it has checked their known MD5 sums.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from synthlift.data.contract import Item, Source, Where
from synthlift.data.decode import WHITE_16_BIT, Decoded, UnusableImageError, decode_picture
from synthlift.data.readers.listing import encodable
from synthlift.data.readers.numbered import in_order, path_name, row_items, row_of
from synthlift.errors import InputError, nearest_name
from synthlift.registry import ComponentConfig
from synthlift.store import digest
from synthlift.types import UInt8

_TRAIN = ("train", "test")
_THREE = ("train", "val", "test")
# What each set calls its parts; sets without parts have (). Only sets with one class an image.
SETS: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(("CIFAR10", "CIFAR100", "FashionMNIST", "KMNIST", "MNIST", "USPS"), _TRAIN),
    **dict.fromkeys(("FER2013", "Food101", "GTSRB", "STL10", "StanfordCars", "SVHN"), _TRAIN),
    **dict.fromkeys(("DTD", "FGVCAircraft", "Flowers102", "PCAM", "RenderedSST2"), _THREE),
    **dict.fromkeys(("Caltech101", "Caltech256", "EuroSAT", "SEMEION", "SUN397"), ()),
    "Country211": ("train", "valid", "test"),
    "ImageNet": ("train", "val"),
    "Imagenette": ("train", "val"),
    "OxfordIIITPet": ("trainval", "test"),
}
_FURTHER = {
    "FGVCAircraft": ("trainval",),
    "STL10": ("unlabeled", "train+unlabeled"),
    "SVHN": ("extra",),
}
_BOOLEAN = frozenset({"CIFAR10", "CIFAR100", "FashionMNIST", "KMNIST", "MNIST", "USPS"})
_NO_DOWNLOAD = frozenset({"FER2013", "ImageNet"})
_FORM = "torchvision:NAME?root=FOLDER&split=PART&download=yes, all after the name optional"


@dataclass(frozen=True)
class _Asked:
    name: str
    root: Path
    splits: tuple[str, ...]
    download: bool


class TorchvisionReader:
    """Opens ``torchvision:NAME``."""

    def __init__(self, config: ComponentConfig) -> None:
        del config

    def open(self, where: Where) -> Source:
        """See :class:`~synthlift.data.contract.Reader`."""
        asked = _parse(where)
        sets, items = {}, []
        for split in asked.splits or ("",):
            found = _build(asked, split)
            # What is not kept for testing is trained on.
            name = split.replace("trainval", "train")
            sets[path_name(name)] = found
            labels = class_labels(found) if where.labelled else None
            items += row_items(name, len(found), labels=labels)
        return _Torchvision(where, asked, sets, in_order(items, where))


class _Torchvision:
    """Images of one data set."""

    def __init__(
        self, where: Where, asked: _Asked, sets: Mapping[str, Any], items: Sequence[Item]
    ) -> None:
        self.where = where
        self.items = items
        self.ignored: Mapping[str, int] = {}
        self.notes: Sequence[str] = ()
        self.fingerprint = digest([where.source, encodable(str(asked.root)), _files(asked.root)])
        self._sets = sets

    def load(self, path: str, *, max_pixels: int, white: int = WHITE_16_BIT) -> Decoded:
        name, row = row_of(path)
        try:
            picture = self._sets[name][row][0]
            return decode_picture(picture, max_pixels=max_pixels, white=white)
        except (UnusableImageError, MemoryError):
            raise
        except Exception as error:  # Decoders answer damaged bytes with almost any exception.
            raise UnusableImageError("unreadable", "damaged image data") from error

    def file(self, path: str) -> Path | None:
        del path
        return None

    def load_mask(self, mask: str) -> UInt8:
        raise UnusableImageError("mask", f"torchvision's data sets bring no masks: {mask}")


def class_labels(found: Any) -> list[str]:
    """The class of every image of a torchvision data set, by name where the set names its classes.

    Nothing is decoded. Two classes of one name ("crane" and "maillot" in ImageNet) keep their
    numbers beside it.
    """
    numbers = _numbers(found)
    names = [_word(name) for name in getattr(found, "classes", getattr(found, "categories", ()))]
    if min(numbers, default=0) < 0:
        raise InputError(
            f"{sum(number < 0 for number in numbers):,} images of this part have no class",
            rule="images to train on and to test on have one class each",
            remedy="leave out 'split=', or give this part under data.unlabelled",
        )
    if max(numbers, default=0) >= len(names):
        return [str(number) for number in numbers]
    doubled = {name for name in names if names.count(name) > 1}
    words = [f"{n} {k}" if n in doubled else n for k, n in enumerate(names)]
    return [words[number] for number in numbers]


def _numbers(found: Any) -> list[int]:
    for name in ("targets", "labels", "_labels", "y"):
        values = getattr(found, name, None)
        if values is not None and len(values) == len(found):
            return [int(value) for value in values]
    for name in ("samples", "_samples"):
        values = getattr(found, name, None)
        if values is not None and len(values) == len(found):
            return [int(value[1]) for value in values]
    # Sets whose labels lie in a file that only they can read.
    return [int(found[row][1]) for row in range(len(found))]


def _word(name: object) -> str:
    return ", ".join(map(str, name)) if isinstance(name, (tuple, list)) else str(name)


def _parse(where: Where) -> _Asked:
    name, _, query = where.source.partition(":")[2].partition("?")
    if name not in SETS:
        raise InputError(
            f"unknown torchvision data set '{name}'{nearest_name(name, SETS)}",
            rule="data sets with one class an image are read: " + ", ".join(sorted(SETS)),
            remedy="correct the name; others are read once they are saved as a folder, a table or "
            "an .npz file",
        )
    options = dict(parse_qsl(query, keep_blank_values=True))
    for key in options:
        if key not in ("root", "split", "download"):
            raise InputError(
                f"'{where.source}' asks for '{key}'{nearest_name(key, ['root', 'split'])}",
                rule=f"the form is {_FORM}",
                remedy="correct or leave out that part",
            )
    split = options.get("split")
    splits = (*SETS[name], *_FURTHER.get(name, ()))
    if split is not None and split not in splits:
        raise InputError(
            f"{name} has no part '{split}'{nearest_name(split, splits)}",
            rule=f"its parts are: {', '.join(splits) or 'none, it is one whole'}",
            remedy="correct the part, or leave it out for all of them",
        )
    download = options.get("download", "no")
    if download not in ("yes", "no"):
        raise InputError(
            f"'{where.source}' has download={download}",
            rule="download is yes or no",
            remedy="write download=yes, or leave it out",
        )
    root = where.beside(options.get("root") or os.environ.get("SYNTHLIFT_DATA") or "data")
    return _Asked(name, root.resolve(), (split,) if split else SETS[name], download == "yes")


def _build(asked: _Asked, split: str) -> Any:
    """One part of a data set.

    Raises:
        InputError: its files are not there, or cannot be downloaded.
    """
    options: dict[str, Any] = {}
    if asked.name in _BOOLEAN:
        options["train"] = split == "train"
    elif split:
        options["split"] = split
    if asked.name not in _NO_DOWNLOAD:
        options["download"] = asked.download
    try:
        # By name, since this package stays free of torch until such a set is asked for.
        module = importlib.import_module("torchvision.datasets")
        return getattr(module, asked.name)(root=str(asked.root), **options)
    except ImportError as error:
        raise InputError(
            f"torchvision:{asked.name} needs a further package: {error}",
            rule="some of torchvision's data sets are read by packages of their own (scipy, h5py)",
            remedy=f"pip install {error.name or 'what is missing'}",
        ) from error
    except Exception as error:  # torchvision answers missing files with almost any exception.
        what = "cannot be downloaded to" if asked.download else "is not (completely) in"
        raise InputError(
            f"torchvision:{asked.name} {what} {asked.root}: {str(error)[:200]}",
            rule="the data set lies below its root as torchvision lays it out; nothing is "
            "downloaded unasked",
            remedy=f"write torchvision:{asked.name}?root=FOLDER with the right folder, or allow "
            f"the download: torchvision:{asked.name}?root={asked.root}&download=yes",
        ) from error


def _files(root: Path) -> list[tuple[str, int, int, int]]:
    """Every file below the root with its size and times, sorted."""
    found = []
    for folder, below, names in os.walk(root):
        below.sort()
        for name in names:
            path = Path(folder, name)
            status = path.lstat()
            times = (status.st_size, status.st_mtime_ns, status.st_ctime_ns)
            found.append((encodable(path.relative_to(root).as_posix()), *times))
    return sorted(found)
