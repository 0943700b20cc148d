from __future__ import annotations

import json
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthlift.data.attributes import bin_numeric, checked
from synthlift.data.contract import Item, Where
from synthlift.data.labels import check_labels
from synthlift.data.sources import open_source
from synthlift.errors import InputError
from synthlift.spec.data import Data
from synthlift.spec.values import MISSING
from synthlift.study.places import where_of


def where(**told: Any) -> Where:
    return Where("t.csv", "/", **told)


def items(n: int = 20, **attributes: list[str]) -> list[Item]:
    return [
        Item(
            f"{k}.png",
            "xy"[k % 2],
            f"g{k // 2}",
            f"{k}.png",
            {a: v[k] for a, v in attributes.items()},
        )
        for k in range(n)
    ]


def refusal(told: list[Item], **said: Any) -> str:
    with pytest.raises(InputError) as caught:
        checked(told, where(**said))
    return str(caught.value)


# ── classes ───────────────────────────────────────────────────────────────────────────────────


def label_refusal(labels: list[str]) -> str:
    with pytest.raises(InputError) as caught:
        check_labels(labels, given="t.csv")
    return str(caught.value)


@pytest.mark.parametrize(
    ("labels", "text"),
    [
        (
            [str(k) for k in range(40_000)],
            "'t.csv' has 40,000 classes for 40,000 images: '0', '1',",
        ),
        ([f"c{k % 1001}" for k in range(9009)], "'t.csv' has 1,001 classes for 9,009 images"),
        ([f"IMG_{k}" for k in range(60)], "'t.csv' has 60 classes for 60 images"),
        ([f"{k / 7:.3f}" for k in range(60)], "the labels of 't.csv' are 60 different numbers on"),
        ([f"{k},5" for k in range(12)] * 9, "the labels of 't.csv' are 12 different numbers on"),
        (["x"] * 9, "'t.csv' holds one class only: 'x'"),
        (
            ["cat|dog", "cat", "eel"],
            "the labels of 't.csv' hold several classes for one image: 'cat|dog'",
        ),
        (
            ["cat;dog", "cat;eel"],
            "the labels of 't.csv' hold several classes for one image: 'cat;dog'",
        ),
        (["1,2", "1", "2"], "the labels of 't.csv' hold several classes for one image: '1,2'"),
        (
            ['["a"]', '["a", "b"]'],
            "the labels of 't.csv' hold several classes for one image: '[\"a\"",
        ),
    ],
)
def test_labels_that_are_no_classes(labels: list[str], text: str) -> None:
    assert label_refusal(labels).startswith(text)


@pytest.mark.parametrize(
    "labels",
    [
        [str(k) for k in range(1000)] * 5,
        ["0.5", "1.0", "1.5"] * 9,
        ["maillot", "maillot, tank suit", "crane, bird", "cattle, dairy"] * 3,
        ["a|b", "c"] * 3,
        ["NA", "007", "nan", "[x"] * 3,
    ],
)
def test_labels_that_are_classes(labels: list[str]) -> None:
    check_labels(labels, given="t.csv")


def test_many_classes_in_a_table(tmp_path: Path) -> None:
    lines = [f"{k}.png,{k}" for k in range(1200)]
    for k in range(1200):
        (tmp_path / f"{k}.png").write_bytes(b"")
    (tmp_path / "t.csv").write_text("path,label\n" + "\n".join(lines))
    with pytest.raises(InputError, match="looks like an identifier or a regression target"):
        open_source(Where("t.csv", str(tmp_path)), strict=False)


# ── attributes ────────────────────────────────────────────────────────────────────────────────


def test_one_value_an_image_is_an_identifier() -> None:
    names = [f"n{k}" for k in range(20)]
    assert refusal(items(name=names), attributes=("name",)) == (
        "attribute 'name' has 20 values for 20 images: 'n0', 'n1', 'n10', 'n11', 'n12' and 15 "
        "more\n"
        "  Rule: an attribute parts the images into a few subgroups; one with a value for nearly "
        "each image is an identifier\n"
        "  Remedy: remove it from data.attributes; what must not be torn apart, such as a patient, "
        "goes into data.group"
    )
    ages = [str(k) for k in range(20)]
    text = refusal(items(age=ages), attributes=("age",))
    assert "Remedy: bin it (data.bins: {age: 4}), or remove it" in text
    found = checked(items(age=ages), where(attributes=("age",), bins={"age": 2}))
    assert Counter(item.attributes["age"] for item in found) == {"below 10": 10, "10 or more": 10}
    sites = [f"s{k % 4}" for k in range(20)]
    assert checked(items(site=sites), where(attributes=("site",))) == items(site=sites)
    rare = ["a", "b", "c", "d", *[""] * 16]
    assert checked(items(site=rare), where(attributes=("site",))) == items(site=rare)


@pytest.mark.parametrize(
    "name", ["label", "Group", "width", "sha256", "path", "part", "mask", "id"]
)
def test_names_of_built_in_columns(name: str) -> None:
    text = refusal(items(), attributes=(name,))
    assert text.startswith(f"an attribute cannot be called '{name}'\n")
    assert f"rename the column, such as '{name}_given'" in text


def test_names_that_are_not_there() -> None:
    sexes = items(sex=["f", "m"] * 10)
    text = refusal(sexes, attributes=("Sex",))
    assert text.startswith("'t.csv' has no attribute 'Sex' – did you mean 'sex'?\n")
    text = refusal(sexes, attributes=("sex",), bins={"age": 3})
    assert text.startswith("data.bins names 'age', which is no attribute\n")


# ── bins ──────────────────────────────────────────────────────────────────────────────────────


def test_given_borders() -> None:
    values = ["29.9", "30", "44", "45", "60", "", "NA", "-5", "1e3", "unknown"]
    assert bin_numeric(values, (30, 45, 60)) == [
        *("below 30", "30 to 45", "30 to 45", "45 to 60", "60 or more", MISSING, MISSING),
        *("below 30", "60 or more", MISSING),
    ]
    assert bin_numeric(["0.2", "0,3"], (0.25,)) == ["below 0.25", "0.25 or more"]


def test_equal_bins_count_a_group_once() -> None:
    values = ["10"] * 50 + ["20", "30", "40"]
    groups = ["p0"] * 50 + ["p1", "p2", "p3"]
    assert Counter(bin_numeric(values, 2, groups=groups)) == {"below 30": 51, "30 or more": 2}
    assert Counter(bin_numeric(values, 2)) == {"below 20": 50, "20 or more": 3}


def test_borders_are_round_numbers() -> None:
    values = ["0.1234", "0.1345", "0.1871", "0.2222"]
    assert set(bin_numeric(values, 2)) == {"below 0.18", "0.18 or more"}
    assert set(bin_numeric(["38", "42"], 2)) == {"below 40", "40 or more"}


def test_equal_values_are_not_parted() -> None:
    assert set(bin_numeric(["1"] * 9 + ["2"], 4)) == {"below 2", "2 or more"}
    with pytest.raises(InputError, match="'age' is to be binned, but every value is 3"):
        bin_numeric(["3", "3.0", ""], 2, name="age")


@pytest.mark.parametrize(
    ("values", "text"),
    [
        (["", "NA"], "'age' is to be binned, but all of its 2 values are missing"),
        (["30", "old", "old"], "'age' is to be binned, but 2 values are no number: 'old'"),
        (["30", "inf"], "'age' is to be binned, but 1 value is no number: 'inf'"),
    ],
)
def test_what_cannot_be_binned(values: list[str], text: str) -> None:
    with pytest.raises(InputError) as caught:
        bin_numeric(values, 2, name="age")
    assert str(caught.value).startswith(text)


numbers = st.one_of(
    st.integers(-50, 50).map(float), st.floats(-1e6, 1e6, allow_nan=False, width=32)
)


@settings(max_examples=150, deadline=None)
@given(values=st.lists(numbers, min_size=2, max_size=40), bins=st.integers(2, 6), data=st.data())
def test_bins_keep_the_order_and_are_stable(
    values: list[float], bins: int, data: st.DataObject
) -> None:
    if len(set(values)) < 2:
        return
    texts = [repr(value) for value in values]
    found = bin_numeric(texts, bins)
    assert 2 <= len(set(found)) <= bins
    order = data.draw(st.permutations(range(len(values))))
    assert bin_numeric([texts[k] for k in order], bins) == [found[k] for k in order]
    spans: dict[str, list[float]] = {}
    for value, name in zip(values, found, strict=True):
        spans.setdefault(name, []).append(value)
    ranges = sorted((min(span), max(span)) for span in spans.values())
    assert all(low[1] < high[0] for low, high in pairwise(ranges))


def test_bins_of_distinct_values_are_equal() -> None:
    values = np.random.default_rng(0).permutation(97)
    sizes = Counter(bin_numeric([str(v) for v in values], 4)).values()
    assert max(sizes) - min(sizes) <= 1


def test_bins_when_a_source_is_opened(tmp_path: Path) -> None:
    for k in range(6):
        (tmp_path / f"{k}.png").write_bytes(b"")
    rows = ["0.png;x;20,5", "1.png;x;30", "2.png;x;", "3.png;y;40", "4.png;y;50", "5.png;y;60"]
    (tmp_path / "t.csv").write_text("path;label;age\n" + "\n".join(rows))
    data = Data(source="t.csv", attributes=("age",), bins={"age": (35.0,)})
    asked = where_of(data, base=tmp_path)
    assert Where.from_json(json.loads(json.dumps(asked.as_json()))) == asked
    found = open_source(asked)
    ages = [item.attributes["age"] for item in found.items]
    assert ages == ["below 35", "below 35", "missing", "35 or more", "35 or more", "35 or more"]
    assert "'age' binned – below 35: 2, 35 or more: 3, missing: 1" in found.notes
    other = data.model_copy(update={"bins": {"age": 2}})
    again = open_source(where_of(other, base=tmp_path))
    assert again.fingerprint != found.fingerprint
    plain = data.model_copy(update={"bins": {}, "attributes": ()})
    assert open_source(where_of(plain, base=tmp_path)).fingerprint != found.fingerprint
