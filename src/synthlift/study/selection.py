"""Choices on validation: the best rival's recipe, and the best arm with synthetic images.

The statistics live in ``evaluation.selection``; here the validation predictions of the committed
models are gathered for it. Test predictions do not exist yet when this runs.
"""

from __future__ import annotations

from collections.abc import Sequence

from synthlift.spec.arms import Arm
from synthlift.study.tables import entries, gather
from synthlift.study.work import Work


def selected_rival(work: Work, rivals: Sequence[Arm]) -> tuple[str, str]:
    """The rival with the best pooled validation score, and the reason in words."""
    from synthlift.evaluation.selection import best_rival

    names = [arm.name for arm in rivals]
    table = gather(
        work.session.store,
        entries(work, work.models, "validation", only=names),
        work.prepared.opened.classes,
    )
    choice = best_rival(table, rivals=names, metric=work.session.study.primary.metric)
    return choice.arm, choice.reason


def selected_generative(work: Work, arms: Sequence[Arm], rival: Arm) -> tuple[dict[str, str], str]:
    """The multiple within one standard error of the best, among arms with the rival's recipe.

    Returns:
        ``{"arm": for the primary contrast, "recommended": for use}``, and the reason.
    """
    from synthlift.evaluation.selection import best_multiple

    candidates = [arm for arm in arms if arm.base == "best_rival"] or list(arms)
    names = [rival.name, *(arm.name for arm in candidates)]
    table = gather(
        work.session.store,
        entries(work, work.models, "validation", only=names),
        work.prepared.opened.classes,
    )
    choice = best_multiple(
        table,
        rival=rival.name,
        candidates={arm.name: arm.multiple for arm in candidates},
        metric=work.session.study.primary.metric,
    )
    return {"arm": choice.arm, "recommended": choice.recommended}, choice.reason
