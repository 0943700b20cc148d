"""The operations of the API, by subject."""

from __future__ import annotations

from synthlift.web.endpoints import classifying, generating, jobs, runs
from synthlift.web.operations import Operation


def operations() -> list[Operation]:
    """All of them."""
    return [*runs.OPERATIONS, *generating.OPERATIONS, *classifying.OPERATIONS, *jobs.OPERATIONS]
