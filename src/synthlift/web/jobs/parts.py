"""Studies that answer one question together, such as those with half of the labels and with all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from synthlift.web.jobs.table import Job

BETWEEN = " · "
"""In a title, between the name of the data and what the study is beside the others."""
_OWN = "data.split.fraction="
"""The setting in which such studies differ."""


def other_part(job: Job, jobs: Sequence[Job]) -> Job | None:
    """The other study of the same question, None where there is none, or it was deleted.

    Args:
        job: one of the two.
        jobs: among which the other one is sought.
    """
    if job.kind != "study" or BETWEEN not in job.title:
        return None
    found = [
        one
        for one in jobs
        if one.kind == "study"
        and (one.data, one.title != job.title) == (job.data, True)
        and [*_shared(one)] == [*_shared(job)]
    ]
    # The same may have been asked before: both are begun together.
    return min(found, key=lambda one: abs(one.created - job.created), default=None)


def _shared(job: Job) -> Iterator[str]:
    """The words of its command, but those that are its own."""
    words = iter(job.command)
    for word in words:
        if word == "--out":
            next(words, None)
        elif not word.startswith(_OWN):
            yield word
