"""From what a study file says to the place where weights lie."""

from __future__ import annotations

from pathlib import Path

from synthlift.weights.hub import PREFIX, fetch
from synthlift.weights.shelf import Shelf


def locate(said: str) -> Path:
    """The folder or file that is meant: a path, a name on the shelf, or ``hf:OWNER/NAME[/FILE]``.

    A path goes before a name. What is on the Hub is looked for in its local cache first, and only
    ``hf:`` ever uses the network. A path that does not exist is given back as it is, for whoever
    asked to say what it should have been.

    Raises:
        InputError: the Hub does not give what is named.
    """
    if said.startswith(PREFIX):
        return fetch(said).place
    path = Path(said).expanduser()
    if path.exists():
        return path
    known = Shelf().entries()
    return Path(known[said].path) if said in known else path
