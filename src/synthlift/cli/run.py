"""``synthlift run``."""

from __future__ import annotations

import shlex
from typing import Annotated

import typer

from synthlift.cli import options
from synthlift.cli.errors import guarded

More = Annotated[
    str | None,
    typer.Option(
        "--more",
        metavar="TIME",
        help="Keep choices and finished work of a run and add replicates for this long.",
    ),
]
Replan = Annotated[
    bool,
    typer.Option(
        "--replan",
        help="Forget recorded choices, choose again; exploratory once the test set was opened.",
    ),
]


@guarded
@options.with_data
def run(
    data: options.Given,
    out: options.Out = None,
    store: options.Store = None,
    seed: options.Seed = None,
    device: options.Device = "auto",
    workers: options.Workers = None,
    budget: options.Budget = None,
    more: More = None,
    replan: Replan = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Run a study, or go on with one.

    Answers whether synthetic images help on this data. Run the same command again to go on after
    a stop; what is finished is never computed again.
    """
    from synthlift import api

    asked = api.ask(
        data.source,
        out=out,
        store=store,
        overrides=data.overrides(),
        seed=seed,
        budget=budget,
    )
    conclude(
        asked,
        more=more,
        replan=replan,
        device=device,
        workers=workers,
        as_json=as_json,
        quiet=quiet,
    )


def conclude(
    asked: object,
    *,
    device: str,
    workers: int | None,
    as_json: bool,
    quiet: bool,
    more: str | None = None,
    replan: bool = False,
    next_steps: str = "",
) -> None:
    """Run a study with progress and print its answer."""
    from synthlift import api
    from synthlift.cli import output, starting
    from synthlift.cli.progress import following

    assert isinstance(asked, api.Asked)
    starting.announce(asked, device=device, quiet=quiet)
    with (
        starting.resumable(asked.out),
        following(starting.store_of(asked), quiet=quiet) as listener,
    ):
        run = api.run(
            asked,
            more=more,
            device=device,
            workers=workers,
            replan=replan,
            command=starting.command_line(),
            listener=listener,
        )
    if as_json:
        output.say_json(run.results)
        return
    output.say(starting.tell(run))
    if next_steps:
        output.say(next_steps.format(run=shlex.quote(starting.near(run.path))))
