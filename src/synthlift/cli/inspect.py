"""``synthlift inspect``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from synthlift.cli import options
from synthlift.cli.errors import guarded
from synthlift.errors import InputError

Out = Annotated[
    Path | None,
    typer.Option(
        "--out", metavar="FILE", help="The page; inspect-<name>.html in this folder if left out."
    ),
]
NoPage = Annotated[bool, typer.Option("--no-page", help="Print only, write no page.")]


@guarded
@options.with_data
def inspect(
    data: options.Given,
    out: Out = None,
    no_page: NoPage = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Say what is in the data, what is wrong, and what to do.

    Prints a summary and writes a page with pictures: counts, copies, suspected labels, outliers,
    shortcuts, and what a study could show. With --json, all is printed and no page written unasked.
    """
    from synthlift import api
    from synthlift.cli import output
    from synthlift.cli.progress import stages
    from synthlift.data.findings.words import render_findings
    from synthlift.data.inspection import render_inspection

    if out is not None and no_page:
        raise InputError(
            f"--out {out} together with --no-page",
            rule="the page is either written or not",
            remedy="leave one of them out",
        )
    asked = api.ask(data.source, overrides=data.overrides())
    if out is None and not (no_page or as_json):
        out = Path(f"inspect-{asked.study.name}.html")
    with stages("reading images", quiet=quiet) as progress:
        found = api.inspect(asked, page=out, said=data.words(), progress=progress)
    if as_json:
        output.say_json({**found, "page": None if out is None else str(out.absolute())})
        return
    output.say(render_inspection(found).rstrip())
    output.say()
    output.say(render_findings(found["findings"]).rstrip())
    if out is not None:
        output.say(f"\npage: {out.absolute()}")
