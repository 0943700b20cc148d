"""Places of this machine, which are nobody's business in a browser.

Commands name places in what they write: a page that an inspection left, a report, an error. What is
served says instead where a file lies within the upload that somebody sent, as they know it. Where a
token is needed, whoever reads may be at another machine: then the server's own folders, and those
above the pictures and runs that it was told of, are not named either.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

from markupsafe import escape

from synthlift.store import default_root
from synthlift.web.settings import Settings

ELSEWHERE = "…"


class Places:
    """Takes places out of texts.

    Args:
        settings: of the server.
    """

    def __init__(self, settings: Settings) -> None:
        within = r"[/\\]+[0-9a-f]{16}[/\\]+"  # an upload's own folder, see DataSets.take_in
        uploads = "|".join(f"{one}{within}" for one in _written(settings.uploads))
        self._uploads = re.compile(uploads)
        above = [settings.home, settings.store or default_root()]
        above += [one.parent for one in (*settings.data, *settings.runs)]
        known = {one for folder in above for one in _written(folder)} if settings.token else set()
        longest_first = "|".join(sorted(known, key=len, reverse=True))
        # A folder of that name may be a part of another place's name.
        self._above = re.compile(rf"(?<![\w.~-])(?:{longest_first})(?=[/\\])") if known else None

    def hidden(self, text: str) -> str:
        """A text, HTML or JSON that names no place of an upload, and other places shortened."""
        text = self._uploads.sub("", text)
        return text if self._above is None else self._above.sub(ELSEWHERE, text)


def _written(folder: Path) -> Iterator[str]:
    """Patterns of a folder as texts name it: as it is, in HTML and in JSON."""
    for path in {folder.expanduser().absolute(), folder.expanduser().resolve()}:
        if path != Path(path.anchor):
            name = str(path)
            yield from {re.escape(one) for one in (name, escape(name), json.dumps(name)[1:-1])}
