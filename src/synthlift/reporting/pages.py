"""What every page shares: the templates, our own style and script, and a page without network."""

from __future__ import annotations

import base64
import functools
import hashlib
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import jinja2

_TEMPLATES = Path(__file__).parent / "templates"


def render_page(template: str, *, styles: tuple[str, ...] = ("style.css",), **values: Any) -> str:
    """Fill in a template; every value is escaped, only our own style and script are not.

    Args:
        template: its file name.
        styles: our style sheets, in order.
        values: what the template shows.
    """
    script = _asset("script.js")
    return (
        _environment()
        .get_template(template)
        .render(
            style=_trusted(tokens() + "".join(_asset(name) for name in styles)),
            script=_trusted(script),
            script_hash=script_digest(),
            **values,
        )
    )


def tokens() -> str:
    """Our colours and typefaces as a style sheet, for all that shall look like the report."""
    return _asset("tokens.css")


def script_digest() -> str:
    """SHA-256 of the one script that our pages run, base64, for a content security policy."""
    return _digest_of(_asset("script.js").encode())


@functools.cache
def known_scripts() -> tuple[str, ...]:
    """Digests of the scripts that pages of this version and of earlier ones run, the latest first.

    Pages that were written by an earlier version stay as they are, and so does their script. What
    else stands in a page is nobody's word that it is ours.
    """
    return tuple(_asset("scripts.txt").split())


def runs_known_scripts(page: bytes) -> bool:
    """Whether every inline script of an HTML page is one of ours."""
    found = re.findall(rb"<script[^>]*>(.*?)</script", page, re.DOTALL | re.IGNORECASE)
    return {_digest_of(script) for script in found} <= set(known_scripts())


def _digest_of(script: bytes) -> str:
    return base64.b64encode(hashlib.sha256(script).digest()).decode()


@functools.cache
def _environment() -> jinja2.Environment:
    import jinja2

    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


@functools.cache
def _asset(name: str) -> str:
    return (_TEMPLATES / name).read_text(encoding="utf-8")


def _trusted(own: str) -> Any:
    """Our own style and script, which must not be escaped; nothing else passes here."""
    from markupsafe import Markup

    return Markup(own)
