"""Choices on validation: the best rival's recipe, and the best arm with synthetic images.

The statistics live in ``evaluation.selection``; here the validation predictions of the committed
models are gathered for it. Test predictions do not exist yet when this runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from synthlift.spec.arms import Arm
from synthlift.study.tables import entries, gather
from synthlift.study.work import Work

if TYPE_CHECKING:
    from synthlift.evaluation.predictions import Predictions


def selected_rival(work: Work, rivals: Sequence[Arm], split: int | None) -> tuple[str, str]:
    """The rival with the best validation score, pooled or of one split, and the reason."""
    from synthlift.evaluation.selection import best_rival

    names = [arm.name for arm in rivals]
    table = _validation(work, names, split)
    choice = best_rival(table, rivals=names, metric=work.session.study.primary.metric)
    return choice.arm, choice.reason


def selected_generative(
    work: Work, arms: Sequence[Arm], rival: str, split: int | None
) -> tuple[dict[str, str], str]:
    """The multiple within one standard error of the best, among arms with the rival's recipe.

    Returns:
        ``{"arm": for the primary contrast, "recommended": for use}``, and the reason.
    """
    from synthlift.evaluation.selection import best_multiple

    candidates = [arm for arm in arms if arm.base == "best_rival"] or list(arms)
    names = [rival, *(arm.name for arm in candidates)]
    table = _validation(work, names, split)
    choice = best_multiple(
        table,
        rival=rival,
        candidates={arm.name: arm.multiple for arm in candidates},
        metric=work.session.study.primary.metric,
    )
    return {"arm": choice.arm, "recommended": choice.recommended}, choice.reason


def _validation(work: Work, arms: Sequence[str], split: int | None) -> Predictions:
    replicates = [r for r in work.prepared.layout.replicates if split in (None, work.split_of(r))]
    return gather(
        work.session.store,
        entries(work, work.models, "validation", only=arms, replicates=replicates),
        work.prepared.opened.classes,
    )
