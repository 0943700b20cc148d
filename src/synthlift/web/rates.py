"""How often a client may ask for what; the counting is that of the library ``limits``."""

from __future__ import annotations

import time

from flask import Flask, request
from limits import RateLimitItemPerMinute
from limits.strategies import FixedWindowRateLimiter
from werkzeug.exceptions import TooManyRequests

from synthlift.web.counters import Counters
from synthlift.web.settings import Settings

FREE = frozenset(("static",))
"""End points that are not counted."""
ENTER = "pages.enter"
"""Where a token is tried."""


def limit_rates(app: Flask, settings: Settings, *, costly: frozenset[str]) -> None:
    """Refuse a client that asks too often; each end point counts by itself.

    ``costly`` end points compute something, so that fewer requests are allowed.
    """
    counting = FixedWindowRateLimiter(Counters())
    usual, few, entering = (
        RateLimitItemPerMinute(most)
        for most in (settings.per_minute, settings.costly_per_minute, settings.login_per_minute)
    )

    @app.before_request
    def count() -> None:
        endpoint = request.endpoint
        if endpoint is None or endpoint in FREE:
            return
        allowed = entering if endpoint == ENTER else few if endpoint in costly else usual
        who = request.remote_addr or "unknown"
        if not counting.hit(allowed, who, endpoint):
            ends = counting.get_window_stats(allowed, who, endpoint).reset_time
            raise TooManyRequests(retry_after=max(1, int(ends - time.time()) + 1))
