"""Reading images out of artefacts: the parts of a split, and generated images by manifest.

Three artefacts make a data set: the *inventory* (``inventory.parquet``: one row an image that was
read), the *pixels* (``pixels.npy``: uint8 [N, H, W, C], row i belongs to the i-th inventory row
whose status is "ok") and the *split* (``split.parquet``: draw, id, part). Test rows never pass
through here: ``study.open_test`` alone reads them.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Literal, TypedDict, get_args

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from synthlift.errors import LeakageError
from synthlift.rows import PixelRows
from synthlift.store.packed import JoinedRows
from synthlift.store.pixel_files import WithChannel, open_rows
from synthlift.store.store import Store
from synthlift.types import (
    UNLABELLED,
    Float32,
    GuardedPixels,
    ImageSet,
    Int64,
    LockedTest,
    Strings,
    UInt8,
)

Part = Literal["train", "validation", "pool", "unlabelled"]
INVENTORY, PIXELS, SPLIT = "inventory.parquet", "pixels.npy", "split.parquet"
MASKS = "masks.npy"
"""uint8 [N, H, W], rows as in the pixels; 0 = background, or no mask."""
SOFT_LABELS = "soft_labels.npy"
"""float32 [N, K], class probabilities of generated images that mix classes."""


class DataKeys(TypedDict):
    """The three artefacts of a data set."""

    inventory: str
    pixels: str
    split: str


def as_inputs(keys: DataKeys) -> dict[str, str | list[str]]:
    """The three artefacts as inputs of a stage."""
    return {"inventory": keys["inventory"], "pixels": keys["pixels"], "split": keys["split"]}


class ManifestEntry(TypedDict):
    """Rows of one committed chunk of generated images, in request order."""

    chunk: str
    label: int
    rows: list[int]


def read_table(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """Read one parquet file without importing pandas, as ``pq.read_table`` would."""
    with pq.ParquetFile(path) as file:
        return file.read(columns=None if columns is None else list(columns))


def usable_rows(store: Store, inventory: str) -> Mapping[str, Strings]:
    """Columns id, label, group, sha256, part of the usable inventory rows, in pixel order."""
    return _usable_rows(store.open(inventory).path(INVENTORY))


@functools.lru_cache(maxsize=4)
def _usable_rows(path: Path) -> Mapping[str, Strings]:
    # Through lists, since Arrow's own conversions import pandas.
    names = ("id", "label", "group", "sha256", "part")
    table = read_table(path, (*names, "status"))
    keep = [row for row, status in enumerate(table.column("status").to_pylist()) if status == "ok"]
    columns = {name: np.array(table.column(name).to_pylist(), dtype=np.str_) for name in names}
    return {name: column[keep] for name, column in columns.items()}


def attribute_columns(store: Store, inventory: str) -> Mapping[str, Strings]:
    """Attributes of the usable inventory rows by name, in pixel order; "" where one is missing."""
    return _attribute_columns(store.open(inventory).path(INVENTORY))


@functools.lru_cache(maxsize=4)
def _attribute_columns(path: Path) -> Mapping[str, Strings]:
    table = read_table(path, ("attributes", "status"))
    rows = zip(*(table.column(name).to_pylist() for name in ("attributes", "status")), strict=True)
    found = [json.loads(text) for text, status in rows if status == "ok"]
    names = dict.fromkeys(name for row in found for name in row)
    return {name: np.array([row.get(name, "") for row in found], dtype=np.str_) for name in names}


def class_names(store: Store, inventory: str) -> tuple[str, ...]:
    """Class names sorted by name; their order defines the class indices."""
    return tuple(sorted(set(usable_rows(store, inventory)["label"])))


def members(store: Store, keys: DataKeys, draw: int, part: str) -> Strings:
    """Ids of one part of one draw, in the split's order."""
    found = _parts(store.open(keys["split"]).path(SPLIT)).get((draw, part), [])
    return np.array(found, dtype=np.str_)


@functools.lru_cache(maxsize=4)
def _parts(path: Path) -> dict[tuple[int, str], list[str]]:
    table = read_table(path)
    found: dict[tuple[int, str], list[str]] = {}
    for draw, name, part in zip(
        *(table.column(column).to_pylist() for column in ("draw", "id", "part")), strict=True
    ):
        found.setdefault((draw, part), []).append(name)
    return found


def positions(ids: Strings, wanted: Strings) -> NDArray[np.intp]:
    """Row of each wanted id among ``ids``."""
    where = {name: row for row, name in enumerate(ids)}
    return np.array([where[name] for name in wanted], dtype=np.intp)


def read_part(store: Store, keys: DataKeys, *, draw: int, part: Part) -> ImageSet:
    """Read the training, validation, left-over or unlabelled images of one draw (or fold).

    Unlabelled ones lose the labels that the inventory has for them.

    Raises:
        LeakageError: the test part was asked for.
    """
    if part not in get_args(Part):
        raise LeakageError(f"part '{part}' is locked until all planned models are committed")
    columns = usable_rows(store, keys["inventory"])
    rows = positions(columns["id"], members(store, keys, draw, part))
    classes = class_names(store, keys["inventory"])
    found = _image_set(store, keys["inventory"], keys["pixels"], rows=rows, classes=classes)
    return found.without_labels() if part == "unlabelled" else found


def read_masks(
    store: Store, keys: DataKeys, masks: str, *, draw: int, part: Literal["train", "validation"]
) -> GuardedPixels:
    """Masks of a draw's training or validation images, uint8 [N, H, W, 1], row by row."""
    columns = usable_rows(store, keys["inventory"])
    rows = positions(columns["id"], members(store, keys, draw, part))
    return GuardedPixels(WithChannel(open_rows(store.open(masks).path(MASKS))), rows)


def read_beside(
    store: Store,
    *,
    inventory: str,
    pixels: str,
    classes: tuple[str, ...],
    left_out: Collection[str],
) -> ImageSet:
    """Read images of a source beside the data set, without those whose ids are ``left_out``.

    Labels are indices into ``classes``; images of any other class have none.
    """
    ids = usable_rows(store, inventory)["id"]
    rows = np.flatnonzero([name not in left_out for name in ids.tolist()])
    return _image_set(store, inventory, pixels, rows=rows, classes=classes)


def _image_set(
    store: Store,
    inventory: str,
    pixels: str,
    *,
    rows: NDArray[np.intp],
    classes: tuple[str, ...],
) -> ImageSet:
    columns = usable_rows(store, inventory)
    index = {name: k for k, name in enumerate(classes)}
    labels = [index.get(name, UNLABELLED) for name in columns["label"][rows].tolist()]
    attributes = attribute_columns(store, inventory)
    return ImageSet(
        ids=columns["id"][rows],
        labels=np.array(labels, dtype=np.int64),
        groups=columns["group"][rows],
        classes=classes,
        source=GuardedPixels(open_rows(store.open(pixels).path(PIXELS)), rows),
        attributes={name: column[rows] for name, column in attributes.items()},
    )


def locked_test(store: Store, keys: DataKeys, *, draw: int) -> LockedTest:
    """The test part of one draw (or fold) as a lock: ids, groups and content hashes."""
    columns = usable_rows(store, keys["inventory"])
    rows = positions(columns["id"], members(store, keys, draw, "test"))
    return LockedTest(
        ids=columns["id"][rows], groups=columns["group"][rows], hashes=columns["sha256"][rows]
    )


def read_generated(store: Store, manifest: Sequence[ManifestEntry]) -> tuple[UInt8, Int64]:
    """Read generated images: pixels uint8 [n, H, W, C] and labels [n], in manifest order."""
    rows, labels = generated_rows(store, manifest)
    return rows[np.arange(len(labels))], labels


def generated_rows(store: Store, manifest: Sequence[ManifestEntry]) -> tuple[PixelRows, Int64]:
    """As :func:`read_generated`, but an image is read when its row is asked for."""
    folders = {key: store.open(key).folder for key in {e["chunk"] for e in manifest}}
    labels = [np.full(len(entry["rows"]), entry["label"], np.int64) for entry in manifest]
    rows = JoinedRows([(folders[entry["chunk"]], entry["rows"]) for entry in manifest])
    return rows, np.concatenate(labels)


def generated_targets(
    store: Store, manifest: Sequence[ManifestEntry], *, classes: int
) -> Float32 | None:
    """Class probabilities [n, K] of generated images, where any of them mixes classes."""
    places = {key: store.open(key).folder / SOFT_LABELS for key in {e["chunk"] for e in manifest}}
    if not any(path.is_file() for path in places.values()):
        return None
    certain = np.eye(classes, dtype=np.float32)
    found = [
        np.load(path, mmap_mode="r")[entry["rows"]]
        if (path := places[entry["chunk"]]).is_file()
        else np.repeat(certain[[entry["label"]]], len(entry["rows"]), axis=0)
        for entry in manifest
    ]
    return np.concatenate(found)
