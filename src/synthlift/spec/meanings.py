"""What each key means, read from the models' docstrings: one source for files and reference."""

from __future__ import annotations

import inspect
import re

from pydantic import BaseModel


def summary(model: type[BaseModel]) -> str:
    """The first paragraph of a model's docstring, on one line."""
    return " ".join(inspect.cleandoc(model.__doc__ or "").split("\n\n")[0].split())


def meanings(model: type[BaseModel]) -> dict[str, str]:
    """Key → meaning, from the ``Attributes:`` of the docstrings or ``Field(description=)``."""
    found = {name: f.description for name, f in model.model_fields.items() if f.description}
    for parent in reversed(model.__mro__):
        if issubclass(parent, BaseModel):
            found.update(_attributes(parent.__doc__ or ""))
    # Docstrings cite the method page by its section alone.
    return {
        name: text.replace("METHOD §", "docs/method.md §")
        for name, text in found.items()
        if name in model.model_fields
    }


def _attributes(docstring: str) -> dict[str, str]:
    _, _, block = inspect.cleandoc(docstring).partition("Attributes:\n")
    found: dict[str, str] = {}
    for names, text in re.findall(r"^ {4}(\w[\w, ]*): (.+(?:\n {8}.+)*)", block, re.MULTILINE):
        found.update({name.strip(): " ".join(text.split()) for name in names.split(",")})
    return found
