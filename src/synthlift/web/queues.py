"""Queues that no client fills alone: some places of each stay for the others."""

from __future__ import annotations

from math import ceil

from flask import request

from synthlift.web.errors import BusyError

SHARE = 0.75
"""Of a queue's places that one client may hold."""


def client() -> str:
    """Who sends this request: its address, as rates are counted by, too."""
    return request.remote_addr or "unknown"


def require_place(what: str, *, taken: int, own: int, most: int, count: int = 1) -> None:
    """Refuse more than a queue holds, or than one client may hold of it.

    Args:
        what: wait there, in words.
        taken: places that are held by anybody.
        own: by this client.
        most: places that there are.
        count: places that are asked for.

    Raises:
        BusyError: there are too few.
    """
    if taken + count > most:
        raise BusyError(f"too many {what}")
    if own + count > ceil(SHARE * most):
        raise BusyError(f"too many {what} are yours")
