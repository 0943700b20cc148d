"""Study files: what is read, what is refused and with which words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthlift.errors import InputError
from synthlift.spec.arms import GENERATIVE, RIVALS, ArmSpec
from synthlift.spec.data import Data
from synthlift.spec.loading import dump_study, json_schema, load_study
from synthlift.spec.study import Component, Study


def write(folder: Path, text: str) -> Path:
    path = folder / "study.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def refusal(source: Any, *overrides: str) -> InputError:
    with pytest.raises(InputError) as caught:
        load_study(source, overrides)
    assert caught.value.exit_code == 2
    return caught.value


def test_an_empty_file_is_the_study_of_defaults(tmp_path: Path) -> None:
    assert load_study(write(tmp_path, "# nothing yet\n")) == Study() == load_study({})


def test_an_empty_value_stands_for_the_default(tmp_path: Path) -> None:
    study = load_study(write(tmp_path, "training:\nreplicates:\ndata:\n  split:\nseed: 3\n"))
    assert study == Study(seed=3)


def test_every_level_is_read(tmp_path: Path) -> None:
    text = """
        name: lesions
        data: {split: {design: cross_validated, folds: 4}, names: {no: nevus, 007: agent}}
        generators: [{kind: flow, name: f, steps: 50}]
        arms: [real, {kind: mixed, generator: f, multiples: [0.5, 2]}]
        training: {learning_rate: 1e-3, flip: no}
    """
    study = load_study(write(tmp_path, text))
    assert (study.data.split.design, study.data.split.folds) == ("cross_validated", 4)
    assert study.data.names == {"no": "nevus", "007": "agent"}  # YAML 1.1: {False: …, 7: …}
    assert study.generators[0].settings() == {"steps": 50}
    assert study.arms[1].multiples == (0.5, 2.0)
    assert (study.training.learning_rate, study.training.flip) == (1e-3, "no")


# ── refused ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("a: [1, 2", "is no valid YAML: line 1, column 9"),
        ("training:\n\tsteps: 3\n", "is no valid YAML: line 2, column 1"),
        ("seed: 1\nname: a\nseed: 2\n", "line 3, column 1: the key 'seed' is given twice"),
        ("training: {steps: 1, steps: 2}", "the key 'steps' is given twice"),
        ("- real\n- mixed\n", "holds a list"),
        ("just some words", "holds a single value"),
        ("name: !!python/object/apply:os.system [ls]", "is no valid YAML"),
        ("data: &d {names: {a: *d}}", "is no valid YAML"),
        ("? [1]\n: 2", "a key must be a word"),
        ("[" * 5000, "is no valid YAML"),
    ],
)
def test_what_is_no_study_file_is_refused(tmp_path: Path, content: str, words: str) -> None:
    error = refusal(write(tmp_path, content))
    assert words in error.given
    assert "study.yaml" in error.given
    assert error.remedy


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(b"\xff\xd8\xff\xe0\x00\x10JFIF\x00")
    assert "is no text in UTF-8" in refusal(path).given


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    assert "No such file" in refusal(tmp_path / "study.yaml").given
    assert "study file" in refusal(tmp_path).given


@pytest.mark.parametrize(
    ("content", "given", "rule"),
    [
        ({"dataa": {}}, "unknown key 'dataa' – did you mean 'data'?", "keys of a study are: arms,"),
        (
            {"data": {"split": {"foldz": 3}}},
            "unknown key 'data.split.foldz' – did you mean 'folds'?",
            "keys of 'data.split' are: design, draws, file, folds",
        ),
        (
            {"arms": [{"kind": "mixed", "multiple": 2}]},
            "unknown key 'arms[0].multiple' – did you mean 'multiples'?",
            "keys of 'arms[0]' are:",
        ),
        (
            {"arms": ["real", {"kind": "mixed", "multiples": [1, -2]}]},
            "'arms[1].multiples[1]' is -2",
            "must be greater than 0",
        ),
        (
            {"arms": ["mixd"]},
            "'arms[0]': unknown arm 'mixd' – did you mean 'mixed'?",
            "known: real",
        ),
        (
            {"primary": {"metric": "balancd_accuracy"}},
            "unknown metric 'balancd_accuracy' – did you mean 'balanced_accuracy'?",
            "known: balanced_accuracy, accuracy",
        ),
        ({"training": {"steps": "many"}}, "'training.steps' is 'many'", "a whole number or 'auto'"),
        (
            {"data": {"fit": "padd"}},
            "'data.fit' is 'padd' – did you mean 'pad'?",
            "one of 'pad', 'crop' or 'stretch'",
        ),
        ({"replicates": 2.5}, "'replicates' is 2.5", "must be a whole number"),
        ({"arms": "real"}, "'arms' is 'real'", "must be a list, e.g. [a, b]"),
        ({"arms": []}, "'arms' is []", "a list of at least 1"),
        ({"arms": [3]}, "'arms[0]' is 3", "a section of keys"),
        ({"generators": [{"name": "x"}]}, "'generators[0].kind' is missing", "needs a 'kind'"),
        ({"name": 3}, "'name' is 3", "text (put it in quotes)"),
        ({"data": {"image_size": 4}}, "'data.image_size' is 4", "between 8 and 1024 pixels"),
        (
            {"arms": [{"kind": "real", "multiples": [1]}]},
            "'arms[0]' is {'kind': 'real', 'multiples': [1]}",
            "uses no synthetic images",
        ),
    ],
)
def test_a_broken_rule_names_its_place(content: dict[str, Any], given: str, rule: str) -> None:
    error = refusal(content)
    assert given in error.given
    assert rule in error.rule


def test_all_problems_are_listed_at_once() -> None:
    error = refusal({"seed": -1, "sed": 2, "arms": ["real", "mixd"]})
    assert "has 3 problems" in error.given
    assert error.given.count("\n  - ") == 3


def test_a_mistake_in_an_item_is_not_reported_as_a_short_list() -> None:
    assert "at least 1" not in str(refusal({"arms": ["mixd"]}))


# ── overrides ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("override", "reached", "value"),
    [
        ("training.steps=400", lambda s: s.training.steps, 400),
        ("training.learning_rate=1e-3", lambda s: s.training.learning_rate, 1e-3),
        ("data.split.design=fixed", lambda s: s.data.split.design, "fixed"),
        ("data.names.no=Norway", lambda s: s.data.names, {"no": "Norway"}),
        ("classifier=resnet", lambda s: s.classifier.kind, "resnet"),
        ("classifier.dropout=0.3", lambda s: s.classifier.settings(), {"dropout": 0.3}),
        ("generators.flow.steps=3", lambda s: s.generators[0].settings(), {"steps": 3}),
        ("generators[0].steps=3", lambda s: s.generators[0].settings(), {"steps": 3}),
        ("arms.mixed.multiples=[1, 2]", lambda s: s.arms[6].multiples, (1.0, 2.0)),
        ("arms=[real, mixed]", lambda s: [a.kind for a in s.arms], ["real", "mixed"]),
        ("curation=[]", lambda s: s.curation, ()),
        ("training.steps=", lambda s: s.training.steps, "auto"),
    ],
)
def test_overrides_reach_every_place(override: str, reached: Any, value: Any) -> None:
    assert reached(load_study({}, [override])) == value


def test_overrides_change_one_thing_only_and_the_last_one_wins() -> None:
    source = {"training": {"steps": 10, "ema": 0.5}, "generators": [{"kind": "flow", "steps": 9}]}
    study = load_study(source, ["training.steps=20", "training.steps=30", "generators.0.width=8"])
    assert "can lie below 10" in refusal(source, "training.steps.x=1").given
    assert (study.training.steps, study.training.ema) == (30, 0.5)
    assert study.generators[0].settings() == {"steps": 9, "width": 8}
    assert source["training"] == {"steps": 10, "ema": 0.5}


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("training.steps", "override 'training.steps'"),
        ("=3", "override '=3'"),
        ("training..steps=3", "override"),
        ("training.steps=[1", "no valid YAML"),
        ("generators.9.steps=1", "no single item '9'"),
        ("training.step=3", "unknown key 'training.step' – did you mean 'steps'?"),
        ("arms.mixed.multiples=[-1]", "'arms[6].multiples[0]' is -1"),
        ("data.source.x=3", "'data.source"),
    ],
)
def test_wrong_overrides_are_refused(override: str, words: str) -> None:
    assert words in refusal({}, override).given


# ── paths ─────────────────────────────────────────────────────────────────────────────────────


def test_paths_in_a_file_are_relative_to_the_file(tmp_path: Path) -> None:
    text = """
        data: {source: ../images}
        plugins: [mine.py]
        classifier: {kind: timm, weights: ./w.safetensors, model: resnet18}
    """
    (tmp_path / "studies").mkdir()
    study = load_study(write(tmp_path / "studies", text))
    assert study.data.source == str(tmp_path.resolve() / "images")
    assert study.plugins == (str(tmp_path.resolve() / "studies" / "mine.py"),)
    expected = str(tmp_path.resolve() / "studies" / "w.safetensors")
    assert study.classifier.settings() == {"weights": expected, "model": "resnet18"}
    bare = write(tmp_path / "studies", text.replace("./w.safetensors", "w.safetensors"))
    assert load_study(bare).classifier.settings()["weights"] == expected
    none = write(tmp_path / "studies", text.replace("./w.safetensors", "null"))
    assert "weights" not in load_study(none).classifier.settings()


def test_sources_that_are_no_paths_stay_and_overrides_are_relative_to_here(tmp_path: Path) -> None:
    path = write(tmp_path, "data: {source: 'sklearn:digits'}")
    assert load_study(path).data.source == "sklearn:digits"
    assert load_study(path, ["data.source=./images"]).data.source == "./images"


# ── writing ───────────────────────────────────────────────────────────────────────────────────


def test_a_written_study_explains_every_key_and_reads_back(tmp_path: Path) -> None:
    text = dump_study(Study())
    assert load_study(write(tmp_path, text)) == Study()
    assert "# optimiser steps; auto is chosen from the data's size and recorded.\n" in text
    keys = [line for line in text.splitlines() if line.endswith(":") or ": " in line]
    assert all(f"{name}:" in " ".join(keys) for name in Study.model_fields)


words = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Cn", "Co"]),
    min_size=1,
    max_size=12,
) | st.sampled_from(
    ["no", "null", "~", "007", "1e3", "a: b", "- x", "#1", "'", '"', " x ", "{", "*a"]
)


@given(
    names=st.dictionaries(words, words, max_size=4),
    extra=words,
    margin=st.floats(min_value=1e-9, max_value=0.99),
)
def test_any_study_survives_writing_and_reading(
    names: dict[str, str], extra: str, margin: float, tmp_path_factory: pytest.TempPathFactory
) -> None:
    study = Study.model_validate(
        {
            "data": {"names": names},
            "generators": [
                {"kind": "flow", "name": "f", "note": "=" + extra, "deep": {"a": [1, None]}}
            ],
            "arms": ["real", {"kind": "batch_share", "synthetic_share": 0.25, "curated": False}],
            "primary": {"margin": margin},
        }
    )
    path = tmp_path_factory.mktemp("study") / "study.yaml"
    path.write_text(dump_study(study), encoding="utf-8")
    read = load_study(path)
    assert read.data == study.data
    assert read.primary == study.primary
    assert read.arms == study.arms
    assert read.generators[0].settings()["note"] == "=" + extra


# ── schema ────────────────────────────────────────────────────────────────────────────────────


def test_the_schema_knows_keys_names_and_short_forms() -> None:
    schema = json_schema()
    assert schema["additionalProperties"] is False
    assert set(schema["properties"]) == set(Study.model_fields)
    bare, full = schema["$defs"]["ArmSpec"]["anyOf"]
    assert bare["enum"] == full["properties"]["kind"]["enum"] == [*RIVALS, *GENERATIVE]
    assert schema["$defs"]["Component"]["anyOf"][0] == {"type": "string"}
    assert "balanced_accuracy" in schema["$defs"]["Primary"]["properties"]["metric"]["enum"]


def test_bare_names_stand_for_kinds() -> None:
    study = Study.model_validate({"generators": ["flow"], "arms": ["real"]})
    assert study.generators == (Component(kind="flow"),)
    assert study.arms == (ArmSpec(kind="real"),)
    assert study.data == Data()
