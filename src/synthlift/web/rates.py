"""How often a client may ask for what; the counting is that of the library ``limits``."""

from __future__ import annotations

import time

from flask import Flask, request
from limits import RateLimitItemPerMinute
from limits.strategies import FixedWindowRateLimiter
from werkzeug.exceptions import TooManyRequests

from synthlift.web.counters import Counters
from synthlift.web.security import brings_token, by_token
from synthlift.web.settings import Settings

FREE = frozenset(("static",))
"""End points that are not counted."""
ENTER = "pages.enter"
"""Where a token is tried."""
NOWHERE, WRONG_TOKENS = "nowhere", "wrong tokens"
"""Where paths are counted that lead to no end point, and tokens that are wrong, wherever sent."""


def limit_rates(app: Flask, settings: Settings, *, costly: frozenset[str]) -> None:
    """Refuse a client that asks too often; each end point counts by itself.

    ``costly`` end points compute something, so that fewer requests are allowed. Wrong tokens count
    together, and whoever sent too many is refused with the right one, too: a different answer
    would tell it from the others.
    """
    counting = FixedWindowRateLimiter(Counters())
    usual, few, entering = (
        RateLimitItemPerMinute(most)
        for most in (settings.per_minute, settings.costly_per_minute, settings.login_per_minute)
    )

    def refuse(allowed: RateLimitItemPerMinute, *what: str) -> None:
        ends = counting.get_window_stats(allowed, *what).reset_time
        raise TooManyRequests(retry_after=max(1, int(ends - time.time()) + 1))

    @app.before_request
    def count() -> None:
        who, endpoint = request.remote_addr or "unknown", request.endpoint or NOWHERE
        if brings_token(settings):
            guesses = (who, WRONG_TOKENS)
            if not counting.test(entering, *guesses):
                refuse(entering, *guesses)
            if not by_token(settings) and not counting.hit(entering, *guesses):
                refuse(entering, *guesses)
        if endpoint in FREE:
            return
        allowed = entering if endpoint == ENTER else few if endpoint in costly else usual
        if not counting.hit(allowed, who, endpoint):
            refuse(allowed, who, endpoint)
