"""``synthlift report``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from synthlift.cli import options
from synthlift.cli.errors import guarded
from synthlift.errors import InputError

Open = Annotated[bool, typer.Option("--open", help="Open it in the browser.")]

Shareable = Annotated[
    bool,
    typer.Option(
        "--shareable", help="Without real images, paths and names; ids are hashed with a key."
    ),
]
Out = Annotated[
    Path | None,
    typer.Option(
        "--out", metavar="FILE", help="With --shareable: where it is written, if not in the run."
    ),
]


@guarded
def report(
    run: options.RunFolder,
    shareable: Shareable = False,
    out: Out = None,
    open_it: Open = False,
    as_json: options.Json = False,
) -> None:
    """Write the report of a run again, or a copy to share."""
    from synthlift import api
    from synthlift.cli import output

    if out is not None and not shareable:
        raise InputError(
            f"--out {out}",
            rule="the report lies in its run folder, beside its pictures",
            remedy="add --shareable, or leave --out out",
        )
    path = api.share_report(run, out=out) if shareable else api.report(run)
    if as_json:
        output.say_json({"report": path})
    else:
        output.say(str(path))
    if open_it:
        import webbrowser

        webbrowser.open(path.as_uri())
