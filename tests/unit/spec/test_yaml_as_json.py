"""JSON that our YAML reads: values that are handed over as ``KEY=VALUE``."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthlift.cli.options import Given
from synthlift.data.findings.advice import _bins
from synthlift.spec.data import Data
from synthlift.spec.loading import load_study
from synthlift.spec.yaml12 import as_json, parse
from synthlift.web.jobs.commands import _sets

TEXTS = st.text(st.characters(codec="utf-8"), max_size=8)


@given(st.dictionaries(TEXTS, st.lists(TEXTS | st.integers() | st.booleans(), max_size=3)))
def test_what_is_written_is_read_back(value: dict[str, Any]) -> None:
    assert parse(as_json(value)) == json.loads(as_json(value)) == value


@pytest.mark.parametrize("name", ["📷", "𠮷", "Größe", "a\u2028b", "a\x85b", "\udcff", "no"])
def test_columns_of_any_letters_reach_the_study(name: str) -> None:
    given = Given("./x", group=name, label=name, attribute=[name])
    data = load_study({}, given.overrides()).data
    assert (data.group, data.label, data.attributes) == (name, name, (name,))
    sets = _sets({"data.group": name, "data.attributes": [name]})[1::2]
    data = load_study({}, sets).data
    assert (data.group, data.attributes) == (name, (name,))


@pytest.mark.parametrize("name", ["age", "age (years)", "a.b", "a=b", "a[0]", " a", "📷."])
def test_bins_are_advised_for_any_column(name: str) -> None:
    data = Data(bins={"size": 3})
    override = _bins(name, data)
    assert load_study({"data": {"bins": {"size": 3}}}, [override]).data.bins == {"size": 3, name: 4}
