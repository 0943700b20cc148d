"""The operations of the API, by subject."""

from __future__ import annotations

from synthlift.web.endpoints import (
    blind_tests,
    classifying,
    data,
    examples,
    figures,
    gallery,
    generating,
    jobs,
    models,
    pools,
    runs,
    studies,
)
from synthlift.web.operations import Operation

SUBJECTS = (
    runs,
    models,
    examples,
    figures,
    generating,
    classifying,
    gallery,
    blind_tests,
    pools,
    data,
    studies,
    jobs,
)


def operations() -> list[Operation]:
    """All of them."""
    return [one for subject in SUBJECTS for one in subject.OPERATIONS]
