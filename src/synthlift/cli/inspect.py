"""``synthlift inspect``."""

from __future__ import annotations

from synthlift.cli import options
from synthlift.cli.errors import guarded


@guarded
def inspect(
    source: options.Source,
    metadata: options.Metadata = None,
    label: options.Label = None,
    group: options.Group = None,
    attribute: options.Attribute = None,
    changes: options.Set = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Say what is in the data and what a study could show.

    Classes, sizes, faults, duplicates, and the smallest difference that a study would find.
    """
    from synthlift import api
    from synthlift.cli import output
    from synthlift.cli.progress import counting
    from synthlift.data.inspection import render_inspection

    asked = api.ask(
        source,
        overrides=options.changed(
            changes, metadata=metadata, label=label, group=group, attribute=attribute
        ),
    )
    with counting("reading images", quiet=quiet) as progress:
        found = api.inspect(asked, progress=progress)
    if as_json:
        output.say_json(found)
    else:
        output.say(render_inspection(found).rstrip())
