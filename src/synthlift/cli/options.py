"""Options that several commands share, spelled and explained once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Source = Annotated[
    str,
    typer.Argument(
        metavar="SOURCE",
        help="A folder with one sub-folder a class, a study file, a run folder, or sklearn:digits.",
    ),
]
RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")]
Out = Annotated[
    Path | None,
    typer.Option("--out", metavar="DIR", help="Run folder; runs/<name of the study> if left out."),
]
Store = Annotated[
    Path | None,
    typer.Option(
        "--store",
        metavar="DIR",
        help="Where results are shared; $SYNTHLIFT_STORE or the user's cache folder if left out.",
    ),
]
Seed = Annotated[
    int | None, typer.Option("--seed", min=0, help="Everything random derives from it.")
]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda:N or mps.")]
Workers = Annotated[
    int | None,
    typer.Option("--workers", min=1, help="Processes on the CPU; one a core if left out."),
]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Change a key of the study; may be given repeatedly."
    ),
]
Budget = Annotated[
    str | None,
    typer.Option(
        "--budget",
        metavar="TIME",
        help="Time that the run may take, such as 90s, 30m or 2h, or none; a bare folder has 30m.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress.")]
