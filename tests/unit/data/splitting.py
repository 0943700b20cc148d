"""Splitting columns in tests, and looking at what came out."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import Any

import pytest

from synthlift.data.designs import Design, choose_design
from synthlift.data.splits import SplitTable, make_split
from synthlift.errors import InputError
from synthlift.spec.data import Split

Columns = dict[str, Any]


def split(data: Columns, seed: int = 0, **section: Any) -> tuple[Design, SplitTable]:
    """Both steps on columns ids, labels, groups and, where there are any, parts, attributes."""
    published = data.get("published")
    if published is not None:
        section["file"] = "split.csv"
    design = choose_design(Split.model_validate(section), **data)
    # As a stage gets it: through JSON, where tuples become lists.
    restored = Design.from_config(json.loads(json.dumps(design.config())))
    assert restored.config() == design.config()
    return design, make_split(restored, **data, seed=seed)


def parts_by_draw(table: SplitTable) -> list[dict[str, str]]:
    draws: dict[int, dict[str, str]] = defaultdict(dict)
    for draw, name, part in zip(table.draw, table.id, table.part, strict=True):
        draws[int(draw)][str(name)] = str(part)
    return [draws[i] for i in range(len(draws))]


def assert_whole(data: Columns, parts: dict[str, str]) -> None:
    seen: dict[str, set[str]] = defaultdict(set)
    for name, group in zip(data["ids"], data["groups"], strict=True):
        seen[group].add(parts[name])
    assert all(len(found) == 1 for found in seen.values())


def refusal(data: Columns, **section: Any) -> InputError:
    with pytest.raises(InputError) as caught:
        split(data, **section)
    return caught.value


def images(given: dict[str, dict[str, int]], *, per_group: int = 1) -> Columns:
    """Part → class → groups, as columns."""
    data: Columns = {"ids": [], "labels": [], "groups": [], "parts": []}
    for part, classes in given.items():
        for label, n in classes.items():
            for g in range(n):
                for i in range(per_group):
                    data["ids"].append(f"{part}/{label}/{g:04d}-{i}")
                    data["labels"].append(label)
                    data["groups"].append(f"{part}/{label}/{g:04d}")
                    data["parts"].append(part)
    return data


def domains() -> Columns:
    data: Columns = {"ids": [], "labels": [], "groups": []}
    found = []
    for domain, n in {"photo": 20, "cartoon": 30, "sketch": 40}.items():
        for label in ("dog", "house"):
            for i in range(n):
                data["ids"].append(f"{domain}/{label}/{i}")
                data["labels"].append(label)
                data["groups"].append(f"{domain}/{label}/{i}")
                found.append(domain)
    return {**data, "attributes": {"domain": found, "light": ["day", "night"] * 90}}


def classes(counts: dict[str, int]) -> Columns:
    data = images({"": counts})
    del data["parts"]
    return data


def per_class(data: Columns, parts: dict[str, str], part: str) -> list[int]:
    """Groups of a part by class, sorted by name."""
    found: dict[str, set[str]] = {label: set() for label in sorted(set(data["labels"]))}
    for name, label, group in zip(data["ids"], data["labels"], data["groups"], strict=True):
        if parts[name] == part:
            found[label].add(group)
    return [len(groups) for groups in found.values()]
