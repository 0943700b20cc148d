"""Keys: everything that changes a result is in them, nothing else is."""

from __future__ import annotations

import hashlib
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthlift.store import StageRequest, digest

BASE = StageRequest(
    stage="model",
    function="module:function",
    config={"steps": 10, "loss": "cross_entropy"},
    inputs={"split": "split-1", "chunks": ["a", "b"]},
    seed=1,
    numerics={"device": "cpu", "threads": 1},
    version="1",
)
IN_KEY: dict[str, list[Any]] = {
    "stage": ["fit"],
    "function": ["module:other"],
    "config": [
        {},
        {"steps": 11, "loss": "cross_entropy"},
        {"steps": "10", "loss": "cross_entropy"},
    ],
    "inputs": [
        {},
        {"split": "split-2", "chunks": ["a", "b"]},
        {"split": "split-1", "chunks": ["b", "a"]},
    ],
    "seed": [0, 2, -1],
    "numerics": [{"device": "cuda", "threads": 1}, {"device": "cpu", "threads": 2}],
    "version": ["2"],
}
NOT_IN_KEY: dict[str, Any] = {
    "label": "training model 3 of 10",
    "device": "cuda:1",
    "local": {"source": "/elsewhere"},
}


def test_every_field_is_decided_upon() -> None:
    assert {f.name for f in fields(StageRequest)} == {*IN_KEY, *NOT_IN_KEY}


@pytest.mark.parametrize("name", IN_KEY)
def test_what_changes_a_result_changes_the_key(name: str) -> None:
    keys = {BASE.key, *(replace(BASE, **{name: value}).key for value in IN_KEY[name])}
    assert len(keys) == 1 + len(IN_KEY[name])


@pytest.mark.parametrize("name", NOT_IN_KEY)
def test_where_and_how_it_runs_is_no_part_of_the_key(name: str) -> None:
    assert replace(BASE, **{name: NOT_IN_KEY[name]}).key == BASE.key


def test_keys_are_readable_and_never_change() -> None:
    """A change here throws away every user's finished work: raise stage versions instead."""
    assert BASE.key.startswith("model-")
    assert len(BASE.key) == len("model-") + 64
    text = '{"a":"ü","b":[1,2.5,null,true]}'
    assert (
        digest({"b": [1, 2.5, None, True], "a": "ü"}) == hashlib.sha256(text.encode()).hexdigest()
    )


def test_the_order_of_keys_is_no_part_of_the_key() -> None:
    turned = replace(BASE, config=dict(reversed(list(BASE.config.items()))))
    assert turned.key == BASE.key


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(one=json_values, other=json_values)
def test_equal_settings_and_only_those_share_a_digest(one: Any, other: Any) -> None:
    same = repr(_sorted(one)) == repr(_sorted(other))  # repr tells 1, 1.0 and True apart
    assert (digest(one) == digest(other)) == same


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    return [_sorted(item) for item in value] if isinstance(value, list) else value


def test_input_keys_are_flattened_and_read_by_role() -> None:
    assert BASE.input_keys() == ["split-1", "a", "b"]
    assert BASE.one("split") == "split-1"
    assert BASE.many("chunks") == ["a", "b"]
    assert BASE.many("absent") == []
    with pytest.raises(AssertionError):
        BASE.one("chunks")
