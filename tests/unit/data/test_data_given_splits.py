from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthlift.data import designs
from synthlift.data.splits import make_split
from tests.unit.data.splitting import (
    Columns,
    assert_whole,
    domains,
    images,
    parts_by_draw,
    refusal,
    split,
)


@st.composite
def given_data(draw: st.DrawFn) -> Columns:
    """Two or three classes with groups in all parts, and a domain that is constant in a group."""
    data: Columns = {"ids": [], "labels": [], "groups": [], "parts": []}
    domains = []
    validated = draw(st.booleans())
    for k in range(draw(st.integers(2, 3))):
        for part, fewest in (("train", 3), ("validation", 1), ("test", 0)):
            if part == "validation" and not validated:
                continue
            for g in range(draw(st.integers(fewest, 8)) + (k == 0)):
                for i in range(draw(st.integers(1, 3))):
                    data["ids"].append(f"{part}{k}{g}{i}")
                    data["labels"].append(f"class {k}")
                    data["groups"].append(f"{part}{k}{g}")
                    data["parts"].append(part)
                    domains.append("photo" if g < 2 else "sketch")
    data["attributes"] = {"domain": domains}
    return data


SECTIONS: tuple[dict[str, Any], ...] = (
    {},
    {"design": "redrawn", "draws": 3},
    {"fraction": 0.5, "draws": 2},
    {"given": "ignore", "leave_one_out": "domain"},
    {"given": "ignore", "test_where": {"domain": ["sketch"]}},
    {"given": "ignore", "stratify": ["domain"], "design": "fixed"},
    {"given": "ignore", "stratify": ["domain"], "design": "cross_validated"},
    {"given": "ignore", "stratify": ["domain"], "design": "redrawn"},
)


@settings(max_examples=60, deadline=None)
@given(given_data(), st.sampled_from(SECTIONS), st.randoms(use_true_random=False))
def test_row_order_does_not_matter_and_groups_stay_whole(
    data: Columns, section: dict[str, Any], random: Any
) -> None:
    order = list(range(len(data["ids"])))
    random.shuffle(order)
    shuffled = {
        name: {k: [v[i] for i in order] for k, v in column.items()}
        if isinstance(column, dict)
        else [column[i] for i in order]
        for name, column in data.items()
    }
    first, second = split(data, 3, **section), split(shuffled, 3, **section)
    assert first[0] == second[0]
    for name in ("draw", "id", "part"):
        assert np.array_equal(getattr(first[1], name), getattr(second[1], name))
    draws = parts_by_draw(first[1])
    assert len(draws) == first[0].draws
    for parts in draws:
        assert_whole(data, parts)
        trained = {
            label
            for name, label in zip(data["ids"], data["labels"], strict=True)
            if parts[name] == "train"
        }
        assert trained == set(data["labels"])
        assert {"train", "validation", "test"} <= set(parts.values())


@settings(max_examples=40, deadline=None)
@given(given_data(), st.sampled_from(SECTIONS[:3]), st.integers(0, 99))
def test_given_parts_are_followed(data: Columns, section: dict[str, Any], seed: int) -> None:
    design, table = split(data, seed, **section)
    validated = "validation" in data["parts"]
    for parts in parts_by_draw(table):
        for name, part in zip(data["ids"], data["parts"], strict=True):
            if part != "train":
                assert parts[name] == part
            else:
                assert parts[name] != "test"
                assert not (validated and parts[name] == "validation")
    counts = Counter(
        dict(zip(data["groups"], data["labels"], strict=True))[group]
        for group in {
            g for g, part in zip(data["groups"], data["parts"], strict=True) if part == "test"
        }
    )
    expected = {label: counts.get(label, 0) for label in sorted(set(data["labels"]))}
    assert designs.test_groups_per_class(design, {}) == expected


def test_given_test_and_validation_are_design_a() -> None:
    data = images(
        {"train": {"a": 50, "b": 40}, "validation": {"a": 9, "b": 8}, "test": {"a": 12, "b": 11}}
    )
    design, table = split(data)
    assert (design.letter, design.draws) == ("A", 1)
    assert design.reason == "fixed, since the data bring their own 23 test and 17 validation images"
    assert parts_by_draw(table)[0] == dict(zip(data["ids"], data["parts"], strict=True))


def test_validation_is_taken_from_training_where_none_is_given() -> None:
    data = images({"train": {"a": 50, "b": 40}, "test": {"a": 10, "b": 10}}, per_group=2)
    design, table = split(data)
    assert design.reason == (
        "fixed, since the data bring their own 40 test images; validation images are drawn from "
        "the rest"
    )
    found = parts_by_draw(table)[0]
    validated = Counter(name.split("/")[1] for name, part in found.items() if part == "validation")
    assert validated == {"a": 10, "b": 8}
    assert {name.split("/")[0] for name, part in found.items() if part == "test"} == {"test"}


def test_a_test_set_is_split_off_where_none_is_given() -> None:
    data = images({"train": {"a": 50, "b": 40}, "validation": {"a": 5, "b": 5}})
    design, table = split(data, test=0.3)
    assert design.test_groups == {"a": 15, "b": 12}
    found = Counter(
        (name.split("/")[0], name.split("/")[1], part)
        for name, part in parts_by_draw(table)[0].items()
    )
    assert found == {
        ("train", "a", "train"): 35,
        ("train", "a", "test"): 15,
        ("train", "b", "train"): 28,
        ("train", "b", "test"): 12,
        ("validation", "a", "validation"): 5,
        ("validation", "b", "validation"): 5,
    }
    few = images({"train": {"a": 50, "b": 2}, "validation": {"a": 5, "b": 5}})
    assert refusal(few).given == "too few usable groups to split anew: 'b' has 2"


def test_design_b_draws_from_given_training_images() -> None:
    data = images({"train": {"a": 50, "b": 40}, "test": {"a": 10, "b": 10}})
    design, table = split(data, per_class=9, draws=3)
    assert (design.letter, design.draws) == ("B", 3)
    draws = parts_by_draw(table)
    assert len({frozenset(n for n, p in parts.items() if p == "train") for parts in draws}) == 3
    for parts in draws:
        found = Counter(
            (name.split("/")[0], name.split("/")[1], part) for name, part in parts.items()
        )
        assert found["train", "a", "train"] == found["train", "b", "train"] == 9
        assert found["train", "a", "validation"] == 1
        assert found["train", "b", "pool"] == 30
        assert found["test", "a", "test"] == 10


def test_parts_that_are_ignored_or_say_nothing_change_nothing() -> None:
    data = images({"train": {"a": 30, "b": 30}, "test": {"a": 10, "b": 10}})
    bare = {name: data[name] for name in ("ids", "labels", "groups")}
    ignored, anew = split(data, given="ignore"), split(bare)
    assert ignored[0] == anew[0]
    assert ignored[0].letter == "C"
    assert np.array_equal(ignored[1].part, anew[1].part)
    only_train = split({**bare, "parts": ["train"] * len(bare["ids"])})
    assert only_train[0] == anew[0]


@pytest.mark.parametrize(
    "section",
    [
        {"leave_one_out": "group"},
        {"test_where": {"domain": ["x"]}},
        {"design": "cross_validated"},
    ],
)
def test_what_would_mix_given_parts(section: dict[str, Any]) -> None:
    data = images({"train": {"a": 30, "b": 30}, "test": {"a": 10, "b": 10}})
    error = refusal(data, **section)
    assert "would mix the parts that the data bring" in error.given
    assert error.remedy == "split the data anew (--set data.split.given=ignore)"


def test_declared_group_in_two_given_parts() -> None:
    data = images({"train": {"a": 30, "b": 30}, "test": {"a": 10, "b": 10}})
    data["groups"] = [f"patient {int(name[-6:-2])}" for name in data["ids"]]
    error = refusal(data)
    assert error.given == (
        "10 declared groups lie in two parts of the split that the data bring: "
        "'patient 0' in test and train, 'patient 1' in test and train, 'patient 2' in test and "
        "train, 'patient 3' in test and train, 'patient 4' in test and train and 5 more"
    )
    assert error.remedy.startswith("move each group into one part, or split the data anew")
    split(data, given="ignore")


def test_class_only_in_test_and_class_missing_from_test() -> None:
    data = images({"train": {"a": 30, "b": 30}, "test": {"a": 10, "c": 10}})
    error = refusal(data)
    assert error.given == (
        "classes without a training image in the split that the data bring: 'c' (only in test)"
    )
    data = images({"train": {"a": 30, "b": 30}, "test": {"a": 10}})
    design, _ = split(data)
    assert designs.test_groups_per_class(design, {}) == {"a": 10, "b": 0}
    assert design.reason.endswith("; nothing is tested of 'b'")


def test_no_group_left_to_validate_with() -> None:
    data = images({"train": {"a": 1, "b": 1}, "test": {"a": 4, "b": 4}})
    assert refusal(data).given == "no group is left to validate with beside the test set"


# ── attributes ────────────────────────────────────────────────────────────────────────────────


def test_test_set_by_attribute() -> None:
    design, table = split(domains(), test_where={"domain": ["sketch"]})
    assert design.letter == "A"
    assert design.reason == ("fixed, since the test set is where domain is sketch (80 images)")
    (parts,) = parts_by_draw(table)
    for name, part in parts.items():
        assert (part == "test") == name.startswith("sketch")
    assert Counter(parts.values())["validation"] == 10
    both = split(domains(), test_where={"domain": ["sketch", "photo"], "light": ["day"]})
    assert Counter(both[1].part.tolist())["test"] == 60


def test_leaving_one_domain_out() -> None:
    design, table = split(domains(), leave_one_out="domain")
    assert (design.kind, design.folds, design.repeats, design.draws) == ("cross_validated", 3, 1, 3)
    draws = parts_by_draw(table)
    for domain, parts in zip(("cartoon", "photo", "sketch"), draws, strict=True):
        for name, part in parts.items():
            assert (part == "test") == name.startswith(domain)
    # A study lays out spare repeats: the same folds, with other validation images.
    spare = make_split(replace(design, repeats=2, draws=6), **domains(), seed=0)
    again = parts_by_draw(spare)
    assert again[:3] == draws
    for first, second in zip(again[:3], again[3:], strict=True):
        assert first != second
        assert {n for n, p in first.items() if p == "test"} == {
            n for n, p in second.items() if p == "test"
        }


def test_leaving_one_group_out() -> None:
    data = domains()
    data["groups"] = [f"site {i % 7}" for i in range(180)]
    design, table = split(data, leave_one_out="group")
    assert (design.folds, design.reason) == (
        7,
        "cross-validated, leaving out one group at a time (7 folds)",
    )
    tested = [{n for n, p in parts.items() if p == "test"} for parts in parts_by_draw(table)]
    assert sum(map(len, tested)) == 180
    for parts in parts_by_draw(table):
        assert_whole(data, parts)


@pytest.mark.parametrize(
    ("section", "given_text", "rule"),
    [
        (
            {"leave_one_out": "domian"},
            (
                "data.split.leave_one_out names the attribute 'domian', which the images do not "
                "have – did you mean 'domain'?"
            ),
            "known attributes: domain, light",
        ),
        (
            {"stratify": ["ligth"]},
            (
                "data.split.stratify names the attribute 'ligth', which the images do not have – "
                "did you mean 'light'?"
            ),
            "known attributes: domain, light",
        ),
        (
            {"test_where": {"style": ["sketch"]}},
            "data.split.test_where names the attribute 'style', which the images do not have",
            "known attributes: domain, light",
        ),
        (
            {"test_where": {"domain": ["sketsh"]}},
            (
                "data.split.test_where asks for domain 'sketsh', which no usable image has – did "
                "you mean 'sketch'?"
            ),
            "known values of domain: cartoon, photo, sketch",
        ),
        (
            {"leave_one_out": "group"},
            "data.split.leave_one_out is 'group', which has 180 values",
            "one value is left out at a time: 2 to 50 values are possible",
        ),
        (
            {"leave_one_out": "domain", "per_class": 3},
            (
                "data.split.leave_one_out makes the study cross-validated, which contradicts "
                "long_tail and per_class"
            ),
            "data.split.leave_one_out decides what is trained on and tested in every draw",
        ),
        (
            {"test_where": {"domain": ["sketch"]}, "design": "cross_validated"},
            (
                "data.split.design cross_validated would mix the parts that data.split.test_where "
                "fixes"
            ),
            "a given test set stays what it is: folds and other test sets would train on it",
        ),
        (
            {"test_where": {"domain": ["cartoon", "photo", "sketch"]}},
            (
                "classes without a training image in data.split.test_where: 'dog' (only in test), "
                "'house' (only in test)"
            ),
            "a class that is tested must be trained on",
        ),
    ],
)
def test_attributes_that_cannot_be_followed(
    section: dict[str, Any], given_text: str, rule: str
) -> None:
    error = refusal(domains(), **section)
    assert (error.given, error.rule) == (given_text, rule)


def test_values_that_tear_groups_apart() -> None:
    data = domains()
    data["groups"] = ["one"] * 2 + data["groups"][2:]
    error = refusal(data, leave_one_out="light")
    assert error.given == (
        "1 declared group lies under two values of 'light', which data.split.leave_one_out leaves "
        "out one at a time: 'one' in day and night"
    )
    assert "1 declared group lies in two parts of data.split.test_where: 'one' in test and " in str(
        refusal(data, test_where={"light": ["day"]})
    )


def test_a_missing_value_has_a_name() -> None:
    data = domains()
    data["attributes"] = {"light": ["", "day", "night"] * 60}
    design, table = split(data, test_where={"light": ["missing"]})
    assert "the test set is where light is missing (60 images)" in design.reason
    tested = {name for name, part in parts_by_draw(table)[0].items() if part == "test"}
    assert tested == set(data["ids"][::3])
    error = refusal(data, test_where={"light": ["dya"]})
    assert error.rule == "known values of light: day, missing, night"
    data["groups"] = ["one"] * 2 + data["groups"][2:]
    assert "'one' in day and missing" in refusal(data, leave_one_out="light").given


def test_class_that_lies_under_one_value_only() -> None:
    data = domains()
    data["labels"] = ["bee"] * 5 + data["labels"][5:]
    assert refusal(data, leave_one_out="domain").given == (
        "classes without a training image when one domain is left out: 'bee' (only where domain "
        "is 'photo')"
    )
    data["attributes"]["domain"] = ["photo"] * 180
    assert refusal(data, leave_one_out="domain").given == (
        "data.split.leave_one_out is 'domain', which has 1 value ('photo')"
    )


# ── real data ─────────────────────────────────────────────────────────────────────────────────
