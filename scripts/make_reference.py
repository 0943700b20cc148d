"""Write docs/reference from the code; ``--check`` only says which pages are out of date."""

from __future__ import annotations

import argparse
import importlib
import inspect
import json
import re
import sys
import types
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from synthlift.spec.meanings import meanings, summary
from synthlift.spec.problems import models_in

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "reference"
MARK = "<!-- made by scripts/make_reference.py; change the code, then run `make docs` -->\n"


# ── the study file ────────────────────────────────────────────────────────────────────────────


def study_page() -> str:
    """The configuration reference: every section, preset and registered component."""
    from synthlift.spec.arms import GENERATIVE, RIVALS
    from synthlift.spec.study import METRICS, Study

    parts = [
        MARK,
        "# The study file\n",
        "A YAML file. Every key has a default, so that an empty file is a study of the embedded",
        "digits. Unknown keys are refused. `--set training.steps=400` overrides one key, and",
        "`synthlift schema` prints the same as a JSON schema.\n",
        *(section(title, model) for title, model in sections(Study)),
        "## Names of arms\n",
        "Without synthetic images: " + ", ".join(f"`{name}`" for name in RIVALS) + ".",
        "With synthetic images: " + ", ".join(f"`{name}`" for name in GENERATIVE) + ".\n",
        "## Names of metrics\n",
        ", ".join(f"`{name}`" for name in METRICS) + ".\n",
        *components(),
    ]
    return "\n".join(parts).rstrip() + "\n"


def sections(model: type[BaseModel], path: str = "") -> Iterator[tuple[str, type[BaseModel]]]:
    """The model and every model below it, with the dotted place of each."""
    yield path or "The whole file", model
    for name, field in model.model_fields.items():
        for inner in models_in(field.annotation):
            if inner.__name__ != "Component":
                repeated = typing.get_origin(field.annotation) is tuple
                yield from sections(inner, f"{path}{'.' if path else ''}{name}{'[]' * repeated}")


def section(title: str, model: type[BaseModel]) -> str:
    """One heading with the model's first sentence and a table of its keys."""
    heading = title if title == "The whole file" else f"`{title}`"
    return f"## {heading}\n\n{markdown(summary(model))}\n\n{table(model)}"


def table(model: type[BaseModel]) -> str:
    """The keys of a model as a Markdown table."""
    if not model.model_fields:
        return "No settings.\n"
    explained = meanings(model)
    rows = ["| key | type | default | meaning |", "|---|---|---|---|"]
    for name, field in model.model_fields.items():
        cells = (
            f"`{name}`",
            type_words(field),
            default_words(field),
            markdown(explained.get(name, "")),
        )
        rows.append("| " + " | ".join(map(cell_text, cells)) + " |")
    return "\n".join(rows) + "\n"


def cell_text(text: str) -> str:
    """One cell of a table; outside code, ``<word>`` would vanish as a tag."""
    text = " ".join(text.split()).replace("|", "\\|")
    return text if text.startswith("`") else text.replace("<", "&lt;")


def markdown(text: str) -> str:
    """Docstring text with single back-quotes, as Markdown has them."""
    text = text.replace("docs/method.md §", "[method](../method.md) §")
    return re.sub(r":\w+:`~?\.?([^`]+)`", r"`\1`", text).replace("``", "`")


def type_words(field: FieldInfo) -> str:
    """The type and limits of a key in words."""
    limits = []
    for item in field.metadata:
        for sign, name in ((">", "gt"), ("≥", "ge"), ("<", "lt"), ("≤", "le")):
            if (value := getattr(item, name, None)) is not None:
                limits.append(f"{sign} {value}")
    return " ".join([annotation_words(field.annotation), ", ".join(limits)]).strip()


def annotation_words(annotation: Any) -> str:
    """A type annotation in words."""
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return annotation_words(args[0])
    if origin is typing.Literal:
        return ", ".join(f"`{value}`" for value in args)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(annotation_words(arg) for arg in args if arg is not type(None))
    if origin in (tuple, list):
        return "list of " + annotation_words(args[0])
    if origin is dict:
        return f"{annotation_words(args[0])} → {annotation_words(args[1])}"
    if inspect.isclass(annotation) and issubclass(annotation, BaseModel):
        return "component" if annotation.__name__ == "Component" else "section"
    names = {str: "text", int: "whole number", float: "number", bool: "true or false"}
    return names.get(annotation, "any")


def default_words(field: FieldInfo) -> str:
    """A default as it would be written in the file."""
    default = field.get_default(call_default_factory=True)
    if default is PydanticUndefined:
        return "needed"
    if isinstance(default, BaseModel) and default.__class__.__name__ != "Component":
        return "below"
    if default is None:
        return "none"
    return f"`{json.dumps(short(default), ensure_ascii=False)}`"


def short(value: Any) -> Any:
    """JSON for a default, components and arms by their kind where nothing else is set."""
    if isinstance(value, BaseModel):
        set_keys = value.model_dump(exclude_unset=True, mode="json")
        return set_keys["kind"] if set(set_keys) == {"kind"} else set_keys
    return [short(item) for item in value] if isinstance(value, tuple) else value


def components() -> Iterator[str]:
    """Every registered component with its keys."""
    from synthlift.registry import Group, available

    uses: dict[Group, str] = {
        "generators": "generators",
        "filters": "curation",
        "classifiers": "classifier",
    }
    explained: set[type[BaseModel]] = set()
    for group, key in uses.items():
        yield f"## Components for `{key}`\n"
        for kind, found in sorted(available(group).items()):
            yield f"### `{kind}`\n\n{found.summary}\n\n{table(found.config)}"
            for place, model in list(sections(found.config))[1:]:
                if model in explained:
                    continue
                explained.add(model)
                own = model.model_fields.get("kind")
                which = f", `kind: {typing.get_args(own.annotation)[0]}`" if own else ""
                title = f"#### `{place}` of `{kind}`{which}"
                yield f"{title}\n\n{markdown(summary(model))}\n\n{table(model)}"


# ── the results file ──────────────────────────────────────────────────────────────────────────


def results_page() -> str:
    """The schema of ``results.json``: every record with its fields."""
    from synthlift.spec.results import SCHEMA_VERSION, Results

    records: dict[str, type[BaseModel]] = {}
    for _, model in sections(Results):
        records.setdefault(model.__name__, model)
    parts = [
        MARK,
        "# The results file\n",
        f"`results.json` of a run folder, schema version {SCHEMA_VERSION}. Shares and metrics lie",
        "in [0, 1], differences in [-1, 1]; times are seconds, energy kWh, memory MiB. `null`",
        "stands where a number could not be had; the limitations then say why.\n",
    ]
    for name, model in records.items():
        parts.append(f"## `{name}`\n\n{markdown(summary(model))}\n")
        explained = meanings(model)
        parts += ["| field | type | meaning |", "|---|---|---|"]
        for key, field in model.model_fields.items():
            cells = (f"`{key}`", record_words(field.annotation), markdown(explained.get(key, "")))
            parts.append("| " + " | ".join(map(cell_text, cells)) + " |")
        parts.append("")
    return "\n".join(parts).rstrip() + "\n"


def record_words(annotation: Any) -> str:
    """A type in words, records by their name."""
    args = typing.get_args(annotation)
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        inner = [record_words(arg) for arg in args if arg is not type(None)]
        return " or ".join([*inner, "null"] if type(None) in args else inner)
    if typing.get_origin(annotation) is list:
        return f"list of {record_words(args[0])}"
    if typing.get_origin(annotation) is dict:
        return f"{record_words(args[0])} → {record_words(args[1])}"
    if inspect.isclass(annotation) and issubclass(annotation, BaseModel):
        return f"[{annotation.__name__}](#{annotation.__name__.lower()})"
    return annotation_words(annotation)


# ── the command line ──────────────────────────────────────────────────────────────────────────


def command_page() -> str:
    """The command reference: every command with its arguments and options."""
    import typer.main

    group: Any = typer.main.get_command(importlib.import_module("synthlift.cli").app)
    parts = [
        MARK,
        "# The command line\n",
        "`synthlift COMMAND --help` prints the same. Results go to stdout, progress to stderr.",
        "Exit codes: 0 done, 1 a stage failed, 2 the input is wrong, 130 interrupted.\n",
    ]
    for name, command in sorted(group.commands.items()):
        parts.append(command_section(name, command))
        for inner, one in getattr(command, "commands", {}).items():
            parts.append(command_section(f"{name} {inner}", one))
    return "\n".join(parts).rstrip() + "\n"


def command_section(name: str, command: Any) -> str:
    """One command: its words and a table of its parameters."""
    shown = [p for p in command.params if not p.hidden and p.name != "help"]
    arguments = [spelling(p) for p in shown if p.param_type_name == "argument"]
    lines = [
        f"## `{' '.join(['synthlift', name, *arguments])}`\n",
        inspect.cleandoc(command.help or "").replace("\f", "") + "\n",
    ]
    if shown:
        lines += ["| parameter | default | meaning |", "|---|---|---|"]
    for parameter in shown:
        default = parameter.default
        known = default not in (None, False, (), []) and not callable(default)
        cells = (f"`{spelling(parameter)}`", f"`{default}`" if known else "", parameter.help or "")
        lines.append("| " + " | ".join(map(cell_text, cells)) + " |")
    return "\n".join(lines) + "\n"


def spelling(parameter: Any) -> str:
    """A parameter as it is typed: ``IMAGE...``, ``--budget TIME``, ``--json``."""
    if parameter.param_type_name == "argument":
        name = parameter.metavar or parameter.name.upper()
        return str(name if parameter.required else f"[{name}]")
    names = ", ".join([*parameter.opts, *parameter.secondary_opts])
    value = "" if parameter.is_flag else parameter.metavar or parameter.name.upper()
    return f"{names} {value}".strip()


# ── writing ───────────────────────────────────────────────────────────────────────────────────


def pages() -> dict[str, Callable[[], str]]:
    """File name → maker of its text."""
    return {"study.md": study_page, "results.md": results_page, "cli.md": command_page}


def main() -> int:
    """Write or check all pages; 1 if ``--check`` finds one that is out of date."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    check: bool = parser.parse_args().check
    stale = 0
    for name, make in pages().items():
        path, text = FOLDER / name, make()
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            continue
        stale += 1
        if check:
            print(f"docs/reference/{name} is out of date; run `make docs`")
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            print(f"docs/reference/{name} written")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
