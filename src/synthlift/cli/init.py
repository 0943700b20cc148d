"""``synthlift init``."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from synthlift.cli import options
from synthlift.cli.errors import guarded

File = Annotated[Path, typer.Option("--out", metavar="FILE", help="The study file to write.")]
TextToImage = Annotated[
    str,
    typer.Option(
        "--text-to-image",
        metavar="MODEL",
        help="Pipeline that draws: a folder, a name from 'models list', or embedded.",
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Replace an existing file.")]


@guarded
@options.with_data
def init(
    data: options.Given,
    out: File = Path("study.yaml"),
    text_to_image: TextToImage = "",
    force: Force = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Write a commented study file for this data.

    It holds every key with its default and what it means.
    """
    from synthlift import api
    from synthlift.cli import output
    from synthlift.cli.progress import counting

    asked = api.ask(data.source, overrides=data.overrides())
    with counting("reading images", quiet=quiet) as progress:
        path = api.init(asked, out=out, text_to_image=text_to_image, force=force, progress=progress)
    if as_json:
        output.say_json({"study": path})
        return
    output.say(str(path))
    said = shlex.quote(str(path))
    output.note(
        f"Look through it, then:\n  synthlift plan {said}\n  synthlift run {said}", quiet=quiet
    )
