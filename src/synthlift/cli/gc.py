"""``synthlift gc``."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from synthlift.cli import options
from synthlift.cli.errors import guarded

DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would be deleted.")]


@guarded
def gc(store: options.Store = None, dry_run: DryRun = False, as_json: options.Json = False) -> None:
    """Delete results that no run refers to."""
    from synthlift import api
    from synthlift.cli import output

    found = api.gc(store, dry_run=dry_run)
    if as_json:
        output.say_json(asdict(found))
        return
    for folder in found.forgotten:
        verb = "would be forgotten, and its results deleted" if dry_run else "forgotten"
        output.say(f"{folder} is gone: {verb}")
    verb = "would be deleted" if dry_run else "deleted"
    output.say(f"{found.results:,} unused results {verb}, {output.size(found.bytes)}")
