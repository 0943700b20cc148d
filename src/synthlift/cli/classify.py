"""``synthlift classify``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from synthlift.cli import options
from synthlift.cli.errors import guarded

if TYPE_CHECKING:
    from synthlift.api import Classification

Model = Annotated[
    Path, typer.Argument(metavar="RUN_OR_MODEL", help="A finished run's folder, or its model's.")
]
Images = Annotated[
    list[Path], typer.Argument(metavar="IMAGE...", help="Image files, or folders of them.")
]


Masks = Annotated[
    Path | None,
    typer.Option(
        "--masks",
        metavar="FOLDER",
        help="Masks that lie as the images do: say how much of what speaks for the class lies "
        "inside them.",
    ),
]


@guarded
def classify(
    run_or_model: Model,
    images: Images,
    masks: Masks = None,
    device: options.Device = "cpu",
    as_json: options.Json = False,
) -> None:
    """Say which class images belong to, and how surely."""
    from synthlift import api
    from synthlift.cli import output

    found = api.classify(run_or_model, images, masks=masks, device=device)
    if as_json:
        output.say_json([asdict(answer) for answer in found])
        return
    rows = [
        {"file": a.file, "class": a.label, "probability": f"{100 * a.probability:.1f} %"}
        for a in found
    ]
    right = ["probability"]
    if masks is not None:
        for row, answer in zip(rows, found, strict=True):
            row["evidence inside"] = _share(answer.evidence_inside)
            row["mask covers"] = _share(answer.mask_covers)
        right += ["evidence inside", "mask covers"]
    output.say(output.table(rows, right=right))
    if masks is not None:
        output.say(_in_all(found))


def _share(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f} %"


def _in_all(found: Sequence[Classification]) -> str:
    """The mean over pictures whose mask covers something, and whose class something speaks for."""
    told = [
        (answer.evidence_inside, answer.mask_covers)
        for answer in found
        if answer.evidence_inside is not None and answer.mask_covers
    ]
    if not told:
        return "no picture has a mask that covers something"
    inside, covers = (sum(values) / len(told) for values in zip(*told, strict=True))
    return (
        f"mean of {len(told):,} picture{'' if len(told) == 1 else 's'}: {100 * inside:.1f} % of "
        f"what speaks for the class lies inside masks that cover {100 * covers:.1f} %"
    )
