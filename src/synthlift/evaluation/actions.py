"""What to do now: use, collect or stop, in all and per class, with a command where there is one."""

from __future__ import annotations

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
) -> list[Action]:
    """Advice in order of weight: certainty first, then the answer, classes, deployment."""
    advice = []
    if verdict.exploratory:
        advice.append(
            Action(
                title="Treat this as exploratory",
                text="No verdict can be given yet: " + "; ".join(verdict.exploratory_reasons) + ".",
                command=_command(plan, "run {run} --more 2h"),
            )
        )
    advice.append(_answer(verdict, interval, classes, plan))
    if plan.recommended:
        advice.append(_model(verdict, plan))
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


def _answer(
    verdict: Verdict, interval: Interval, classes: Sequence[ClassVerdict], plan: EvaluationPlan
) -> Action:
    use_arm = _command(plan, f"export {{run}} --arm {verdict.arm}")
    use_rival = _command(plan, f"export {{run}} --arm {verdict.rival}")
    if verdict.word == "helps":
        text = f"Train with '{verdict.arm}'."
        if not verdict.worth_having:
            text += (
                f" The gain is real, but it may be smaller than the {100 * verdict.margin:g} "
                "points that you want; more replicates would tell."
            )
        return Action(title="Use the synthetic images", text=text, command=use_arm)
    if verdict.word == "helps_less_than_margin":
        return Action(
            title="Use them only if they cost you nothing",
            text=f"The gain is real and smaller than {100 * verdict.margin:g} points.",
            command=use_arm,
        )
    if verdict.word == "equivalent":
        return Action(
            title="Stop generating",
            text=f"'{verdict.rival}' does as well without synthetic images.",
            command=use_rival,
        )
    if verdict.word == "no_detectable_effect":
        return _undecided(verdict, interval, plan)
    text = f"They make the classifier worse; '{verdict.rival}' is better without them."
    if _looks_like_a_shortcut(classes):
        text += (
            " The classes that were given synthetic images lost and the others gained: the "
            "classifier seems to tell synthetic from real images instead of the classes."
        )
    return Action(title="Do not use these synthetic images", text=text, command=use_rival)


def _looks_like_a_shortcut(classes: Sequence[ClassVerdict]) -> bool:
    """Whether filled classes lost and only others gained (METHOD §3, uniform-fraction control)."""
    filled = [one.word for one in classes if one.synthetic_images]
    others = [one.word for one in classes if not one.synthetic_images]
    lost = sum(word in HARMED for word in filled)
    return "helps" in others and "helps" not in filled and 2 * lost > len(filled)


def _model(verdict: Verdict, plan: EvaluationPlan) -> Action:
    """Which model the run hands over, and why it need not be the verdict's arm."""
    why = (
        "chosen on validation, before the test was opened"
        if plan.selected
        else "the rival's, since nothing was chosen on validation"
    )
    text = f"The run's model was trained as '{plan.recommended}': {why}."
    if verdict.word == "helps" and not plan.arm(plan.recommended).multiple:
        text += f" The verdict favours '{verdict.arm}'; export that arm to use its model."
    return Action(
        title="Classify with the model of this run",
        text=text,
        command=_command(plan, "classify {run} IMAGE"),
    )


def _undecided(verdict: Verdict, interval: Interval, plan: EvaluationPlan) -> Action:
    parts = interval.components
    rest = f" Until then use '{verdict.rival}'."
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
        command=_command(plan, "run {run} --more 2h"),
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
                title="Classes that gain although the whole loses: " + ", ".join(helped),
                text="Images for these alone may be worth a study, on new test images.",
            )
        )
    elif helped:
        advice.append(
            Action(
                title="Classes that gain: " + ", ".join(helped),
                text="Synthetic images raise their recall; generate for these first.",
                command=_command(plan, f"export {{run}} --arm {plan.generative}"),
            )
        )
    if besides:
        advice.append(
            Action(
                title="Classes that gain without images of their own: " + ", ".join(besides),
                text=(
                    "More images are taken for them, rightly and wrongly; see the confusion "
                    "matrices before you call it a gain."
                ),
            )
        )
    if harmed:
        advice.append(
            Action(
                title="Classes that lose: " + ", ".join(harmed),
                text="Their recall falls; look at their images in the report, then leave them out.",
                command=_command(plan, "report {run}"),
            )
        )
    if small:
        advice.append(
            Action(
                title="Collect images of: " + ", ".join(small),
                text="Too few test images for a verdict on these classes; counts are shown only.",
            )
        )
    return advice


def _command(plan: EvaluationPlan, text: str) -> str:
    return "synthlift " + text.format(run=plan.run) if plan.run else ""
