"""Tables of the Hugging Face Hub's formats, read by pyarrow: parquet files and saved Arrow files.

Both carry the features of ``datasets`` as JSON in their schema: which column holds images, which
class labels and what the classes are called.
"""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from synthlift.data.endings import SAVED
from synthlift.data.readers.folder import SPLIT_NAMES
from synthlift.errors import InputError

Kind = Literal["image", "class", "whole", "fraction", "text", "several", "other"]
IMAGE_NAMES = ("image", "img", "pixel_values")
_GROUPS_HELD = 2
LOCAL_RULE = (
    "hf:PATH is a folder that `save_to_disk` of the package 'datasets' wrote, a folder of parquet "
    "files, or one such file"
)


@dataclass(frozen=True)
class Column:
    """What is known of a column: what it holds, and the names of its classes."""

    kind: Kind
    classes: tuple[str, ...] = ()


class Table(Protocol):
    """The rows of one part."""

    columns: Mapping[str, Column]
    rows: int

    def values(self, name: str) -> list[Any]:
        """One small column as Python values."""
        ...

    def cell(self, name: str, row: int) -> Any:
        """One value, such as an image's ``{"bytes": …, "path": …}``; from any thread."""
        ...


class ArrowTable:
    """An Arrow table, usually mapped from disk."""

    def __init__(self, table: Any) -> None:
        self._table = table
        self.columns: Mapping[str, Column] = columns_of(table.schema)
        self.rows = int(table.num_rows)

    def values(self, name: str) -> list[Any]:
        """See :class:`Table`."""
        found: list[Any] = self._table.column(name).to_pylist()
        return found

    def cell(self, name: str, row: int) -> Any:
        """See :class:`Table`."""
        return self._table.column(name)[row].as_py()


class ParquetTable:
    """Parquet files one after the other; of the images, two row groups are held in memory."""

    def __init__(self, paths: Sequence[Path]) -> None:
        import pyarrow.parquet as pq

        self._paths = list(paths)
        self._lock = threading.Lock()
        self._held: OrderedDict[tuple[int, str], Any] = OrderedDict()
        self._groups: list[tuple[Path, int, int]] = []
        first = None
        rows = 0
        for path in self._paths:
            with pq.ParquetFile(path) as file:
                schema = file.schema_arrow
                if first is not None and schema.names != first.names:
                    raise InputError(
                        f"'{path.name}' has other columns than '{self._paths[0].name}'",
                        rule="the parquet files of one part have the same columns",
                        remedy="move the files that do not belong there elsewhere",
                    )
                first = first or schema
                for group in range(file.num_row_groups):
                    self._groups.append((path, group, rows))
                    rows += file.metadata.row_group(group).num_rows
        self.columns: Mapping[str, Column] = columns_of(first)
        self.rows = rows

    def values(self, name: str) -> list[Any]:
        """See :class:`Table`."""
        import pyarrow.parquet as pq

        found: list[Any] = []
        for path in self._paths:
            with pq.ParquetFile(path) as file:
                found += file.read(columns=[name]).column(name).to_pylist()
        return found

    def cell(self, name: str, row: int) -> Any:
        """See :class:`Table`."""
        number = max(i for i, (_, _, start) in enumerate(self._groups) if start <= row)
        with self._lock:
            return self._group(number, name)[row - self._groups[number][2]].as_py()

    def _group(self, number: int, name: str) -> Any:
        import pyarrow.parquet as pq

        if (number, name) not in self._held:
            path, group, _ = self._groups[number]
            with pq.ParquetFile(path) as file:
                self._held[number, name] = file.read_row_group(group, columns=[name]).column(name)
            if len(self._held) > _GROUPS_HELD:
                self._held.popitem(last=False)
        self._held.move_to_end((number, name))
        return self._held[number, name]


def columns_of(schema: Any) -> dict[str, Column]:
    """What the columns hold, by the features in the schema, else by their Arrow types."""
    text = (schema.metadata or {}).get(b"huggingface", b"{}")
    features = ((json.loads(text).get("info") or {}).get("features")) or {}
    return {field.name: _column(field.type, features.get(field.name)) for field in schema}


def holds_pictures(path: Path) -> bool:
    """Whether a parquet file has a column of pictures, and not only of paths or other bytes."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        schema = pq.read_schema(path)
    except (pa.ArrowException, OSError):
        return False
    pictures = [name for name, column in columns_of(schema).items() if column.kind == "image"]
    # Bytes without a name may be anything, such as a thumbnail beside the path of the image.
    return any(not _is_bytes(schema.field(name).type) or name in IMAGE_NAMES for name in pictures)


def _is_bytes(kind: Any) -> bool:
    import pyarrow.types as types

    return bool(types.is_binary(kind) or types.is_large_binary(kind))


def _column(kind: Any, feature: Any) -> Column:
    import pyarrow.types as types

    stated = feature.get("_type") if isinstance(feature, dict) else None
    if stated == "ClassLabel":
        return Column("class", tuple(map(str, feature.get("names") or ())))
    is_struct = types.is_struct(kind) and {field.name for field in kind} >= {"bytes", "path"}
    if stated == "Image" or is_struct or _is_bytes(kind):
        return Column("image")
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        return Column("several")
    if types.is_integer(kind) or types.is_boolean(kind):
        return Column("whole")
    if types.is_floating(kind) or types.is_decimal(kind):
        return Column("fraction")
    if types.is_string(kind) or types.is_large_string(kind) or types.is_dictionary(kind):
        return Column("text")
    return Column("other")


def open_local(path: Path, given: str) -> tuple[dict[str, Table], list[Path]]:
    """The tables of a local data set by part ("" = no part), and the files that they come from.

    Raises:
        InputError: neither parquet nor a saved data set, or damaged.
    """
    import pyarrow as pa

    try:
        if (path / SAVED[0]).is_file():
            names = json.loads((path / SAVED[0]).read_text(encoding="utf-8"))["splits"]
            saved = {str(name): _saved_files(path / Path(str(name)).name) for name in names}
        elif (path / SAVED[1]).is_file():
            saved = {"": _saved_files(path)}
        else:
            files = _parquet_parts(path)
            if files:
                tables: dict[str, Table] = {n: ParquetTable(found) for n, found in files.items()}
                return tables, [file for found in files.values() for file in found]
            raise InputError(
                f"'{given}' holds neither parquet files nor a saved data set",
                rule=LOCAL_RULE,
                remedy="for a folder of images, leave out 'hf:'",
            )
        return (
            {name: ArrowTable(_map_stream(found)) for name, found in saved.items()},
            [file for found in saved.values() for file in found],
        )
    except (pa.ArrowException, OSError, KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"'{given}' cannot be read: {str(error)[:200]}",
            rule=LOCAL_RULE,
            remedy="save or download it again",
        ) from error


def _saved_files(folder: Path) -> list[Path]:
    """The Arrow files of one saved part, in order; by name only, so that none lies outside."""
    state = json.loads((folder / SAVED[1]).read_text(encoding="utf-8"))
    return [folder / Path(str(entry["filename"])).name for entry in state["_data_files"]]


def _map_stream(paths: Sequence[Path]) -> Any:
    import pyarrow as pa

    # A memory map keeps its bytes alive through the tables that point into it.
    return pa.concat_tables(
        [pa.ipc.open_stream(pa.memory_map(str(path))).read_all() for path in paths]
    )


def _parquet_parts(path: Path) -> dict[str, list[Path]]:
    """Parquet files by part: ``train-00000-of-00001.parquet`` or ``train/0000.parquet``."""
    if path.is_file():
        return {"": [path]}
    found: dict[str, list[Path]] = {}
    for file in sorted(path.rglob("*.parquet")):
        inner = file.relative_to(path)
        if any(word.startswith(".") for word in inner.parts):
            continue
        words = [inner.name.split("-")[0].split(".")[0], *reversed(inner.parts[:-1])]
        name = next((word for word in words if word.lower() in SPLIT_NAMES), "")
        found.setdefault(name, []).append(file)
    return found
