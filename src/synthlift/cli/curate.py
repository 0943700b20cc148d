"""``synthlift curate``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from synthlift.cli import options
from synthlift.cli.errors import guarded
from synthlift.errors import InputError

if TYPE_CHECKING:
    from synthlift.api import Curated

Pool = Annotated[
    str,
    typer.Argument(
        metavar="POOL",
        help="Images to judge: a folder with one sub-folder a class, a table of paths, an export.",
    ),
]
Real = Annotated[
    str, typer.Option("--real", metavar="DATA", help="Real images of the same classes.")
]
Out = Annotated[
    Path | None,
    typer.Option(
        "--out", metavar="DIR", help="A new or empty folder for kept images, verdicts and a page."
    ),
]
Classes = Annotated[
    list[str] | None,
    typer.Option(
        "--class",
        metavar="THEIRS=OURS",
        help="What a class of the pool is called in the real data; THEIRS= leaves it out.",
    ),
]
Filters = Annotated[
    list[str] | None,
    typer.Option(
        "--filter", metavar="KIND", help="Only this filter; may be given repeatedly, in order."
    ),
]
Keep = Annotated[
    float | None,
    typer.Option(
        "--keep",
        metavar="SHARE",
        help="Select so large a share of each class for diversity, 0.1 to 1.",
    ),
]
Metadata = Annotated[
    Path | None,
    typer.Option("--metadata", metavar="TABLE", help="A table to join to the pool's images."),
]
Label = Annotated[
    str | None, typer.Option("--label", metavar="COLUMN", help="Column of the pool: the class.")
]
Link = Annotated[bool, typer.Option("--link", help="Link the kept images instead of copying.")]


@guarded
def curate(
    pool: Pool,
    real: Real,
    out: Out = None,
    classes: Classes = None,
    filters: Filters = None,
    keep: Keep = None,
    metadata: Metadata = None,
    label: Label = None,
    link: Link = False,
    store: options.Store = None,
    device: options.Device = "auto",
    workers: options.Workers = None,
    changes: options.Set = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Say which of anyone's images can be used, and why not others.

    Every image of POOL is judged against the real images of its class: copies, faults, outliers,
    wrong classes. No generator is trained. With --out, kept images, all verdicts and a page with
    examples are written. --set changes how the real data are read, and with curation=[…] the
    filters' settings.
    """
    from synthlift import api
    from synthlift.cli import output
    from synthlift.cli.progress import following
    from synthlift.store import default_root

    told: dict[str, object] = {"source": pool}
    if metadata is not None:
        told["metadata"] = str(metadata.expanduser().absolute())
    if label is not None:
        told["label"] = label
    with following(store or default_root(), quiet=quiet) as listener:
        found = api.curate(
            told,
            real=real,
            out=out,
            classes=_pairs(classes or ()),
            filters=filters or (),
            keep=keep,
            link=link,
            store=store,
            device=device,
            workers=workers,
            overrides=changes or (),
            listener=listener,
        )
    if as_json:
        output.say_json(asdict(found))
    else:
        output.say(_words(found))


def _words(found: Curated) -> str:
    from synthlift.cli.output import table

    order = ["same_picture", *(one["name"] for one in found.filters)]
    reasons = [name for name in order if any(name in own for own in found.counts.values())]
    rows = [
        {
            "class": label,
            "images": sum(own.values()),
            "kept": own["kept"],
            **{name: own.get(name, 0) for name in reasons},
        }
        for label, own in found.counts.items()
    ]
    lines = [
        f"{found.kept:,} of {found.images:,} images can be used.",
        *(f"{n:,} files are left out: {why}" for why, n in found.unusable.items()),
        "",
        table(rows, right=["images", "kept", *reasons]),
        "",
        f"Copying: {found.copying['words']}.",
        (
            f"The classifier is right on {found.control['accuracy']:.1%} of "
            f"{found.control['images']:,} held-out real images."
        ),
    ]
    rejected = found.control["rejected"].items()
    said = ", ".join(f"{name} {share:.1%}" for name, share in rejected)
    if said:
        lines.append(f"Of those, the filters would reject: {said}.")
    if found.path is not None:
        lines += ["", f"kept images: {found.path / 'images'}", f"page: {found.path}/curation.html"]
    return "\n".join(lines)


def _pairs(given: Sequence[str]) -> dict[str, str]:
    for one in given:
        if "=" not in one:
            raise InputError(
                f"--class {one}",
                rule="a class is mapped as THEIRS=OURS, or left out as THEIRS=",
                remedy=f"write --class '{one}=NAME'",
            )
    return dict(one.split("=", 1) for one in given)
