"""What is told of an adaptation: of one adapter, or of those of several classes together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

MOST_NAMED = 8
"""Classes that a warning names; further ones are counted."""
VALIDATION = "validation_loss"

Told = Mapping[str, Any]
Points = Sequence[tuple[float, float]]


def told_together(told: Sequence[Told]) -> dict[str, Any]:
    """The history of one adapter, or of several: sums of steps and numbers, means of curves.

    Args:
        told: of each adapter, as :func:`~synthlift.generators.learning.loop.history` has it, with
            its ``parameters``.
    """
    if len(told) == 1:
        return {name: value for name, value in told[0].items() if name != "warnings"}
    curves = {name: _mean(told, name) for name in _names(told)}
    verdicts = [v for v in (one["copying_acceptable"] for one in told) if v is not None]
    sums = ("steps_planned", "steps_done", "kept_step", "parameters")
    return {
        **{name: sum(one[name] for one in told) for name in sums},
        "copying_watched": any(one["copying_watched"] for one in told),
        "copying_acceptable": all(verdicts) if verdicts else None,
        "losses": _mean_curve([one["losses"] for one in told if one["losses"]]),
        "readings": _readings(told),
        **({"curves": curves} if curves else {}),
    }


def validation_losses(told: Sequence[Told]) -> dict[str, float]:
    """Before and after, the mean over the adapters that saw validation images."""
    pairs = []
    for one in told:
        if losses := one.get("curves", {}).get(VALIDATION):
            by_step = {int(step): value for step, value in losses}
            pairs.append((losses[0][1], by_step[one["kept_step"]]))
    if not pairs:
        return {}
    before, after = np.mean(pairs, axis=0).tolist()
    return {"loss_before": before, "loss_after": after}


def warnings_of(told: Sequence[Told], classes: Sequence[str]) -> Iterator[str]:
    """What went wrong, with the classes where there are several adapters.

    Args:
        told: of each adapter.
        classes: whose they are, where each has one.
    """
    several = len(told) > 1
    for place, one in enumerate(told):
        of_class = f" (class '{classes[place]}')" if several else ""
        yield from (words + of_class for words in one.get("warnings", ()))
    copying = [i for i, one in enumerate(told) if _copies(one)]
    unused = [i for i, one in enumerate(told) if not (one["kept_step"] or _copies(one))]
    copied = [i for i in unused if any(not one["acceptable"] for one in told[i]["readings"])]

    def whose(places: Sequence[int]) -> str:
        if len(places) == len(told):
            return "its adaptation"
        return "the adaptation of " + _listed([classes[i] for i in places])

    if copying:
        yield f"No step of {whose(copying)} drew samples that do not copy."
    poor = [i for i in unused if i not in copied]
    was = {"was better than the pretrained pipeline": poor, "drew samples that do not copy": copied}
    for words, places in was.items():
        if places:
            of_these = "" if len(places) == len(told) else " of " + _these(len(places))
            yield (
                f"No step of {whose(places)} {words}: what is sampled{of_these} is the pipeline as "
                "it was."
            )


def _copies(one: Told) -> bool:
    return bool(one["copying_watched"] and not one["copying_acceptable"])


def _listed(names: Sequence[str]) -> str:
    said = ", ".join(f"'{name}'" for name in names[:MOST_NAMED])
    more = len(names) - MOST_NAMED
    return f"{said} and {more:,} more" if more > 0 else said


def _these(count: int) -> str:
    return "this class" if count == 1 else "these classes"


def _names(told: Sequence[Told]) -> list[str]:
    return list(dict.fromkeys(name for one in told for name in one.get("curves", {})))


def _mean(told: Sequence[Told], name: str) -> list[tuple[int, float]]:
    found = [one.get("curves", {}).get(name, ()) for one in told]
    return _mean_curve([points for points in found if points])


def _mean_curve(curves: Sequence[Points]) -> list[tuple[int, float]]:
    """At the steps that all of them have: training ends early where samples go on copying."""
    values = [{int(step): value for step, value in points} for points in curves]
    shared = [step for step in (values[0] if values else ()) if all(step in v for v in values)]
    return [(step, float(np.mean([one[step] for one in values]))) for step in shared]


def _readings(told: Sequence[Told]) -> list[dict[str, Any]]:
    """Of the copying monitor: the mean at a step, acceptable where all are."""
    watched = [one["readings"] for one in told if one["readings"]]
    by_step = [{one["step"]: one for one in readings} for readings in watched]
    shared = [step for step in (by_step[0] if by_step else ()) if all(step in b for b in by_step)]
    return [
        {
            "step": step,
            "value": float(np.mean([one[step]["value"] for one in by_step])),
            "acceptable": all(one[step]["acceptable"] for one in by_step),
            "detail": {},
        }
        for step in shared
    ]
