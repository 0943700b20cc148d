"""Writing an export: a folder of images, a table beside images, parquet, or a Hub data set."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from synthlift.api.exporting.entries import Entry, File, Names
from synthlift.api.naming import folder_names
from synthlift.spec.provenance import EXPORTED_COLUMNS as TABLE_COLUMNS
from synthlift.spec.provenance import SHARES, SYNTHETIC, column_for

Format = Literal["imagefolder", "csv", "parquet", "hf"]
FORMATS: tuple[Format, ...] = get_args(Format)
TRAIN_FOLDER, IMAGES, DATA = "train", "images", "data"
PROVENANCE, METADATA = "provenance.csv", "metadata.csv"
PROVENANCE_COLUMNS = (
    *("file", "label", "origin", "pixels", "id", "group", "sha256", "generator", "fit", "index"),
    *("seed", "prompt", SHARES),
)
ROWS_HELD = 100
"""Rows of a parquet row group, as ``datasets`` writes images: one image is read with its group."""


@dataclass
class Written:
    """What was written.

    Attributes:
        kinds: images by how their pixels were written.
        generated: those of the source that say that they were generated in an earlier run.
        rows: images by split.
        bytes: size of the images by split.
        files: parquet files by split.
    """

    kinds: dict[str, int] = field(default_factory=dict)
    generated: int = 0
    rows: dict[str, int] = field(default_factory=dict)
    bytes: dict[str, int] = field(default_factory=dict)
    files: dict[str, Path] = field(default_factory=dict)

    def count(self, entry: Entry, file: File) -> None:
        """Add one image."""
        self.rows[entry.split] = self.rows.get(entry.split, 0) + 1
        self.bytes[entry.split] = self.bytes.get(entry.split, 0) + len(file.data)
        self.kinds[file.kind] = self.kinds.get(file.kind, 0) + 1
        self.generated += file.generated and not entry.synthetic


def write(
    form: Format,
    folder: Path,
    entries: Sequence[Entry],
    files: Iterable[File],
    *,
    classes: Sequence[str],
) -> Written:
    """Write all images below ``folder`` in one of the formats; memory holds few at a time.

    Args:
        form: imagefolder = ``train/<class>/`` and ``provenance.csv``; csv = ``images/`` and
            ``metadata.csv``; parquet = ``<split>.parquet``; hf = the same as the Hub wants it.
        folder: there and empty.
        entries, files: in step.
        classes: names in index order.
    """
    if form == "imagefolder":
        return _write_images(folder, entries, files, below=TRAIN_FOLDER, table=PROVENANCE)
    if form == "csv":
        return _write_images(folder, entries, files, below=IMAGES, table=METADATA)
    target: Callable[[str], Path] = {
        "parquet": lambda split: folder / f"{split}.parquet",
        "hf": lambda split: folder / DATA / f"{split}-00000-of-00001.parquet",
    }[form]
    return _write_parquet(entries, files, target=target, classes=classes)


# ── images and a table ────────────────────────────────────────────────────────────────────────


def _write_images(
    folder: Path, entries: Sequence[Entry], files: Iterable[File], *, below: str, table: str
) -> Written:
    places = folder_names([entry.image.label for entry in entries])
    names, written = Names(), Written()
    columns = {name: column_for(name, TABLE_COLUMNS) for name in _attributes(entries)}
    known = PROVENANCE_COLUMNS if table == PROVENANCE else (*TABLE_COLUMNS, *columns.values())
    with (folder / table).open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, known, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        for entry, file in zip(entries, files, strict=True):
            target = folder / below / places[entry.image.label]
            target.mkdir(parents=True, exist_ok=True)
            target /= names.take(entry, file.suffix)
            target.write_bytes(file.data)
            written.count(entry, file)
            path = target.relative_to(folder).as_posix()
            facts = _facts(entry, file)
            named = {columns[name]: value for name, value in entry.attributes.items()}
            writer.writerow({"file": path, "file_name": path, **facts, **named})
    return written


def _attributes(entries: Iterable[Entry]) -> list[str]:
    return list(dict.fromkeys(name for entry in entries for name in entry.attributes))


def _facts(entry: Entry, file: File) -> dict[str, Any]:
    """All that is known of an image but its attributes and its place; "" for what is not there."""
    image, facts = entry.image, entry.facts
    named = ("generator", "fit", "index", "seed", "prompt", SHARES)
    told = {key: facts.get(key, "") for key in named}
    return {
        "label": image.label,
        "split": entry.split,
        "origin": SYNTHETIC if file.generated else image.origin,
        "pixels": file.kind,
        "id": image.id,
        "group": image.group,
        "sha256": image.sha256,
        **told,
    }


# ── parquet ───────────────────────────────────────────────────────────────────────────────────


def _write_parquet(
    entries: Sequence[Entry],
    files: Iterable[File],
    *,
    target: Callable[[str], Path],
    classes: Sequence[str],
) -> Written:
    import pyarrow.parquet as pq

    features = features_of(_attributes(entries), classes=classes)
    schema = _schema(features)
    names, written = Names(), Written()
    held: list[dict[str, Any]] = []
    writer: Any = None
    for entry, file in zip(entries, files, strict=True):
        if entry.split not in written.files:
            _flush(writer, held, schema)
            if writer is not None:
                writer.close()
            path = target(entry.split)
            path.parent.mkdir(parents=True, exist_ok=True)
            writer = pq.ParquetWriter(str(path), schema)
            written.files[entry.split] = path
        held.append(_row(entry, file, names, classes))
        written.count(entry, file)
        if len(held) == ROWS_HELD:
            _flush(writer, held, schema)
    _flush(writer, held, schema)
    if writer is not None:
        writer.close()
    return written


def features_of(attributes: Sequence[str], *, classes: Sequence[str]) -> dict[str, Any]:
    """The columns as ``datasets`` calls its features, in order."""

    def value(kind: str) -> dict[str, str]:
        return {"dtype": kind, "_type": "Value"}

    whole = {"seed", "fit", "index"}
    own = [name for name in TABLE_COLUMNS if name not in ("file_name", "label", "split")]
    return {
        "image": {"_type": "Image"},
        "label": {"names": list(classes), "_type": "ClassLabel"},
        **{name: value("int64" if name in whole else "string") for name in own},
        **{column_for(name, ("image", *TABLE_COLUMNS)): value("string") for name in attributes},
    }


def _schema(features: Mapping[str, Any]) -> Any:
    import pyarrow as pa

    picture = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    kinds = {"int64": pa.int64(), "string": pa.string()}
    fields = [
        (
            name,
            picture
            if feature["_type"] == "Image"
            else kinds[feature.get("dtype", "int64")],  # a class label is a number
        )
        for name, feature in features.items()
    ]
    told = json.dumps({"info": {"features": dict(features)}})
    return pa.schema(fields, metadata={"huggingface": told})


def _row(entry: Entry, file: File, names: Names, classes: Sequence[str]) -> dict[str, Any]:
    facts = _facts(entry, file)
    for name in ("seed", "fit", "index"):
        facts[name] = int(facts[name]) if facts[name] else None
    path = names.take(entry, file.suffix)
    taken = ("image", *TABLE_COLUMNS)
    return {
        **facts,
        "image": {"bytes": file.data, "path": path},
        "label": classes.index(entry.image.label),
        **{column_for(name, taken): value for name, value in entry.attributes.items()},
    }


def _flush(writer: Any, held: list[dict[str, Any]], schema: Any) -> None:
    import pyarrow as pa

    if held:
        writer.write_table(pa.Table.from_pylist(held, schema=schema))
        held.clear()
