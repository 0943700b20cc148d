"""Splits by lesion and by domain, on the metadata of real archives."""

from __future__ import annotations

import csv
import io
import tarfile
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path

from tests.unit.data.splitting import (
    Columns,
    assert_whole,
    parts_by_draw,
    split,
)


def metadata(archive: Path) -> list[dict[str, str]]:
    """The table in an archive, whose images stay packed."""
    with tarfile.open(archive) as packed:
        for member in packed:
            if Path(member.name).name == "metadata.csv":
                stream = packed.extractfile(member)
                assert stream is not None
                return list(csv.DictReader(io.StringIO(stream.read().decode())))
    raise AssertionError(f"no metadata.csv in {archive}")


def test_pacs_leaving_one_domain_out(real_data: Callable[[str], Path]) -> None:
    rows = metadata(real_data("pacs.tar.gz"))
    data: Columns = {
        "ids": [row["file_name"] for row in rows],
        "labels": [row["label"] for row in rows],
        "groups": [row["file_name"] for row in rows],
        "attributes": {"domain": [row["domain"] for row in rows]},
    }
    design, table = split(data, leave_one_out="domain")
    assert (design.letter, design.folds) == ("C", 4)
    tested = Counter(table.draw[table.part == "test"].tolist())
    assert [tested[d] for d in range(4)] == [2048, 2344, 1670, 3929]
    single, table = split(data, test_where={"domain": ["sketch"]})
    assert single.letter == "A"
    assert Counter(table.part.tolist())["test"] == 3929
    # Validation follows the training distribution: a tenth of every class.
    label_of = dict(zip(data["ids"], data["labels"], strict=True))
    trained = Counter(label_of[n] for n in table.id[table.part != "test"].tolist())
    held = Counter(label_of[n] for n in table.id[table.part == "validation"].tolist())
    assert held == {label: round(0.1 * n) for label, n in trained.items()}


def test_ham10000_no_lesion_crosses(real_data: Callable[[str], Path]) -> None:
    rows = metadata(real_data("ham10000.tar.gz"))
    data: Columns = {
        "ids": [row["file_name"] for row in rows],
        "labels": [row["label"] for row in rows],
        "groups": [row["lesion_id"] for row in rows],
        "attributes": {"sex": [row["sex"] for row in rows]},
    }
    design, table = split(data, design="fixed", stratify=["sex"])
    (parts,) = parts_by_draw(table)
    assert len(parts) == 10_015
    assert_whole(data, parts)
    groups: dict[tuple[str, str], set[str]] = defaultdict(set)
    tested: Counter[tuple[str, str]] = Counter()
    cells = zip(data["labels"], data["attributes"]["sex"], strict=True)
    for name, cell, group in zip(data["ids"], cells, data["groups"], strict=True):
        if group not in groups[cell] and parts[name] == "test":
            tested[cell] += 1
        groups[cell].add(group)
    for cell, found in groups.items():
        assert abs(tested[cell] - design.test * len(found)) <= 1
