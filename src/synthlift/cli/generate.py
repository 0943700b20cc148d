"""``synthlift generate``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from synthlift.cli import options
from synthlift.cli.errors import guarded
from synthlift.errors import InputError

PerClass = Annotated[
    int, typer.Option("--per-class", metavar="N", help="Images of each class, or cell.")
]
Out = Annotated[
    Path, typer.Option("--out", metavar="DIR", help="A new or empty folder; or where it was begun.")
]
Seed = Annotated[int, typer.Option("--seed", min=0, help="The same seed gives the same images.")]
Name = Annotated[
    str | None, typer.Option("--generator", metavar="NAME", help="Which; the first if left out.")
]
Classes = Annotated[
    list[str] | None,
    typer.Option("--class", metavar="NAME", help="Only this class; may be given repeatedly."),
]
Attributes = Annotated[
    list[str] | None,
    typer.Option(
        "--attribute",
        metavar="NAME=VALUE",
        help="Ask for images with this value; may be given repeatedly, also for one attribute: "
        "then images of every combination are made.",
    ),
]

Picture = Annotated[
    Path | None,
    typer.Option("--from-picture", metavar="FILE", help="A picture that all images start from."),
]
Strength = Annotated[
    float | None,
    typer.Option(
        "--strength",
        metavar="SHARE",
        help="With --from-picture: how much of it may change, above 0 to 1. [default: 0.5]",
    ),
]

Prompt = Annotated[
    str | None,
    typer.Option(
        "--prompt",
        metavar="TEXT",
        help="What images show, in place of the study's words; the class says where they lie.",
    ),
]
NegativePrompt = Annotated[
    str | None, typer.Option("--negative-prompt", metavar="TEXT", help="What images do not show.")
]
Guidance = Annotated[
    float | None,
    typer.Option("--guidance", metavar="X", help="How strictly class or words are followed."),
]
Steps = Annotated[
    int | None, typer.Option("--steps", metavar="N", help="Steps from noise to image.")
]


@guarded
def generate(
    source: options.Source,
    out: Out,
    per_class: PerClass = 20,
    seed: Seed = 0,
    generator: Name = None,
    classes: Classes = None,
    attributes: Attributes = None,
    from_picture: Picture = None,
    strength: Strength = None,
    prompt: Prompt = None,
    negative_prompt: NegativePrompt = None,
    guidance: Guidance = None,
    steps: Steps = None,
    store: options.Store = None,
    device: options.Device = "auto",
    workers: options.Workers = None,
    changes: options.Set = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Make images with a run's generator, or fit one first.

    SOURCE is a finished run, a folder that this command wrote, or images to fit a generator on;
    test images that those bring, or that a study's data.split names, are never learnt from. Or it
    is model:NAME, a text-to-image model at hand such as model:embedded, which draws what --prompt
    says, or pictures of any --class NAME. The same command goes on where it was stopped.
    """
    from synthlift import api
    from synthlift.api.varying import USUAL_STRENGTH
    from synthlift.cli import output
    from synthlift.cli.progress import counting, following
    from synthlift.store import default_root

    if strength is not None and from_picture is None:
        raise InputError(
            f"--strength {strength:g} without --from-picture",
            rule="the strength says how much of a given picture may change",
            remedy="name the picture with --from-picture FILE, or leave --strength out",
        )
    with (
        following(store or default_root(), quiet=quiet) as listener,
        counting("writing images", quiet=quiet) as progress,
    ):
        found = api.generate(
            source,
            per_class=per_class,
            out=out,
            seed=seed,
            generator=generator,
            classes=classes or (),
            attributes=_pairs(attributes or ()),
            from_picture=from_picture,
            strength=USUAL_STRENGTH if strength is None else strength,
            prompt=prompt,
            negative_prompt=negative_prompt,
            guidance=guidance,
            steps=steps,
            store=store,
            device=device,
            workers=workers,
            overrides=changes or (),
            listener=listener,
            progress=progress,
        )
    if as_json:
        output.say_json(asdict(found))
        return
    if found.fitted_on:
        output.say(f"The generator was {found.fitted_on}.")
    total = sum(found.counts.values())
    made = [name for name, count in found.counts.items() if count]
    several = any(len(values) > 1 for values in _pairs(attributes or ()).values())
    what = "cells" if several else "classes"
    of = f" of {len(made)} {what}" if len(made) > 1 else ""
    output.say(f"{total:,} images{of} in {found.path / 'images'}")
    for name, count in found.counts.items():
        if count < per_class:
            output.say(f"  {name}: {count} of {per_class}; the generator can make no more of it")
    for remark in found.remarks:
        output.say(f"Note: {remark}")
    output.say(f"All at a glance: {found.sheet}")


def _pairs(given: Sequence[str]) -> dict[str, list[str]]:
    """Values by attribute."""
    found: dict[str, list[str]] = {}
    for one in given:
        if "=" not in one:
            raise InputError(
                f"--attribute {one}",
                rule="an attribute is given as NAME=VALUE",
                remedy=f"write --attribute {one}=VALUE",
            )
        name, value = one.split("=", 1)
        found.setdefault(name, []).append(value)
    return found
