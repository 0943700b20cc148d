"""The command line. No heavy library is imported before a command runs."""

from __future__ import annotations

from collections.abc import Callable

import typer

from synthlift import __version__
from synthlift.cli import (
    classify,
    curate,
    demo,
    doctor,
    evaluate,
    export,
    gc,
    generate,
    init,
    inspect,
    models,
    plan,
    preview,
    report,
    run,
    runs,
    schema,
    serve,
    status,
    stop,
)

COMMANDS: dict[str, Callable[..., None]] = {
    "demo": demo.demo,
    "init": init.init,
    "inspect": inspect.inspect,
    "plan": plan.plan,
    "preview": preview.preview,
    "run": run.run,
    "status": status.status,
    "stop": stop.stop,
    "report": report.report,
    "generate": generate.generate,
    "curate": curate.curate,
    "classify": classify.classify,
    "export": export.export,
    "evaluate": evaluate.evaluate,
    "runs": runs.runs,
    "serve": serve.serve,
    "schema": schema.schema,
    "doctor": doctor.doctor,
    "gc": gc.gc,
}

app = typer.Typer(
    name="synthlift",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _top(
    _version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Print the version."
    ),
) -> None:
    """Do synthetic images help my classifier? Which classes, how many, at what cost?"""


for _name, _command in COMMANDS.items():
    app.command(_name)(_command)
app.add_typer(models.app, name="models")


def main() -> None:
    """The entry point ``synthlift``."""
    app()
