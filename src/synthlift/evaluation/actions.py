"""What to do now: use, collect or stop, in all and per class, with a command where there is one."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from synthlift.evaluation.intervals import Interval
from synthlift.evaluation.plan import EvaluationPlan
from synthlift.spec.results import Action, ClassVerdict, Verdict

HARMED = ("harms", "harms_less_than_margin")


def actions(
    verdict: Verdict,
    interval: Interval,
    classes: Sequence[ClassVerdict],
    plan: EvaluationPlan,
    *,
    outdone: str = "",
) -> list[Action]:
    """Advice in order of weight: certainty first, then the answer, classes, deployment.

    Args:
        verdict, interval: of the primary contrast.
        classes: what became of each.
        plan: the declared question.
        outdone: name of another rival that does as well as the arm that helps.
    """
    advice = []
    answer = _answer(verdict, interval, classes, plan)
    if outdone:
        answer = _compare_first(outdone, plan)
    if verdict.exploratory:
        advice.append(_exploratory(verdict, plan))
        if not outdone:  # that advice needs no verdict
            answer = _if_confirmed(answer, beside=advice[0])
    advice.append(answer)
    if plan.recommended:
        advice.append(_model(verdict, plan, outdone=outdone))
    advice.extend(_by_class(classes, verdict, plan))
    advice.append(
        Action(
            title="Before you deploy",
            text=(
                "Test the chosen model once on images from where it will be used (another site, "
                "device or season); check each class and subgroup that matters to you, and "
                "whether its probabilities are calibrated there."
            ),
        )
    )
    return advice


def _exploratory(verdict: Verdict, plan: EvaluationPlan) -> Action:
    return Action(
        title="Treat this as exploratory",
        text=(
            "No verdict can be given: "
            + "; ".join(verdict.exploratory_reasons)
            + ". More replicates narrow the interval, but since the test has been opened the "
            "answer stays exploratory; a verdict takes a new study, on test images that none has "
            "opened."
        ),
        command=_command(plan, "run", "--more", "2h"),
    )


def _compare_first(rival: str, plan: EvaluationPlan) -> Action:
    return Action(
        title=f"Compare with '{plan.label(rival)}' first",
        text=(
            "It does as well without synthetic images, and is not what they were compared with. "
            "A new study that names it (primary: {rival: "
            + rival
            + "}) tells, on test images that none has opened; until then use it."
        ),
        command=_command(plan, "export", "--arm", rival),
    )


def _if_confirmed(answer: Action, *, beside: Action) -> Action:
    """Advice on figures that are no verdict; a command that stands above is not given again."""
    if answer.command == beside.command:
        return answer.model_copy(update={"command": ""})
    title = f"If a verdict confirms it: {answer.title[:1].lower()}{answer.title[1:]}"
    return answer.model_copy(update={"title": title})


def _answer(
    verdict: Verdict, interval: Interval, classes: Sequence[ClassVerdict], plan: EvaluationPlan
) -> Action:
    use_arm = _command(plan, "export", "--arm", verdict.arm)
    use_rival = _command(plan, "export", "--arm", verdict.rival)
    if verdict.word == "helps":
        text = f"Train with '{plan.label(verdict.arm)}'."
        if not verdict.worth_having:
            text += (
                f" {_gain(verdict)}, but it may be smaller than the {_points(verdict.margin)} "
                "that you want; more replicates would tell."
            )
        return Action(title="Use the synthetic images", text=text, command=use_arm)
    if verdict.word == "helps_less_than_margin":
        return Action(
            title="Use them only if they cost you nothing",
            text=f"{_gain(verdict)}, but smaller than {_points(verdict.margin)}.",
            command=use_arm,
        )
    if verdict.word == "equivalent":
        return Action(
            title="Stop generating",
            text=(
                f"'{plan.label(verdict.rival)}' does as well without synthetic images, to within "
                f"{_points(verdict.margin)}."
            ),
            command=use_rival,
        )
    if verdict.word == "no_detectable_effect":
        return _undecided(verdict, interval, plan)
    text = f"They make the classifier worse; '{plan.label(verdict.rival)}' does better without."
    if _looks_like_a_shortcut(classes):
        text += (
            " The classes that were given synthetic images lost and the others gained: the "
            "classifier seems to tell synthetic from real images instead of the classes."
        )
    return Action(title="Do not use these synthetic images", text=text, command=use_rival)


def _gain(verdict: Verdict) -> str:
    return "There may be a gain" if verdict.exploratory else "The gain is real"


def _points(margin: float) -> str:
    return f"{100 * margin:g} point{'' if margin == 0.01 else 's'}"


def _looks_like_a_shortcut(classes: Sequence[ClassVerdict]) -> bool:
    """Whether filled classes lost and only others gained (METHOD §3, uniform-fraction control)."""
    filled = [one.word for one in classes if one.synthetic_images]
    others = [one.word for one in classes if not one.synthetic_images]
    lost = sum(word in HARMED for word in filled)
    return "helps" in others and "helps" not in filled and 2 * lost > len(filled)


def _model(verdict: Verdict, plan: EvaluationPlan, *, outdone: str) -> Action:
    """Which model the run hands over, and why it need not be the verdict's arm."""
    why = (
        "chosen on validation, before the test was opened"
        if plan.selected
        else "the rival's, since nothing was chosen on validation"
    )
    text = f"The run's model was trained as '{plan.label(plan.recommended)}': {why}."
    if outdone and outdone != plan.recommended:
        text += (
            f" On the test '{plan.label(outdone)}' does as well or better; export that arm to use "
            "its model."
        )
    elif verdict.word == "helps" and not outdone and not plan.arm(plan.recommended).multiple:
        favoured = plan.label(verdict.arm)
        text += f" The comparison favours '{favoured}'; export that arm to use its model."
    return Action(
        title="Classify with the model of this run",
        text=text,
        command=_command(plan, "classify", "IMAGE"),
    )


def _undecided(verdict: Verdict, interval: Interval, plan: EvaluationPlan) -> Action:
    parts = interval.components
    rest = f" Until then use '{plan.label(verdict.rival)}'."
    if parts.get("test", 0.0) >= parts.get("fit", 0.0) and "test" in parts:
        return Action(
            title="Collect more test images, or stop",
            text=(
                "What is uncertain is mostly which images are in the test set; more replicates "
                "would not help much, four times as many test images halve the interval." + rest
            ),
        )
    return Action(
        title="Repeat more often, or stop",
        text="What is uncertain is mostly how training and generation happen to go." + rest,
        command=_command(plan, "run", "--more", "2h"),
    )


def _by_class(
    classes: Sequence[ClassVerdict], verdict: Verdict, plan: EvaluationPlan
) -> list[Action]:
    gained = [one for one in classes if one.word == "helps"]
    helped = [one.name for one in gained if one.synthetic_images]
    besides = [one.name for one in gained if not one.synthetic_images]
    harmed = [one.name for one in classes if one.word in HARMED]
    small = [one.name for one in classes if one.word == "too_small"]
    advice = []
    if helped and verdict.word in HARMED:
        advice.append(
            Action(
                title="Classes that gain although the whole loses: " + _listed(helped),
                text="Images for these alone may be worth a study, on new test images.",
            )
        )
    elif helped:
        advice.append(
            Action(
                title="Classes that gain: " + _listed(helped),
                text=(
                    "More of their images are recognised with synthetic images; generate for these "
                    "first."
                ),
                command=_command(plan, "export", "--arm", plan.generative),
            )
        )
    if besides:
        advice.append(
            Action(
                title="Classes that gain without images of their own: " + _listed(besides),
                text=(
                    "More images are taken for them, rightly and wrongly; see the confusion "
                    "matrices before you call it a gain."
                ),
            )
        )
    if harmed:
        advice.append(
            Action(
                title="Classes that lose: " + _listed(harmed),
                text=(
                    "Fewer of their images are recognised with synthetic images. Look at their "
                    "pictures in the report, and generate none for them."
                ),
                command=_command(plan, "report"),
            )
        )
    if small:
        advice.append(
            Action(
                title="Collect images of: " + _listed(small),
                text="Too few test images for a verdict on these classes; counts are shown only.",
            )
        )
    return advice


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)


def _command(plan: EvaluationPlan, verb: str, *words: str) -> str:
    """A command on the run; names of arms hold names of columns, which may be any text."""
    return shlex.join(["synthlift", verb, plan.run, *words]) if plan.run else ""
