"""Options that several commands share, spelled and explained once."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

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


Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress.")]


@dataclass(frozen=True)
class Given:
    """What a command is told of its data: its source, and the options that all such commands have.

    The fields are the options; :func:`with_data` hands them over together.
    """

    source: Source
    metadata: Metadata = None
    label: Label = None
    group: Group = None
    attribute: Attribute = None
    changes: Set = None

    def overrides(self) -> list[str]:
        """What the options stand for in a study file, as ``KEY=VALUE``."""
        from synthlift.spec.yaml12 import as_json

        keys = {
            "metadata": self.metadata and str(self.metadata.expanduser().absolute()),
            "label": self.label,
            "group": self.group,
            "attributes": self.attribute or None,
        }
        said = [f"data.{key}={as_json(v)}" for key, v in keys.items() if v is not None]
        return [*said, *(self.changes or ())]

    def words(self) -> list[str]:
        """The same as it was typed, behind the name of a command."""
        named = {"--metadata": self.metadata, "--label": self.label, "--group": self.group}
        pairs = [(option, str(value)) for option, value in named.items() if value is not None]
        pairs += [("--attribute", name) for name in self.attribute or ()]
        pairs += [("--set", change) for change in self.changes or ()]
        return [self.source, *(word for pair in pairs for word in pair)]


def with_data(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command, whose first argument is a :class:`Given`, the options that make one."""
    shared = inspect.signature(Given, eval_str=True).parameters
    own = list(inspect.signature(command, eval_str=True).parameters.values())[1:]

    @functools.wraps(command)
    def wrapped(**given: Any) -> None:
        command(Given(**{name: given.pop(name) for name in shared}), **given)

    # What Typer reads; an option without a default may stand behind one with.
    parameters = [one.replace(kind=one.KEYWORD_ONLY) for one in (*shared.values(), *own)]
    wrapped.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    wrapped.__annotations__ = {one.name: one.annotation for one in parameters}
    return wrapped
