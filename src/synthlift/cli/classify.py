"""``synthlift classify``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from synthlift.cli import options
from synthlift.cli.errors import guarded

Model = Annotated[
    Path, typer.Argument(metavar="RUN_OR_MODEL", help="A finished run's folder, or its model's.")
]
Images = Annotated[
    list[Path], typer.Argument(metavar="IMAGE...", help="Image files, or folders of them.")
]


@guarded
def classify(
    run_or_model: Model,
    images: Images,
    device: options.Device = "cpu",
    as_json: options.Json = False,
) -> None:
    """Say which class images belong to, and how surely."""
    from synthlift import api
    from synthlift.cli import output

    found = api.classify(run_or_model, images, device=device)
    if as_json:
        output.say_json([asdict(answer) for answer in found])
        return
    rows = [
        {"file": a.file, "class": a.label, "probability": f"{100 * a.probability:.1f} %"}
        for a in found
    ]
    output.say(output.table(rows, right=["probability"]))
