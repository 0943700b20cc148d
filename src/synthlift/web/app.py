"""Puts the application together."""

from __future__ import annotations

from datetime import timedelta

from flask import Flask
from flask_wtf.csrf import CSRFProtect

from synthlift.reporting.glossary import TERMS
from synthlift.web import operations, pages
from synthlift.web.context import KEY, Context
from synthlift.web.endpoints import operations as all_operations
from synthlift.web.faults import handle
from synthlift.web.forms import FormRequest
from synthlift.web.rates import limit_rates
from synthlift.web.security import CLIENT_HEADER, protect, require_own_name, secret_key
from synthlift.web.sessions import QuickSessions
from synthlift.web.settings import Settings


def create_app(settings: Settings) -> Flask:
    """The application; ``app.extensions["synthlift"]`` is its :class:`Context`.

    No job is run before ``Context.start()``.
    """
    app = Flask(__name__)
    app.request_class = FormRequest
    here = Context.of(settings)
    app.extensions[KEY] = here
    app.session_interface = QuickSessions()
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.config.update(
        SECRET_KEY=secret_key(settings.home),
        MAX_CONTENT_LENGTH=settings.upload_bytes,
        MAX_FORM_MEMORY_SIZE=1024**2,
        MAX_FORM_PARTS=settings.pictures + 8,
        SESSION_COOKIE_NAME="synthlift",
        SESSION_COOKIE_SAMESITE="Strict",
        PERMANENT_SESSION_LIFETIME=timedelta(days=7),
        WTF_CSRF_TIME_LIMIT=None,
    )
    offered = all_operations()
    require_own_name(app, settings)
    limit_rates(app, settings, costly=operations.costly(offered))
    api = operations.blueprint(offered)
    forms = CSRFProtect(app)
    forms.exempt(api)  # guarded by token, or by header and origin, see security.py
    app.register_blueprint(api)
    app.register_blueprint(pages.blueprint())
    protect(app, settings)
    handle(app)
    app.jinja_env.globals["client_header"] = CLIENT_HEADER
    app.jinja_env.globals["meanings"] = TERMS
    app.jinja_env.globals["needs_token"] = bool(settings.token)
    return app
