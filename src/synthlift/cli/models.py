"""``synthlift models list``, ``check`` and ``add``."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer

from synthlift.cli import options
from synthlift.cli.errors import guarded

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

Names = Annotated[list[str] | None, typer.Argument(help="Those to look at; none = all.")]
Source = Annotated[
    str,
    typer.Argument(
        help="Folder or file of weights, or hf:OWNER/NAME[/FILE][@REVISION], which is fetched."
    ),
]
Name = Annotated[str, typer.Option("--name", help="What study files call it.")]
AllowPickle = Annotated[
    bool,
    typer.Option(
        "--allow-pickle",
        help="Read weights in formats that can run any code, and keep them as safetensors.",
    ),
]
COLUMNS = ("name", "kind", "architecture", "size", "licence", "sha256", "path")


@app.callback()
def _models() -> None:
    """Weights that others have trained: names for study files, pinned by hash."""


@app.command("list")
@guarded
def list_models(as_json: options.Json = False) -> None:
    """List the weights that have a name."""
    from synthlift import api
    from synthlift.cli import output

    found = api.models()
    if as_json:
        output.say_json(found)
    elif found:
        output.say(output.table([_row(one, COLUMNS) for one in found], right=["size"]))
    else:
        output.note("No weights have a name yet. Give some one: synthlift models add FOLDER")


@app.command()
@guarded
def check(names: Names = None, as_json: options.Json = False) -> None:
    """Hash weights again and say whether they are still the same."""
    from synthlift import api
    from synthlift.cli import output

    found = api.check_models(*(names or ()))
    if as_json:
        output.say_json(found)
    elif found:
        output.say(output.table([_row(one, ("name", "state", "path")) for one in found]))
    else:
        output.note("No weights have a name yet.")
    if any(one["state"] != "ok" for one in found):
        raise typer.Exit(1)


@app.command()
@guarded
def add(
    source: Source,
    name: Name = "",
    allow_pickle: AllowPickle = False,
    as_json: options.Json = False,
) -> None:
    """Give weights a name; they stay where they are."""
    from synthlift import api
    from synthlift.api.weights import remark_on_model
    from synthlift.cli import output

    entry = api.add_model(source, name=name, allow_pickle=allow_pickle, note=output.note)
    if as_json:
        output.say_json(asdict(entry))
        return
    kind = " ".join(
        filter(None, (entry.kind, f"({entry.architecture})" * bool(entry.architecture)))
    )
    output.say(f"{entry.name}: {kind}, {output.size(entry.bytes)}, SHA-256 {entry.sha256[:12]}…")
    output.say(f"licence: {entry.licence or 'none stated: look it up before you share images'}")
    output.note(remark_on_model(entry) or f"In a study file: model: {entry.name}")


def _row(entry: dict[str, Any], columns: tuple[str, ...]) -> dict[str, str]:
    from synthlift.cli import output

    told = {**entry, "size": output.size(entry["bytes"]), "sha256": entry["sha256"][:12]}
    return {name: str(told[name] or "–") for name in columns}
