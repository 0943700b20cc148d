"""Who may ask, from where, and what a browser may do with the answer."""

from __future__ import annotations

import hmac
import os
import re
import secrets
from pathlib import Path
from urllib.parse import urlsplit

from flask import Flask, Response, abort, current_app, redirect, request, session, url_for
from werkzeug.exceptions import SecurityError
from werkzeug.wrappers import Response as AnyResponse

from synthlift.reporting.pages import known_scripts
from synthlift.web.settings import Settings

CLIENT_HEADER = "X-Synthlift-Client"
"""Any value; a page of another site cannot send it without asking first, which is never allowed."""
LOCAL_NAMES = ("localhost", "127.0.0.1", "[::1]")
"""Of this machine, in addresses."""
SAFE = frozenset(("GET", "HEAD", "OPTIONS"))
OPEN = frozenset(("static", "pages.tokens", "pages.login", "pages.enter", "pages.health"))
"""End points that need no token."""
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
    "connect-src 'self'; frame-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)


def report_policy() -> str:
    """For reports: their own style, our scripts by their hashes, pictures within, nothing else.

    Sandboxed without an origin: a report reaches neither the pages nor their cookies. What a run
    folder of somebody else brings along as a script does not run, whatever it says of itself: the
    hashes are those of scripts that versions of ours have written, not of what the file holds.
    """
    scripts = " ".join(f"'sha256-{digest}'" for digest in known_scripts())
    return (
        "sandbox allow-scripts; default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
        f"script-src {scripts}; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
    )


def secret_key(home: Path) -> bytes:
    """The key that sessions are signed with; made once, readable by the user only."""
    path = home / "secret.key"
    if not path.is_file():
        # Written beside and linked: of two servers that start together, both read the same key.
        made = home / f".secret.{secrets.token_hex(6)}"
        made.touch(mode=0o600)
        made.write_bytes(secrets.token_bytes(32))
        try:
            os.link(made, path)
        except FileExistsError:
            pass
        except OSError:  # a file system without links
            made.replace(path)
        made.unlink(missing_ok=True)
    return path.read_bytes()


def require_own_name(app: Flask, settings: Settings) -> None:
    """Refuse what was sent to another name for this server, before anything else looks at it.

    A page elsewhere could point a name of its own at this machine. Flask's own ``TRUSTED_HOSTS``
    knows no IPv6 addresses.
    """
    if not settings.loopback:
        return
    names = (*LOCAL_NAMES, settings.own_name)

    @app.before_request
    def name() -> None:
        if re.sub(r":\d*$", "", request.host) not in names:
            raise SecurityError


def protect(app: Flask, settings: Settings) -> None:
    """Put the guards before, and the headers behind, every request."""

    @app.before_request
    def guard() -> AnyResponse | None:
        if request.endpoint in OPEN:
            return None
        if not may_enter(settings):
            if request.path.startswith("/api/"):
                abort(401)
            return redirect(url_for("pages.login"))
        if request.path.startswith("/api/") and request.method not in SAFE:
            require_own_client(settings)
        return None

    @app.after_request
    def headers(response: Response) -> Response:
        response.headers.setdefault("Content-Security-Policy", POLICY)
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Referrer-Policy"] = "same-origin"
        response.headers["Cross-Origin-Opener-Policy"] = "same-origin"
        response.headers["Cross-Origin-Resource-Policy"] = "same-origin"
        response.headers["Permissions-Policy"] = "camera=(), geolocation=(), microphone=()"
        if request.endpoint not in ("static", "pages.tokens"):
            response.headers.setdefault("Cache-Control", "no-store")
        return response


def token_is_right(given: str, settings: Settings) -> bool:
    """Compare in constant time."""
    return hmac.compare_digest(given.encode(), settings.token.encode())


def brings_token(settings: Settings) -> bool:
    """Whether the request itself brings something for the token that is needed."""
    return bool(settings.token) and _bearer() is not None


def by_token(settings: Settings) -> bool:
    """Whether the request itself brings the token."""
    given = _bearer()
    return bool(settings.token) and given is not None and token_is_right(given, settings)


def _bearer() -> str | None:
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    return given if scheme == "Bearer" else None


def may_enter(settings: Settings) -> bool:
    """Whether no token is needed, or it was given now or when signing in."""
    if not settings.token or by_token(settings):
        return True
    return hmac.compare_digest(str(session.get("entered", "")), mark(settings))


def mark(settings: Settings) -> str:
    """What a session holds that has given the token: a cookie can be read, so not the token."""
    key = current_app.secret_key
    assert isinstance(key, bytes)
    return hmac.new(key, settings.token.encode(), "sha256").hexdigest()


def require_own_client(settings: Settings) -> None:
    """Refuse what a page of another site may have sent with this browser's cookies."""
    if by_token(settings):
        return
    site = request.headers.get("Sec-Fetch-Site", "same-origin")
    origin = request.headers.get("Origin")
    foreign = origin is not None and urlsplit(origin).netloc != request.host
    if CLIENT_HEADER not in request.headers or foreign or site not in ("same-origin", "none"):
        abort(403, description="this request did not come from a page of this server")
