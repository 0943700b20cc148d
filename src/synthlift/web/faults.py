"""Errors: the same three parts as JSON for the API and as a page; never a trace."""

from __future__ import annotations

import errno
import logging
import shutil
import sqlite3

from flask import Flask, Response, current_app, jsonify, render_template, request
from flask_wtf.csrf import CSRFError
from werkzeug.exceptions import (
    HTTPException,
    RequestEntityTooLarge,
    SecurityError,
    TooManyRequests,
)

from synthlift.errors import InputError
from synthlift.web.errors import BusyError, MissingError, StuckError

BUSY_SECONDS = 10
LEAST_FREE_BYTES = 1024**2
_LOG = logging.getLogger("synthlift.web")
_WORDS = {
    400: ("The request was not understood.", "Go back and try again."),
    401: ("This server asks for a token.", "Give it as: Authorization: Bearer TOKEN."),
    403: ("This was refused.", "Reload the page and try again."),
    404: ("There is nothing here.", "It may have been deleted. Start again from the first page."),
    405: ("This cannot be done here.", "Go back and try again."),
    413: ("That is too large.", "Send smaller or fewer files."),
    429: ("Too much at once.", "Wait a little and try again."),
    500: ("Something went wrong here.", "Try again. The terminal of the server says more."),
    503: ("No answer came in time.", "Try again in a moment."),
    507: (
        "The server's disk is full.",
        "Nothing is lost. Delete studies or uploads, or free space.",
    ),
}


def answer(
    status: int, given: str = "", *, rule: str = "", remedy: str = "", wait: int = 0
) -> Response:
    """An error in the form that the client asked in."""
    usual, advice = _WORDS.get(status, _WORDS[400])
    error = {"given": given or usual, "rule": rule, "remedy": remedy or advice}
    if request.path.startswith("/api/"):
        response = jsonify({"error": error})
    else:
        response = Response(render_template("error.html", error=error, status=status))
    response.status_code = status
    if wait:
        response.headers["Retry-After"] = str(wait)
    return response


def handle(app: Flask) -> None:
    """Register a handler for everything that can be raised."""

    @app.errorhandler(InputError)
    def wrong(error: InputError) -> Response:
        return answer(400, error.given, rule=error.rule, remedy=error.remedy)

    @app.errorhandler(MissingError)
    def missing(_error: MissingError) -> Response:
        return answer(404)

    @app.errorhandler(BusyError)
    def busy(error: BusyError) -> Response:
        return answer(429, str(error), wait=BUSY_SECONDS)

    @app.errorhandler(StuckError)
    def stuck(error: StuckError) -> Response:
        return answer(503, str(error), remedy=error.remedy, wait=BUSY_SECONDS)

    @app.errorhandler(TooManyRequests)
    def too_many(error: TooManyRequests) -> Response:
        wait = error.retry_after
        return answer(429, wait=wait if isinstance(wait, int) else BUSY_SECONDS)

    @app.errorhandler(CSRFError)
    def forged(_error: CSRFError) -> Response:
        return answer(400, "The page was open for too long, or was not ours.", remedy="Reload it.")

    @app.errorhandler(RequestEntityTooLarge)
    def large(_error: RequestEntityTooLarge) -> Response:
        return answer(413)

    @app.errorhandler(SecurityError)
    def another_name(_error: SecurityError) -> Response:
        # No address of ours can be built for a name that is not ours.
        return Response("this server has another name\n", status=400, mimetype="text/plain")

    @app.errorhandler(HTTPException)
    def refused(error: HTTPException) -> Response:
        # Our own words: Werkzeug's may repeat what was sent.
        return answer(error.code or 500)

    @app.errorhandler(Exception)
    def unexpected(error: Exception) -> Response:
        _LOG.error("%s %s failed", request.method, request.path, exc_info=error)
        return answer(500)

    @app.errorhandler(OSError)
    @app.errorhandler(sqlite3.OperationalError)
    def not_written(error: OSError | sqlite3.OperationalError) -> Response:
        return answer(507) if _is_full(error) else unexpected(error)


def _is_full(error: OSError | sqlite3.OperationalError) -> bool:
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    code = error.sqlite_errorcode & 0xFF  # the primary one
    if code == sqlite3.SQLITE_IOERR:  # SQLite could not even make its files for readers
        home = current_app.extensions["synthlift"].settings.home
        return shutil.disk_usage(home).free < LEAST_FREE_BYTES
    return code == sqlite3.SQLITE_FULL
