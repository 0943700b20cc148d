"""``synthlift report``."""

from __future__ import annotations

from typing import Annotated

import typer

from synthlift.cli import options
from synthlift.cli.errors import guarded

Open = Annotated[bool, typer.Option("--open", help="Open it in the browser.")]


@guarded
def report(run: options.RunFolder, open_it: Open = False, as_json: options.Json = False) -> None:
    """Write the report of a run again; print its path."""
    from synthlift import api
    from synthlift.cli import output

    path = api.report(run)
    if as_json:
        output.say_json({"report": path})
    else:
        output.say(str(path))
    if open_it:
        import webbrowser

        webbrowser.open(path.as_uri())
