"""What an image says of the classes between which it lies."""

from __future__ import annotations

import json

import numpy as np
import pytest

from synthlift.spec.provenance import facts_of, shares_in, shares_of, shares_told


def said_of(label: str, shares: dict[str, float] | None) -> dict[str, str]:
    return facts_of(
        generator="g", kind="k", label=label, seed=1, index=0, fit_seed=2, shares=shares
    )


def test_shares_are_told_as_short_as_they_come_back_the_same() -> None:
    soft = np.array([0.7, 0, 0.3], np.float32)
    shares = shares_of(soft, ["cat", "dog", "naïve"])
    assert shares == {"cat": 0.7, "naïve": 0.3}
    found = shares_in(said_of("cat", shares)["class_shares"])
    assert np.array_equal(np.array([*found.values()], np.float32), soft[soft > 0])


@pytest.mark.parametrize("shares", [None, {}, {"cat": 1.0}])
def test_an_image_of_one_class_alone_says_nothing(shares: dict[str, float] | None) -> None:
    assert "class_shares" not in said_of("cat", shares)


@pytest.mark.parametrize(
    "text",
    [
        *("", "cat", "[0.5, 0.5]", '{"cat": "much"}', '{"cat": NaN}', '{"cat": 0.5}'),
        *('{"cat": 1.5, "dog": -0.5}', '{"cat": null}', "[" * 100_000),
    ],
)
def test_what_holds_no_shares_is_not_believed(text: str) -> None:
    assert shares_in(text) == {}
    assert shares_told(text)[1] == {}
    assert shares_in(json.dumps({"cat": 0.25, "dog": 0.75})) == {"cat": 0.25, "dog": 0.75}
