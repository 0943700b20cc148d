"""Flask's signed sessions, opened only for clients that have one."""

from __future__ import annotations

from flask import Flask, Request
from flask.sessions import SecureCookieSession, SecureCookieSessionInterface


class QuickSessions(SecureCookieSessionInterface):
    """Most requests to the API bring no cookie: nothing has to be verified for them.

    Preparing to verify one takes as long as finding the end point.
    """

    def open_session(self, app: Flask, request: Request) -> SecureCookieSession | None:
        """The session that the request brings, else an empty one."""
        if self.get_cookie_name(app) not in request.cookies:
            return self.session_class()
        return super().open_session(app, request)
