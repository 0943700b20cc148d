"""The memorisation gate: a generator that copies its training images is stopped (METHOD §5)."""

from __future__ import annotations

from collections.abc import Iterable

from synthlift.study.generation import Pool
from synthlift.study.work import Work

LIMIT = 0.10
COPY_REASONS = ("exact copy", "near copy")


def stopped_generators(work: Work) -> dict[str, str]:
    """Generators of which more than 10 % of the samples are copies, with the reason in words.

    Counted over the first chunk of every class and fit, so that asking for more images later
    cannot change the outcome. Recorded as a decision.
    """
    if not work.pools:
        return {}

    def choose() -> tuple[dict[str, str], str]:
        found: dict[str, str] = {}
        for name in sorted({pool.generator for pool in work.pools.values()}):
            copies, total = _count(p for p in work.pools.values() if p.generator == name)
            if copies > LIMIT * total:
                found[name] = (
                    f"{copies} of {total} samples are copies of training images "
                    f"({copies / total:.0%}, the limit is {LIMIT:.0%})"
                )
        return found, "; ".join(found.values()) or f"no generator copies more than {LIMIT:.0%}"

    stopped: dict[str, str] = work.session.decide("memorisation_gate", choose)
    return stopped


def _count(pools: Iterable[Pool]) -> tuple[int, int]:
    copies = total = 0
    for pool in pools:
        for stream in pool.streams.values():
            reasons = stream.verdicts[0].summary["reasons"]
            copies += sum(reason.startswith(COPY_REASONS) for reason in reasons)
            total += len(reasons)
    return copies, total
