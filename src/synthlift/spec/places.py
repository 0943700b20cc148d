"""Taking places of this machine out of words that leave it."""

from __future__ import annotations

import re
from typing import Any

# Absolute, of a home folder, upward, or of Windows. Addresses of the web are matched to be kept.
_PLACE = re.compile(
    r"https?://\S+|(?<![\w.:/\\~-])(?:[a-z]+:)?"
    r"(?:file://|~[\w.-]*(?=[/\\])|\.\.?(?=[/\\])|[A-Za-z]:(?=[/\\])|(?=[/\\]))"
    r"(?:[/\\]+[^\s/\\'\"<>|,;]+)+[/\\]?"
)
_QUOTED = re.compile(r"(?<=['\"])(?:~|\.\.?|[A-Za-z]:)?[/\\][^'\"]*(?=['\"])")


def without_places(text: str) -> str:
    """The same words, every path cut to its last part: ``/home/ann/x`` becomes ``x``.

    Relative paths that lead down stay as they are.
    """
    return _PLACE.sub(_last, _QUOTED.sub(_last, text))


def _last(found: re.Match[str]) -> str:
    if found.group().startswith("http"):
        return found.group()
    parts = [part for part in re.split(r"[/\\]+", found.group()) if part]
    return parts[-1] if parts else ""


def plain(value: Any) -> Any:
    """JSON with :func:`without_places` on every text in it, keys included."""
    if isinstance(value, dict):
        return {without_places(str(key)): plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    return without_places(value) if isinstance(value, str) else value
