"""Design B draws its training sets from one stock: what would hold for other images of the kind?

Given the stock, draws are independent, and the verdict is about them: "for training sets of this
size, drawn from these images". Of other images of the same kind they tell less, the more of them
they share; the same interval with Nadeau & Bengio's correction says how much less.
"""

from __future__ import annotations

from dataclasses import dataclass

from synthlift.evaluation.contrasts import Question
from synthlift.evaluation.intervals import Interval
from synthlift.evaluation.plan import EvaluationPlan
from synthlift.evaluation.scores import Scores, SharedTest
from synthlift.evaluation.verdict import judge
from synthlift.evaluation.words import sentence
from synthlift.spec.results import VerdictWord

NEGLIGIBLE, WHOLE = 0.01, 0.99
"""Shares of common images from which on draws are told to overlap, and to be the same images."""


@dataclass(frozen=True)
class OtherImages:
    """The primary contrast for training sets of other images.

    Attributes:
        text: for people.
        word: the verdict there; None where draws are the same images, which tells nothing.
        interval: of the difference; None likewise.
    """

    text: str
    word: VerdictWord | None = None
    interval: Interval | None = None


def for_other_images(scores: Scores, plan: EvaluationPlan) -> OtherImages | None:
    """The answer for other images of the same kind; None where draws hardly overlap.

    Args:
        scores: of the test images.
        plan: with the share of training images that two draws have in common.
    """
    shared = plan.overlap
    if not isinstance(scores, SharedTest) or plan.design != "redrawn" or shared < NEGLIGIBLE:
        return None
    if shared > WHOLE:
        return OtherImages(
            "The training sets are of the same images: how the answer would change with other "
            "images of the same kind was not measured."
        )
    question = Question(plan.generative, plan.rival, plan.metric)
    interval = question.interval(scores.sharing(shared / (1 - shared)))
    word = judge(interval, margin=plan.margin)
    said = sentence(word, interval, metric=plan.metric, margin=plan.margin)
    return OtherImages(
        f"The training sets were drawn from one stock of images, and two of them have "
        f"{shared:.0%} of their images in common, on average; the verdict is about such draws. "
        "Other images of the same kind may differ more. With that allowed for (Nadeau & Bengio "
        f"2003): {said}",
        word,
        interval,
    )
