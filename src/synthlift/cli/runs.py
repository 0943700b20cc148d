"""``synthlift runs``."""

from __future__ import annotations

from synthlift.cli import options
from synthlift.cli.errors import guarded


@guarded
def runs(store: options.Store = None, as_json: options.Json = False) -> None:
    """List all runs with state and verdict."""
    from synthlift import api
    from synthlift.cli import output

    found = api.runs(store)
    if as_json:
        output.say_json(found)
    elif found:
        output.say(output.table(found))
    else:
        output.note("No runs yet. Start one with: synthlift demo, or synthlift run FOLDER")
