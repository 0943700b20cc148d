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
Form = Annotated[
    str,
    typer.Option("--format", metavar="FORMAT", help="imagefolder, csv, parquet or hf."),
]
AcceptCopies = Annotated[
    bool,
    typer.Option("--accept-copies", help="Export although the generator failed the copying gate."),
]
AcceptTerms = Annotated[
    bool,
    typer.Option("--accept-terms", help="Export although the source may not be redistributed."),
]

ByHand = Annotated[
    bool,
    typer.Option(
        "--by-hand",
        help="Let verdicts by hand count, as given in the web app; models never saw them.",
    ),
]


@guarded
def export(
    run: options.RunFolder,
    arm: Arm,
    form: Form = "imagefolder",
    out: Out = None,
    replicate: Replicate = 0,
    synthetic_only: SyntheticOnly = False,
    accept_copies: AcceptCopies = False,
    accept_terms: AcceptTerms = False,
    by_hand: ByHand = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Write an arm's images, with a data card and provenance.

    The format imagefolder adds splits and model; csv, parquet and hf the validation images. Test
    images are never among them. Headers of real images are taken off; every synthetic PNG says
    that it is one.
    """
    from synthlift import api
    from synthlift.api.naming import plain_name
    from synthlift.cli import output
    from synthlift.cli.progress import counting

    with counting("writing images", quiet=quiet) as progress:
        found = api.export(
            run,
            arm=arm,
            out=out or Path(plain_name(f"{run.resolve().name}-{arm}")),
            form=form,
            replicate=replicate,
            synthetic_only=synthetic_only,
            accept_copies=accept_copies,
            accept_terms=accept_terms,
            by_hand=by_hand,
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
    if found.decoded:
        output.say(
            f"{found.decoded:,} real images are 8-bit PNG: their files' headers could not be "
            "taken off"
        )
    if form == "imagefolder":
        output.say(f"model/ is {found.model}")
