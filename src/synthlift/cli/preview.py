"""``synthlift preview``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from synthlift.cli import options
from synthlift.cli.errors import guarded

if TYPE_CHECKING:
    from synthlift.api import Preview

Out = Annotated[
    Path | None,
    typer.Option(
        "--out", metavar="FILE", help="The PNG; preview-<name>.png in this folder if left out."
    ),
]
Within = Annotated[
    str,
    typer.Option(
        "--within",
        metavar="TIME",
        help="About the whole time, such as 30s or 2m; reading new images comes on top.",
    ),
]
PerClass = Annotated[
    int, typer.Option("--per-class", metavar="N", help="Images of each class and generator.")
]
NOTED_SECONDS = 1.0
"""Less time to read the pictures is not worth a word."""


@guarded
@options.with_data
def preview(
    data: options.Given,
    out: Out = None,
    within: Within = "2m",
    per_class: PerClass = 4,
    store: options.Store = None,
    seed: options.Seed = None,
    device: options.Device = "auto",
    workers: options.Workers = None,
    budget: options.Budget = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Show first images of every generator, and the time of a run.

    Generators are fitted for a short time on the study's first training set, so that their images
    are worse than those of the study; the sheet says how far each was trained.
    """
    from synthlift import api
    from synthlift.cli import output, starting
    from synthlift.cli.progress import following

    asked = api.ask(data.source, store=store, overrides=data.overrides(), seed=seed, budget=budget)
    with following(starting.store_of(asked), quiet=quiet) as listener:
        found = api.preview(
            asked,
            out=out,
            within=within,
            per_class=per_class,
            device=device,
            workers=workers,
            listener=listener,
        )
    if as_json:
        output.say_json(asdict(found))
    else:
        output.say(_words(found))


def _words(found: Preview) -> str:
    from synthlift.cli.output import duration, energy, size, table

    rows = [
        {
            "generator": one["name"],
            "trained": one["label"],
            "steps/s": _rate(one["steps_per_second"]),
            "images/s": _rate(one["images_per_second"]),
        }
        for one in found.generators
    ]
    plan = found.plan
    lines = [
        table(rows, right=["steps/s", "images/s"]),
        "",
        f"Classifier: {_rate(found.classifier_steps_per_second)} steps/s.",
    ]
    if plan["seconds"] is not None:
        lines.append(
            f"The study would take at most {duration(plan['seconds'])}: {len(plan['arms'])} arms, "
            f"{plan['replicates']} replicates, {plan['generator_fits']} generator fits at "
            f"{plan['image_size']} pixels."
        )
        lines.append(f"Energy at most: {energy(plan)}.")
    about = plan["disk_bytes_about"]
    expected = "" if about is None else f"about {size(about)}, "
    lines.append(f"Disk: {expected}at most {size(plan['disk_bytes'])}.")
    for one in found.generators:
        none = [label for label, count in one["images"].items() if not count]
        if none:
            lines.append(f"{one['name']} gave no image of: {', '.join(none)}")
        lines += [f"Note: {one['name']}: {remark}." for remark in one["remarks"]]
    reading = found.reading_seconds
    read = f", {duration(reading)} of them to read the pictures, which is done once"
    read = read if reading >= NOTED_SECONDS else ""
    lines += [
        f"This preview took {duration(found.seconds)}{read}.",
        f"All at a glance: {found.sheet}",
    ]
    return "\n".join(lines)


def _rate(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}" if value < 100 else f"{value:,.0f}"
