"""The operations of the API, by subject."""

from __future__ import annotations

from synthlift.web.endpoints import classifying, examples, generating, jobs, runs
from synthlift.web.operations import Operation


def operations() -> list[Operation]:
    """All of them."""
    parts = (runs, examples, generating, classifying, jobs)
    return [one for part in parts for one in part.OPERATIONS]
