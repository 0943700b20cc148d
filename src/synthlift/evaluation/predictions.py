"""The predictions table: one row per image, arm and replicate, with class probabilities.

It is a parquet file that anyone can write. Four columns are required, the others have defaults:

=================  ==============  ==========  ==================================================
column             type            default     meaning
=================  ==============  ==========  ==================================================
``arm``            string          required    which recipe trained the model
``image_id``       string          required    unique within an evaluation set
``label``          int or string   required    true class, as an index or a name
``probabilities``  list<float32>   required    one per class, adding up to 1
``multiple``       float64         0           synthetic images per real one (METHOD §1)
``replicate``      int64           0           paired repetition; in design C the fold's index
``fit``            int64           -1          generator fit or training draw; -1 = none
``fold``           int64           -1          fold index 0 … J−1 over all repeats; -1 = one test
``evaluation_set`` string          ``test``    test, validation, synthetic or an external name
``variant``        string          ``clean``   clean, or a corruption with its severity
``group``          string          image_id    patient, lesion …: what was drawn as a unit
=================  ==============  ==========  ==================================================

Class names stand in the schema metadata under ``classes`` as a JSON list, in index order.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from synthlift.errors import InputError
from synthlift.types import Float32, Int64

TEXT = ("arm", "evaluation_set", "variant", "image_id", "group")
WHOLE = ("replicate", "fit", "fold", "label")
REQUIRED = ("arm", "image_id", "label", "probabilities")
DEFAULTS: dict[str, Any] = {
    "multiple": 0.0,
    "replicate": 0,
    "fit": -1,
    "fold": -1,
    "evaluation_set": "test",
    "variant": "clean",
}
SCHEMA = pa.schema(
    [
        ("arm", pa.string()),
        ("multiple", pa.float64()),
        ("replicate", pa.int64()),
        ("fit", pa.int64()),
        ("fold", pa.int64()),
        ("evaluation_set", pa.string()),
        ("variant", pa.string()),
        ("image_id", pa.string()),
        ("group", pa.string()),
        ("label", pa.int64()),
        ("probabilities", pa.list_(pa.float32())),
    ]
)
TOLERANCE = 1e-3
_AT_ONCE = 2**16
_HOW = "see 'Predictions of your own' in docs/howto/run-folder.md"


@dataclass(frozen=True)
class Predictions:
    """A checked predictions table.

    Attributes:
        table: columns of ``SCHEMA``.
        classes: class names in index order [K].
    """

    table: pa.Table
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def codes(self, column: str) -> tuple[Int64, tuple[str, ...]]:
        """A text column as codes int64 [rows] into the returned distinct values."""
        encoded = self.table.column(column).combine_chunks().dictionary_encode()
        if isinstance(encoded, pa.ChunkedArray):
            encoded = encoded.combine_chunks()
        values = tuple(str(value) for value in encoded.dictionary.to_pylist())
        return np.asarray(encoded.indices, dtype=np.int64), values

    def whole(self, column: str) -> Int64:
        """A whole-number column, int64 [rows]."""
        return np.asarray(self.table.column(column), dtype=np.int64)

    def probabilities(self) -> Float32:
        """Class probabilities, float32 [rows, K]."""
        return _matrix(self.table.column("probabilities"), len(self.classes))

    def select(self, **equal: str) -> Predictions:
        """The rows whose text columns equal the given values."""
        mask = np.ones(len(self), dtype=bool)
        for column, value in equal.items():
            mask &= np.asarray(pc.equal(self.table.column(column), value))
        return self.where(mask)

    def where(self, mask: NDArray[np.bool_]) -> Predictions:
        """The rows for which ``mask`` [rows] is true."""
        return Predictions(self.table.filter(pa.array(mask)), self.classes)

    def arms(self) -> tuple[str, ...]:
        """Names of the arms in order of appearance."""
        return self.codes("arm")[1]


def build(columns: Mapping[str, Any], *, classes: Sequence[str]) -> Predictions:
    """Make a checked table of arrays.

    Args:
        columns: arrays by name; ``probabilities`` is [rows, K]; scalars are repeated.
        classes: class names in index order.

    Raises:
        InputError: as :func:`check`.
    """
    return check(as_table(columns), classes=classes)


def as_table(columns: Mapping[str, Any]) -> pa.Table:
    """Arrays as :func:`build` takes them, as a table that is not checked yet."""
    probabilities = np.ascontiguousarray(columns["probabilities"], dtype=np.float32)
    rows, width = probabilities.shape
    arrays: dict[str, pa.Array] = {}
    for name, value in columns.items():
        if name == "probabilities":
            offsets = pa.array(np.arange(0, rows * width + 1, width, dtype=np.int32))
            arrays[name] = pa.ListArray.from_arrays(offsets, pa.array(probabilities.ravel()))
        else:
            arrays[name] = pa.array(value if np.ndim(value) else [value] * rows)
    return pa.table(arrays)


def concatenate(parts: Sequence[Predictions]) -> Predictions:
    """Join checked tables over the same classes, and check the whole."""
    assert parts
    assert all(part.classes == parts[0].classes for part in parts)
    return check(pa.concat_tables([part.table for part in parts]), classes=parts[0].classes)


def write(predictions: Predictions, path: Path) -> None:
    """Write parquet with class names in the metadata; the file is replaced in one step."""
    metadata = {"classes": json.dumps(list(predictions.classes))}
    temporary = path.with_name(f".{path.name}.part")
    pq.write_table(
        predictions.table.replace_schema_metadata(metadata), temporary, compression="zstd"
    )
    temporary.replace(path)


def read(path: Path) -> Predictions:
    """Read and check a predictions file.

    Raises:
        InputError: it is no parquet file, or breaks a rule of :func:`check`.
    """
    try:
        table = pq.read_table(path)
    except FileNotFoundError:
        raise InputError(
            f"'{path}' does not exist", rule="a predictions file is needed", remedy=_HOW
        ) from None
    except (pa.ArrowInvalid, OSError) as error:
        raise InputError(
            f"'{path}' cannot be read as parquet ({error})",
            rule="predictions are a parquet file",
            remedy="write it with pandas: frame.to_parquet('predictions.parquet')",
        ) from None
    return check(table)


def check(table: pa.Table, *, classes: Sequence[str] | None = None) -> Predictions:
    """Fill in defaults and check every rule that does not need to know the question.

    Raises:
        InputError: a column is missing or of another type, a label has no class, probabilities
            are not a distribution, rows repeat, or one image has two labels or groups.
    """
    missing = [name for name in REQUIRED if name not in table.column_names]
    if missing:
        raise InputError(
            f"the predictions table has no column '{missing[0]}' "
            f"(it has: {', '.join(table.column_names)})",
            rule=f"required columns: {', '.join(REQUIRED)}",
            remedy=_HOW,
        )
    if table.num_rows == 0:
        raise InputError("the predictions table is empty", rule="one row an image", remedy=_HOW)
    names = _class_names(table, classes)
    full = _complete(table, names)
    _check_probabilities(full, len(names))
    checked = Predictions(full, names)
    _check_multiples(checked)
    _check_unique(checked)
    _check_images(checked)
    return checked


def _class_names(table: pa.Table, given: Sequence[str] | None) -> tuple[str, ...]:
    if given is not None:
        return tuple(given)
    metadata = table.schema.metadata or {}
    if b"classes" in metadata:
        return tuple(str(name) for name in json.loads(metadata[b"classes"]))
    labels = table.column("label")
    if pa.types.is_integer(labels.type):
        width = int(pc.max(pc.list_value_length(table.column("probabilities"))).as_py() or 0)
        return tuple(str(index) for index in range(width))
    return tuple(sorted({str(value) for value in pc.unique(labels).to_pylist()}))


def _complete(table: pa.Table, classes: tuple[str, ...]) -> pa.Table:
    rows = table.num_rows
    columns = []
    for field in SCHEMA:
        if field.name == "label":
            values = _labels(table.column("label"), classes)
        elif field.name in table.column_names:
            values = table.column(field.name)
        elif field.name == "group":
            values = table.column("image_id")
        else:
            values = pa.chunked_array([pa.array([DEFAULTS[field.name]] * rows, field.type)])
        try:
            values = values.cast(field.type)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError):
            raise InputError(
                f"column '{field.name}' is of type {values.type}",
                rule=f"it holds {field.type}",
                remedy=_HOW,
            ) from None
        if values.null_count:
            raise InputError(
                f"column '{field.name}' has {values.null_count} empty cells",
                rule="every cell is filled",
                remedy="fill them or drop the rows",
            )
        columns.append(values)
    return pa.table(columns, schema=SCHEMA)


def _labels(values: pa.ChunkedArray, classes: tuple[str, ...]) -> pa.ChunkedArray:
    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    if pa.types.is_string(values.type) or pa.types.is_large_string(values.type):
        found = pc.index_in(values, value_set=pa.array(classes, values.type))
        unknown = values.filter(pc.is_null(found))
    else:
        found = values
        outside = pc.or_(pc.less(values, 0), pc.greater_equal(values, len(classes)))
        unknown = values.filter(outside)
    if len(unknown):
        raise InputError(
            f"label '{unknown[0].as_py()}' belongs to no class",
            rule=f"labels are names or indices of: {', '.join(classes)}",
            remedy="give class names in the schema metadata under 'classes', in index order",
        )
    return found


def _check_probabilities(table: pa.Table, width: int) -> None:
    lengths = np.asarray(pc.list_value_length(table.column("probabilities")))
    wrong = np.flatnonzero(lengths != width)
    if len(wrong):
        raise InputError(
            f"row {wrong[0]} has {lengths[wrong[0]]} probabilities",
            rule=f"one probability for each of the {width} classes",
            remedy="give class names in the schema metadata under 'classes', in index order",
        )
    matrix = _matrix(table.column("probabilities"), width)
    for start in range(0, len(matrix), _AT_ONCE):
        part = matrix[start : start + _AT_ONCE].astype(np.float64)
        sums = part.sum(axis=1)
        good = np.isfinite(sums) & (np.abs(sums - 1) <= TOLERANCE) & (part >= 0).all(axis=1)
        if not good.all():
            row = int(np.flatnonzero(~good)[0])
            raise InputError(
                f"the probabilities of row {start + row} are no distribution "
                f"(they add up to {sums[row]:g})",
                rule=f"probabilities are ≥ 0 and add up to 1 ± {TOLERANCE:g}",
                remedy="write the output of softmax, not logits or percentages",
            )


def _check_unique(predictions: Predictions) -> None:
    names = ("arm", "replicate", "fold", "evaluation_set", "variant", "image_id")
    key = np.zeros(len(predictions), dtype=np.int64)
    for name in names:
        if name in WHOLE:
            _, codes = np.unique(predictions.whole(name), return_inverse=True)
        else:
            codes, _ = predictions.codes(name)
        _, key = np.unique(key * (int(codes.max()) + 1) + codes, return_inverse=True)
    _, first, counts = np.unique(key, return_index=True, return_counts=True)
    if (counts > 1).any():
        row = int(first[np.argmax(counts > 1)])
        what = ", ".join(f"{name}={predictions.table.column(name)[row].as_py()}" for name in names)
        raise InputError(
            f"{int((counts - 1).sum())} rows are given twice, for example {what}",
            rule="one row for each arm, replicate, fold, evaluation set, variant and image",
            remedy="drop the duplicates, or number the repetitions in column 'replicate'",
        )


def _check_multiples(predictions: Predictions) -> None:
    codes, names = predictions.codes("arm")
    multiples = np.asarray(predictions.table.column("multiple"))
    first = multiples[np.unique(codes, return_index=True)[1]]
    differs = multiples != first[codes]
    if differs.any():
        arm = codes[int(np.argmax(differs))]
        found = ", ".join(f"{m:g}" for m in np.unique(multiples[codes == arm]))
        raise InputError(
            f"arm '{names[arm]}' has several multiples: {found}",
            rule="every multiple is an arm of its own",
            remedy=f"name them apart in column 'arm', such as '{names[arm]}@{first[arm]:g}'",
        )


def _check_images(predictions: Predictions) -> None:
    images, names = predictions.codes("image_id")
    sets, _ = predictions.codes("evaluation_set")
    key = sets * len(names) + images
    for column, values in (
        ("label", predictions.whole("label")),
        ("group", predictions.codes("group")[0]),
    ):
        distinct, first = np.unique(key, return_index=True)
        differs = values != values[first][np.searchsorted(distinct, key)]
        if differs.any():
            name = names[images[int(np.flatnonzero(differs)[0])]]
            raise InputError(
                f"image '{name}' has more than one {column}",
                rule=f"an image has one {column} in all arms and replicates",
                remedy="correct the table; identifiers must not be reused for other images",
            )


def _matrix(column: pa.ChunkedArray, width: int) -> Float32:
    joined = column.combine_chunks()
    if isinstance(joined, pa.ChunkedArray):
        joined = pa.concat_arrays(joined.chunks)
    flat: NDArray[np.float32] = np.asarray(joined.flatten(), dtype=np.float32)
    return flat.reshape(-1, width)
