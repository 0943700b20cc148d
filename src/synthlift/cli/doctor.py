"""``synthlift doctor``."""

from __future__ import annotations

import typer

from synthlift.cli import options
from synthlift.cli.errors import guarded

MARKS = {"ok": "ok     ", "warning": "warning", "problem": "PROBLEM"}


@guarded
def doctor(store: options.Store = None, as_json: options.Json = False) -> None:
    """Check this machine: Python, torch, GPU, disk, memory."""
    from synthlift import api
    from synthlift.cli import output

    checks = api.doctor(store)
    if as_json:
        output.say_json(checks)
    else:
        for check in checks:
            output.say(f"{MARKS[check['level']]}  {check['name']}: {check['found']}")
            if check["remedy"]:
                output.say(f"         → {check['remedy']}")
    if any(check["level"] == "problem" for check in checks):
        raise typer.Exit(1)
