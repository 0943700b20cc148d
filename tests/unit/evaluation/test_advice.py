"""What is advised: which model, which classes, and what not."""

from __future__ import annotations

import shlex
from dataclasses import replace

import pytest

from synthlift.evaluation.actions import actions
from synthlift.evaluation.intervals import Interval
from synthlift.evaluation.outcome import Outcome, evaluate_study
from tests.unit.evaluation.test_evaluate_study import CLASSES, NAMES, TableMaker, arrays, plan


@pytest.fixture
def outcome(make_table: TableMaker) -> Outcome:
    labels, scores = arrays()
    table = make_table(scores, labels, names=NAMES, classes=CLASSES, fits=5)
    return evaluate_study(table, plan())


def advice(outcome: Outcome, word: str, *by_class: tuple[str, float]) -> dict[str, str]:
    """Titles and texts where the classes came out as (word, synthetic images)."""
    verdict = outcome.verdict.model_copy(update={"word": word})
    classes = [
        one.model_copy(update={"word": found, "synthetic_images": images})
        for one, (found, images) in zip(outcome.classes, by_class, strict=False)
    ]
    interval = Interval(value=-0.3, standard_error=0.05, degrees_of_freedom=9, method="t")
    return {one.title: one.text for one in actions(verdict, interval, classes, plan())}


def test_a_class_that_gains_from_others_images_is_not_recommended(outcome: Outcome) -> None:
    filled, free = ("harms", 150.0), ("helps", 0.0)
    found = advice(outcome, "harms", filled, filled, filled, free)
    assert "tell synthetic from real images" in found["Do not use these synthetic images"]
    assert "Classes that gain without images of their own: 'class 3'" in found
    assert not any(title.startswith("Classes that gain: ") for title in found)
    own = advice(outcome, "harms", filled, ("helps", 20.0), filled)
    assert "Classes that gain although the whole loses: 'class 1'" in own
    assert "tell synthetic from real images" not in own["Do not use these synthetic images"]
    good = advice(outcome, "helps", ("helps", 20.0))
    assert "generate for these first" in good["Classes that gain: 'class 0'"]


def test_the_model_that_is_handed_over_is_named_with_its_reason(make_table: TableMaker) -> None:
    labels, scores = arrays()
    table = make_table(scores, labels, names=NAMES, classes=CLASSES)
    rival = plan().rival

    def advice(**changes: object) -> list[str]:
        found = evaluate_study(table, plan(**changes)).actions
        return [a.text for a in found if a.title == "Classify with the model of this run"]

    assert advice() == []
    (predeclared,) = advice(recommended=rival)
    assert f"'{rival}'" in predeclared
    assert "nothing was chosen on validation" in predeclared
    (chosen,) = advice(recommended=rival, selected=True)
    assert "chosen on validation, before the test was opened" in chosen


def test_a_rival_that_does_as_well_is_named_beside_the_verdict(make_table: TableMaker) -> None:
    """Synthetic images that help beside a poor rival alone do not help."""
    labels, scores = arrays()
    scores[0] = scores[4]  # 'real' does as well as 'mixed@1+rival'
    table = make_table(scores, labels, names=NAMES, classes=CLASSES, fits=5)
    outcome = evaluate_study(table, plan(recommended="augmented"))
    assert outcome.verdict.word == "helps"
    assert any(
        words.startswith("Without synthetic images 'real' does as well or better: ")
        and "help beside 'augmented'" in words
        for words in outcome.verdict.warnings
    )
    first, second, *_ = outcome.actions
    assert first.title == "Compare with 'real' first"
    assert "primary: {rival: real}" in first.text
    assert "On the test 'real' does as well or better" in second.text


def test_arms_that_train_in_another_way_are_said_to(make_table: TableMaker) -> None:
    labels, scores = arrays()
    table = make_table(scores, labels, names=NAMES, classes=CLASSES, fits=5)
    plain, rich = ({"augmentation": one, "loss": "cross_entropy"} for one in ("none", "medium"))

    def told(recipe: dict[str, str]) -> list[str]:
        own = {"augmented": rich, "mixed@1+rival": recipe}
        arms = [replace(arm, recipe=own.get(arm.name, {})) for arm in plan().arms]
        warnings = evaluate_study(table, plan(arms=arms)).verdict.warnings
        return [words for words in warnings if "differ in how they train" in words]

    assert told(rich) == []
    (words,) = told({**plain, "regime": "pretrain_finetune"})
    assert "'mixed@1+rival' and 'augmented' also" in words
    assert "(augmentation none and medium)" in words


@pytest.mark.parametrize("word", ["helps", "helps_less_than_margin", "equivalent", "harms"])
def test_what_is_no_verdict_is_advised_under_reserve(outcome: Outcome, word: str) -> None:
    interval = Interval(value=0.02, standard_error=0.005, degrees_of_freedom=9, method="t")
    update = {"word": word, "exploratory": True, "exploratory_reasons": ["2 replicates"]}
    verdict = outcome.verdict.model_copy(update=update)
    first, second, *_ = actions(verdict, interval, [], plan())
    assert first.title == "Treat this as exploratory"
    assert "the answer stays exploratory" in first.text
    assert second.title.startswith("If a verdict confirms it: ")
    assert "is real" not in second.text
    assert second.command != first.command


def test_one_command_is_given_once(outcome: Outcome) -> None:
    components = {"fit": 1.0, "test": 0.1}
    interval = Interval(
        value=0, standard_error=0.05, degrees_of_freedom=9, method="t", components=components
    )
    update = {"word": "no_detectable_effect", "exploratory": True}
    verdict = outcome.verdict.model_copy(update=update)
    first, second, *_ = actions(verdict, interval, [], plan())
    assert first.command
    assert (second.title, second.command) == ("Repeat more often, or stop", "")
    calm = verdict.model_copy(update={"exploratory": False})
    assert actions(calm, interval, [], plan())[0].command == first.command


def test_arms_are_named_with_their_generator_where_there_are_several(outcome: Outcome) -> None:
    """The first generator's arms too; commands, which look arms up, go by either name."""
    whole = plan()
    other = replace(whole.arm(whole.generative), name="vae:mixed@1+rival", generator="vae")
    first = [replace(a, generator="flow") if a.name == whole.generative else a for a in whole.arms]
    several = replace(whole, arms=[*first, other])
    assert several.label(whole.generative) == f"flow:{whole.generative}"
    assert several.label(other.name) == other.name
    assert several.label(whole.rival) == whole.rival
    assert replace(whole, arms=first).label(whole.generative) == whole.generative
    interval = Interval(value=0.3, standard_error=0.05, degrees_of_freedom=9, method="t")
    told = actions(outcome.verdict.model_copy(update={"word": "helps"}), interval, [], several)
    assert f"'flow:{whole.generative}'" in told[0].text


@pytest.mark.parametrize("column", ["dose {mg}", "age group", "$(touch x)", "a'b", "{run}", "%s"])
def test_commands_take_any_name_of_a_column(outcome: Outcome, column: str) -> None:
    """Names of arms hold the names of columns that targets are over."""
    name = f"mixed-fill_label+{column}_to_median@1"
    verdict = outcome.verdict.model_copy(update={"word": "helps", "arm": name})
    interval = Interval(value=0.3, standard_error=0.05, degrees_of_freedom=9, method="t")
    whole = plan()
    named = replace(whole.arm(whole.generative), name=name)
    known = replace(whole, arms=[*whole.arms, named], run="runs of mine")
    command = actions(verdict, interval, [], known)[0].command
    words = ["synthlift", "export", "runs of mine", "--arm", name]
    assert shlex.split(command) == words
