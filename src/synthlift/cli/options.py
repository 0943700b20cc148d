"""Options that several commands share, spelled and explained once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

Source = Annotated[
    str,
    typer.Argument(
        metavar="SOURCE",
        help="A folder with one sub-folder a class, a table of paths, an .npz file, a study file, "
        "a run folder, or a name such as sklearn:digits.",
    ),
]
Metadata = Annotated[
    Path | None,
    typer.Option(
        "--metadata", metavar="TABLE", help="A table to join to the images by path, name or stem."
    ),
]
Label = Annotated[str | None, typer.Option("--label", metavar="COLUMN", help="Column: the class.")]
Group = Annotated[
    str | None,
    typer.Option(
        "--group", metavar="COLUMN", help="Column: what must stay together (patient, lesion)."
    ),
]
Attribute = Annotated[
    list[str] | None,
    typer.Option(
        "--attribute", metavar="COLUMN", help="Column to keep for subgroups; may be repeated."
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


def changed(
    changes: list[str] | None,
    *,
    metadata: Path | None = None,
    label: str | None = None,
    group: str | None = None,
    attribute: list[str] | None = None,
) -> list[str]:
    """The overrides that ``--set`` and the options above stand for, as ``KEY=VALUE``."""
    given = {
        "metadata": None if metadata is None else str(metadata.expanduser().absolute()),
        "label": label,
        "group": group,
        "attributes": attribute or None,
    }
    said = [f"data.{key}={json.dumps(value)}" for key, value in given.items() if value is not None]
    return [*said, *(changes or ())]


Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress.")]
