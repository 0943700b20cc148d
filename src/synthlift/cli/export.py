"""``synthlift export``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from synthlift.cli import options
from synthlift.cli.errors import guarded

Arm = Annotated[str, typer.Option("--arm", metavar="NAME", help="Which arm, such as mixed@2.")]
Out = Annotated[
    Path | None,
    typer.Option(
        "--out", metavar="DIR", help="A new or empty folder; <run>-<arm> here if left out."
    ),
]
Replicate = Annotated[int, typer.Option("--replicate", min=0, help="Which repetition, from 0.")]
SyntheticOnly = Annotated[bool, typer.Option("--synthetic-only", help="Leave the real images out.")]


@guarded
def export(
    run: options.RunFolder,
    arm: Arm,
    out: Out = None,
    replicate: Replicate = 0,
    synthetic_only: SyntheticOnly = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Write an arm's images, splits, provenance and model.

    Test images are named in splits.csv and never in the training folder.
    """
    from synthlift import api
    from synthlift.cli import output
    from synthlift.cli.progress import counting

    with counting("writing images", quiet=quiet) as progress:
        found = api.export(
            run,
            arm=arm,
            out=out or Path(f"{run.resolve().name}-{arm}"),
            replicate=replicate,
            synthetic_only=synthetic_only,
            progress=progress,
        )
    if as_json:
        output.say_json(asdict(found))
        return
    output.say(f"{found.real:,} real and {found.synthetic:,} synthetic images in {found.path}")
    if found.reduced:
        output.say(
            f"{found.reduced:,} real images are at training size: their originals are gone or "
            "were changed"
        )
    output.say(f"model/ is {found.model}")
