"""``synthlift schema``."""

from __future__ import annotations

from synthlift.cli.errors import guarded


@guarded
def schema() -> None:
    """Print the JSON schema of a study file."""
    from synthlift import api
    from synthlift.cli import output

    output.say_json(api.schema())
