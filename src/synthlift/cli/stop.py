"""``synthlift stop``."""

from __future__ import annotations

import shlex
from typing import Annotated

import typer

from synthlift.cli import options
from synthlift.cli.errors import guarded

Timeout = Annotated[float, typer.Option("--timeout", min=0, help="Seconds to wait for the end.")]


@guarded
def stop(run: options.RunFolder, timeout: Timeout = 60.0, as_json: options.Json = False) -> None:
    """End a run; everything finished is kept."""
    from synthlift import api
    from synthlift.cli import output
    from synthlift.cli.starting import go_on
    from synthlift.errors import SynthliftError

    before = api.status(run).state
    found = api.stop(run, timeout=timeout)
    if found.state == "running":
        raise SynthliftError(
            f"the run has not ended after {timeout:g} s; it was asked to and will. "
            f"See `synthlift status {shlex.quote(str(run))}`"
        )
    if as_json:
        output.say_json({"before": before, "state": found.state, "path": found.path})
        return
    if before != "running":
        output.say(f"The run was not running: {found.state}.")
    elif found.state == "done":
        output.say("The run was done before it could be stopped.")
    else:
        output.say("Stopped; everything finished is kept.")
    if found.state != "done":
        output.say(f"Go on with:\n  {go_on(found.path)}")
